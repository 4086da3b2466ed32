import { foldText } from './fold.js'

export interface BirthDateReading {
  /** YYYY, YYYY-MM or YYYY-MM-DD; null where unreadable or a filler. */
  readonly iso: string | null
  readonly problem: 'unreadable' | 'placeholder' | null
}

const unreadable: BirthDateReading = { iso: null, problem: 'unreadable' }
const fillers = new Set([
  '1900-01-01',
  '1800-01-01',
  '0001-01-01',
  '1753-01-01',
  '1899-12-30',
  '1899-12-31',
  '1111-11-11',
])

const compact = /^(\d{4})(?:(\d{2})(?:(\d{2})(.*))?)?$/
const separated = /^(\d{4})([-/.])(\d{1,2})(?:\2(\d{1,2})(.*))?$/
const chinese = /^(\d{4})年(?:(\d{1,2})月(?:(\d{1,2})[日号]?(.*))?)?$/
const timePart = /^(?:[T ]?\s*(\d{1,2}):?(\d{2})?(?::?(\d{2})(?:\.\d+)?)?)\s*(Z|[+-]\d{2}:?\d{2})?$/

/**
 * A birth date is a date, never a time: YYYYMMDD, YYYY-MM-DD, YYYY/M/D, YYYY年M月D日, YYYYMM, YYYY, each with or without
 * a time part, which is dropped. A time in another zone than +08:00 could mean another day here and is refused.
 * Systems' fillers (1900-01-01 and its like) come back as no date.
 */
export function readBirthDate(text: string): BirthDateReading {
  const folded = foldText(text)
  if (/^0*$/.test(folded.replace(/[-/.: ]/g, ''))) return { iso: null, problem: 'placeholder' }
  const parts = split(folded)
  if (parts === null) return unreadable
  const { year, month, day, rest } = parts
  if (!zoneKeepsDay(rest)) return unreadable
  const iso = [year, month?.padStart(2, '0'), day?.padStart(2, '0')].filter((part) => part !== undefined).join('-')
  if (fillers.has(iso)) return { iso: null, problem: 'placeholder' }
  return isCalendarDate(Number(year), month, day) ? { iso, problem: null } : unreadable
}

/** Whether year, month and day exist in the Gregorian calendar; years 1850 to 2100. */
export function isCalendarDate(year: number, month?: string, day?: string): boolean {
  if (year < 1850 || year > 2100) return false
  if (month === undefined) return true
  const monthNumber = Number(month)
  if (monthNumber < 1 || monthNumber > 12) return false
  if (day === undefined) return true
  return Number(day) >= 1 && Number(day) <= daysIn(year, monthNumber)
}

interface DateParts {
  readonly year: string
  readonly month: string | undefined
  readonly day: string | undefined
  readonly rest: string
}

function split(folded: string): DateParts | null {
  const plain = compact.exec(folded) ?? chinese.exec(folded)
  if (plain !== null) return { year: plain[1] ?? '', month: plain[2], day: plain[3], rest: plain[4] ?? '' }
  const dashed = separated.exec(folded)
  if (dashed === null) return null
  return { year: dashed[1] ?? '', month: dashed[3], day: dashed[4], rest: dashed[5] ?? '' }
}

function zoneKeepsDay(rest: string): boolean {
  if (rest.trim() === '') return true
  const match = timePart.exec(rest)
  if (match === null) return false
  const [, hour = '0', minute = '0', second = '0', zone] = match
  if (Number(hour) > 24 || Number(minute) > 59 || Number(second) > 60) return false
  const midnight = [hour, minute, second].every((part) => Number(part) === 0)
  return zone === undefined || midnight || /^\+08:?00$/.test(zone)
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}
