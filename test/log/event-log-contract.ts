import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { RetryableError } from '../../core/errors.js'
import type { Batch, ConsumeOptions, EventLog, GroupPosition, LogRecord, StoredRecord } from '../../log/event-log.js'

/** What an adapter hands to the suite for one case; each case has its own. */
export interface EventLogFixture {
  /** The log under test. */
  readonly log: EventLog
  /** Closes the log if it still is open and opens it again over the same storage. `log` is then the new one. */
  reopen(): Promise<void>
  /** A topic name (`label` made unique) that no other case and no earlier run has used. */
  topic(label: string): string
  /** A consumer group name, unique likewise. */
  group(label: string): string
  /** Closes the log if it still is open and removes what the case left. */
  dispose(): Promise<void>
  /** Every wait for something that must happen is bounded by this (default 30 s); it is never slept. */
  readonly patienceMs?: number
  /** How long the suite watches for something that must not happen (default 300 ms). */
  readonly quietMs?: number
}

export interface EventLogCase {
  readonly title: string
  run(fixture: EventLogFixture): Promise<void>
}

/**
 * Runs every case of the contract against an adapter. The suite needs: batches of different partitions may be out at
 * the same time (`next()` asked again before a commit), keys go to partitions by murmur2 as Kafka's default
 * partitioner does it, and a record of 700 KB fits.
 */
export function eventLogContract(
  name: string,
  open: () => Promise<EventLogFixture>,
  options: { readonly timeoutMs?: number } = {},
): void {
  describe(`EventLog contract: ${name}`, () => {
    for (const one of eventLogCases) {
      test(one.title, { timeout: options.timeoutMs ?? 120_000 }, async () => {
        const fixture = await open()
        try {
          await one.run(fixture)
        } finally {
          await fixture.dispose()
        }
      })
    }
  })
}

/** Rejects with a sentence that names what did not happen. */
async function within<T>(fixture: EventLogFixture, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const patienceMs = fixture.patienceMs ?? 30_000
    timer = setTimeout(() => reject(new Error(`${what}: did not happen within ${patienceMs} ms`)), patienceMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

async function until(fixture: EventLogFixture, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  let stopped = false
  const poll = async (): Promise<void> => {
    while (!stopped && !(await holds())) await pause(15)
  }
  try {
    await within(fixture, what, poll())
  } finally {
    stopped = true
  }
}

/** Work that goes on beside a case; its failure is reported where it is awaited, not as an unhandled rejection. */
function beside<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined)
  return work
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const quiet = (fixture: EventLogFixture): Promise<void> => pause(fixture.quietMs ?? 300)

const record = (key: string, text: string): LogRecord => ({ key, value: Buffer.from(text) })
const text = (stored: StoredRecord): string => stored.value.toString()
const place = (stored: { topic: string; partition: number }): string => `${stored.topic}/${stored.partition}`

/** `count` records over `keys` keys; the value is `<key>:<ordinal within the key>`. */
function series(keys: number, count: number, from = 0): LogRecord[] {
  return Array.from({ length: count }, (_, at) =>
    record(`key-${(from + at) % keys}`, `${Math.floor((from + at) / keys)}`),
  )
}

/** A consumer driven batch by batch, so that a case decides when to take, commit, release and leave. */
class Member {
  private readonly stop = new AbortController()
  private readonly iterator: AsyncIterator<Batch>
  private pending: Promise<IteratorResult<Batch>> | undefined

  constructor(
    private readonly fixture: EventLogFixture,
    topics: readonly string[],
    group: string,
    options: ConsumeOptions = {},
  ) {
    this.iterator = fixture.log
      .consume(topics, group, this.stop.signal, { lingerMs: 5, ...options })
      [Symbol.asyncIterator]()
  }

  private async ask(): Promise<IteratorResult<Batch>> {
    // A log that answers at once, for ever, must not keep the timers of this suite from firing.
    await new Promise((resolve) => setImmediate(resolve))
    this.pending ??= this.iterator.next()
    this.pending.catch(() => undefined)
    return this.pending
  }

  /** The next batch; fails where the loop ended or nothing came in time. */
  async take(what = 'a batch'): Promise<Batch> {
    const result = await within(this.fixture, what, this.ask())
    this.pending = undefined
    assert(!result.done, `${what}: the consumer ended instead`)
    return result.value
  }

  /** What came within the quiet time, undefined where nothing did. */
  async takeSoon(ms?: number): Promise<Batch | undefined> {
    const result = await Promise.race([this.ask(), ms === undefined ? quiet(this.fixture) : pause(ms)])
    if (result === undefined || result.done) return undefined
    this.pending = undefined
    return result.value
  }

  /** Takes and commits until `count` records (each counted once) were committed. */
  async drain(count: number, what = `${count} records`): Promise<StoredRecord[]> {
    const seen = new Map<string, StoredRecord>()
    const order: StoredRecord[] = []
    const work = async (): Promise<void> => {
      while (seen.size < count) {
        const batch = await this.take(what)
        if (await committed(batch)) {
          for (const stored of batch.records) {
            seen.set(`${place(stored)}@${stored.offset}`, stored)
            order.push(stored)
          }
        }
      }
    }
    await within(this.fixture, what, work())
    return order
  }

  /** The loop has ended without an error. */
  async ends(what: string): Promise<void> {
    for (;;) {
      const result = await within(this.fixture, what, this.ask())
      this.pending = undefined
      if (result.done) return
    }
  }

  /** Leaves the group as a `for await` does that was told to stop. */
  async leave(): Promise<void> {
    this.stop.abort()
    const ended = async (): Promise<void> => {
      while (this.pending !== undefined) {
        const result = await this.pending
        this.pending = undefined
        if (!result.done) await result.value.release().catch(() => undefined)
      }
      await this.iterator.return?.()
    }
    await within(this.fixture, 'a consumer leaving', ended())
  }
}

/** Commits; false where the adapter says that the partition was lost, which is the only way it may fail. */
async function committed(batch: Batch): Promise<boolean> {
  try {
    await batch.commit()
    return true
  } catch (error) {
    assert(error instanceof RetryableError, `commit failed otherwise than by RetryableError: ${String(error)}`)
    return false
  }
}

async function collect(records: AsyncIterable<StoredRecord>): Promise<StoredRecord[]> {
  const all: StoredRecord[] = []
  for await (const stored of records) all.push(stored)
  return all
}

/** Per key the values count up from 0 without a gap or a step back. */
function assertOrderPerKey(records: readonly StoredRecord[], keys: number, each: number): void {
  const byKey = new Map<string, string[]>()
  for (const stored of records) {
    const list = byKey.get(stored.key) ?? []
    list.push(text(stored))
    byKey.set(stored.key, list)
  }
  assert.equal(byKey.size, keys)
  for (const [key, values] of byKey) {
    assert.deepEqual(
      values,
      Array.from({ length: each }, (_, at) => `${at}`),
      `order of ${key}`,
    )
  }
}

const byPartition = (positions: readonly GroupPosition[]): GroupPosition[] =>
  [...positions].sort((a, b) => place(a).localeCompare(place(b)))

/** Keys that murmur2 sends to each of `partitions` partitions are found by asking the log, not by knowing the hash. */
async function keyPerPartition(fixture: EventLogFixture, topic: string, partitions: number): Promise<string[]> {
  const probe = Array.from({ length: partitions * 16 }, (_, at) => record(`probe-${at}`, 'probe'))
  await fixture.log.append(topic, probe)
  const keys: string[] = []
  for await (const stored of fixture.log.read(topic)) keys[stored.partition] ??= stored.key
  assert.equal(keys.filter((key) => key !== undefined).length, partitions, 'keys spread over all partitions')
  return keys
}

export const eventLogCases: readonly EventLogCase[] = [
  {
    title: 'delivers each record with its key, bytes, headers and place, in the order of its key',
    async run(fixture) {
      const topic = fixture.topic('order')
      await fixture.log.ensureTopics([topic], 3)
      const before = Date.now()
      for (let at = 0; at < 400; at += 100) await fixture.log.append(topic, series(20, 100, at))
      const odd: LogRecord = {
        key: '检验科',
        value: Buffer.from([0, 255, 13, 10, 0x81, 0x40]),
        headers: { traceparent: '00-ab', note: '值' },
      }
      await fixture.log.append(topic, [odd, { key: 'empty', value: Buffer.alloc(0) }])
      const member = new Member(fixture, [topic], fixture.group('order'))
      const got = await member.drain(402)
      await member.leave()
      assert.equal(got.length, 402, 'no record is delivered twice without cause')
      assertOrderPerKey(
        got.filter((stored) => stored.key.startsWith('key-')),
        20,
        20,
      )
      const kept = got.find((stored) => stored.key === odd.key)
      assert.deepEqual(kept?.value, odd.value)
      assert.deepEqual({ ...kept?.headers }, odd.headers)
      assert.equal(got.find((stored) => stored.key === 'empty')?.value.length, 0)
      const offsets = new Map<string, bigint>()
      const partitionOf = new Map<string, number>()
      for (const stored of got) {
        assert.equal(stored.topic, topic)
        assert(stored.offset > (offsets.get(place(stored)) ?? -1n), 'offsets of a partition rise')
        offsets.set(place(stored), stored.offset)
        assert.equal(partitionOf.get(stored.key) ?? stored.partition, stored.partition, 'a key keeps its partition')
        partitionOf.set(stored.key, stored.partition)
        assert(Math.abs(stored.appendedAt - before) < 600_000, 'appendedAt is the time of the append in ms')
      }
      assert(offsets.size > 1, 'keys spread over partitions')
    },
  },
  {
    title: 'chooses partitions by murmur2 of the key, as Kafka does by default',
    async run(fixture) {
      const topic = fixture.topic('murmur')
      await fixture.log.ensureTopics([topic], 7)
      // Utils.murmur2 of the Java client, & 0x7fffffff, % 7; values of its own unit test (UtilsTest.testMurmur2).
      const hashes: Readonly<Record<string, number>> = {
        '21': -973932308,
        foobar: -790332482,
        'a-little-bit-long-string': -985981536,
        'a-little-bit-longer-string': -1486304829,
        lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
        abc: 479470107,
      }
      await fixture.log.append(
        topic,
        Object.keys(hashes).map((key) => record(key, 'x')),
      )
      const got = await within(fixture, 'read', collect(fixture.log.read(topic)))
      const partitions = Object.fromEntries(got.map((stored) => [stored.key, stored.partition]))
      assert.deepEqual(
        partitions,
        Object.fromEntries(Object.entries(hashes).map(([key, hash]) => [key, (hash & 0x7fffffff) % 7])),
      )
    },
  },
  {
    title: 'redelivers what was read but not committed, from the first such record, in order',
    async run(fixture) {
      const topic = fixture.topic('redeliver')
      const group = fixture.group('redeliver')
      await fixture.log.ensureTopics([topic], 1)
      await fixture.log.append(topic, series(1, 10))
      const first = new Member(fixture, [topic], group, { recordsMax: 4 })
      const done = await first.take()
      await done.commit()
      const undone = await first.take()
      assert(undone.records.length > 0)
      await first.leave()
      const second = new Member(fixture, [topic], group)
      const rest = await second.drain(10 - done.records.length)
      await second.leave()
      assert.deepEqual(
        [...done.records, ...rest].map(text),
        series(1, 10).map((one) => one.value.toString()),
      )
    },
  },
  {
    title: 'a commit covers the work before it and nothing after it, and stays after the log is opened again',
    async run(fixture) {
      const topic = fixture.topic('commit')
      const group = fixture.group('commit')
      await fixture.log.ensureTopics([topic], 1)
      await fixture.log.append(topic, series(1, 6))
      const member = new Member(fixture, [topic], group, { recordsMax: 3 })
      const batch = await member.take()
      const beforeCommit = await fixture.log.positions(group, [topic])
      assert.equal(beforeCommit[0]?.committed, null, 'nothing is committed before commit() is called')
      await batch.commit()
      await member.leave()
      await fixture.reopen()
      const positions = await fixture.log.positions(group, [topic])
      assert.equal(positions[0]?.committed, BigInt(batch.records.length))
      const after = new Member(fixture, [topic], group)
      const rest = await after.drain(6 - batch.records.length)
      assert.equal(await after.takeSoon(), undefined, 'what was committed does not come again')
      await after.leave()
      assert.deepEqual([...batch.records, ...rest].map(text), ['0', '1', '2', '3', '4', '5'])
    },
  },
  {
    title: 'records and partitions stay after the log is opened again; ensureTopics keeps what is there',
    async run(fixture) {
      const topic = fixture.topic('reopen')
      await fixture.log.ensureTopics([topic], 3)
      await fixture.log.append(topic, series(5, 50))
      await fixture.reopen()
      await fixture.log.ensureTopics([topic], 5)
      await fixture.log.append(topic, series(5, 50, 50))
      const got = await within(fixture, 'read', collect(fixture.log.read(topic)))
      assertOrderPerKey(got, 5, 20)
      assert.equal((await fixture.log.positions(fixture.group('reopen'), [topic])).length, 3)
    },
  },
  {
    title: 'a new group starts at the beginning, and groups do not disturb one another',
    async run(fixture) {
      const topic = fixture.topic('groups')
      await fixture.log.ensureTopics([topic], 2)
      await fixture.log.append(topic, series(4, 40))
      for (const name of ['one', 'two']) {
        const member = new Member(fixture, [topic], fixture.group(name))
        assertOrderPerKey(await member.drain(40), 4, 10)
        await member.leave()
      }
    },
  },
  {
    title: 'release hands the batch back: the same records come again before later ones',
    async run(fixture) {
      const topic = fixture.topic('release')
      await fixture.log.ensureTopics([topic], 1)
      await fixture.log.append(topic, series(1, 9))
      const member = new Member(fixture, [topic], fixture.group('release'), { recordsMax: 3 })
      const first = await member.take()
      await first.release()
      const again = await member.take('the released batch')
      assert.equal(again.records[0]?.offset, first.records[0]?.offset, 'the first released record comes first')
      await again.commit()
      const rest = await member.drain(9 - again.records.length)
      await member.leave()
      assert.deepEqual(
        [...again.records, ...rest].map(text),
        series(1, 9).map((one) => one.value.toString()),
      )
    },
  },
  {
    title: 'a consumer that throws on a poison record loses and skips nothing',
    async run(fixture) {
      const topic = fixture.topic('poison')
      const group = fixture.group('poison')
      await fixture.log.ensureTopics([topic], 2)
      await fixture.log.append(topic, series(6, 60))
      const handled: StoredRecord[] = []
      let failures = 0
      let givenUp = false
      const run = async (): Promise<void> => {
        const stop = new AbortController()
        for await (const batch of fixture.log.consume([topic], group, stop.signal, { recordsMax: 10, lingerMs: 5 })) {
          const poison = batch.records.some((stored) => stored.key === 'key-2' && text(stored) === '4')
          if (poison && failures < 2) {
            failures++
            throw new Error('poison')
          }
          if (!(await committed(batch))) continue
          handled.push(...batch.records)
          if (handled.length >= 60) stop.abort()
        }
      }
      const supervise = async (): Promise<void> => {
        while (handled.length < 60 && !givenUp) {
          try {
            await run()
          } catch (error) {
            if ((error as Error).message !== 'poison') throw error
          }
        }
      }
      try {
        await within(fixture, 'all records handled in spite of the poison', supervise())
      } finally {
        givenUp = true
      }
      assert.equal(failures, 2, 'the poison record came back after each failure')
      assertOrderPerKey(handled, 6, 10)
    },
  },
  {
    title: 'has one batch of a partition out at a time, and other partitions go on meanwhile',
    async run(fixture) {
      const topic = fixture.topic('one-out')
      await fixture.log.ensureTopics([topic], 2)
      const keys = await keyPerPartition(fixture, topic, 2)
      const member = new Member(fixture, [topic], fixture.group('one-out'), { recordsMax: 5 })
      const held = await member.take()
      const other = await member.take('a batch of the other partition while the first is out')
      assert.notEqual(other.partition.partition, held.partition.partition)
      await fixture.log.append(
        topic,
        keys.map((key) => record(key, 'more')),
      )
      const third = await member.takeSoon()
      assert.equal(third, undefined, 'both partitions have a batch out')
      await other.commit()
      const next = await member.take('the other partition goes on')
      assert.equal(next.partition.partition, other.partition.partition)
      assert.equal(next.records[0]?.offset, (other.records.at(-1)?.offset ?? 0n) + 1n)
      await next.commit()
      assert.equal(held.signal.aborted, false)
      await held.commit()
      await member.leave()
    },
  },
  {
    title: 'members of a group share the partitions, and who stays takes over from who leaves',
    async run(fixture) {
      const topic = fixture.topic('share')
      const group = fixture.group('share')
      await fixture.log.ensureTopics([topic], 4)
      const keys = await keyPerPartition(fixture, topic, 4)
      const members = [new Member(fixture, [topic], group), new Member(fixture, [topic], group)]
      const owners = new Map<number, number>()
      const counts = new Map<string, number>()
      let running = true
      const pump = async (member: Member, name: number): Promise<void> => {
        while (running) {
          const batch = await member.takeSoon()
          if (batch === undefined || !(await committed(batch))) continue
          owners.set(batch.partition.partition, name)
          for (const stored of batch.records) {
            const value = text(stored)
            counts.set(value, (counts.get(value) ?? 0) + 1)
          }
        }
      }
      const pumps = members.map((member, name) => beside(pump(member, name)))
      let round = 0
      try {
        await until(fixture, 'the four partitions are shared two and two', async () => {
          await fixture.log.append(
            topic,
            keys.map((key, at) => record(key, `round-${round}-${at}`)),
          )
          round++
          await pause(20)
          return [...owners.values()].sort().join() === '0,0,1,1'
        })
        await until(fixture, 'every record was handled', () => counts.size === round * 4 + 1)
      } finally {
        running = false
        await Promise.allSettled(pumps)
      }
      const held = await members[1]?.takeSoon()
      await members[0]?.leave()
      running = true
      const survivor = beside(pump(members[1] as Member, 1))
      try {
        await held?.release()
        await fixture.log.append(
          topic,
          keys.map((key, at) => record(key, `last-${at}`)),
        )
        await until(fixture, 'the member that stayed took over', () => keys.every((_, at) => counts.has(`last-${at}`)))
      } finally {
        running = false
        await survivor
      }
      await members[1]?.leave()
      const positions = await fixture.log.positions(group, [topic])
      assert.deepEqual(
        positions.map((position) => position.lag),
        [0n, 0n, 0n, 0n],
      )
    },
  },
  {
    title: 'a record that was committed is not delivered to another member of the group',
    async run(fixture) {
      const topic = fixture.topic('once')
      const group = fixture.group('once')
      await fixture.log.ensureTopics([topic], 2)
      await fixture.log.append(topic, series(8, 80))
      const first = new Member(fixture, [topic], group, { recordsMax: 7 })
      const before = await first.drain(40)
      const second = new Member(fixture, [topic], group, { recordsMax: 7 })
      const seen = new Map<string, number>(before.map((stored) => [`${place(stored)}@${stored.offset}`, 1]))
      await until(fixture, 'all records committed', async () => {
        for (const member of [first, second]) {
          const batch = await member.takeSoon(50)
          if (batch === undefined || !(await committed(batch))) continue
          for (const stored of batch.records) {
            const at = `${place(stored)}@${stored.offset}`
            seen.set(at, (seen.get(at) ?? 0) + 1)
          }
        }
        return seen.size === 80
      })
      assert.equal(await second.takeSoon(), undefined)
      await first.leave()
      await second.leave()
      assert.deepEqual([...new Set(seen.values())], [1], 'no record was committed twice')
    },
  },
  {
    title: 'a partition taken away aborts its batch, whose commit then fails and changes nothing',
    async run(fixture) {
      const topic = fixture.topic('revoke')
      const group = fixture.group('revoke')
      await fixture.log.ensureTopics([topic], 2)
      await keyPerPartition(fixture, topic, 2)
      const first = new Member(fixture, [topic], group, { recordsMax: 3 })
      const held = [await first.take(), await first.take('a batch of the second partition')]
      const second = new Member(fixture, [topic], group, { recordsMax: 1000 })
      const gotBySecond = beside(second.take('a batch for the member that joined'))
      // A consumer is asked for its next batch while one is out: adapters that rebalance there must get the chance.
      const more = beside(first.takeSoon(0))
      await until(fixture, 'a batch of the first member aborts', () => held.some((batch) => batch.signal.aborted))
      const lost = held.filter((batch) => batch.signal.aborted)
      const batch = await gotBySecond
      const takenOver = held.find((one) => one.partition.partition === batch.partition.partition)
      assert.equal(takenOver?.signal.aborted, true, 'a partition is given away only after its batch was aborted')
      assert.equal(batch.records[0]?.offset, takenOver?.records[0]?.offset, 'it starts at the last commit')
      assert(batch.records.length > 3)
      await batch.commit()
      for (const one of lost) await assert.rejects(() => one.commit(), RetryableError)
      const after = await fixture.log.positions(group, [topic])
      const position = after.find((one) => one.partition === batch.partition.partition)
      assert.equal(position?.committed, (batch.records.at(-1)?.offset ?? -1n) + 1n, 'the late commit changed nothing')
      await more
      await first.leave()
      await second.leave()
    },
  },
  {
    title: 'positions say what is committed, the end and the lag, also after a rebalance',
    async run(fixture) {
      const topic = fixture.topic('positions')
      const group = fixture.group('positions')
      await fixture.log.ensureTopics([topic], 2)
      const empty = byPartition(await fixture.log.positions(group, [topic]))
      assert.deepEqual(
        empty,
        [0, 1].map((partition) => ({ topic, partition, committed: null, start: 0n, end: 0n, lag: 0n })),
      )
      const keys = await keyPerPartition(fixture, topic, 2)
      const sum = (positions: readonly GroupPosition[], of: (one: GroupPosition) => bigint): number =>
        Number(positions.reduce((total, one) => total + of(one), 0n))
      const before = await fixture.log.positions(group, [topic])
      assert.equal(
        sum(before, (one) => one.end),
        32,
      )
      assert.equal(
        sum(before, (one) => one.lag),
        32,
        'without a commit everything is lag',
      )
      const first = new Member(fixture, [topic], group, { recordsMax: 4 })
      const batch = await first.take()
      assert.equal(
        sum(await fixture.log.positions(group, [topic]), (one) => one.lag),
        32,
        'reading is not committing',
      )
      await batch.commit()
      const done = batch.records.length
      assert.equal(
        sum(await fixture.log.positions(group, [topic]), (one) => one.lag),
        32 - done,
      )
      const second = new Member(fixture, [topic], group)
      const stop = { yes: false }
      const counted = new Set<string>(batch.records.map((stored) => `${place(stored)}@${stored.offset}`))
      const pump = async (member: Member): Promise<void> => {
        while (!stop.yes) {
          const next = await member.takeSoon(50)
          if (next === undefined || !(await committed(next))) continue
          for (const stored of next.records) counted.add(`${place(stored)}@${stored.offset}`)
        }
      }
      const pumps = [beside(pump(first)), beside(pump(second))]
      try {
        await until(fixture, 'all committed by both', () => counted.size === 32)
      } finally {
        stop.yes = true
        await Promise.allSettled(pumps)
      }
      await first.leave()
      await second.leave()
      await fixture.log.append(topic, [record(keys[1] as string, 'late')])
      const after = byPartition(await fixture.log.positions(group, [topic]))
      assert.deepEqual(
        after.map((one) => one.lag),
        [0n, 1n],
      )
      for (const one of after) assert.equal(one.committed, one.end - one.lag)
    },
  },
  {
    title: 'read yields a range once, from the start to the end of now by default, and moves no group',
    async run(fixture) {
      const topic = fixture.topic('read')
      await fixture.log.ensureTopics([topic], 2)
      const keys = await keyPerPartition(fixture, topic, 2)
      for (let at = 0; at < 20; at++) {
        await fixture.log.append(
          topic,
          keys.map((key) => record(key, `${at}`)),
        )
      }
      const all = await within(fixture, 'read of all', collect(fixture.log.read(topic)))
      assert.equal(all.length, 32 + 40)
      const ends = all.reduce((map, one) => map.set(one.partition, one.offset + 1n), new Map<number, bigint>())
      const from = [0, 1].map((partition) => ({ topic, partition, offset: (ends.get(partition) ?? 0n) - 10n }))
      const to = [0, 1].map((partition) => ({ topic, partition, offset: (ends.get(partition) ?? 0n) - 3n }))
      const range = await within(fixture, 'read of a range', collect(fixture.log.read(topic, from, to)))
      for (const partition of [0, 1]) {
        assert.deepEqual(
          range.filter((one) => one.partition === partition).map(text),
          ['10', '11', '12', '13', '14', '15', '16'],
          '`from` is included, `to` is not',
        )
      }
      const none = await within(fixture, 'read of nothing', collect(fixture.log.read(topic, to, to)))
      assert.equal(none.length, 0)
      let seen = 0
      const growing = async (): Promise<void> => {
        for await (const stored of fixture.log.read(topic)) {
          assert.notEqual(text(stored), 'later')
          if (seen++ === 0) await fixture.log.append(topic, [record(keys[0] as string, 'later')])
        }
      }
      await within(fixture, 'read ends at the end of when it began', growing())
      assert.equal(seen, 72)
      const positions = await fixture.log.positions(fixture.group('read'), [topic])
      assert(positions.every((one) => one.committed === null))
    },
  },
  {
    title: 'what append resolved for is visible at once, and a reader never sees a record before its predecessors',
    async run(fixture) {
      const topic = fixture.topic('visible')
      const group = fixture.group('visible')
      await fixture.log.ensureTopics([topic], 1)
      let writing = true
      let appended = 0
      const write = async (): Promise<void> => {
        for (let at = 0; at < 30; at++) {
          await fixture.log.append(topic, series(1, 10, appended))
          appended += 10
          const [position] = await fixture.log.positions(group, [topic])
          assert(Number(position?.end) >= appended, 'positions show what was appended')
        }
      }
      const watch = async (): Promise<void> => {
        while (writing) {
          await new Promise((resolve) => setImmediate(resolve))
          const least = appended
          const got = await collect(fixture.log.read(topic))
          assert(got.length >= least, `read shows what was appended: ${got.length} of at least ${least}`)
          assert.deepEqual(
            got.map(text),
            got.map((_, at) => `${at}`),
          )
        }
      }
      const watching = beside(watch())
      try {
        await within(fixture, 'the writes', write())
      } finally {
        writing = false
        await watching
      }
      assert.equal((await collect(fixture.log.read(topic))).length, 300)
    },
  },
  {
    title: 'large records pass whole; batches are cut by bytes and by records',
    async run(fixture) {
      const topic = fixture.topic('large')
      const group = fixture.group('large')
      await fixture.log.ensureTopics([topic], 1)
      const large = Array.from({ length: 5 }, (_, at) => {
        const value = Buffer.alloc(700_000)
        for (let byte = 0; byte < value.length; byte += 997) value[byte] = (byte + at) % 251
        return { key: 'big', value }
      })
      for (const one of large) await fixture.log.append(topic, [one])
      await fixture.log.append(topic, series(1, 500))
      const member = new Member(fixture, [topic], group, { bytesMax: 1_000_000, recordsMax: 50 })
      const got: StoredRecord[] = []
      while (got.length < 505) {
        const batch = await member.take('batches')
        const bytes = batch.records.reduce((total, stored) => total + stored.value.length, 0)
        assert(bytes <= 2_000_000, `a batch of ${bytes} bytes where about 1,000,000 were asked`)
        assert(batch.records.length <= 100, `a batch of ${batch.records.length} records where about 50 were asked`)
        await batch.commit()
        got.push(...batch.records)
      }
      await member.leave()
      for (const [at, one] of large.entries()) assert(got[at]?.value.equals(one.value), `large record ${at} is whole`)
      assert.equal(got.length, 505)
      const tight = new Member(fixture, [topic], fixture.group('tight'), { bytesMax: 1000 })
      const alone = await tight.take('a record larger than bytesMax')
      assert.equal(alone.records[0]?.value.length, 700_000, 'it is delivered all the same')
      await tight.leave()
    },
  },
  {
    title: 'an empty topic yields nothing, then its first record as soon as there is one',
    async run(fixture) {
      const topic = fixture.topic('empty')
      const group = fixture.group('empty')
      await fixture.log.ensureTopics([topic], 2)
      assert.equal((await within(fixture, 'read of an empty topic', collect(fixture.log.read(topic)))).length, 0)
      await fixture.log.append(topic, [])
      const member = new Member(fixture, [topic], group)
      assert.equal(await member.takeSoon(), undefined)
      await fixture.log.append(topic, [record('a', 'first')])
      const batch = await member.take('the first record')
      assert.deepEqual(batch.records.map(text), ['first'])
      await batch.commit()
      await member.leave()
    },
  },
  {
    title: 'consumes several topics at once, each batch of one partition of one of them',
    async run(fixture) {
      const topics = ['several-a', 'several-b', 'several-c'].map((label) => fixture.topic(label))
      await fixture.log.ensureTopics(topics, 2)
      for (const topic of topics) await fixture.log.append(topic, series(4, 24))
      const group = fixture.group('several')
      const member = new Member(fixture, topics, group)
      const got: StoredRecord[] = []
      while (got.length < 72) {
        const batch = await member.take('batches of all topics')
        assert(batch.records.length > 0)
        assert(batch.records.every((stored) => place(stored) === place(batch.partition)))
        await batch.commit()
        got.push(...batch.records)
      }
      await member.leave()
      for (const topic of topics) {
        assertOrderPerKey(
          got.filter((stored) => stored.topic === topic),
          4,
          6,
        )
      }
      const positions = await fixture.log.positions(group, topics)
      assert.equal(positions.length, 6)
      assert(positions.every((one) => one.lag === 0n))
    },
  },
  {
    title: 'an aborted signal ends the loop, and a commit of the batch in hand keeps its word',
    async run(fixture) {
      const topic = fixture.topic('abort')
      const group = fixture.group('abort')
      await fixture.log.ensureTopics([topic], 1)
      await fixture.log.append(topic, series(1, 10))
      const stop = new AbortController()
      let kept: boolean | undefined
      let first: Batch | undefined
      const run = async (): Promise<void> => {
        for await (const batch of fixture.log.consume([topic], group, stop.signal, { recordsMax: 4, lingerMs: 5 })) {
          assert.equal(first, undefined, 'no batch after the abort')
          first = batch
          stop.abort()
          kept = await committed(batch)
        }
      }
      await within(fixture, 'the loop ends', run())
      const [position] = await fixture.log.positions(group, [topic])
      const expected = kept === true ? BigInt(first?.records.length ?? -1) : null
      assert.equal(position?.committed, expected, 'positions agree with what commit() said')
      const waiting = new Member(fixture, [topic], fixture.group('abort-idle'))
      await waiting.drain(10)
      assert.equal(await waiting.takeSoon(), undefined)
      await waiting.leave()
    },
  },
  {
    title: 'close ends every loop, aborts what is out, and no commit succeeds after it',
    async run(fixture) {
      const topic = fixture.topic('close')
      const group = fixture.group('close')
      await fixture.log.ensureTopics([topic], 1)
      await fixture.log.append(topic, series(1, 10))
      const waiting = new Member(fixture, [topic], fixture.group('close-waiting'))
      await waiting.drain(10)
      const asked = beside(waiting.ends('the waiting loop'))
      const holding = new Member(fixture, [topic], group, { recordsMax: 4 })
      const batch = await holding.take()
      await within(fixture, 'close while consuming', fixture.log.close())
      await asked
      await holding.ends('the loop that held a batch')
      assert.equal(batch.signal.aborted, true)
      await assert.rejects(() => batch.commit(), RetryableError)
      await fixture.reopen()
      const [position] = await fixture.log.positions(group, [topic])
      assert.equal(position?.committed, null)
    },
  },
]
