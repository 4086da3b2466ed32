import { mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parse, stringify } from 'yaml'
import type { Deidentifier } from '../../connectors/hl7v2/deidentify/deidentify.js'
import { LeakCheck, type Leak } from '../../connectors/hl7v2/deidentify/leak-check.js'
import { readMessageBytes, type Hl7Message } from '../../connectors/hl7v2/message.js'
import { readTime } from '../../connectors/times.js'
import { RecordError } from '../../core/errors.js'
import { pidExists } from '../../core/pid.js'
import { cataloguesOnce, writeExpected, type Catalogues } from '../test.js'
import type { RecordInput } from './sources.js'

export interface RecordOptions {
  readonly out: string
  /** Fields that were kept, for the manifest. */
  readonly keep?: readonly string[]
  /** Settings of the feed that say how its messages are read. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Messages that could not even be handed over, by reason. */
  readonly unreadable?: Readonly<Record<string, number>>
  readonly progress?: (what: 'read' | 'written', done: number, of: number) => void
}

export interface RecordResult {
  readonly recorded: number
  /** Messages that were left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>
  /** Found in what was written; it is deleted then. */
  readonly leaks: readonly Leak[]
}

interface Case {
  readonly case: string
  readonly type: string
  readonly charset: string
  readonly flags: readonly string[]
  readonly segments: number
}

interface Read {
  readonly input: RecordInput
  readonly message: Hl7Message
}

/**
 * Writes a case folder for each message that reads and a manifest beside them, searches all of it, and only then gives it
 * the name `out`: what is found there was searched. Where a value is found, or the work ends early, there is no `out`.
 */
export async function record(
  inputs: readonly RecordInput[],
  deidentifier: Pick<Deidentifier, 'learn' | 'replace' | 'shiftDays' | 'vocabulary'>,
  options: RecordOptions,
): Promise<RecordResult> {
  const { out, keep = [], settings = {}, unreadable = {}, progress = () => undefined } = options
  const leftOut: Record<string, number> = { ...unreadable }
  const leaveOut = (reason: string): void => void (leftOut[reason] = (leftOut[reason] ?? 0) + 1)
  const charset = typeof settings['charset'] === 'string' ? settings['charset'] : undefined
  const readable = [...readAll(inputs, charset, leaveOut)]
  const check = new LeakCheck(deidentifier.vocabulary)
  for (const [at, { message }] of readable.entries()) {
    deidentifier.learn(message)
    check.learn(message)
    progress('read', at + 1, readable.length)
  }
  const parent = dirname(resolve(out))
  await mkdir(parent, { recursive: true })
  await removeUnchecked(parent)
  const unchecked = await mkdtemp(join(parent, uncheckedOf(process.pid)))
  try {
    const catalogues = cataloguesOnce()
    const leaks: Leak[] = []
    const cases: Case[] = []
    for (const { input, message } of readable) {
      const bytes = deidentifier.replace(message, input.bytes)
      const written = readAlike(bytes, message, charset)
      if (written === undefined) {
        leaveOut('reads-differently')
        continue
      }
      const name = `${String(cases.length + 1).padStart(4, '0')}-${typeOf(written)}`
      cases.push(caseOf(name, written))
      leaks.push(...check.message(written, bytes, message))
      const receivedAt = receiptOf(written, input, deidentifier.shiftDays(message))
      await writeCase(join(unchecked, name), unchecked, bytes, catalogues, {
        ...settings,
        name: 'recorded',
        receivedAt,
      })
      progress('written', cases.length, readable.length)
    }
    const manifest = { format: 1, keep, leftOut, cases }
    await writeFile(join(unchecked, 'manifest.json'), `${JSON.stringify(manifest, null, 1)}\n`)
    leaks.push(...(await leaksOfFiles(unchecked, check)))
    if (leaks.length > 0) return { recorded: 0, leftOut, leaks: distinct(leaks) }
    if (cases.length > 0) {
      // Windows renames onto no folder, not even an empty one.
      await rmdir(out).catch(() => undefined)
      await rename(unchecked, out)
    }
    return { recorded: cases.length, leftOut, leaks }
  } finally {
    await rm(unchecked, { recursive: true, force: true })
  }
}

const uncheckedOf = (pid: number | string): string => `.unchecked-${hostname()}-${pid}-`

/** What a recording on this machine left that was killed: nobody searched it for what must not leave. */
async function removeUnchecked(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [, pid] = /-([0-9]+)-[A-Za-z0-9]+$/.exec(name) ?? []
    if (pid === undefined || !name.startsWith(uncheckedOf(pid)) || pidExists(Number(pid))) continue
    await rm(join(parent, name), { recursive: true, force: true })
  }
}

function* readAll(
  inputs: readonly RecordInput[],
  charset: string | undefined,
  leaveOut: (reason: string) => void,
): Generator<Read> {
  for (const input of inputs) {
    try {
      yield { input, message: readMessageBytes(input.bytes, charset) }
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      leaveOut(error.code)
    }
  }
}

async function writeCase(
  folder: string,
  root: string,
  bytes: Buffer,
  catalogues: Catalogues,
  feed: Readonly<Record<string, unknown>>,
): Promise<void> {
  await mkdir(folder)
  await writeFile(join(folder, 'input.hl7'), bytes)
  await writeFile(join(folder, 'feed.yaml'), stringify(feed))
  await writeExpected(folder, root, catalogues)
}

const caseOf = (name: string, message: Hl7Message): Case => ({
  case: name,
  type: message.segment(0).field(9),
  charset: message.charset,
  flags: message.flags,
  segments: message.length,
})

/** Searches what stands beside the messages as it lies on the disk: names of folders and the texts of files. */
async function leaksOfFiles(out: string, check: LeakCheck): Promise<Leak[]> {
  const leaks: Leak[] = []
  for (const entry of await readdir(out, { recursive: true, withFileTypes: true })) {
    leaks.push(...check.text(entry.name, 'file name'))
    if (!entry.isFile() || entry.name === 'input.hl7') continue
    const text = await readFile(join(entry.parentPath, entry.name), 'utf8')
    const content: unknown = entry.name.endsWith('.json') ? JSON.parse(text) : parse(text)
    for (const one of textsOf(content)) leaks.push(...check.text(one, entry.name))
  }
  return leaks
}

/** Keys whose values are words of the product's own, or digests. */
const ownWords = new Set(['flags', 'charset', 'leftOut', 'contentHash', 'sha256', 'format'])

function* textsOf(value: unknown, key = ''): Generator<string> {
  // The sentence of a dead letter is the product's own but for what it quotes.
  if (key === 'message') for (const [, quoted = ''] of String(value).matchAll(/'([^']*)'/g)) yield quoted
  else if (typeof value === 'string' || typeof value === 'number') yield String(value)
  else if (Array.isArray(value)) for (const one of value) yield* textsOf(one)
  else if (typeof value === 'object' && value !== null) {
    for (const [name, one] of Object.entries(value)) if (!ownWords.has(name)) yield* textsOf(one, name)
  }
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

/** The message that the bytes hold; undefined where it has another shape than the original. */
function readAlike(bytes: Buffer, original: Hl7Message, charset?: string): Hl7Message | undefined {
  try {
    const message = readMessageBytes(bytes, charset)
    return shapeText(message) === shapeText(original) ? message : undefined
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
