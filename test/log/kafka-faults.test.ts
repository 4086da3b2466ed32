import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readEnvironment } from '../../core/environment.js'
import { RecordError, RetryableError } from '../../core/errors.js'
import type { EventLog, LogRecord, StoredRecord } from '../../log/event-log.js'
import { openKafkaLog, type KafkaLogOptions } from '../../log/kafka-log.js'

const { kafkaBrokers, ci } = readEnvironment()
const run = promisify(execFile)
const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

// A broker of its own: the one that other suites use is left alone.
describe.skipIf(kafkaBrokers === undefined && !ci)('Kafka when things break', { timeout: 180_000 }, () => {
  let dir = ''
  let brokers: string[] = []
  const open: EventLog[] = []

  const stack = async (...command: string[]): Promise<string> =>
    (await run(process.execPath, [file('../../scripts/stack.mjs'), ...command, '--dir', dir, '--only', 'kafka'])).stdout
  const log = async (prefix: string, options: Partial<KafkaLogOptions> = {}): Promise<EventLog> => {
    const opened = await openKafkaLog({ brokers, prefix, clientId: 'test', sessionTimeoutMs: 6000, ...options })
    open.push(opened)
    return opened
  }
  const admin = async <T>(work: (client: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> => {
    const client = new Kafka({ brokers, clientId: 'test', logLevel: logLevel.NOTHING }).admin()
    await client.connect()
    try {
      return await work(client)
    } finally {
      await client.disconnect()
    }
  }

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hutong-kafka-'))
    await chmod(dir, 0o755)
    const variables = await stack('start')
    brokers = [/HUTONG_KAFKA_BROKERS=(\S+)/.exec(variables)![1]!]
  }, 150_000)
  afterAll(async () => {
    await Promise.all(open.map((one) => one.close()))
    await stack('stop')
    await rm(dir, { recursive: true, force: true })
  }, 60_000)

  const record = (key: string, value: string): LogRecord => ({ key, value: Buffer.from(value) })
  const persistently = async (work: () => Promise<void>): Promise<void> => {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof RetryableError)) throw error
        await sleep(100)
      }
    }
  }

  test.for<readonly [string, readonly string[]]>([
    ['restarts', ['restart-broker']],
    ['is killed and started', ['kill-broker', 'start-broker']],
  ])('nothing is lost, skipped or out of order while the broker %s', async ([, commands], { expect }) => {
    const prefix = `broker-${commands[0]}`
    const one = await log(prefix)
    await one.ensureTopics(['t'], 3)
    const total = 3000
    const handled = new Map<string, number[]>()
    const stop = new AbortController()
    let count = 0
    const consuming = (async () => {
      for await (const batch of one.consume(['t'], 'g', stop.signal, { recordsMax: 50, lingerMs: 5 })) {
        try {
          await batch.commit()
        } catch (error) {
          if (!(error instanceof RetryableError)) throw error
          await batch.release()
          continue
        }
        for (const { key, value } of batch.records) {
          const list = handled.get(key) ?? handled.set(key, []).get(key)!
          list.push(Number(value.toString()))
          count++
        }
      }
    })()
    let broken: Promise<void> | undefined
    for (let at = 0; at < total; at += 30) {
      const records = Array.from({ length: 30 }, (_, index) => record(`key-${(at + index) % 6}`, String(at + index)))
      await persistently(() => one.append('t', records))
      if (at === 900) {
        broken = (async () => {
          for (const command of commands) await stack(command)
        })()
      }
      await sleep(5)
    }
    await broken
    const all = (): number => new Set([...handled.values()].flat()).size
    await expect.poll(all, { timeout: 90_000, interval: 100 }).toBe(total)
    stop.abort()
    await consuming
    for (const values of handled.values()) {
      // at least once: a step back repeats what was seen, a step forward skips nothing
      const firsts = values.filter((value, index) => values.indexOf(value) === index)
      expect(firsts).toEqual([...firsts].sort((a, b) => a - b))
    }
    expect(count).toBeGreaterThanOrEqual(total)
    const lags = (await one.positions('g', ['t'])).map(({ lag }) => lag)
    expect(lags).toEqual([0n, 0n, 0n])
  })

  test('an append whose answer is lost does not make the next one vanish', async () => {
    const one = await log('lost-answer', { requestTimeoutMs: 1000 })
    await one.ensureTopics(['t'], 1)
    await one.append('t', [record('k', 'before')])
    const [{ pid }] = JSON.parse(await stack('status', '--json')) as [{ pid: number }]
    process.kill(pid, 'SIGSTOP')
    const unclear = one.append('t', [record('k', 'unclear')])
    const outcome = await unclear.then(
      () => undefined,
      (error: unknown) => error,
    )
    process.kill(pid, 'SIGCONT')
    expect(outcome).toBeInstanceOf(RetryableError)
    expect((outcome as Error).message).toContain(brokers[0])
    await persistently(() => one.append('t', [record('k', 'after')]))
    const values: string[] = []
    await persistently(async () => {
      values.length = 0
      for await (const { value } of one.read('t')) values.push(value.toString())
    })
    expect(values).toContain('after')
    // the case this is about: the broker did take the unclear one, in the batch that the next one would have been
    expect(values).toContain('unclear')
  })

  test('while the broker is away appends fail in bounded time and name it; opening does too', async () => {
    const one = await log('away')
    await one.ensureTopics(['t'], 1)
    await one.append('t', [record('k', 'first')])
    await stack('kill-broker')
    try {
      await expect(one.append('t', [record('k', 'x')])).rejects.toThrow(RetryableError)
      await expect(one.append('t', [record('k', 'x')])).rejects.toThrow(brokers[0])
      await expect(one.positions('g', ['t'])).rejects.toThrow(RetryableError)
      await expect(openKafkaLog({ brokers, prefix: 'x', clientId: 'x' })).rejects.toThrow(RetryableError)
      await expect(async () => {
        for await (const { offset } of one.read('t')) throw new Error(`read ${offset}`)
      }).rejects.toThrow(RetryableError)
    } finally {
      await stack('start-broker')
    }
    await persistently(() => one.append('t', [record('k', 'last')]))
    expect((await one.positions('g', ['t']))[0]!.lag).toBeGreaterThanOrEqual(2n)
  })

  test('two processes share a group, and one takes over from the other that is killed', async () => {
    const one = await log('two')
    await one.ensureTopics(['t'], 4)
    const handled = new Map<string, Set<number>>()
    const members: ChildProcess[] = []
    const start = (name: number): void => {
      const child = spawn(
        process.execPath,
        [
          file('../../node_modules/vite-node/vite-node.mjs'),
          file('./kafka-member.ts'),
          brokers[0]!,
          'two',
          't',
          'g',
          '6000',
        ],
        { stdio: ['pipe', 'pipe', 'inherit'] },
      )
      members.push(child)
      createInterface({ input: child.stdout }).on('line', (line) => {
        const [partition, , , value, end] = line.split(' ')
        if (end !== '.') return // cut off by the kill
        const by = handled.get(value!) ?? handled.set(value!, new Set()).get(value!)!
        by.add(name)
        owners.set(partition!, name)
      })
    }
    const owners = new Map<string, number>()
    let next = 0
    const append = async (): Promise<void> => {
      const records = Array.from({ length: 40 }, (_, index) => record(`key-${index}`, String(next++)))
      await one.append('t', records)
    }
    try {
      start(0)
      start(1)
      await expect
        .poll(
          async () => {
            await append()
            return [...owners.values()].sort().join('')
          },
          { timeout: 60_000, interval: 100 },
        )
        .toBe('0011')
      members[0]!.kill('SIGKILL')
      for (let round = 0; round < 10; round++) await append()
      await expect.poll(() => handled.size, { timeout: 60_000, interval: 100 }).toBe(next)
      expect([...owners.values()]).toEqual([1, 1, 1, 1])
      const ended = new Promise((resolve) => members[1]!.once('exit', resolve))
      members[1]!.stdin!.end()
      expect(await ended).toBe(0)
      expect((await one.positions('g', ['t'])).map(({ lag }) => lag)).toEqual([0n, 0n, 0n, 0n])
    } finally {
      for (const member of members) member.kill('SIGKILL')
    }
  })

  test('a record that is too large is refused alone, at once, and what is appended beside it goes through', async () => {
    const one = await log('large')
    await one.ensureTopics(['t'], 1)
    await admin((client) =>
      client.createTopics({
        topics: [
          { topic: 'large.small', numPartitions: 1, configEntries: [{ name: 'max.message.bytes', value: '20000' }] },
        ],
      }),
    )
    const large = { key: 'k', value: Buffer.alloc(20_000) }
    const beside = Array.from({ length: 50 }, (_, index) =>
      one.append('small', [{ key: 'k', value: Buffer.alloc(5000, index) }]),
    )
    const error = await one.append('small', [large]).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(RecordError)
    expect((error as RecordError).code).toBe('message-too-large')
    await Promise.all(beside)
    await one.append('t', [{ key: 'k', value: Buffer.alloc(7_000_000) }])
    await expect(one.append('t', [{ key: 'k', value: Buffer.alloc(9_000_000) }])).rejects.toThrow(RecordError)
    let count = 0
    for await (const { value } of one.read('small')) expect(value[0]).toBe(count++)
    expect(count).toBe(50)
    // the topic's limit was lowered since it was asked for: the broker's own refusal comes to the same
    await admin((client) =>
      client.alterConfigs({
        validateOnly: false,
        resources: [{ type: 2, name: 'large.small', configEntries: [{ name: 'max.message.bytes', value: '2000' }] }],
      }),
    )
    await expect(one.append('small', [{ key: 'k', value: Buffer.alloc(5000) }])).rejects.toThrow(RecordError)
    await one.append('small', [{ key: 'k', value: Buffer.alloc(500) }])
  })

  test('reading joins no group and leaves none behind', async () => {
    const one = await log('groupless')
    await one.ensureTopics(['t'], 2)
    await one.append('t', [record('a', '1'), record('b', '2'), record('c', '3')])
    const before = await admin((client) => client.listGroups())
    const got: StoredRecord[] = []
    for await (const stored of one.read('t')) got.push(stored)
    expect(got).toHaveLength(3)
    const names = (list: typeof before): string[] => list.groups.map(({ groupId }) => groupId).sort()
    expect(names(await admin((client) => client.listGroups()))).toEqual(names(before))
  })

  test('where retention took what the group was to read next, it goes on at the first record there is', async () => {
    const one = await log('expired')
    await one.ensureTopics(['t'], 1)
    const numbers = Array.from({ length: 100 }, (_, index) => record('k', String(index)))
    await one.append('t', numbers)
    const stop = new AbortController()
    for await (const batch of one.consume(['t'], 'g', stop.signal, { recordsMax: 10 })) {
      await batch.commit()
      stop.abort()
    }
    await admin(async (client) => {
      await client.fetchTopicOffsets('expired.t') // kafkajs deletes only where it has looked before
      await client.deleteTopicRecords({ topic: 'expired.t', partitions: [{ partition: 0, offset: '60' }] })
    })
    const [position] = await one.positions('g', ['t'])
    expect(position).toMatchObject({ committed: 10n, start: 60n, end: 100n, lag: 40n })
    const again = new AbortController()
    const got: string[] = []
    for await (const batch of one.consume(['t'], 'g', again.signal)) {
      await batch.commit()
      got.push(...batch.records.map(({ value }) => value.toString()))
      if (got.length >= 40) again.abort()
    }
    expect(got).toEqual(numbers.slice(60).map(({ value }) => value.toString()))
  })

  test('two prefixes on one cluster see nothing of each other', async () => {
    const [left, right] = [await log('left'), await log('right')]
    await left.ensureTopics(['t'], 1)
    await right.ensureTopics(['t'], 1)
    await left.append('t', [record('k', 'left')])
    const seen: string[] = []
    for await (const { value, topic } of right.read('t')) seen.push(topic + value.toString())
    expect(seen).toEqual([])
    for await (const { topic } of left.read('t')) expect(topic).toBe('t')
  })
})
