import { dayOf, hourMs, hourStart, weekdayOf } from './calendar.js'

/** A time in which nothing is expected: once, or on weekdays every week. Clock of +08:00. */
export interface MaintenanceWindow {
  /** Names of feeds; with `hospitals` left out too, every feed. */
  readonly feeds?: readonly string[]
  readonly hospitals?: readonly string[]
  /** `2026-05-01T02:00` once, `02:00` every week. */
  readonly from: string
  readonly to: string
  /** Weekdays 1 Monday to 7 Sunday on which a weekly window begins; every day where left out. */
  readonly weekdays?: readonly number[]
}

/** From, to (excluded), ms since 1970-01-01T00:00:00Z. */
export type Interval = readonly [from: number, to: number]

const clock = /^(\d{2}):(\d{2})$/

/** Whether the form is right: both ends a date with time, or both a time of day. */
export function windowFault(window: MaintenanceWindow): string | undefined {
  const { from, to, weekdays } = window
  if (clock.test(from) && clock.test(to)) return from === to ? 'a weekly window needs two different times' : undefined
  if (clock.test(from) || clock.test(to)) return 'give both ends as times of day (02:00) or both as dates with time'
  if (weekdays !== undefined) return 'weekdays belong to windows given as times of day'
  const [start, end] = [instant(from), instant(to)]
  if (Number.isNaN(start) || Number.isNaN(end)) return 'write 2026-05-01T02:00 (clock of +08:00) or 02:00'
  return end <= start ? 'it ends before it begins' : undefined
}

/** The windows of one feed, cut to `within`, joined where they overlap, in order. */
export function maintenanceOf(
  windows: readonly MaintenanceWindow[],
  feed: { readonly feed: string; readonly hospital: string },
  within: Interval,
): readonly Interval[] {
  const found = windows
    .filter((window) => concerns(window, feed))
    .flatMap((window) => occurrences(window, within))
    .map(([from, to]): Interval => [Math.max(from, within[0]), Math.min(to, within[1])])
    .filter(([from, to]) => from < to)
    .sort((a, b) => a[0] - b[0])
  const joined: [number, number][] = []
  for (const [from, to] of found) {
    const last = joined.at(-1)
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to)
    else joined.push([from, to])
  }
  return joined
}

/** How much of `span` the intervals (joined, as `maintenanceOf` gives them) cover, ms. */
export function covered(intervals: readonly Interval[], [from, to]: Interval): number {
  return intervals.reduce((sum, [start, end]) => sum + Math.max(0, Math.min(end, to) - Math.max(start, from)), 0)
}

function concerns({ feeds, hospitals }: MaintenanceWindow, feed: { feed: string; hospital: string }): boolean {
  if (feeds === undefined && hospitals === undefined) return true
  return feeds?.includes(feed.feed) === true || hospitals?.includes(feed.hospital) === true
}

const instant = (text: string): number =>
  /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$/.test(text) ? Date.parse(`${text}:00+08:00`) : Number.NaN

const minutesOf = (text: string): number => {
  const [, hours, minutes] = clock.exec(text) ?? []
  return Number(hours) * 60 + Number(minutes)
}

function occurrences(window: MaintenanceWindow, [from, to]: Interval): readonly Interval[] {
  if (!clock.test(window.from)) return [[instant(window.from), instant(window.to)]]
  const start = minutesOf(window.from) * 60_000
  const end = minutesOf(window.to) * 60_000
  const lengthMs = end > start ? end - start : end - start + 24 * hourMs
  const found: Interval[] = []
  // one that began the day before may reach over midnight
  for (let day = dayOf(from) - 1; day <= dayOf(to); day++) {
    if (window.weekdays !== undefined && !window.weekdays.includes(weekdayOf(day))) continue
    const at = hourStart(day * 24) + start
    found.push([at, at + lengthMs])
  }
  return found
}
