import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { UsageError } from '../../core/errors.js'

export const hourMs = 3_600_000
export const dayMs = 24 * hourMs
/** The province's clock is UTC+8 all year: no day has 23 or 25 hours. */
const zoneMs = 8 * hourMs

const date = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$' })
const yearSchema = Type.Object({
  source: Type.String({ minLength: 1 }),
  holidays: Type.Array(Type.Object({ name: Type.String(), from: date, to: date })),
  workingWeekends: Type.Array(date),
})
const fileSchema = Type.Object({
  source: Type.String({ minLength: 1 }),
  years: Type.Record(Type.String({ pattern: '^\\d{4}$' }), yearSchema),
})
export type HolidayFile = Static<typeof fileSchema>

/** An ordinary day, a public holiday (放假), or a weekend day that is worked in exchange for one (调休). */
export type DayKind = 'ordinary' | 'holiday' | 'working-weekend'

/** Which days are out of the ordinary. Days are counted from 1970-01-01 by the clock of +08:00. */
export interface Calendar {
  /** 'ordinary' also for every day of a year the file does not know: ask `knows`. */
  kindOf(day: number): DayKind
  knows(year: number): boolean
}

/** Day of a moment, from 1970-01-01 by the clock of +08:00. */
export const dayOf = (ms: number): number => Math.floor((ms + zoneMs) / dayMs)

/** Hours since 1970-01-01T00:00+08:00 of a moment. */
export const hourOf = (ms: number): number => Math.floor((ms + zoneMs) / hourMs)

/** Start of an hour, ms since 1970-01-01T00:00:00Z. */
export const hourStart = (hour: number): number => hour * hourMs - zoneMs

/** ISO 8601 weekday of a day: 1 Monday to 7 Sunday. 1970-01-01 was a Thursday. */
export const weekdayOf = (day: number): number => ((((day + 3) % 7) + 7) % 7) + 1

/** Year of a moment by the clock of +08:00. */
export const yearOf = (ms: number): number => new Date(ms + zoneMs).getUTCFullYear()

/** `YYYY-MM-DD` to days since 1970-01-01; NaN where it is no date. */
export const dayNumber = (text: string): number => Date.parse(`${text}T00:00:00Z`) / dayMs

/** The calendar of a holiday file's content. @throws UsageError naming what is wrong in it */
export function calendarOf(content: unknown): Calendar {
  if (!Value.Check(fileSchema, content)) {
    const [first] = Value.Errors(fileSchema, content)
    throw new UsageError(`the holiday file is wrong at ${first?.path ?? '/'}: ${first?.message ?? 'not readable'}`)
  }
  const kinds = new Map<number, DayKind>()
  const years = new Set(Object.keys(content.years).map(Number))
  const checked = (text: string): number => {
    const day = dayNumber(text)
    if (Number.isNaN(day)) throw new UsageError(`the holiday file names a day that does not exist: ${text}`)
    return day
  }
  for (const { holidays, workingWeekends } of Object.values(content.years)) {
    for (const { name, from, to } of holidays) {
      const last = checked(to)
      if (last < checked(from)) throw new UsageError(`the holiday file lets ${name} end (${to}) before it begins`)
      for (let day = checked(from); day <= last; day++) kinds.set(day, 'holiday')
    }
    for (const text of workingWeekends) {
      if (weekdayOf(checked(text)) < 6) {
        throw new UsageError(`the holiday file lists ${text} as a working weekend day; it is no Saturday or Sunday`)
      }
      kinds.set(checked(text), 'working-weekend')
    }
  }
  return { kindOf: (day) => kinds.get(day) ?? 'ordinary', knows: (year) => years.has(year) }
}

/**
 * Reads the holiday file that `watch.holidays` names; the one that comes with the product where none is named.
 * @throws UsageError naming the setting and the file
 */
export function loadCalendar(file?: string): Calendar {
  const path = file ?? fileURLToPath(new URL('./data/holidays.json', import.meta.url))
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(`watch.holidays: cannot read ${path}: ${code}`, { cause: error })
  }
  try {
    return calendarOf(JSON.parse(text))
  } catch (error) {
    throw new UsageError(`watch.holidays: ${path}: ${(error as Error).message}`, { cause: error })
  }
}

/** Next year's notice is published in November: from the 1st of December on it has to be in the file. */
const noticeMs = 31 * dayMs

/** Years the calendar has to know now, or within 31 days, and does not. */
export function missingYears(calendar: Calendar, now: number): readonly number[] {
  return [...new Set([yearOf(now), yearOf(now + noticeMs)])].filter((year) => !calendar.knows(year))
}
