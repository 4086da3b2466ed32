import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { cutMessages } from '../../connectors/hl7v2/framing.js'
import { UsageError } from '../../core/errors.js'
import { dayOfMessage, dayOfPath, undated, type Day } from './day.js'

/** `path`: the date in a file's path below its folder, MSH-7 where it has none. `message`: always MSH-7. */
export type DayBy = 'path' | 'message'

/** What stands in the folders of one day. */
export interface PlannedDay {
  readonly day: Day
  readonly files: number
  /** Changes when a file of the day is added, removed or replaced by one of another size. */
  readonly fingerprint: string
}

/** One message of a day, as it stands in its file. */
export interface HistoricMessage {
  readonly bytes: Buffer
  /** Path below the folder it was named under, `/` on every system. */
  readonly sourceName: string
  /** From 1, over the messages of the file. */
  readonly sourceIndex: number
}

/** A file that holds no message of any day. */
export interface EmptyFile {
  readonly sourceName: string
}

/** History on disk, by day. Holds counts and folders, not files: a year may be millions of them. */
export interface HistoryPlan {
  readonly days: ReadonlyMap<Day, PlannedDay>
  /** Messages of a day in the order of their files' names. */
  read(day: Day): AsyncGenerator<HistoricMessage | EmptyFile>
}

interface Gathered {
  files: number
  sum: bigint
  /** Folders with files that are dated by their path. */
  readonly folders: Set<string>
  /** Files that had to be read to know their days. */
  readonly mixed: string[]
}

/**
 * Looks through the folders. Files without a date in their path are read once to find the days of their messages.
 * @throws UsageError where a folder cannot be read or stands within another one
 */
export async function planHistory(
  folders: readonly string[],
  options: { readonly by?: DayBy; readonly progress?: (files: number) => void } = {},
): Promise<HistoryPlan> {
  const { by = 'path', progress } = options
  const gathered = new Map<Day, Gathered>()
  const roots = new Map<string, string>()
  const of = (day: Day): Gathered => {
    const known = gathered.get(day)
    if (known !== undefined) return known
    const made: Gathered = { files: 0, sum: 0n, folders: new Set(), mixed: [] }
    gathered.set(day, made)
    return made
  }
  let seen = 0
  for (const root of folders) {
    for await (const { file, size } of walk(root)) {
      const known = roots.get(dirname(file))
      if (known !== undefined && known !== root) {
        throw new UsageError(`${dirname(file)} is named twice, below ${known} and ${root}`)
      }
      roots.set(dirname(file), root)
      const name = nameBelow(root, file)
      const dated = by === 'message' ? undated : dayOfPath(name)
      const days = dated === undated ? await daysWithin(file) : [dated]
      for (const day of days) {
        const entry = of(day)
        entry.files++
        entry.sum += fingerprintOf(name, size)
        if (dated === undated) entry.mixed.push(file)
        else entry.folders.add(dirname(file))
      }
      progress?.(++seen)
    }
  }
  const days = new Map(
    [...gathered].map(([day, { files, sum }]): [Day, PlannedDay] => [
      day,
      { day, files, fingerprint: `${files}-${(sum % 2n ** 64n).toString(16)}` },
    ]),
  )
  return {
    days,
    async *read(day) {
      const entry = gathered.get(day)
      if (entry === undefined) return
      for (const folder of [...entry.folders].sort()) {
        for (const file of await filesIn(folder)) {
          const name = nameBelow(roots.get(folder)!, file)
          if (dayOfPath(name) === day) yield* messagesOf(file, name)
        }
      }
      for (const file of entry.mixed) {
        const name = nameBelow(roots.get(dirname(file))!, file)
        for await (const message of messagesOf(file, name)) {
          if (!('bytes' in message) || dayOfMessage(message.bytes) === day) yield message
        }
      }
    },
  }
}

async function* messagesOf(file: string, sourceName: string): AsyncGenerator<HistoricMessage | EmptyFile> {
  const { messages } = cutMessages(await readFile(file))
  if (messages.length === 0) yield { sourceName }
  for (const { index, bytes } of messages) yield { bytes, sourceName, sourceIndex: index }
}

async function daysWithin(file: string): Promise<readonly Day[]> {
  const { messages } = cutMessages(await readFile(file))
  return messages.length === 0 ? [undated] : [...new Set(messages.map(({ bytes }) => dayOfMessage(bytes)))]
}

const nameBelow = (root: string, file: string): string =>
  (relative(root, file) || file.slice(dirname(file).length + 1)).split(sep).join('/')

/** Summed over a day's files the order in which they are met does not matter. */
const fingerprintOf = (name: string, size: number): bigint =>
  createHash('sha256').update(`${name}\0${size}`).digest().readBigUInt64BE()

async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
    .sort()
    .map((name) => join(folder, name))
}

async function* walk(folder: string): AsyncGenerator<{ readonly file: string; readonly size: number }> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new UsageError(`cannot read the folder ${folder}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  })
  for (const { name } of entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .sort((a, b) => (a.name < b.name ? -1 : 1))) {
    yield* walk(join(folder, name))
  }
  for (const file of await filesIn(folder)) yield { file, size: (await stat(file)).size }
}
