import { dayOf, hourMs, hourOf, hourStart, weekdayOf, type Calendar } from './calendar.js'
import { covered, type Interval } from './maintenance.js'

/** What a feed sent in one hour, live lane only. */
export interface HourCount {
  /** Hours since 1970-01-01T00:00+08:00. */
  readonly hour: number
  /** Minutes of it, 0 to 60, in which at least one message was received. */
  readonly activeMinutes: number
  readonly messages: number
}

/** What is usual in one hour of the week. */
export interface Slot {
  /** Median and robust standard deviation (1.4826 × median absolute deviation) of active minutes. */
  readonly median: number
  readonly spread: number
  /** Median of messages. */
  readonly messages: number
  /** Days it was learnt from. */
  readonly days: number
}

/** A feed's habit. Slots are indexed [weekday 1..7][hour 0..23]; index 0 is unused. */
export interface Habit {
  /** The feed has at least two weeks of history; without them nothing is expected of it. */
  readonly established: boolean
  readonly weekly: readonly (readonly Slot[])[]
  /** By hour, over the public holidays seen; lower quartile instead of the median, for holidays differ much. */
  readonly holiday: readonly Slot[]
  /** Shape of the gamma distribution that one slow or busy stretch multiplies all rates by. */
  readonly shape: number
}

export const weeksLearnt = 8
const weeksBack = 14
const holidayDaysBack = 400
const historyDaysMin = 14
const slotDaysMin = 2
/** A holiday that was never seen is held to this share of the lower weekend habit. */
const unseenHolidayShare = 0.25
const shapeMin = 3
const shapeMax = 25

/** Hours from here on back are of no use to `learnHabit`: hours since 1970-01-01T00:00+08:00. */
export const firstHourLearnt = (now: number): number => hourOf(now) - holidayDaysBack * 24

/** The hours that `learnHabit` looks at: all from `fromHour` on, and before that those of the holidays. */
export function hoursLearnt(
  now: number,
  calendar: Calendar,
): { readonly fromHour: number; readonly daysFromHour: number; readonly days: readonly number[] } {
  const today = dayOf(now)
  const days: number[] = []
  for (let day = today - holidayDaysBack; day < today; day++) if (calendar.kindOf(day) === 'holiday') days.push(day)
  return { fromHour: (today - weeksBack * 7) * 24, daysFromHour: firstHourLearnt(now), days }
}

/**
 * Learns from whole days before the day of `now`: of each weekday the last eight that were ordinary days. Days before
 * the feed's first message, hours under maintenance, public holidays and worked weekend days teach no weekday anything.
 * Pure; the order of `counts` does not matter, an hour that is not in it was empty.
 */
export function learnHabit(
  counts: readonly HourCount[],
  options: { readonly now: number; readonly calendar: Calendar; readonly maintenance?: readonly Interval[] },
): Habit {
  const { now, calendar, maintenance = [] } = options
  const today = dayOf(now)
  const byHour = new Map(counts.map((count) => [count.hour, count]))
  const firstHour = counts.reduce((first, { hour }) => Math.min(first, hour), Number.POSITIVE_INFINITY)
  // the first day is not whole
  const firstDay = Number.isFinite(firstHour) ? Math.floor(firstHour / 24) + 1 : today
  const samples = (days: readonly number[], hourOfDay: number): readonly HourCount[] =>
    days
      .map((day) => day * 24 + hourOfDay)
      .filter((hour) => covered(maintenance, [hourStart(hour), hourStart(hour + 1)]) === 0)
      .map((hour) => byHour.get(hour) ?? { hour, activeMinutes: 0, messages: 0 })
  const daysWhere = (backDays: number, wanted: (day: number) => boolean): number[] => {
    const days: number[] = []
    for (let day = today - 1; day >= Math.max(firstDay, today - backDays); day--) if (wanted(day)) days.push(day)
    return days
  }
  const weekly: (readonly Slot[])[] = [[]]
  for (let weekday = 1; weekday <= 7; weekday++) {
    const days = daysWhere(
      weeksBack * 7,
      (day) => weekdayOf(day) === weekday && calendar.kindOf(day) === 'ordinary',
    ).slice(0, weeksLearnt)
    weekly.push(hoursOfDay.map((hour) => slotOf(samples(days, hour), 0.5)))
  }
  const holidays = daysWhere(holidayDaysBack, (day) => calendar.kindOf(day) === 'holiday')
  return {
    established: today - firstDay >= historyDaysMin,
    weekly,
    holiday: hoursOfDay.map((hour) => slotOf(samples(holidays, hour), 0.25)),
    shape: shapeOf(weekly.flat()),
  }
}

const hoursOfDay = Array.from({ length: 24 }, (_, hour) => hour)

function slotOf(samples: readonly HourCount[], share: number): Slot {
  const active = samples.map(({ activeMinutes }) => activeMinutes)
  const median = quantile(active, share)
  return {
    median,
    spread:
      1.4826 *
      quantile(
        active.map((value) => Math.abs(value - median)),
        0.5,
      ),
    messages: quantile(
      samples.map(({ messages }) => messages),
      share,
    ),
    days: samples.length,
  }
}

/** The value below which `share` of the values lie, between two of them by proportion; 0 of none. */
function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return 0
  const sorted = [...values].sort((a, b) => a - b)
  const at = share * (sorted.length - 1)
  const below = sorted[Math.floor(at)]!
  return below + (sorted[Math.ceil(at)]! - below) * (at - Math.floor(at))
}

/** By moments: variance = mean + mean²/shape. Of the hours with traffic the median says how much a day differs. */
function shapeOf(slots: readonly Slot[]): number {
  const excess = slots
    .filter(({ median, days }) => median >= 5 && days >= slotDaysMin)
    .map(({ median, spread }) => (spread ** 2 - median) / median ** 2)
  if (excess.length === 0) return shapeMin
  const typical = quantile(excess, 0.5)
  return typical <= 0 ? shapeMax : Math.min(shapeMax, Math.max(shapeMin, 1 / typical))
}

/** Active minutes to expect in an hour; the lowest of what may apply where days are out of the ordinary. */
export function expectedInHour(habit: Habit, calendar: Calendar, hour: number): number {
  const day = Math.floor(hour / 24)
  const hourOfDay = hour - day * 24
  const weekday = weekdayOf(day)
  const usual = (of: number): number => {
    const slot = habit.weekly[of]![hourOfDay]!
    return slot.days < slotDaysMin ? 0 : slot.median
  }
  switch (calendar.kindOf(day)) {
    case 'ordinary':
      return usual(weekday)
    case 'working-weekend':
      // some departments work it as a weekday, some do not
      return Math.min(usual(weekday), usual(3))
    case 'holiday': {
      const seen = habit.holiday[hourOfDay]!
      const weekend = Math.min(usual(6), usual(7))
      return seen.days < 3 ? weekend * unseenHolidayShare : Math.min(seen.median, weekend)
    }
  }
}

/** Active minutes to expect in a span of time, maintenance left out. */
export function expectedIn(
  habit: Habit,
  calendar: Calendar,
  [from, to]: Interval,
  maintenance: readonly Interval[] = [],
): number {
  if (!habit.established) return 0
  let sum = 0
  for (let hour = hourOf(from); hourStart(hour) < to; hour++) {
    const span: Interval = [Math.max(from, hourStart(hour)), Math.min(to, hourStart(hour + 1))]
    const openMs = span[1] - span[0] - covered(maintenance, span)
    if (openMs > 0) sum += expectedInHour(habit, calendar, hour) * (openMs / hourMs)
  }
  return sum
}

/**
 * Probability that a feed with this habit is silent where `expected` active minutes are usual. Active minutes are taken
 * as Poisson with a rate that a gamma variable of mean 1 and shape r multiplies as a whole (a slow day is slow in all its
 * hours): P = (1 + expected / r)^-r.
 */
export const silenceProbability = (expected: number, shape: number): number => (1 + expected / shape) ** -shape

/** Active minutes that must have been expected before silence is as improbable as `probability`. */
export const expectedUntilSilent = (probability: number, shape: number): number =>
  shape * (probability ** (-1 / shape) - 1)
