import { createRequire } from 'node:module'
import kafkajs, {
  CompressionTypes,
  Kafka,
  logLevel,
  Partitioners,
  type Admin,
  type Consumer,
  type EachBatchPayload,
  type KafkaConfig,
  type KafkaMessage,
  type Producer,
  type SASLOptions,
} from 'kafkajs'
import type { ConnectionOptions } from 'node:tls'
import { RecordError, RetryableError, UsageError } from '../core/errors.js'
import { pause } from '../core/pause.js'
import type { Logger } from '../core/telemetry.js'
import { AppendQueue, type AppendRequest } from './append-queue.js'
import { CommitQueue } from './commit-queue.js'
import type {
  Batch,
  ConsumeOptions,
  EventLog,
  GroupPosition,
  LogRecord,
  Partition,
  Position,
  StoredRecord,
} from './event-log.js'
import { Pacer } from './pacer.js'
import { PartitionIntake } from './partition-intake.js'
import type { Topic } from './topics.js'

// A name of this CommonJS module that Node's named imports do not see.
const { ConfigResourceTypes } = kafkajs

export interface KafkaLogOptions {
  /** host:port of some brokers of the cluster. */
  readonly brokers: readonly string[]
  /** Put with a dot before every topic and group name. */
  readonly prefix: string
  readonly clientId: string
  readonly logger?: Logger
  readonly ssl?: ConnectionOptions
  readonly sasl?: SASLOptions
  /** Record batches are compressed by this (default none: docs/decisions/0031). */
  readonly compression?: 'none' | 'gzip'
  /** A member that was not heard of for this long loses its partitions (default 30 s). */
  readonly sessionTimeoutMs?: number
  /** An answer that takes longer counts as lost (default 30 s). */
  readonly requestTimeoutMs?: number
  /** A consumer whose fetches show no sign of life for this long is started anew (default 90 s). */
  readonly watchdogMs?: number
}

/** The event log on Apache Kafka. @throws RetryableError while no broker answers, UsageError for refused credentials */
export async function openKafkaLog(options: KafkaLogOptions): Promise<EventLog> {
  const log = new KafkaLog(options)
  await log.connect()
  return log
}

export interface ClusterDescription {
  readonly brokers: number
  /** Replicas 0 where the topic is not there. */
  readonly topics: readonly { readonly topic: Topic; readonly replicas: number; readonly minInsyncReplicas: number }[]
}

/** How safe the cluster keeps these topics. @throws RetryableError while no broker answers, UsageError for refused credentials */
export async function describeCluster(options: KafkaLogOptions, topics: readonly Topic[]): Promise<ClusterDescription> {
  const log = new KafkaLog(options)
  try {
    return await log.describe(topics)
  } finally {
    await log.close()
  }
}

/** Largest batch of a partition in topics that we create; larger contents go to the object store. */
const batchBytesMax = 8 * 1024 * 1024
/** Kafka's own default for topics that others created (`max.message.bytes`). */
const batchBytesMaxDefault = 1_048_588
const requestBytesMax = 4 * 1024 * 1024
const fetchBytesMax = 16 * 1024 * 1024
const fetchBytesMaxPerPartition = 2 * 1024 * 1024
/** A paused partition is fetched again after this at the latest; an empty one answers as soon as a record is there. */
const fetchWaitMs = 200
/**
 * A fetch that brings less than this is a small one. Small fetches that keep coming are spread: each costs the client and
 * the broker as much as a hundred records do.
 */
const fetchBytesFew = 512 * 1024
const fetchIntervalMs = 80
const fetchBurst = 6
/** All that one loop may hold unread, over its partitions. */
const waitingBytesMax = 32 * 1024 * 1024
const leaveTimeoutMs = 10_000
const settleTimeoutMs = 30_000

class KafkaLog implements EventLog {
  private readonly name: string
  private readonly queue: AppendQueue
  private readonly consumptions = new Set<Consumption>()
  private readonly batchBytes = new Map<Topic, Promise<number>>()
  private adminClient: Promise<Admin> | undefined
  private producerClient: Promise<Producer> | undefined
  private reader: Promise<FetchCluster> | undefined
  private closed = false

  constructor(private readonly options: KafkaLogOptions) {
    this.name = `Kafka ${options.brokers.join(',')}`
    this.queue = new AppendQueue({
      send: (requests) => this.send(requests),
      batchBytesMaxOf: (topic) => this.batchBytesMaxOf(topic),
      requestBytesMax,
    })
  }

  async connect(): Promise<void> {
    await this.withAdmin('connect', (admin) => admin.describeCluster())
  }

  describe(topics: readonly Topic[]): Promise<ClusterDescription> {
    return this.withAdmin('describe', async (admin) => {
      const { brokers } = await admin.describeCluster()
      const present = new Set(await admin.listTopics())
      const described = topics.map(async (topic) => {
        const name = this.full(topic)
        if (!present.has(name)) return { topic, replicas: 0, minInsyncReplicas: 0 }
        const { topics: metadata } = await admin.fetchTopicMetadata({ topics: [name] })
        const replicas = Math.min(...(metadata[0]?.partitions ?? []).map((partition) => partition.replicas.length))
        const { resources } = await admin.describeConfigs({
          includeSynonyms: false,
          resources: [{ type: ConfigResourceTypes.TOPIC, name, configNames: ['min.insync.replicas'] }],
        })
        return { topic, replicas, minInsyncReplicas: Number(resources[0]?.configEntries[0]?.configValue ?? 1) }
      })
      return { brokers: brokers.length, topics: await Promise.all(described) }
    })
  }

  async ensureTopics(topics: readonly Topic[], partitions: number): Promise<void> {
    await this.withAdmin('create topics', async (admin) => {
      const present = new Set(await admin.listTopics())
      const missing = topics.map((topic) => this.full(topic)).filter((topic) => !present.has(topic))
      if (missing.length === 0) return
      const { brokers } = await admin.describeCluster()
      const replicationFactor = Math.min(3, brokers.length)
      const configEntries = [
        { name: 'max.message.bytes', value: String(batchBytesMax) },
        { name: 'min.insync.replicas', value: replicationFactor >= 3 ? '2' : '1' },
      ]
      await admin.createTopics({
        topics: missing.map((topic) => ({ topic, numPartitions: partitions, replicationFactor, configEntries })),
        waitForLeaders: true,
        timeout: 30_000,
      })
    })
  }

  append(topic: Topic, records: readonly LogRecord[]): Promise<void> {
    if (this.closed) return Promise.reject(this.closedError())
    return this.queue.append(topic, records)
  }

  consume(
    topics: readonly Topic[],
    group: string,
    signal: AbortSignal,
    options: ConsumeOptions = {},
  ): AsyncIterable<Batch> {
    if (this.closed) throw this.closedError()
    const consumption = new Consumption(
      {
        kafka: () => this.kafka(),
        name: this.name,
        logger: this.options.logger,
        sessionTimeoutMs: this.options.sessionTimeoutMs ?? 30_000,
        watchdogMs: this.options.watchdogMs ?? 90_000,
        start: (partitions) => this.startOf(partitions, group),
        bounds: (topic) => this.bounds(topic),
        full: (topic) => this.full(topic),
      },
      topics,
      this.full(group),
      options,
    )
    this.consumptions.add(consumption)
    void consumption.run(signal).finally(() => this.consumptions.delete(consumption))
    return { [Symbol.asyncIterator]: () => consumption }
  }

  async *read(
    topic: Topic,
    from: readonly Position[] = [],
    to: readonly Position[] = [],
  ): AsyncGenerator<StoredRecord, void, undefined> {
    const offsetIn = (positions: readonly Position[], partition: number): bigint | undefined =>
      positions.find((one) => one.topic === topic && one.partition === partition)?.offset
    for (const { partition, start, end } of await this.bounds(topic)) {
      const asked = offsetIn(from, partition) ?? start
      const until = offsetIn(to, partition) ?? end
      for (let offset = asked < start ? start : asked; offset < until;) {
        const { records, next } = await this.fetch(topic, partition, offset)
        for (const record of records) {
          if (record.offset >= until) break
          yield record
        }
        offset = next
      }
    }
  }

  async positions(group: string, topics: readonly Topic[]): Promise<readonly GroupPosition[]> {
    const committed = await this.committed(group, topics)
    const bounds = await Promise.all(topics.map((topic) => this.bounds(topic)))
    return bounds.flat().map(({ topic, partition, start, end }) => {
      const offset = committed.get(`${topic}/${partition}`) ?? null
      const next = offset === null || offset < start ? start : offset
      return { topic, partition, committed: offset, start, end, lag: end > next ? end - next : 0n }
    })
  }

  async close(): Promise<void> {
    this.closed = true
    await Promise.all([...this.consumptions].map((consumption) => consumption.abandon()))
    await this.queue.settled()
    const clients = [this.producerClient, this.adminClient, this.reader]
    await Promise.all(clients.map((client) => client?.then((one) => one.disconnect()).catch(() => undefined)))
  }

  private full(name: string): string {
    return `${this.options.prefix}.${name}`
  }

  private closedError(): RetryableError {
    return new RetryableError(`${this.name}: the log is closed`)
  }

  /** One client a use: kafkajs shares a cache of committed offsets between the consumers of a client. */
  private kafka(): Kafka {
    repairRequestQueue()
    const { brokers, clientId, ssl, sasl, logger, requestTimeoutMs = 30_000 } = this.options
    const config: KafkaConfig = {
      brokers: [...brokers],
      clientId,
      connectionTimeout: 5000,
      requestTimeout: requestTimeoutMs,
      retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 4 },
      logLevel: logLevel.WARN,
      logCreator: () => logTo(logger),
      ...(ssl !== undefined && { ssl }),
      ...(sasl !== undefined && { sasl }),
    }
    return new Kafka(config)
  }

  private async withAdmin<T>(what: string, work: (admin: Admin) => Promise<T>): Promise<T> {
    if (this.closed) throw this.closedError()
    this.adminClient ??= connected(this.kafka().admin())
    const client = this.adminClient
    try {
      return await work(await client)
    } catch (error) {
      if (this.adminClient === client) this.adminClient = undefined
      void client.then((admin) => admin.disconnect()).catch(() => undefined)
      throw outcome(error, `${this.name}: ${what}`)
    }
  }

  private async send(requests: readonly AppendRequest[]): Promise<void> {
    this.producerClient ??= connected(
      this.kafka().producer({
        idempotent: true,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        createPartitioner: Partitioners.DefaultPartitioner,
      }),
    )
    const client = this.producerClient
    try {
      const producer = await client
      await producer.sendBatch({
        acks: -1,
        compression: this.options.compression === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None,
        topicMessages: requests.map(({ topic, records }) => ({
          topic: this.full(topic),
          messages: records.map(({ key, value, headers }) => ({
            key,
            value,
            ...(headers && { headers: { ...headers } }),
          })),
        })),
      })
    } catch (error) {
      // Nobody knows whether the broker has these records. The client would give their sequence numbers to the next
      // ones, which the broker would then take for the same again and drop: go on as another producer.
      this.producerClient = undefined
      void client.then((producer) => producer.disconnect()).catch(() => undefined)
      const topics = requests.map(({ topic }) => topic).join(', ')
      if (typeOf(error) === 'MESSAGE_TOO_LARGE') {
        for (const { topic } of requests) this.batchBytes.delete(topic)
        if (requests.length === 1 && requests[0]!.records.length === 1) {
          throw new RecordError('message-too-large', `the broker does not take it on ${topics}`, {}, { cause: error })
        }
      }
      throw outcome(error, `${this.name}: append to ${topics}`)
    }
  }

  private batchBytesMaxOf(topic: Topic): Promise<number> {
    let asked = this.batchBytes.get(topic)
    if (asked === undefined) {
      asked = this.askBatchBytesMax(topic)
      this.batchBytes.set(topic, asked)
      asked.catch(() => this.batchBytes.delete(topic))
    }
    return asked
  }

  private async askBatchBytesMax(topic: Topic): Promise<number> {
    const resource = { type: ConfigResourceTypes.TOPIC, name: this.full(topic), configNames: ['max.message.bytes'] }
    try {
      const answer = await this.withAdmin(`limits of ${topic}`, (admin) =>
        admin.describeConfigs({ resources: [resource], includeSynonyms: false }),
      )
      const entry = answer.resources[0]?.configEntries.find(({ configName }) => configName === 'max.message.bytes')
      return Number(entry?.configValue ?? batchBytesMaxDefault)
    } catch (error) {
      // a client may append where it may not read the topic's configuration
      if (error instanceof UsageError) return batchBytesMaxDefault
      throw error
    }
  }

  private bounds(topic: Topic): Promise<readonly (Partition & { readonly start: bigint; readonly end: bigint })[]> {
    return this.withAdmin(`offsets of ${topic}`, async (admin) => {
      const offsets = await admin.fetchTopicOffsets(this.full(topic))
      return offsets
        .map(({ partition, low, high }) => ({ topic, partition, start: BigInt(low), end: BigInt(high) }))
        .sort((left, right) => left.partition - right.partition)
    })
  }

  /** By `topic/partition`. Asks the coordinator each time: what is remembered is wrong after a rebalance. */
  private committed(group: string, topics: readonly Topic[]): Promise<ReadonlyMap<string, bigint>> {
    return this.withAdmin(`offsets of group ${group}`, async (admin) => {
      const names = topics.map((topic) => this.full(topic))
      const answer = await admin.fetchOffsets({ groupId: this.full(group), topics: names })
      const offsets = new Map<string, bigint>()
      for (const { topic, partitions } of answer) {
        for (const { partition, offset } of partitions) {
          // -1: none
          if (BigInt(offset) >= 0n) offsets.set(`${topics[names.indexOf(topic)]!}/${partition}`, BigInt(offset))
        }
      }
      return offsets
    })
  }

  private async startOf(partitions: readonly Partition[], group: string): Promise<readonly Position[]> {
    const topics = [...new Set(partitions.map(({ topic }) => topic))]
    const positions = await this.positions(group, topics)
    return partitions.map(({ topic, partition }) => {
      const known = positions.find((one) => one.topic === topic && one.partition === partition)
      if (known === undefined) throw new RetryableError(`${this.name}: ${topic}/${partition} has no offsets yet`)
      const { committed, start } = known
      return { topic, partition, offset: committed === null || committed < start ? start : committed }
    })
  }

  /** One fetch without a group: kafkajs has it inside only. */
  private async fetch(
    topic: Topic,
    partition: number,
    offset: bigint,
  ): Promise<{ records: StoredRecord[]; next: bigint }> {
    if (this.closed) throw this.closedError()
    this.reader ??= connectedReader(this.kafka())
    const client = this.reader
    const full = this.full(topic)
    try {
      const cluster = await client
      await cluster.addTargetTopic(full)
      await cluster.refreshMetadataIfNecessary()
      const [leader] = Object.keys(cluster.findLeaderForPartitions(full, [partition]))
      const broker = await cluster.findBroker({ nodeId: String(leader) })
      const wanted = { partition, fetchOffset: String(offset), maxBytes: 4 * 1024 * 1024 }
      const answer = await broker.fetch({
        maxWaitTime: fetchWaitMs,
        minBytes: 1,
        maxBytes: fetchBytesMax,
        isolationLevel: 1,
        topics: [{ topic: full, partitions: [wanted] }],
      })
      const messages = answer.responses[0]?.partitions[0]?.messages ?? []
      const fresh = messages.filter((message) => BigInt(message.offset) >= offset)
      const last = fresh[fresh.length - 1]
      return {
        records: fresh
          .filter((message) => message.isControlRecord !== true)
          .map((one) => stored(topic, partition, one)),
        // nothing here: an offset that compaction or a marker took
        next: last === undefined ? offset + 1n : BigInt(last.offset) + 1n,
      }
    } catch (error) {
      this.reader = undefined
      void client.then((cluster) => cluster.disconnect()).catch(() => undefined)
      throw outcome(error, `${this.name}: read ${topic}/${partition}`)
    }
  }
}

interface ConsumptionPorts {
  readonly kafka: () => Kafka
  readonly name: string
  readonly logger: Logger | undefined
  readonly sessionTimeoutMs: number
  readonly watchdogMs: number
  /** Where the group goes on in each partition. */
  readonly start: (partitions: readonly Partition[]) => Promise<readonly Position[]>
  readonly bounds: (topic: Topic) => Promise<readonly (Partition & { readonly start: bigint; readonly end: bigint })[]>
  readonly full: (topic: Topic) => string
}

const nameOfPlace = ({ topic, partition }: Partition): string => `${topic}/${partition}`

/** One loop over topics: a group member that is started again, with a fresh client, whenever it fails. */
class Consumption implements AsyncIterableIterator<Batch> {
  private readonly intake: PartitionIntake
  private readonly topicOf: ReadonlyMap<string, Topic>
  private readonly stop = new AbortController()
  private readonly finished: Promise<void>
  private finish: () => void = () => undefined
  private failure: { readonly error: unknown } | undefined
  private readonly pacer = new Pacer({ intervalMs: fetchIntervalMs, burst: fetchBurst })
  private readonly fetchPauseMs: number
  private fetchNextAt = 0
  private consumer: Consumer | undefined
  private placed: Promise<void> = Promise.resolve()
  private commitOffsets: EachBatchPayload['commitOffsetsIfNecessary'] | undefined
  private readonly commits = new CommitQueue((positions) => this.commitTogether(positions))

  constructor(
    private readonly ports: ConsumptionPorts,
    topics: readonly Topic[],
    private readonly groupId: string,
    options: ConsumeOptions,
  ) {
    this.topicOf = new Map(topics.map((topic) => [ports.full(topic), topic]))
    this.finished = new Promise((resolve) => (this.finish = resolve))
    const { recordsMax = 1000, bytesMax = 8 * 1024 * 1024, lingerMs = 20 } = options
    this.fetchPauseMs = Math.min(fetchIntervalMs, lingerMs / 2)
    const each = ({ topic, partition }: Partition): { topic: string; partitions: number[] }[] => [
      { topic: ports.full(topic), partitions: [partition] },
    ]
    this.intake = new PartitionIntake({
      recordsMax,
      bytesMax,
      lingerMs,
      waitingBytesMax: Math.max(1024 * 1024, Math.min(2 * bytesMax, waitingBytesMax / Math.max(1, topics.length))),
      commit: (position, signal) => this.commits.commit(position, signal),
      pause: (partition) => this.consumer?.pause(each(partition)),
      resume: (partition) => this.consumer?.resume(each(partition)),
    })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Batch>> {
    const batch = await this.intake.next()
    if (batch !== undefined) return { done: false, value: batch }
    if (this.failure !== undefined) throw this.failure.error
    return { done: true, value: undefined }
  }

  /** The loop was left: what is out is handed back. */
  async return(): Promise<IteratorResult<Batch>> {
    await this.abandon()
    return { done: true, value: undefined }
  }

  /** Ends the loop, aborts what is out and leaves the group. */
  async abandon(): Promise<void> {
    this.intake.end()
    this.intake.revoke()
    this.stop.abort()
    await this.finished
  }

  /** Until `signal` aborts; then batches that are out may still be committed for a while. */
  async run(signal: AbortSignal): Promise<void> {
    const end = (): void => {
      this.intake.end()
      const late = setTimeout(() => this.stop.abort(), settleTimeoutMs)
      late.unref()
      void this.intake.settled().then(() => {
        clearTimeout(late)
        this.stop.abort()
      })
    }
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
    for (let failures = 0; !this.stop.signal.aborted;) {
      const startedAt = Date.now()
      try {
        await this.session()
      } catch (error) {
        const why = outcome(error, `${this.ports.name}: group ${this.groupId}`)
        if (!(why instanceof RetryableError)) {
          this.failure = { error: why }
          break
        }
        failures = Date.now() - startedAt > 60_000 ? 1 : failures + 1
        const waitMs = Math.min(5000, 100 * 2 ** Math.min(failures, 6))
        this.ports.logger?.warn({ group: this.groupId, cause: why.message, waitMs }, 'consumer starts again')
        await pause(waitMs, this.stop.signal)
      }
    }
    signal.removeEventListener('abort', end)
    this.intake.end()
    this.intake.revoke()
    this.finish()
  }

  /** The life of one member. Rejects with what ended it, resolves when it was told to stop. */
  private async session(): Promise<void> {
    const consumer = this.ports.kafka().consumer({
      groupId: this.groupId,
      sessionTimeout: this.ports.sessionTimeoutMs,
      rebalanceTimeout: 60_000,
      heartbeatInterval: Math.min(1000, this.ports.sessionTimeoutMs / 3),
      maxWaitTimeInMs: fetchWaitMs,
      maxBytes: fetchBytesMax,
      maxBytesPerPartition: fetchBytesMaxPerPartition,
      allowAutoTopicCreation: false,
      retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 4, restartOnFailure: async () => false },
    })
    let joined = 0
    let aliveAt = Date.now()
    let watchdog: NodeJS.Timeout | undefined
    const over = new AbortController()
    const alive = (): void => void (aliveAt = Date.now())
    const ended = new Promise<void>((resolve, reject) => {
      this.stop.signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal })
      consumer.on(consumer.events.FETCH, alive)
      consumer.on(consumer.events.HEARTBEAT, alive)
      // before the member asks to join again: nobody else gets a partition whose batch was not aborted
      consumer.on(consumer.events.REBALANCING, () => this.intake.revoke())
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        alive()
        const generation = ++joined
        this.intake.revoke()
        this.placed = this.begin(payload.memberAssignment, () => generation === joined)
        this.placed.catch(reject)
      })
      watchdog = setInterval(
        () => {
          const idleMs = Date.now() - aliveAt
          if (idleMs > this.ports.watchdogMs) reject(new RetryableError(`no sign of life for ${idleMs} ms`))
          else void this.standstill().then((why) => why !== undefined && reject(new RetryableError(why)))
        },
        Math.min(15_000, this.ports.watchdogMs / 2),
      )
    })
    ended.catch(() => undefined)
    try {
      await Promise.race([ended, this.start(consumer)])
      await ended
    } finally {
      clearInterval(watchdog)
      over.abort()
      joined = -1
      this.intake.revoke()
      this.consumer = undefined
      this.commitOffsets = undefined
      this.hungry.clear()
      const left = new AbortController() // a timer left behind would keep the process from ending
      const leaving = consumer.disconnect().catch(() => undefined)
      await Promise.race([leaving.finally(() => left.abort()), pause(leaveTimeoutMs, left.signal)])
    }
  }

  private async start(consumer: Consumer): Promise<void> {
    await consumer.connect()
    await consumer.subscribe({ topics: [...this.topicOf.keys()], fromBeginning: true })
    this.consumer = consumer
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 4,
      eachBatch: async (payload) => this.takeIn(consumer, payload),
    })
  }

  /** Places every partition by what the group has committed, asked of the broker, and by nothing the client remembers. */
  private async begin(assignment: Record<string, number[]>, isCurrent: () => boolean): Promise<void> {
    const partitions = Object.entries(assignment).flatMap(([full, numbers]) => {
      const topic = this.topicOf.get(full)
      return topic === undefined ? [] : numbers.map((partition) => ({ topic, partition }))
    })
    const positions = partitions.length === 0 ? [] : await this.ports.start(partitions)
    if (!isCurrent() || this.stop.signal.aborted) return
    this.intake.assign(positions)
  }

  private async takeIn(
    consumer: Consumer,
    { batch, isStale, commitOffsetsIfNecessary }: EachBatchPayload,
  ): Promise<void> {
    this.commitOffsets = commitOffsetsIfNecessary
    const topic = this.topicOf.get(batch.topic)
    await this.placed
    if (topic === undefined || isStale()) return
    const place = { topic, partition: batch.partition }
    // the offset this fetch asked for is on the object, though not in its type
    const from = BigInt((batch as unknown as { readonly fetchedOffset: string }).fetchedOffset)
    const records = batch.messages.map((message) => stored(topic, batch.partition, message))
    if (this.intake.offer(place, from, records, BigInt(batch.lastOffset()) + 1n)) return this.pace(records)
    const position = this.intake.positionOf(place)
    if (position === undefined) return // taken away meanwhile
    const bounds = (await this.ports.bounds(topic)).find(({ partition }) => partition === place.partition)
    if (bounds === undefined || this.intake.positionOf(place) !== position) return
    const isGone = position < bounds.start || position > bounds.end
    const offset = isGone ? bounds.start : position
    if (isGone) {
      const where = { topic, partition: place.partition, from: String(position), to: String(offset) }
      this.ports.logger?.error(where, 'the log no longer holds the records the group was to read next')
      this.intake.skipTo({ ...place, offset })
    }
    consumer.seek({ topic: batch.topic, partition: batch.partition, offset: String(offset) })
  }

  /** Holds the client's next fetch back for a moment where this one brought little; the partitions of a fetch wait together. */
  private pace(records: readonly StoredRecord[]): Promise<void> {
    let bytes = 0
    for (const { value } of records) bytes += value.length
    if (bytes >= fetchBytesFew) return Promise.resolve()
    const now = performance.now()
    if (now >= this.fetchNextAt) this.fetchNextAt = now + Math.max(this.fetchPauseMs, this.pacer.take())
    return pause(this.fetchNextAt - now, this.stop.signal)
  }

  private async commitTogether(positions: readonly Position[]): Promise<void> {
    const what = positions.map(nameOfPlace).join(', ')
    const commitOffsets = this.commitOffsets
    if (commitOffsets === undefined) throw new RetryableError(`${this.ports.name}: no connection to commit ${what}`)
    const byTopic = new Map<string, { partition: number; offset: string }[]>()
    for (const { topic, partition, offset } of positions) {
      const full = this.ports.full(topic)
      byTopic.set(full, [...(byTopic.get(full) ?? []), { partition, offset: String(offset) }])
    }
    try {
      // not consumer.commitOffsets: that tries again after a rebalance, when the partition may be another member's
      await commitOffsets({ topics: [...byTopic].map(([topic, partitions]) => ({ topic, partitions })) })
    } catch (error) {
      throw outcome(error, `${this.ports.name}: commit of ${what}`)
    }
  }

  private readonly hungry = new Map<string, bigint>()

  /** kafkajs can go on fetching and still forget a partition: records are there and none come, twice in a row. */
  private async standstill(): Promise<string | undefined> {
    for (const place of this.intake.partitions().filter((one) => this.intake.isHungry(one))) {
      const key = `${place.topic}/${place.partition}`
      const position = this.intake.positionOf(place)
      // a broker that does not say has the consumer's own requests fail too
      const bounds = await this.ports.bounds(place.topic).catch(() => [])
      const end = bounds.find(({ partition }) => partition === place.partition)?.end ?? 0n
      const stands = position !== undefined && position < end && this.intake.positionOf(place) === position
      if (!stands) this.hungry.delete(key)
      else if (this.hungry.get(key) === position) return `${key} stands still at ${position} of ${end}`
      else this.hungry.set(key, position)
    }
    return undefined
  }
}

async function connected<T extends { connect(): Promise<void>; disconnect(): Promise<void> }>(client: T): Promise<T> {
  try {
    await client.connect()
    return client
  } catch (error) {
    void client.disconnect().catch(() => undefined)
    throw error
  }
}

function stored(topic: Topic, partition: number, message: KafkaMessage): StoredRecord {
  const { key, value, offset, timestamp, headers } = message
  const record = {
    topic,
    partition,
    offset: BigInt(offset),
    appendedAt: Number(timestamp),
    key: key?.toString('utf8') ?? '',
    value: value ?? Buffer.alloc(0),
  }
  const named = Object.entries(headers ?? {})
  if (named.length === 0) return record
  return { ...record, headers: Object.fromEntries(named.map(([name, text]) => [name, String(text ?? '')])) }
}

const typeOf = (error: unknown): string | undefined => {
  const { type, cause } = error as { readonly type?: string; readonly cause?: unknown }
  return type ?? (cause === undefined || cause === null ? undefined : typeOf(cause))
}

const nameOf = (error: unknown): string => (error as Error).name

/** What only a person can mend. */
const refusals = new Set([
  'SASL_AUTHENTICATION_FAILED',
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'ILLEGAL_SASL_STATE',
  'UNSUPPORTED_SASL_MECHANISM',
])

function outcome(error: unknown, what: string): Error {
  if (error instanceof RetryableError || error instanceof RecordError || error instanceof UsageError) return error
  const cause = error as Error
  const message = `${what}: ${cause.message}`
  const isRefused = nameOf(error) === 'KafkaJSSASLAuthenticationError' || refusals.has(typeOf(error) ?? '')
  return isRefused ? new UsageError(message, { cause }) : new RetryableError(message, { cause })
}

/** kafkajs speaks of addresses, groups and offsets, never of contents; what it calls an error mostly heals by itself. */
function logTo(logger: Logger | undefined) {
  return ({ namespace, level, log }: { namespace: string; level: logLevel; log: { message: string } }): void => {
    const { message, ...rest } = log as { message: string; broker?: string; error?: string; groupId?: string }
    const { broker, error, groupId } = rest
    const entry = { client: namespace, broker, error, groupId }
    // An answer of the broker that the client tries again by itself is no news; what it gives up on reaches the caller.
    if (level === logLevel.ERROR && namespace !== 'Connection') logger?.warn(entry, message)
    else logger?.debug(entry, message)
  }
}

/** The part of kafkajs's cluster that fetching without a group takes; not in its types. */
interface FetchCluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  refreshMetadataIfNecessary(): Promise<void>
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>
  findBroker(node: { readonly nodeId: string }): Promise<{
    fetch(request: object): Promise<{
      readonly responses: readonly {
        readonly partitions: readonly {
          readonly messages: readonly (KafkaMessage & { readonly isControlRecord?: boolean })[]
        }[]
      }[]
    }>
  }>
}

function connectedReader(kafka: Kafka): Promise<FetchCluster> {
  const key = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  )
  const create = key && (kafka as unknown as Record<symbol, (options: object) => FetchCluster>)[key]
  if (create === undefined) throw new Error('this kafkajs is none that log/kafka-log.ts was written for')
  return connected(create({ metadataMaxAge: 300_000, allowAutoTopicCreation: false }))
}

interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
}

let isRepaired = false

/**
 * Each connection of kafkajs 2.2.4 sets a timer to a negative time again and again, a thousand times a second and with
 * a warning on newer Nodes (tulios/kafkajs#1751). The same with a timer only where a request waits.
 */
function repairRequestQueue(): void {
  if (isRepaired) return
  isRepaired = true
  const require = createRequire(import.meta.url)
  const { prototype } = require('kafkajs/src/network/requestQueue') as {
    prototype: { scheduleCheckPendingRequests(this: RequestQueue): void }
  }
  prototype.scheduleCheckPendingRequests = function () {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null
        this.checkPendingRequests()
      },
      Math.max(10, this.throttledUntil - Date.now()),
    )
  }
}
