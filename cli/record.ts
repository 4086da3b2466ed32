import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { Deidentifier } from '../connectors/hl7v2/deidentify/deidentify.js'
import { hl7v2ParseOptions } from '../connectors/hl7v2/parse-options.js'
import { UsageError } from '../core/errors.js'
import type { Configuration } from './config.js'
import { record } from './record/record.js'
import { fromFiles, fromSpool } from './record/sources.js'
import { recordTexts } from './record/texts.js'
import { configurationOf, withPlace, type PlaceFlags } from './repository-access.js'
import { exitCodes, progressLine, type Terminal } from './terminal.js'

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

export function recordCommand(program: Command, terminal: Terminal): void {
  const texts = recordTexts[terminal.environment.language]
  withPlace(program.command('record [path...]'))
    .description('turn live HL7 v2 messages into de-identified cases for hutong test')
    .requiredOption('--out <dir>', 'new or empty folder for the cases')
    .requiredOption('--key-file <file>', 'your secret; made where it does not exist. Keep it, never hand it on')
    .option('--spool <dir>', 'take messages of the spool in this data folder (its receiver may go on)')
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
is searched for what the messages state of persons; where something is found all of it is deleted. A person must still
read the cases before they are handed on: docs/operations/record.md.

  hutong record messages/ --out cases --key-file record.key
  hutong record --spool .hutong --feed lis --last 50 --out cases --key-file record.key --config hutong.yaml
  hutong test cases

--config is needed for a spool that is encrypted or of another environment than test.

Exit code: 0 recorded, 1 an identifying value was found and everything deleted, or nothing was readable, 2 wrong
arguments.`,
    )
    .action(async (paths: string[], flags: RecordFlags) => {
      if ((paths.length === 0) === (flags.spool === undefined)) throw new UsageError(texts.oneSource)
      for (const field of flags.keep ?? []) {
        if (!/^[A-Z][A-Z0-9]{2}-[0-9]{1,3}$/.test(field)) throw new UsageError(texts.badField(field))
      }
      await refuseUsedFolder(flags.out, texts.folderUsed)
      const stated = await configurationOf(flags, terminal)
      const configuration = flags.spool === undefined ? stated : { ...stated, dataDir: flags.spool }
      refuseUnknownFeed(configuration, flags)
      const { inputs, unreadable, feed } =
        flags.spool === undefined
          ? { ...(await fromFiles(paths)), feed: flags.feed }
          : await fromSpool(configuration, flags.feed, flags.last)
      const settings = settingsOf(configuration, feed, flags.charset)
      const { key, made } = await keyOf(flags.keyFile, flags.out)
      if (made) terminal.err(texts.keyMade(flags.keyFile))
      const line = progressLine(terminal)
      const { out, keep = [] } = flags
      const progress = (...step: Parameters<typeof texts.progress>): void => line.show(texts.progress(...step))
      const result = await record(inputs, new Deidentifier({ key, keep }), {
        out,
        keep,
        settings,
        unreadable,
        progress,
      })
      line.end()
      if (flags.json === true) terminal.out(`${JSON.stringify(result)}\n`)
      else terminal.out(texts.result(result, flags.out))
      process.exitCode = result.leaks.length === 0 && result.recorded > 0 ? exitCodes.ok : exitCodes.found
    })
}

function refuseUnknownFeed({ feeds }: Configuration, { config, feed }: RecordFlags): void {
  if (config === undefined || feed === undefined || feeds.some(({ name }) => name === feed)) return
  throw new UsageError(`${config} has no feed ${feed}`)
}

/** How the feed's messages are read; nothing of where they come from. */
function settingsOf({ feeds }: Configuration, name: string | undefined, charset?: string): Record<string, unknown> {
  const feed = feeds.find((one) => one.name === name)
  const stated = Object.entries(feed?.settings ?? {}).filter(([key]) => Object.hasOwn(hl7v2ParseOptions, key))
  return { ...Object.fromEntries(stated), ...(charset !== undefined && { charset }) }
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
