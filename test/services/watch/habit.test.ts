import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  dayMs,
  dayNumber,
  dayOf,
  hourMs,
  hourStart,
  loadCalendar,
  weekdayOf,
} from '../../../services/watch/calendar.js'
import { expectedIn, expectedUntilSilent, learnHabit, silenceProbability } from '../../../services/watch/habit.js'
import { hoursFrom, simulateFeed } from './simulated-feed.js'

const calendar = loadCalendar()
const at = (text: string): number => Date.parse(`${text}+08:00`)
const threshold = 1e-6
const history = { from: at('2025-01-06T00:00'), to: at('2026-11-01T00:00') }

/** Habits by day, learnt as the watch learns them: from the whole days before. */
function habitsOf(times: readonly number[]) {
  const counts = hoursFrom(times)
  const known = new Map<number, ReturnType<typeof learnHabit>>()
  return (now: number) => {
    const day = dayOf(now)
    const habit =
      known.get(day) ??
      learnHabit(
        counts.filter(({ hour }) => hour < day * 24),
        { now, calendar },
      )
    known.set(day, habit)
    return habit
  }
}

/** Silences that would have been raised: judged at the end of every gap, when silence is least probable. */
function falseAlarms(times: readonly number[], from: number): number {
  const habitAt = habitsOf(times)
  let alarms = 0
  let last = from
  for (const time of times) {
    if (time < from) continue
    // shorter gaps than a minute are not looked at by anybody
    if (time - last > 10 * 60_000) {
      const habit = habitAt(time)
      if (silenceProbability(expectedIn(habit, calendar, [last, time]), habit.shape) < threshold) alarms++
    }
    last = time
  }
  return alarms
}

/** How long after a stop the silence is told, judged every minute; ms. */
function foundAfter(times: readonly number[], habitAt: ReturnType<typeof habitsOf>, stop: number): number {
  const last = times.findLast((time) => time <= stop)!
  const habit = habitAt(stop)
  for (let now = stop; now < stop + 3 * dayMs; now += 60_000) {
    if (silenceProbability(expectedIn(habit, calendar, [last, now]), habit.shape) < threshold) return now - stop
  }
  return Number.POSITIVE_INFINITY
}

describe('silence', () => {
  test.each([
    { perHour: 6, seed: 11 },
    { perHour: 60, seed: 12 },
    { perHour: 600, seed: 13 },
  ])('a feed of $perHour an hour raises no false alarm from December 2025 to October 2026', ({ perHour, seed }) => {
    const times = simulateFeed({ ...history, perHour, calendar, seed })
    expect(falseAlarms(times, at('2025-12-01T00:00'))).toBe(0)
  })

  test('a stop of a busy feed is found within 45 minutes by day, and by 09:30 when it came at night', () => {
    const times = simulateFeed({ ...history, to: at('2026-07-01T00:00'), perHour: 600, calendar, seed: 21 })
    const habitAt = habitsOf(times)
    for (let hour = 0; hour < 24; hour++) {
      const stop = at('2026-06-10T00:00') + hour * hourMs + 7 * 60_000
      const foundAt = stop + foundAfter(times, habitAt, stop)
      if (hour >= 8 && hour < 17) expect(foundAt - stop, `stop at ${hour}`).toBeLessThanOrEqual(45 * 60_000)
      else if (hour >= 20) expect(foundAt, `stop at ${hour}`).toBeLessThanOrEqual(at('2026-06-11T09:30'))
      else expect(foundAt, `stop at ${hour}`).toBeLessThanOrEqual(Math.max(stop + 3 * hourMs, at('2026-06-10T09:30')))
    }
  })

  test('a stop of a feed of 60 an hour is found within three hours by day', () => {
    const times = simulateFeed({ ...history, to: at('2026-07-01T00:00'), perHour: 60, calendar, seed: 22 })
    const habitAt = habitsOf(times)
    for (const hour of [8, 9, 10, 13, 14]) {
      expect(foundAfter(times, habitAt, at('2026-06-10T00:00') + hour * hourMs), `stop at ${hour}`).toBeLessThan(
        3 * hourMs,
      )
    }
  })

  test('nothing is expected of a night without a habit, nor of a feed of less than two weeks', () => {
    const daily = (days: number): number[] =>
      Array.from(
        { length: days * 60 },
        (_, n) => at('2026-03-02T09:00') + Math.floor(n / 60) * dayMs + (n % 60) * 60_000,
      )
    const now = at('2026-05-20T00:00')
    const habit = learnHabit(hoursFrom(daily(79)), { now, calendar })
    expect(expectedIn(habit, calendar, [now, now + 8 * hourMs])).toBe(0)
    expect(expectedIn(habit, calendar, [now, now + 10 * hourMs])).toBe(60)
    const young = learnHabit(hoursFrom(daily(12)), { now: at('2026-03-14T00:00'), calendar })
    expect(expectedIn(young, calendar, [now, now + dayMs])).toBe(0)
  })

  test('Spring Festival, National Day and worked weekend days teach no weekday anything', () => {
    const times = simulateFeed({ ...history, to: at('2026-03-03T00:00'), perHour: 60, calendar, seed: 5 })
    const now = at('2026-03-03T00:00')
    const without = hoursFrom(times).filter(({ hour }) => calendar.kindOf(Math.floor(hour / 24)) === 'ordinary')
    expect(learnHabit(hoursFrom(times), { now, calendar }).weekly).toEqual(
      learnHabit(without, { now, calendar }).weekly,
    )
    const habit = learnHabit(hoursFrom(times), { now: at('2026-02-14T00:00'), calendar })
    const noonOf = (day: string): number => expectedIn(habit, calendar, [at(`${day}T09:00`), at(`${day}T12:00`)])
    expect(noonOf('2026-02-17')).toBeLessThan(noonOf('2026-02-10') / 3)
  })

  test('the order in which hours were counted does not matter', () => {
    const counts = hoursFrom(
      simulateFeed({ from: at('2026-03-01T00:00'), to: at('2026-05-01T00:00'), perHour: 20, calendar, seed: 9 }),
    )
    const now = at('2026-05-01T10:00')
    const learnt = learnHabit(counts, { now, calendar })
    fc.assert(
      fc.property(fc.shuffledSubarray(counts, { minLength: counts.length }), (shuffled) => {
        expect(learnHabit(shuffled, { now, calendar })).toEqual(learnt)
      }),
      { numRuns: 10 },
    )
  })

  test('the threshold and what must have been expected for it are each other’s inverse', () => {
    for (const shape of [3, 10, 25]) {
      expect(silenceProbability(expectedUntilSilent(1e-6, shape), shape)).toBeCloseTo(1e-6, 12)
    }
  })
})

describe('calendar', () => {
  test('is the clock of +08:00 in every month', () => {
    for (let month = 1; month <= 12; month++) {
      const start = at(`2026-${String(month).padStart(2, '0')}-15T00:00`)
      expect(dayOf(start) - dayOf(start - 1)).toBe(1)
      expect(hourStart(dayOf(start) * 24)).toBe(start)
    }
  })

  test('knows Spring Festival 2026 and its worked weekend days', () => {
    const kindOf = (day: string) => calendar.kindOf(dayNumber(day))
    expect(['2026-02-14', '2026-02-15', '2026-02-23', '2026-02-24', '2026-02-28'].map(kindOf)).toEqual([
      'working-weekend',
      'holiday',
      'holiday',
      'ordinary',
      'working-weekend',
    ])
    expect(weekdayOf(dayNumber('2026-02-28'))).toBe(6)
  })
})
