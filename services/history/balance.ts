import { readFile } from 'node:fs/promises'
import { UsageError } from '../../core/errors.js'
import { inOrder, isDay, type Day } from './day.js'
import type { DayRecord, DayState } from './journal.js'

/** What became of one day of history, beside what the hospital says it had. */
export interface DayBalance {
  readonly day: Day
  /** `not sent`: the hospital counts messages of this day, and none was sent. */
  readonly state: DayState | 'not sent'
  /** The hospital's count; null where it gave none. */
  readonly hospital: number | null
  readonly read: number
  readonly refused: number
  readonly sent: number
  readonly stored: number
  readonly superseded: number
  readonly deadLettered: number
  readonly ignored: number
  readonly inFlight: number
  /** What is missing (above 0) or too many (below 0) of the hospital's count, or of what was read where it gave none. */
  readonly difference: number
  readonly balanced: boolean
}

/**
 * Days of a backfill, oldest first. A day is balanced when every message of it has its receipts and there are as many of
 * them as the hospital counts. Where the hospital counted at all, a day it does not name is one it counts 0 of. Pure.
 */
export function balanceOf(days: ReadonlyMap<Day, DayRecord>, counts?: ReadonlyMap<Day, number>): readonly DayBalance[] {
  const names = new Set([...days.keys(), ...(counts?.keys() ?? [])])
  return inOrder(names, 'oldest').map((day) => balanceOfDay(day, days.get(day), counts?.get(day) ?? (counts && 0)))
}

function balanceOfDay(day: Day, record: DayRecord | undefined, counted: number | undefined): DayBalance {
  const sent = (record?.spans ?? []).reduce((sum, { from, to }) => sum + to - from + 1, 0)
  const { stored = 0, superseded = 0, deadLettered = 0, ignored = 0 } = record?.settlement ?? {}
  const accounted = stored + superseded + deadLettered + ignored
  const inFlight = sent - accounted
  const read = record?.read ?? 0
  const difference = (counted ?? read) - accounted
  return {
    day,
    state: record?.state ?? 'not sent',
    hospital: counted ?? null,
    read,
    refused: record?.refused ?? 0,
    sent,
    stored,
    superseded,
    deadLettered,
    ignored,
    inFlight,
    difference,
    balanced: difference === 0 && inFlight === 0 && (record?.refused ?? 0) === 0 && record?.state !== 'sending',
  }
}

/**
 * The hospital's count of each day: lines `2023-05-01,1234`, a heading allowed. Semicolons and tabs separate too, a day
 * may be `20230501` or `2023/5/1`, further columns are passed over.
 * @throws UsageError naming the line
 */
export function readCounts(text: string, name = 'the file of counts'): ReadonlyMap<Day, number> {
  const counts = new Map<Day, number>()
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    if (line.trim() === '') continue
    const [date = '', count = ''] = line.split(/[,;\t]/).map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
    const day = dayOfCell(date)
    if (day === undefined && index === 0) continue
    if (day === undefined || !/^\d+$/.test(count)) {
      throw new UsageError(`${name}:${index + 1}: a line is a day and its count, as 2023-05-01,1234`)
    }
    if (counts.has(day)) throw new UsageError(`${name}:${index + 1}: ${day} stands there twice`)
    counts.set(day, Number(count))
  }
  return counts
}

function dayOfCell(text: string): Day | undefined {
  const match = /^(\d{4})(?:[-/.](\d{1,2})[-/.](\d{1,2})|(\d{2})(\d{2}))$/.exec(text)
  if (match === null) return undefined
  const [, year, ...parts] = match
  const [month = '', day = ''] = parts.filter((part) => part !== undefined)
  const found = `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}`
  return isDay(found) ? found : undefined
}

/** @throws UsageError */
export async function readCountsFile(file: string): Promise<ReadonlyMap<Day, number>> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  }
  return readCounts(text, file)
}
