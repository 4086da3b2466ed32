import { describe, expect, test } from 'vitest'
import { createLogger, Metrics } from '../../core/telemetry.js'
import { pause } from '../../core/pause.js'
import type { Batch, EventLog, StoredRecord } from '../../log/event-log.js'
import { LiveFirst, mayBegin, restAfter } from '../../pipelines/live-first.js'
import { besideLive, runStage, type Stage } from '../../pipelines/stage.js'

test('a batch of history begins when no live stage works, or has waited half a second', () => {
  expect(mayBegin(0, 0)).toBe(true)
  expect(mayBegin(1, 0)).toBe(false)
  expect(mayBegin(3, 499)).toBe(false)
  expect(mayBegin(3, 500)).toBe(true)
})

test('waits for live work to end, and not for ever', async () => {
  let now = 0
  const never = new AbortController().signal
  const liveFirst = new LiveFirst(
    () => now,
    (ms) => {
      now += ms
      if (now === 50) liveFirst.ended()
      return Promise.resolve()
    },
  )
  liveFirst.began()
  await liveFirst.turn(never)
  expect(now).toBe(50)
  liveFirst.began()
  await liveFirst.turn(never)
  expect(now).toBe(550)
})

test('rests by how long it was busy, where live traffic flows, and not where none does', async () => {
  expect(restAfter(30, 0.2)).toBeCloseTo(120)
  expect(restAfter(30, 1)).toBe(0)
  expect(restAfter(60_000, 0.01)).toBe(10_000)
  let now = 0
  const never = new AbortController().signal
  const liveFirst = new LiveFirst(
    () => now,
    (ms) => {
      now += ms
      return Promise.resolve()
    },
  )
  await liveFirst.rest(50, 0.5, never)
  expect(now).toBe(0)
  liveFirst.began()
  liveFirst.ended()
  await liveFirst.rest(50, 0.5, never)
  expect(now).toBe(50)
  now += 2000
  await liveFirst.rest(50, 0.5, never)
  expect(now).toBe(2050)
})

test('beside live traffic batches of history are small, one at a time, under the budget', () => {
  const stage: Stage = {
    name: 'sink',
    lane: 'bulk',
    topics: [],
    handle: () => Promise.resolve(),
    concurrency: 2,
    consume: { recordsMax: 500, lingerMs: 50 },
  }
  expect(besideLive(stage, { recordsPerSecond: 300, busyShare: 0.2 })).toMatchObject({
    concurrency: 1,
    recordsPerSecondMax: 300,
    busyShareMax: 0.2,
    consume: { recordsMax: 25, lingerMs: 50 },
  })
})

describe('stages of one process', () => {
  /** A log that gives each group one batch and then waits for the end. */
  const oneBatch = (started: Promise<unknown>): EventLog => ({
    ensureTopics: () => Promise.resolve(),
    append: () => Promise.resolve(),
    async *consume(topics, group, signal): AsyncIterable<Batch> {
      if (group === 'work-bulk') await started
      const record = { key: '', value: Buffer.alloc(0), topic: topics[0]!, partition: 0, offset: 0n, appendedAt: 0 }
      yield {
        partition: { topic: topics[0]!, partition: 0 },
        records: [record as StoredRecord],
        signal,
        commit: () => Promise.resolve(),
        release: () => Promise.resolve(),
      }
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    },
    async *read(): AsyncIterable<StoredRecord> {
      await Promise.resolve()
    },
    positions: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  })

  test('the bulk stage begins after the live one has ended what it was at', async () => {
    const order: string[] = []
    const stop = new AbortController()
    let liveBegan = (): void => undefined
    const began = new Promise<void>((resolve) => (liveBegan = resolve))
    const context = {
      log: oneBatch(began),
      logger: createLogger({ level: 'silent' }),
      metrics: new Metrics(),
      liveFirst: new LiveFirst(() => 0),
    }
    const live: Stage = {
      name: 'work',
      lane: 'live',
      topics: ['a'],
      async handle() {
        order.push('live begins')
        liveBegan()
        await pause(100)
        order.push('live ends')
      },
    }
    const bulk: Stage = {
      name: 'work',
      lane: 'bulk',
      topics: ['a.bulk'],
      handle() {
        order.push('bulk')
        stop.abort()
        return Promise.resolve()
      },
    }
    await Promise.all([runStage(live, context, stop.signal), runStage(bulk, context, stop.signal)])
    expect(order).toEqual(['live begins', 'live ends', 'bulk'])
  })
})
