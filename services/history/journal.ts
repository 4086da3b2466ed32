import { mkdir, open, readFile, rename, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../../core/errors.js'
import type { Settlement } from '../../repository/settlement.js'
import type { Day } from './day.js'

/** How far a day has come: being sent, all of it handed on, or every message of it with its receipts. */
export type DayState = 'sending' | 'sent' | 'settled'

/** Last number of the feed in an epoch. */
export interface Mark {
  readonly epoch: number
  readonly seq: number
}

/** Numbers of a day, both ends included. */
export interface NumberSpan {
  readonly epoch: number
  readonly from: number
  readonly to: number
}

/** What is known of a day; counts and numbers only, nothing of a message. */
export interface DayRecord {
  readonly day: Day
  readonly state: DayState
  /** Of the files the day was sent from. */
  readonly fingerprint: string
  /** The feed's last numbers before the first message of the day: what follows them is the day's. */
  readonly after: readonly Mark[]
  /** Messages found in the day's files. */
  readonly read: number
  /** Files without a message, and messages that the spool did not take. */
  readonly refused: number
  readonly spans: readonly NumberSpan[]
  /** What had become of them when the state was written; null before. */
  readonly settlement: Settlement | null
}

/** What has been done of a backfill, by day. What `put` resolved for survives kill -9 and a power cut. */
export interface Journal {
  readonly days: ReadonlyMap<Day, DayRecord>
  put(record: DayRecord): Promise<void>
  close(): Promise<void>
}

const fileName = 'days.jsonl'

/** The days of a journal, without opening it for writing. @throws UsageError where it is not readable */
export async function readJournal(folder: string): Promise<ReadonlyMap<Day, DayRecord>> {
  const file = join(folder, fileName)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    throw new UsageError(`cannot read ${file}: ${(error as Error).message}`, { cause: error })
  }
  const days = new Map<Day, DayRecord>()
  const lines = text.split('\n')
  // What stands behind the last line end was being written when the process died: it was never promised.
  lines.pop()
  for (const [index, line] of lines.entries()) {
    try {
      const record = JSON.parse(line) as DayRecord
      days.set(record.day, record)
    } catch (error) {
      throw new UsageError(
        `${file}:${index + 1} is not readable: move the folder away to send everything again (nothing is stored twice)`,
        { cause: error },
      )
    }
  }
  return days
}

/** Opens the journal of one feed; the caller sees to it that nobody else has. Writes what it knows anew, one line a day. */
export async function openJournal(folder: string): Promise<Journal> {
  const days = new Map(await readJournal(folder))
  await mkdir(folder, { recursive: true })
  const file = join(folder, fileName)
  const fresh = await open(`${file}.new`, 'w')
  try {
    await fresh.writeFile([...days.values()].map(lineOf).join(''))
    await fresh.sync()
  } finally {
    await fresh.close()
  }
  await rename(`${file}.new`, file)
  const handle: FileHandle = await open(file, 'a')
  return {
    days,
    async put(record) {
      await handle.appendFile(lineOf(record))
      await handle.sync()
      days.set(record.day, record)
    },
    close: () => handle.close(),
  }
}

const lineOf = (record: DayRecord): string => `${JSON.stringify(record)}\n`
