import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { stringify } from 'yaml'
import { Deidentifier } from '../connectors/hl7v2/deidentify/deidentify.js'
import { LeakCheck, type Leak } from '../connectors/hl7v2/deidentify/leak-check.js'
import { cutMessages, sniffUnicode } from '../connectors/hl7v2/framing.js'
import { readMessageBytes, type Hl7Message } from '../connectors/hl7v2/message.js'
import { hl7v2ParseOptions } from '../connectors/hl7v2/parse-options.js'
import { readTime } from '../connectors/hl7v2/times.js'
import { RecordError, UsageError } from '../core/errors.js'
import type { Spool } from '../log/spool.js'
import type { Configuration } from './config.js'
import { filesOf } from './files.js'
import { recordTexts } from './record-texts.js'
import { configurationOf, withPlace, type PlaceFlags } from './repository-access.js'
import { openSpoolToRead } from './runtime.js'
import { exitCodes, progressLine, type Terminal } from './terminal.js'
import { writeExpected } from './test.js'

interface RecordFlags extends PlaceFlags {
  readonly out: string
  readonly keyFile: string
  readonly spool?: string
  readonly feed?: string
  readonly last: number
  readonly charset?: string
  readonly keep?: string[]
  readonly json?: boolean
}

/** One message to record, its byte order mark before it where its file had one. */
export interface RecordInput {
  readonly bytes: Buffer
  /** ms; undefined for a message of a file. */
  readonly receivedAt?: number
}

export interface RecordOptions {
  readonly out: string
  readonly key: Buffer
  readonly keep?: readonly string[]
  readonly words?: readonly string[]
  /** Settings of the feed that say how its messages are read. */
  readonly settings?: Readonly<Record<string, unknown>>
  readonly progress?: (text: string) => void
}

export interface RecordResult {
  readonly recorded: number
  /** Messages that were left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>
  /** Found in what was written; it is deleted then. */
  readonly leaks: readonly Leak[]
}

export function recordCommand(program: Command, terminal: Terminal): void {
  const texts = recordTexts[terminal.environment.language]
  withPlace(program.command('record [path...]'))
    .description('turn live HL7 v2 messages into de-identified cases for hutong test')
    .requiredOption('--out <dir>', 'new or empty folder for the cases')
    .requiredOption('--key-file <file>', 'your secret; made where it does not exist. Keep it, never hand it on')
    .option('--spool <dir>', 'take messages of the spool in this data folder (its receiver must be stopped)')
    .option('--feed <name>', 'the feed to take from the spool, or whose settings in --config read the files')
    .option('--last <number>', 'newest messages to take from the spool', count, 100)
    .option('--charset <name>', "the sender's charset, as a feed would declare it (for example gb18030)")
    .option('--keep <field...>', 'fields left as they are, for example ZXX-3 (you answer for what they hold)')
    .option('--json', 'one line: {"recorded","leftOut","leaks"}')
    .addHelpText(
      'after',
      `
Names, numbers, addresses and telephones become pseudonyms, dates move by a constant number of weeks per patient, free
text beyond known words becomes filler. Codes, units, values, flags and the oddities of the sender stay. What was written
is searched for every value that was replaced; where one is found all of it is deleted. A person must still read the
cases before they are handed on: docs/operations/record.md.

  hutong record messages/ --out cases --key-file record.key
  hutong record --spool .hutong --feed lis --last 50 --out cases --key-file record.key --config hutong.yaml
  hutong test cases

Exit code: 0 recorded, 1 an identifying value was found and everything deleted, or nothing was readable, 2 wrong
arguments.`,
    )
    .action(async (paths: string[], flags: RecordFlags) => {
      if ((paths.length === 0) === (flags.spool === undefined)) throw new UsageError(texts.oneSource)
      for (const field of flags.keep ?? []) {
        if (!/^[A-Z][A-Z0-9]{2}-[0-9]{1,3}$/.test(field)) throw new UsageError(texts.badField(field))
      }
      await refuseUsedFolder(flags.out, texts.folderUsed)
      const configuration = await configurationOf({ ...flags, dataDir: flags.spool ?? flags.dataDir }, terminal)
      const settings = settingsOf(configuration, flags)
      const inputs = flags.spool === undefined ? await fromFiles(paths) : await fromSpool(configuration, flags)
      const { key, made } = await keyOf(flags.keyFile, flags.out)
      if (made) terminal.err(texts.keyMade(flags.keyFile))
      const line = progressLine(terminal)
      const result = await record(inputs, {
        out: flags.out,
        key,
        settings,
        ...(flags.keep !== undefined && { keep: flags.keep }),
        progress: (text) => line.show(text),
      })
      line.end()
      if (flags.json === true) terminal.out(`${JSON.stringify(result)}\n`)
      else terminal.out(texts.result(result, flags.out))
      process.exitCode = result.leaks.length === 0 && result.recorded > 0 ? exitCodes.ok : exitCodes.found
    })
}

/** Writes a case folder for each message that reads, a manifest beside them, and searches all of it. */
export async function record(inputs: readonly RecordInput[], options: RecordOptions): Promise<RecordResult> {
  const { out, key, keep, words, settings = {}, progress = () => undefined } = options
  const charset = typeof settings['charset'] === 'string' ? settings['charset'] : undefined
  const deidentifier = new Deidentifier({ key, ...(keep && { keep }), ...(words && { words }) })
  const leftOut: Record<string, number> = {}
  const leaveOut = (reason: string): void => void (leftOut[reason] = (leftOut[reason] ?? 0) + 1)
  const readable: { input: RecordInput; message: Hl7Message }[] = []
  for (const input of inputs) {
    try {
      readable.push({ input, message: readMessageBytes(input.bytes, charset) })
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      leaveOut(error.code)
    }
  }
  const check = new LeakCheck(deidentifier.vocabulary)
  for (const [at, { message }] of readable.entries()) {
    deidentifier.learn(message)
    check.learn(message)
    progress(`${at + 1} / ${readable.length} read`)
  }
  const leaks: Leak[] = []
  const cases: { case: string; type: string; charset: string; flags: readonly string[]; segments: number }[] = []
  const isNew = (await stat(out).catch(() => undefined)) === undefined
  await mkdir(out, { recursive: true })
  try {
    for (const { input, message } of readable) {
      const bytes = deidentifier.replace(message, input.bytes)
      const reread = shapeOf(bytes, charset)
      if (reread === undefined || reread.shape !== shapeText(message)) {
        leaveOut('reads-differently')
        continue
      }
      const name = `${String(cases.length + 1).padStart(4, '0')}-${typeOf(message)}`
      const folder = join(out, name)
      cases.push({
        ...{ case: name, type: message.segment(0).field(9), charset: message.charset },
        ...{ flags: message.flags, segments: message.length },
      })
      await mkdir(folder)
      await writeFile(join(folder, 'input.hl7'), bytes)
      const receivedAt = receiptOf(reread.message, input, deidentifier.shiftDays(message))
      await writeFile(join(folder, 'feed.yaml'), stringify({ ...settings, name: 'recorded', receivedAt }))
      await writeExpected(folder, out)
      leaks.push(...check.message(reread.message, bytes, message))
      leaks.push(...check.text(await readFile(join(folder, 'expected.json'), 'utf8'), 'expected.json'))
      progress(`${cases.length} / ${readable.length} written`)
    }
    await writeFile(
      join(out, 'manifest.json'),
      `${JSON.stringify({ format: 1, keep: keep ?? [], leftOut, cases }, null, 1)}\n`,
    )
  } catch (error) {
    await removeWritten(out, cases, isNew)
    throw error
  }
  if (leaks.length > 0) {
    await removeWritten(out, cases, isNew)
    return { recorded: 0, leftOut, leaks: distinct(leaks) }
  }
  return { recorded: cases.length, leftOut, leaks }
}

async function removeWritten(out: string, cases: readonly { case: string }[], isNew: boolean): Promise<void> {
  for (const { case: name } of cases) await rm(join(out, name), { recursive: true, force: true })
  await rm(join(out, 'manifest.json'), { force: true })
  if (isNew) await rm(out, { recursive: true, force: true })
}

const distinct = (leaks: readonly Leak[]): Leak[] => [
  ...new Map(leaks.map((leak) => [`${leak.segment} ${leak.field} ${leak.kind}`, leak])).values(),
]

/** What must be the same before and after: charset, flags, lines, fields and their parts, types and codes. */
function shapeText(message: Hl7Message): string {
  const { repetition, component, subcomponent } = message.delimiters
  const counted = (raw: string): string =>
    [repetition, component, subcomponent].map((one) => (one === '' ? 0 : raw.split(one).length)).join(',')
  const lines = Array.from(message.lines(), (line) => `${line.name} ${line.fields().map(counted).join(' ')}`)
  return [
    message.charset,
    [...message.flags].sort().join(' '),
    ...lines.map((line) => line.replace(/^[^A-Z].*? /, '')),
  ].join('\n')
}

function shapeOf(bytes: Buffer, charset?: string): { message: Hl7Message; shape: string } | undefined {
  try {
    const message = readMessageBytes(bytes, charset)
    return { message, shape: shapeText(message) }
  } catch (error) {
    if (error instanceof RecordError) return undefined
    throw error
  }
}

/** `oru-r01`; `message` where MSH-9 is none of HL7's. */
function typeOf(message: Hl7Message): string {
  const msh = message.segment(0)
  const type = [msh.text(9, 1, 1) ?? '', msh.text(9, 1, 2) ?? ''].filter((part) => part !== '').join('-')
  return /^[A-Z]{3}(?:-[A-Z]\d\d)?$/.test(type) ? type.toLowerCase() : 'message'
}

/** As long after MSH-7 as it was, so that what is judged by the time of receipt is judged alike. */
function receiptOf(message: Hl7Message, input: RecordInput, shiftDays: number): string {
  const sent = readTime(message.segment(0).text(7) ?? '', 480)
  const at = input.receivedAt === undefined ? sent : input.receivedAt + shiftDays * 86_400_000
  return new Date(at ?? Date.UTC(2026, 0, 1)).toISOString()
}

async function fromFiles(paths: readonly string[]): Promise<RecordInput[]> {
  const inputs: RecordInput[] = []
  for await (const file of filesOf(paths)) inputs.push(...inputsOf(await readFile(file)))
  return inputs
}

/** The messages of a file or of what a connection sent; what stands outside of messages is left behind. */
export function inputsOf(content: Buffer, receivedAt?: number): RecordInput[] {
  const mark = content.subarray(0, sniffUnicode(content).bom)
  return cutMessages(content).messages.map(({ bytes, offset }) => {
    const end = offset + bytes.length
    const after = /^(?:\r\n|\r|\n)/.exec(content.toString('latin1', end, end + 2))?.[0] ?? ''
    const whole = Buffer.concat([mark, bytes, Buffer.from(mark.length === 2 ? '' : after)])
    return { bytes: whole, ...(receivedAt !== undefined && { receivedAt }) }
  })
}

async function fromSpool(configuration: Configuration, flags: RecordFlags): Promise<RecordInput[]> {
  const dir = join(configuration.dataDir ?? '.hutong', 'spool')
  if ((await stat(dir).catch(() => undefined)) === undefined) throw new UsageError(`${dir}: there is no spool`)
  const spool = await openSpoolToRead(configuration)
  try {
    return await newestOf(spool, flags)
  } finally {
    await spool.close()
  }
}

async function newestOf(spool: Spool, { feed, last }: RecordFlags): Promise<RecordInput[]> {
  const marks = [...spool.watermarks()].sort((a, b) => b.epoch - a.epoch)
  const feeds = [...new Set(marks.map((mark) => mark.feed))]
  const of = feed ?? (feeds.length === 1 ? feeds[0] : undefined)
  if (of === undefined || !feeds.includes(of)) throw new UsageError(`--feed: one of ${feeds.join(', ')}`)
  const found: RecordInput[][] = []
  for (const mark of marks.filter((one) => one.feed === of)) {
    for (let seq = mark.seq; seq > 0 && found.length < last; seq--) {
      const message = await spool.read({ ...mark, seq }).catch((error: unknown) => {
        if (error instanceof RecordError) return null
        throw error
      })
      if (message === undefined) break
      if (message !== null) found.push(inputsOf(message.content, message.receivedAt))
    }
  }
  return found.reverse().flat()
}

/** How the feed's messages are read; nothing of where they come from. */
function settingsOf(configuration: Configuration, flags: RecordFlags): Record<string, unknown> {
  const feed = configuration.feeds.find(({ name }) => name === flags.feed)
  if (flags.config !== undefined && flags.feed !== undefined && feed === undefined) {
    throw new UsageError(`${flags.config} has no feed ${flags.feed}`)
  }
  const stated = Object.entries(feed ?? {}).filter(([name]) => Object.hasOwn(hl7v2ParseOptions, name))
  return { ...Object.fromEntries(stated), ...(flags.charset !== undefined && { charset: flags.charset }) }
}

async function refuseUsedFolder(out: string, complaint: (dir: string) => string): Promise<void> {
  const entries = await readdir(out).catch(() => [])
  if (entries.length > 0) throw new UsageError(complaint(out))
}

async function keyOf(file: string, out: string): Promise<{ key: Buffer; made: boolean }> {
  const inside = relative(resolve(out), resolve(file))
  if (!inside.startsWith('..') && resolve(out) !== resolve(file) && !/^[A-Za-z]:/.test(inside)) {
    throw new UsageError(`${file}: the key must not stand in the folder that is handed on`)
  }
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new UsageError(`cannot read ${file}: ${error.code ?? error.message}`)
  })
  if (text !== undefined) {
    const key = Buffer.from(text.trim(), 'base64')
    if (key.length < 16) throw new UsageError(`${file}: no key; it holds at least 16 bytes in Base64`)
    return { key, made: false }
  }
  const key = randomBytes(32)
  await mkdir(dirname(resolve(file)), { recursive: true })
  await writeFile(file, `${key.toString('base64')}\n`, { mode: 0o600, flag: 'wx' })
  return { key, made: true }
}

function count(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1 on')
  return value
}
