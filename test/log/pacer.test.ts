import { expect, test } from 'vitest'
import { Pacer } from '../../log/pacer.js'

function paced(intervalMs: number, burst: number): { pacer: Pacer; clock: { now: number } } {
  const clock = { now: 0 }
  return { pacer: new Pacer({ intervalMs, burst, now: () => clock.now }), clock }
}

test('a few go at once, those that keep coming are spread over intervals', () => {
  const { pacer, clock } = paced(100, 3)
  const waits = Array.from({ length: 6 }, () => {
    const waitMs = pacer.take()
    clock.now += waitMs
    return waitMs
  })
  expect(waits).toEqual([0, 0, 0, 100, 100, 100])
})

test('those that come seldom never wait', () => {
  const { pacer, clock } = paced(100, 1)
  for (let count = 0; count < 20; count++) {
    expect(pacer.take()).toBe(0)
    clock.now += 100
  }
})

test('a long silence gives no more than the burst', () => {
  const { pacer, clock } = paced(100, 2)
  clock.now += 1_000_000
  expect([pacer.take(), pacer.take(), pacer.take()]).toEqual([0, 0, 100])
})
