import { dayOf, hourOf, hourStart, weekdayOf, type Calendar } from '../../../services/watch/calendar.js'
import type { HourCount } from '../../../services/watch/habit.js'

/** Uniform numbers in [0, 1), the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const byHour = [
  0.02, 0.01, 0.01, 0.01, 0.02, 0.05, 0.2, 0.6, 1, 1.3, 1.3, 1, 0.5, 0.4, 0.8, 1, 0.9, 0.6, 0.3, 0.2, 0.15, 0.1, 0.06,
  0.03,
]

/**
 * Receipt times, ms, ascending, of a laboratory that reports `perHour` results at nine on a weekday: nights nearly empty,
 * weekends at a third, Spring Festival and other holidays at a tenth, worked weekend days as weekdays, every day busier or
 * slower than the habit by a fifth, and results in bursts of one to four.
 */
export function simulateFeed(options: {
  readonly from: number
  readonly to: number
  readonly perHour: number
  readonly calendar: Calendar
  readonly seed: number
}): number[] {
  const { from, to, perHour, calendar, seed } = options
  const random = randomOf(seed)
  const times: number[] = []
  let slow = 1
  let lastDay = Number.NaN
  for (let at = from; at < to;) {
    const day = dayOf(at)
    if (day !== lastDay) slow = Math.max(0.4, 1 + 0.2 * (random() + random() + random() + random() - 2) * 1.7)
    lastDay = day
    const hour = hourOf(at)
    const kind = calendar.kindOf(day)
    const share = kind === 'holiday' ? 0.1 : kind === 'ordinary' && weekdayOf(day) > 5 ? 0.33 : 1
    const bursts = (perHour * byHour[hour - day * 24]! * share * slow) / 2.5
    const end = Math.min(to, hourStart(hour + 1))
    for (;;) {
      at += (-Math.log(1 - random()) / bursts) * 3_600_000
      if (at >= end) break
      const size = 1 + Math.floor(random() * 4)
      for (let n = 0; n < size; n++) times.push(Math.min(to - 1, Math.floor(at + n * 1500)))
    }
    at = end
  }
  return times.sort((a, b) => a - b)
}

/** What the repository would have counted. */
export function hoursFrom(times: readonly number[]): HourCount[] {
  const hours = new Map<number, { messages: number; minutes: Set<number> }>()
  for (const time of times) {
    const hour = hourOf(time)
    const count = hours.get(hour) ?? { messages: 0, minutes: new Set() }
    count.messages++
    count.minutes.add(Math.floor(time / 60_000))
    hours.set(hour, count)
  }
  return [...hours].map(([hour, { messages, minutes }]) => ({ hour, messages, activeMinutes: minutes.size }))
}
