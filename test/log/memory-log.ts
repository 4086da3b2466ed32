import { RetryableError } from '../../core/errors.js'
import type {
  Batch,
  ConsumeOptions,
  EventLog,
  GroupPosition,
  LogRecord,
  Partition,
  Position,
  StoredRecord,
} from '../../log/event-log.js'
import { partitionOf } from '../../log/murmur2.js'

/** Ways in which this log breaks the contract on purpose; each must be caught by the contract suite. */
export const faults = [
  'reverses-records-of-an-append',
  'spreads-a-key-over-partitions',
  'other-partitioner',
  'drops-headers',
  'drops-empty-values',
  'truncates-large-records',
  'ignores-batch-cuts',
  'forgets-commits',
  'forgets-commits-when-opened-again',
  'forgets-records-when-opened-again',
  'ensure-changes-partitions',
  'commits-when-it-yields',
  'redelivers-nothing-after-leaving',
  'release-skips',
  'release-goes-to-the-end-of-the-queue',
  'groups-share-commits',
  'new-group-starts-at-the-end',
  'two-batches-of-a-partition-at-once',
  'one-batch-out-over-all-partitions',
  'first-member-keeps-all',
  'every-member-gets-all',
  'partitions-of-who-left-are-orphaned',
  'rebalance-goes-back-to-the-start',
  'revocation-is-silent',
  'late-commit-succeeds',
  'late-commit-fails-otherwise',
  'lag-counts-what-was-read',
  'lag-ignores-what-was-never-committed',
  'read-includes-to',
  'read-skips-from',
  'read-follows-the-end',
  'read-commits',
  'append-resolves-before-visible',
  'append-shows-last-records-first',
  'only-first-topic-is-consumed',
  'empty-topic-yields-empty-batch',
  'empty-topic-ends-the-loop',
  'abort-is-ignored',
  'commit-after-abort-lies',
  'close-leaves-loops-waiting',
  'commit-after-close-succeeds',
] as const
export type Fault = (typeof faults)[number]

/** What outlives a MemoryLog. */
export class MemoryBroker {
  readonly topics = new Map<string, StoredRecord[][]>()
  readonly commits = new Map<string, bigint>()
}

interface Member {
  readonly group: string
  readonly topics: readonly string[]
  readonly owned: Map<string, Owned>
}

/** A partition in the hands of a member. */
interface Owned {
  readonly partition: Partition
  next: bigint
  out: { readonly abort: AbortController } | undefined
  /** Where a faulty release goes back to once the batch after it has ended. */
  behind?: bigint | undefined
}

const id = (one: Partition): string => `${one.topic}/${one.partition}`

/** A small event log in memory: the suite's own proof, right without faults and wrong in one way with each. */
export class MemoryLog implements EventLog {
  private readonly members: Member[] = []
  private readonly closing = new AbortController()
  private waiting: (() => void)[] = []

  constructor(
    private readonly broker: MemoryBroker,
    private readonly fault?: Fault,
  ) {}

  private wake(): void {
    const waiting = this.waiting
    this.waiting = []
    for (const resume of waiting) resume()
  }

  private sleep(ms = 1000): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.waiting.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  private partitions(topic: string): StoredRecord[][] {
    const found = this.broker.topics.get(topic)
    if (found === undefined) throw new Error(`no topic ${topic}`)
    return found
  }

  private commitKey(group: string, partition: Partition): string {
    return this.fault === 'groups-share-commits' ? id(partition) : `${group} ${id(partition)}`
  }

  private isOpen(): void {
    if (this.closing.signal.aborted) throw new RetryableError('the log is closed')
  }

  async ensureTopics(topics: readonly string[], partitions: number): Promise<void> {
    this.isOpen()
    for (const topic of topics) {
      if (this.broker.topics.has(topic) && this.fault !== 'ensure-changes-partitions') continue
      const kept = this.broker.topics.get(topic) ?? []
      this.broker.topics.set(
        topic,
        Array.from({ length: partitions }, (_, at) => kept[at] ?? []),
      )
    }
  }

  async append(topic: string, records: readonly LogRecord[]): Promise<void> {
    this.isOpen()
    const partitions = this.partitions(topic)
    let turn = 0
    const place = (record: LogRecord): number => {
      if (this.fault === 'spreads-a-key-over-partitions') return turn++ % partitions.length
      if (this.fault === 'other-partitioner')
        return (record.key.charCodeAt(record.key.length - 1) * 7) % partitions.length
      return partitionOf(record.key, partitions.length)
    }
    const ordered = this.fault === 'reverses-records-of-an-append' ? [...records].reverse() : records
    const write = (): void => {
      for (const record of ordered) {
        if (this.fault === 'drops-empty-values' && record.value.length === 0) continue
        const partition = place(record)
        const list = partitions[partition] as StoredRecord[]
        const value =
          this.fault === 'truncates-large-records'
            ? Buffer.from(record.value.subarray(0, 65_536))
            : Buffer.from(record.value)
        const headers = this.fault === 'drops-headers' ? {} : (record.headers ?? {})
        list.push({
          key: record.key,
          value,
          headers,
          topic,
          partition,
          offset: BigInt(list.length),
          appendedAt: Date.now(),
        })
      }
      this.wake()
    }
    if (this.fault === 'append-resolves-before-visible') {
      setTimeout(write, 5)
      return
    }
    if (this.fault === 'append-shows-last-records-first') {
      const before = partitions.map((list) => list.length)
      write()
      const tails = partitions.map((list, at) => list.splice(before[at] ?? 0))
      for (const [at, tail] of tails.entries()) partitions[at]?.push(...tail.slice(-1))
      await new Promise((resolve) => setImmediate(resolve))
      for (const [at, tail] of tails.entries()) {
        partitions[at]?.pop()
        partitions[at]?.push(...tail)
      }
      return
    }
    write()
  }

  async *consume(
    topics: readonly string[],
    group: string,
    signal: AbortSignal,
    options: ConsumeOptions = {},
  ): AsyncIterable<Batch> {
    if (this.closing.signal.aborted) return
    const subscribed = this.fault === 'only-first-topic-is-consumed' ? topics.slice(0, 1) : topics
    const member: Member = { group, topics: subscribed, owned: new Map() }
    this.members.push(member)
    this.rebalance(group)
    const wake = (): void => this.wake()
    signal.addEventListener('abort', wake)
    const stopped = (): boolean => {
      if (this.closing.signal.aborted) return this.fault !== 'close-leaves-loops-waiting'
      return signal.aborted && this.fault !== 'abort-is-ignored'
    }
    let emptyOnes = 0
    try {
      while (!stopped()) {
        await new Promise((resolve) => setImmediate(resolve))
        const batch = this.next(member, options)
        if (batch !== undefined) yield batch
        else if (this.fault === 'empty-topic-ends-the-loop' && this.isEmpty(subscribed)) return
        else if (this.fault === 'empty-topic-yields-empty-batch' && emptyOnes++ === 0) yield this.emptyBatch(subscribed)
        else await this.sleep()
      }
    } finally {
      signal.removeEventListener('abort', wake)
      if (this.fault !== 'partitions-of-who-left-are-orphaned') {
        for (const owned of member.owned.values()) this.revoke(member, owned, true)
        this.members.splice(this.members.indexOf(member), 1)
        this.rebalance(group)
      }
    }
  }

  private isEmpty(topics: readonly string[]): boolean {
    return topics.every((topic) => this.partitions(topic).every((list) => list.length === 0))
  }

  private emptyBatch(topics: readonly string[]): Batch {
    const partition = { topic: topics[0] as string, partition: 0 }
    const nothing = async (): Promise<void> => undefined
    return { partition, records: [], signal: new AbortController().signal, commit: nothing, release: nothing }
  }

  private next(member: Member, options: ConsumeOptions): Batch | undefined {
    const owned = [...member.owned.values()]
    if (this.fault === 'one-batch-out-over-all-partitions' && owned.some((one) => one.out !== undefined))
      return undefined
    for (const one of owned) {
      if (one.out !== undefined && this.fault !== 'two-batches-of-a-partition-at-once') continue
      const list = this.partitions(one.partition.topic)[one.partition.partition] ?? []
      const records: StoredRecord[] = []
      let bytes = 0
      for (const record of list.slice(Number(one.next))) {
        const cut =
          records.length >= (options.recordsMax ?? 1000) || bytes + record.value.length > (options.bytesMax ?? 8e6)
        if (cut && records.length > 0 && this.fault !== 'ignores-batch-cuts') break
        records.push(record)
        bytes += record.value.length
      }
      if (records.length === 0) continue
      member.owned.delete(id(one.partition))
      member.owned.set(id(one.partition), one)
      return this.batch(member, one, records)
    }
    return undefined
  }

  private batch(member: Member, owned: Owned, records: readonly StoredRecord[]): Batch {
    const { partition } = owned
    const abort = new AbortController()
    const out = { abort }
    owned.out = out
    const first = records[0]?.offset ?? 0n
    const end = (records.at(-1)?.offset ?? -1n) + 1n
    const key = this.commitKey(member.group, partition)
    owned.next = end
    if (this.fault === 'commits-when-it-yields') this.broker.commits.set(key, end)
    const settle = (next: bigint): boolean => {
      const lost = abort.signal.aborted || owned.out !== out || member.owned.get(id(partition)) !== owned
      if (lost && this.fault !== 'two-batches-of-a-partition-at-once') return false
      owned.out = undefined
      owned.next = owned.behind ?? next
      owned.behind = undefined
      this.wake()
      return true
    }
    return {
      partition,
      records,
      signal: abort.signal,
      commit: async () => {
        const closed = this.closing.signal.aborted
        if (!settle(end) || closed) {
          if (this.fault === 'late-commit-succeeds' || (closed && this.fault === 'commit-after-close-succeeds')) {
            this.broker.commits.set(key, end)
            return
          }
          if (this.fault === 'late-commit-fails-otherwise') throw new Error('not owned')
          throw new RetryableError(`${id(partition)} was taken away`)
        }
        if (this.fault === 'forgets-commits') return
        const stopping = this.fault === 'commit-after-abort-lies' && records.length < 5 && end < 5n
        if (!stopping) this.broker.commits.set(key, end)
      },
      release: async () => {
        if (this.fault === 'release-skips') settle(end)
        else if (this.fault === 'release-goes-to-the-end-of-the-queue') {
          const list = this.partitions(partition.topic)[partition.partition] ?? []
          if (Number(end) >= list.length) settle(first)
          else if (settle(end)) owned.behind = first
        } else settle(first)
      },
    }
  }

  private revoke(member: Member, owned: Owned, leaving: boolean): void {
    member.owned.delete(id(owned.partition))
    if (this.fault !== 'revocation-is-silent') owned.out?.abort.abort()
    if (leaving && this.fault === 'redelivers-nothing-after-leaving') {
      this.broker.commits.set(this.commitKey(member.group, owned.partition), owned.next)
    }
  }

  private rebalance(group: string): void {
    const members = this.members.filter((member) => member.group === group)
    if (members.length === 0) return
    for (const topic of new Set(members.flatMap((member) => member.topics))) {
      const able = members.filter((member) => member.topics.includes(topic))
      for (const [partition] of this.partitions(topic).entries()) {
        const place: Partition = { topic, partition }
        const owner = this.fault === 'first-member-keeps-all' ? able[0] : able[partition % able.length]
        for (const member of able) {
          const owned = member.owned.get(id(place))
          const owns = member === owner || this.fault === 'every-member-gets-all'
          if (owned !== undefined && !owns) this.revoke(member, owned, false)
        }
        for (const member of able) {
          const owns = member === owner || this.fault === 'every-member-gets-all'
          if (owns && !member.owned.has(id(place))) {
            member.owned.set(id(place), {
              partition: place,
              next: this.startOf(group, place, able.length),
              out: undefined,
            })
          }
        }
      }
    }
    this.wake()
  }

  private startOf(group: string, partition: Partition, members: number): bigint {
    if (this.fault === 'rebalance-goes-back-to-the-start' && members > 1) return 0n
    const committed = this.broker.commits.get(this.commitKey(group, partition))
    if (committed !== undefined) return committed
    const end = this.partitions(partition.topic)[partition.partition]?.length ?? 0
    return this.fault === 'new-group-starts-at-the-end' ? BigInt(end) : 0n
  }

  async *read(topic: string, from: readonly Position[] = [], to?: readonly Position[]): AsyncIterable<StoredRecord> {
    const ends = this.partitions(topic).map((list) => list.length)
    for (const [partition, list] of this.partitions(topic).entries()) {
      const of = (positions: readonly Position[]): Position | undefined =>
        positions.find((position) => position.topic === topic && position.partition === partition)
      const first =
        Number(of(from)?.offset ?? 0n) + (this.fault === 'read-skips-from' && of(from) !== undefined ? 1 : 0)
      const asked = to === undefined ? undefined : of(to)
      const extra = this.fault === 'read-includes-to' && asked !== undefined ? 1 : 0
      const last = Number(asked?.offset ?? ends[partition]) + extra
      for (
        let at = first;
        at < (this.fault === 'read-follows-the-end' && to === undefined ? list.length : last);
        at++
      ) {
        const record = list[at]
        if (record !== undefined) yield record
      }
      if (this.fault === 'read-commits') {
        for (const member of ['read'])
          this.broker.commits.set(this.commitKey(member, { topic, partition }), BigInt(last))
      }
    }
  }

  async positions(group: string, topics: readonly string[]): Promise<readonly GroupPosition[]> {
    this.isOpen()
    return topics.flatMap((topic) =>
      this.partitions(topic).map((list, partition) => {
        const place = { topic, partition }
        const end = BigInt(list.length)
        const committed =
          this.broker.commits.get(this.commitKey(group, place)) ??
          (this.fault === 'read-commits' ? this.broker.commits.get(this.commitKey('read', place)) : undefined) ??
          null
        let from = committed ?? 0n
        if (this.fault === 'lag-counts-what-was-read') {
          for (const member of this.members) from = member.owned.get(id(place))?.next ?? from
        }
        const unknown = this.fault === 'lag-ignores-what-was-never-committed' && committed === null
        return { topic, partition, committed, start: 0n, end, lag: unknown ? 0n : end - from }
      }),
    )
  }

  async close(): Promise<void> {
    if (this.fault === 'forgets-commits-when-opened-again') this.broker.commits.clear()
    if (this.fault === 'forgets-records-when-opened-again') {
      for (const list of this.broker.topics.values()) for (const partition of list) partition.length = 0
    }
    this.closing.abort()
    for (const member of this.members) for (const owned of member.owned.values()) owned.out?.abort.abort()
    this.wake()
  }
}
