import { describe, expect, test } from 'vitest'
import {
  fullPace,
  nextPace,
  readWindow,
  Throttle,
  untilOpen,
  type ThrottleOptions,
} from '../../../services/history/throttle.js'

const at = (text: string): number => Date.parse(`${text}+08:00`)
const never = new AbortController().signal

/** A throttle on a clock that only its own waiting moves. */
function throttled(options: Omit<ThrottleOptions, 'now' | 'wait'>, start = at('2026-06-10T12:00')) {
  const clock = { now: start }
  const throttle = new Throttle({
    ...options,
    now: () => clock.now,
    wait: (ms) => {
      clock.now += ms
      return Promise.resolve()
    },
  })
  return { clock, throttle, elapsed: () => clock.now - start }
}

async function pass(throttle: Throttle, messages: number): Promise<void> {
  for (let n = 0; n < messages; n++) await throttle.take(never)
}

describe('the rate of a backfill', () => {
  test('is kept to', async () => {
    const { throttle, elapsed } = throttled({ perSecond: 50 })
    await pass(throttle, 500)
    expect(elapsed()).toBeGreaterThanOrEqual(9_700)
    expect(elapsed()).toBeLessThanOrEqual(10_100)
  })

  test('is not made up for after a long stop', async () => {
    const { throttle, clock } = throttled({ perSecond: 50 })
    await pass(throttle, 10)
    clock.now += 3_600_000
    const since = clock.now
    await pass(throttle, 500)
    expect(clock.now - since).toBeGreaterThanOrEqual(9_700)
  })

  test('falls with its share', async () => {
    const { throttle, elapsed } = throttled({ perSecond: 100, share: () => 1 / 4 })
    await pass(throttle, 100)
    expect(elapsed()).toBeGreaterThanOrEqual(3_700)
  })

  test('nothing passes outside the hours, while something holds, or while live data waits', async () => {
    let reason: string | undefined = 'paused'
    let share = 1
    const told: (string | undefined)[] = []
    const { throttle, clock } = throttled({
      perSecond: 1000,
      window: readWindow('20:00-06:00'),
      share: () => share,
      hold: () => (clock.now > at('2026-06-10T21:00') ? undefined : reason),
      held: (why) => told.push(why),
    })
    await throttle.take(never)
    expect(clock.now).toBeGreaterThan(at('2026-06-10T21:00'))
    expect(told).toEqual(['outside its hours', 'paused', undefined])
    reason = undefined
    share = 0
    const stop = new AbortController()
    const waiting = new Throttle({ share: () => share, now: () => 0, wait: () => (stop.abort(), Promise.resolve()) })
    await waiting.take(stop.signal)
    expect(stop.signal.aborted).toBe(true)
  })
})

test('hours run over midnight by the clock of +08:00', () => {
  const night = readWindow('20:00-06:00')
  expect(untilOpen(night, at('2026-06-10T19:59'))).toBe(60_000)
  expect(untilOpen(night, at('2026-06-10T20:00'))).toBe(0)
  expect(untilOpen(night, at('2026-06-11T05:59'))).toBe(0)
  expect(untilOpen(night, at('2026-06-11T06:00'))).toBe(14 * 3_600_000)
  const noon = readWindow('12:00-13:30')
  expect(untilOpen(noon, at('2026-06-10T13:29'))).toBe(0)
  expect(untilOpen(noon, at('2026-06-10T13:30'))).toBe(22.5 * 3_600_000)
  for (const text of ['20-06', '24:00-06:00', '20:00-20:00', '20:00'])
    expect(() => readWindow(text)).toThrow(/20:00-06:00/)
})

describe('live first', () => {
  const after = (lags: readonly (number | null)[]): number =>
    lags.reduce((pace, lag) => nextPace(pace, lag, 2000), fullPace).share

  test('history stops while the live lane is behind or cannot be seen, and comes back by and by', () => {
    expect(after([100])).toBe(1)
    expect(after([2001])).toBe(0)
    expect(after([null])).toBe(0)
    expect(after([2001, 1500]), 'still behind').toBe(0)
    expect(after([2001, 1500, 400])).toBeLessThan(1 / 4)
    expect(after([2001, ...Array.from({ length: 8 }, () => 100)])).toBe(1)
  })

  test('history gives way as the live lag grows, and never starves below what is allowed', () => {
    expect(after([600])).toBe(1 / 2)
    expect(after([600, 900])).toBe(1 / 4)
    expect(after([600, 900, 800])).toBe(1 / 4)
    expect(after([600, 700, 800, 900, 1000, 1100, 1200])).toBe(1 / 16)
  })
})
