import { readHeader } from '../../connectors/hl7v2/header.js'
import { readTime } from '../../connectors/times.js'
import { RefusedError, UsageError } from '../../core/errors.js'

/** `YYYY-MM-DD` by the clock of +08:00, or `undated`. */
export type Day = string
export const undated: Day = 'undated'

const zoneMinutes = 480

/** The first date in a path (`2024-03-05` or `20240305`); `undated` where there is none. */
export function dayOfPath(path: string): Day {
  for (const [, year, month, day] of path.matchAll(/(?<!\d)((?:19|20)\d{2})-?(\d{2})-?(\d{2})/g)) {
    const text = `${year}-${month}-${day}`
    if (isDay(text)) return text
  }
  return undated
}

/** MSH-7 (TS) of one message; without a zone it is +08:00. `undated` where it cannot be read. */
export function dayOfMessage(bytes: Buffer): Day {
  let time: number | null
  try {
    time = readTime(readHeader(bytes).dateTime, zoneMinutes)
  } catch (error) {
    if (error instanceof RefusedError) return undated
    throw error
  }
  return time === null ? undated : new Date(time + zoneMinutes * 60_000).toISOString().slice(0, 10)
}

/** Whether a text is a day that exists. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const time = Date.parse(`${text}T00:00:00Z`)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}

/** Days from `first` to `last`, both included. */
export interface DaySpan {
  readonly first: Day
  readonly last: Day
}

/** `2019-01-01..2023-12-31`, or one day. @throws UsageError */
export function readDaySpan(text: string): DaySpan {
  const [first = '', last = first] = text.split('..')
  if (!isDay(first) || !isDay(last) || last < first || text.split('..').length > 2) {
    throw new UsageError(`days are YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD, not ${text}`)
  }
  return { first, last }
}

export const isWithin = (day: Day, span: DaySpan | undefined): boolean =>
  span === undefined || (day >= span.first && day <= span.last)

/** Newest first (what is asked for most) or oldest first; what has no date comes last either way. */
export function inOrder(days: Iterable<Day>, order: 'newest' | 'oldest'): readonly Day[] {
  const sign = order === 'newest' ? -1 : 1
  const rank = (day: Day): number => (day === undated ? 1 : 0)
  return [...days].sort((a, b) => rank(a) - rank(b) || (a < b ? -sign : a > b ? sign : 0))
}
