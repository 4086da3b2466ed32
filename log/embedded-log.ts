import { systemClock, type Clock } from '../core/clock.js'
import { RetryableError } from '../core/errors.js'
import { assign, partitionId } from './consumer-group.js'
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
import { realFileSystem, type FileSystem } from './file-system.js'
import { decodeLogRecord, encodeLogRecord } from './log-record.js'
import { partitionOf } from './murmur2.js'
import { SegmentStore, StoreFullError } from './segment-store.js'
import type { Topic } from './topics.js'

export interface EmbeddedLogOptions {
  readonly dir: string
  readonly clock?: Clock
  readonly fileSystem?: FileSystem
  readonly segmentBytes?: number
  /** Appends are held off while less than this is free on the disk (default 256 MiB). */
  readonly diskReserveBytes?: number
  /** Older records, or the oldest of a larger log, are removed, consumed or not (default: nothing is removed). */
  readonly retention?: { readonly maxBytes?: number; readonly maxAgeMs?: number }
  /** The newest records kept in memory for consumers (default 32 MiB). */
  readonly cacheBytes?: number
  /** False for tests and demonstrations only: nothing is flushed, a power cut loses what was appended (default true). */
  readonly durable?: boolean
  /** Told of records that were durable and cannot be read any more: consumers pass them by, for nothing brings them back. */
  readonly onDamage?: (position: Position) => void
}

/**
 * The event log of one process, in a folder that no other process may hold: partitions chosen as Kafka does, groups
 * within the process. @throws UsageError where the folder is in use
 */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EventLog> {
  const { retention, clock = systemClock } = options
  const maxAgeMs = retention?.maxAgeMs
  const store = await SegmentStore.open({
    dir: options.dir,
    fileSystem: options.fileSystem ?? realFileSystem,
    clock,
    diskReserveBytes: options.diskReserveBytes ?? 256 * 1024 * 1024,
    cacheBytes: options.cacheBytes ?? 32 * 1024 * 1024,
    durable: options.durable ?? true,
    ...(options.segmentBytes !== undefined && { segmentBytes: options.segmentBytes }),
    ...(maxAgeMs !== undefined && { segmentAgeMs: Math.max(60_000, maxAgeMs / 8) }),
  })
  // Offsets of records that are lost at the end are never given again: where they may have been, the partition skips them.
  if (store.lostAtEnd > 0) for (const name of store.streams().keys()) store.skipLost(name, store.lostAtEnd)
  return new EmbeddedLog(store, options, clock)
}

const topicCell = (topic: Topic): string => `topic ${topic}`
const commitCell = (group: string, partition: Partition): string => `commit ${group}\x1f${partitionId(partition)}`
const retainEveryMs = 10_000

interface Out {
  readonly abort: AbortController
}

/** A partition in the hands of a member. */
interface Owned {
  readonly partition: Partition
  /** Offset of the next record to deliver. */
  next: number
  out: Out | undefined
  /** When the first record now waiting was seen, ms. */
  waitingSince: number | undefined
}

interface Member {
  readonly topics: readonly Topic[]
  readonly owned: Map<string, Owned>
  leaving: boolean
}

interface Group {
  readonly members: Member[]
  owners: Map<string, Member>
}

class EmbeddedLog implements EventLog {
  private readonly topics = new Map<Topic, number>()
  private readonly groups = new Map<string, Group>()
  private readonly waiting = new Set<() => void>()
  private readonly retainTimer: NodeJS.Timeout | undefined
  private retaining = false
  private closed = false

  constructor(
    private readonly store: SegmentStore,
    private readonly options: EmbeddedLogOptions,
    private readonly clock: Clock,
  ) {
    for (const [name, value] of store.cells)
      if (name.startsWith('topic ')) this.topics.set(name.slice('topic '.length), Number(value.toString('utf8')))
    store.subscribe(() => this.wake())
    if (options.retention !== undefined) {
      this.retainTimer = setInterval(() => void this.retain(), retainEveryMs)
      this.retainTimer.unref()
    }
  }

  private wake(): void {
    for (const resume of [...this.waiting]) resume()
  }

  private async guarded<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      if (error instanceof RangeError) throw error
      const full = error instanceof StoreFullError
      throw new RetryableError(full ? 'the disk of the event log is full' : 'the event log cannot be written', {
        cause: error,
      })
    }
  }

  private assertOpen(): void {
    if (this.closed) throw new RetryableError('the event log is closed')
  }

  async ensureTopics(topics: readonly Topic[], partitions: number): Promise<void> {
    this.assertOpen()
    const missing = topics.filter((topic) => !this.topics.has(topic))
    if (missing.length === 0) return
    await this.guarded(
      this.store.set(new Map(missing.map((topic) => [topicCell(topic), Buffer.from(String(partitions))]))),
    )
    for (const topic of missing) this.topics.set(topic, partitions)
    for (const [name, group] of this.groups)
      if (group.members.some((member) => member.topics.some((topic) => missing.includes(topic)))) this.rebalance(name)
  }

  private partitionsOf(topic: Topic): Partition[] {
    return Array.from({ length: this.topics.get(topic) ?? 0 }, (_, partition) => ({ topic, partition }))
  }

  private partitionCount(topic: Topic): number {
    const count = this.topics.get(topic)
    if (count === undefined) throw new Error(`topic ${topic} was never made (ensureTopics)`)
    return count
  }

  async append(topic: Topic, records: readonly LogRecord[]): Promise<void> {
    this.assertOpen()
    const partitions = this.partitionCount(topic)
    if (records.length === 0) return
    const entries = records.map((record) => ({
      stream: partitionId({ topic, partition: partitionOf(record.key, partitions) }),
      payload: encodeLogRecord(record),
    }))
    await this.guarded(this.store.append(entries))
  }

  async *consume(
    topics: readonly Topic[],
    group: string,
    signal: AbortSignal,
    options: ConsumeOptions = {},
  ): AsyncIterable<Batch> {
    if (this.closed || signal.aborted) return
    const member: Member = { topics, owned: new Map(), leaving: false }
    this.join(group, member)
    const onAbort = (): void => this.windDown(group, member)
    signal.addEventListener('abort', onAbort)
    try {
      while (!this.closed && !signal.aborted) {
        const turn = this.nextChange()
        const found = await this.nextBatch(group, member, options)
        if (typeof found === 'object') {
          turn.cancel()
          yield found
        } else await turn.wait(found)
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.leave(group, member)
    }
  }

  /** Resolves when something changed since it was made, or after `ms`. */
  private nextChange(): { wait(ms: number | undefined): Promise<void>; cancel(): void } {
    let changed = false
    let resume: (() => void) | undefined
    const listener = (): void => {
      changed = true
      resume?.()
    }
    this.waiting.add(listener)
    const cancel = (): boolean => this.waiting.delete(listener)
    return {
      cancel,
      async wait(ms) {
        let timer: NodeJS.Timeout | undefined
        await new Promise<void>((resolve) => {
          if (changed) return resolve()
          resume = resolve
          if (ms !== undefined) timer = setTimeout(resolve, ms)
        })
        clearTimeout(timer)
        cancel()
      },
    }
  }

  /** A batch, or in how many ms one that lingers is due; undefined where nothing waits. */
  private async nextBatch(group: string, member: Member, options: ConsumeOptions): Promise<Batch | number | undefined> {
    const { recordsMax = 1000, bytesMax = 8 * 1024 * 1024, lingerMs = 20 } = options
    let due: number | undefined
    for (const owned of [...member.owned.values()]) {
      if (owned.out !== undefined || member.leaving) continue
      const name = partitionId(owned.partition)
      const { next } = this.store.extent(name)
      if (next <= owned.next) continue
      const now = this.clock.now()
      owned.waitingSince ??= now
      const left = owned.waitingSince + lingerMs - now
      const enough = next - owned.next >= recordsMax || this.store.payloadBytesFrom(name, owned.next) >= bytesMax
      if (left > 0 && !enough) {
        due = Math.min(due ?? left, left)
        continue
      }
      const batch = await this.take(group, member, owned, recordsMax, bytesMax)
      if (batch !== undefined) return batch
    }
    return due
  }

  private async take(
    group: string,
    member: Member,
    owned: Owned,
    recordsMax: number,
    bytesMax: number,
  ): Promise<Batch | undefined> {
    const { partition } = owned
    const from = owned.next
    const out: Out = { abort: new AbortController() }
    owned.out = out
    const { records, end } = await this.records(partition, from, recordsMax, bytesMax).catch((error: unknown) => {
      if (owned.out === out) owned.out = undefined
      throw error
    })
    if (out.abort.signal.aborted || owned.out !== out) return undefined
    owned.waitingSince = undefined
    if (records.length === 0) {
      // Nothing but what is lost, or what retention removed: go on behind it.
      owned.out = undefined
      owned.next = Math.max(end, from)
      return undefined
    }
    // Who was served goes to the end of the round.
    member.owned.delete(partitionId(partition))
    member.owned.set(partitionId(partition), owned)
    const settle = (next: number): void => {
      owned.out = undefined
      owned.next = next
      if (member.leaving) this.giveBackIdle(group, member)
      this.wake()
    }
    const held = (): boolean => !this.closed && owned.out === out && !out.abort.signal.aborted
    return {
      partition,
      records,
      signal: out.abort.signal,
      commit: async () => {
        if (!held()) throw new RetryableError(`${partitionId(partition)} was taken away from this consumer`)
        await this.guarded(this.store.set(new Map([[commitCell(group, partition), Buffer.from(String(end))]])))
        if (held()) settle(end)
      },
      release: async () => {
        if (held()) settle(from)
      },
    }
  }

  private async records(
    partition: Partition,
    from: number,
    recordsMax: number,
    bytesMax: number,
  ): Promise<{ readonly records: StoredRecord[]; readonly end: number }> {
    const name = partitionId(partition)
    const stored = await this.store.read(name, from, { recordsMax, bytesMax })
    const records: StoredRecord[] = []
    let end = Math.max(from, this.store.extent(name).start)
    for (const { number, appendedAt, payload } of stored) {
      end = number + 1
      const place = { ...partition, offset: BigInt(number) }
      if (payload === null) this.options.onDamage?.(place)
      else records.push({ ...decodeLogRecord(payload), ...place, appendedAt })
    }
    return { records, end }
  }

  private join(name: string, member: Member): void {
    let group = this.groups.get(name)
    if (group === undefined) this.groups.set(name, (group = { members: [], owners: new Map() }))
    group.members.push(member)
    this.rebalance(name)
  }

  /** Told to stop: what is not in its hands goes to the others at once, what is may still be committed. */
  private windDown(name: string, member: Member): void {
    member.leaving = true
    this.giveBackIdle(name, member)
    this.wake()
  }

  private giveBackIdle(name: string, member: Member): void {
    const group = this.groups.get(name)
    if (group === undefined) return
    for (const [id, owned] of [...member.owned]) {
      if (owned.out !== undefined) continue
      member.owned.delete(id)
      group.owners.delete(id)
    }
    this.rebalance(name)
  }

  private leave(name: string, member: Member): void {
    const group = this.groups.get(name)
    if (group === undefined) return
    const at = group.members.indexOf(member)
    if (at === -1) return
    group.members.splice(at, 1)
    for (const [id, owned] of member.owned) {
      owned.out?.abort.abort()
      group.owners.delete(id)
    }
    member.owned.clear()
    if (group.members.length === 0) this.groups.delete(name)
    else this.rebalance(name)
  }

  private rebalance(name: string): void {
    const group = this.groups.get(name)
    if (group === undefined) return
    const topics = new Set(group.members.flatMap((member) => member.topics))
    // A member that is winding down keeps what it holds until it has settled it.
    const kept = new Set<string>()
    for (const member of group.members) if (member.leaving) for (const id of member.owned.keys()) kept.add(id)
    const partitions = [...topics]
      .flatMap((topic) => this.partitionsOf(topic))
      .filter((one) => !kept.has(partitionId(one)))
    const staying = group.members.filter((member) => !member.leaving)
    const owners = assign(partitions, staying, group.owners)
    for (const partition of partitions) {
      const id = partitionId(partition)
      const before = group.owners.get(id)
      const after = owners.get(id)
      if (before === after) continue
      before?.owned.get(id)?.out?.abort.abort()
      before?.owned.delete(id)
      after?.owned.set(id, { partition, next: this.startOf(name, partition), out: undefined, waitingSince: undefined })
    }
    for (const id of kept) {
      const owner = group.owners.get(id)
      if (owner !== undefined) owners.set(id, owner)
    }
    group.owners = owners
    this.wake()
  }

  private committed(group: string, partition: Partition): number | undefined {
    const value = this.store.cells.get(commitCell(group, partition))
    return value === undefined ? undefined : Number(value.toString('utf8'))
  }

  private startOf(group: string, partition: Partition): number {
    const { start } = this.store.extent(partitionId(partition))
    return Math.max(this.committed(group, partition) ?? 0, start)
  }

  async *read(topic: Topic, from?: readonly Position[], to?: readonly Position[]): AsyncIterable<StoredRecord> {
    const ranges = this.partitionsOf(topic).map((partition) => {
      const { start, next } = this.store.extent(partitionId(partition))
      const asked = (positions: readonly Position[] | undefined): number | undefined => {
        const position = positions?.find((one) => one.topic === topic && one.partition === partition.partition)
        return position === undefined ? undefined : Number(position.offset)
      }
      return { partition, from: Math.max(asked(from) ?? start, start), to: Math.min(asked(to) ?? next, next) }
    })
    for (const range of ranges) {
      let next = range.from
      while (next < range.to) {
        const { records, end } = await this.records(
          range.partition,
          next,
          Math.min(1000, range.to - next),
          4 * 1024 * 1024,
        )
        if (end <= next) break
        yield* records.filter(({ offset }) => offset < BigInt(range.to))
        next = end
      }
    }
  }

  async positions(group: string, topics: readonly Topic[]): Promise<readonly GroupPosition[]> {
    this.assertOpen()
    return topics.flatMap((topic) =>
      this.partitionsOf(topic).map((partition) => {
        const { start, next } = this.store.extent(partitionId(partition))
        const committed = this.committed(group, partition)
        return {
          ...partition,
          committed: committed === undefined ? null : BigInt(committed),
          start: BigInt(start),
          end: BigInt(next),
          lag: BigInt(Math.max(0, next - Math.max(committed ?? 0, start))),
        }
      }),
    )
  }

  private async retain(): Promise<void> {
    if (this.retaining) return
    this.retaining = true
    const { maxBytes = Number.POSITIVE_INFINITY, maxAgeMs = Number.POSITIVE_INFINITY } = this.options.retention ?? {}
    const before = this.clock.now() - maxAgeMs
    try {
      await this.store.retain(({ lastAt }) => lastAt < before || this.store.diskBytes > maxBytes)
    } catch {
      // Tried again at the next turn.
    } finally {
      this.retaining = false
    }
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    clearInterval(this.retainTimer)
    for (const group of this.groups.values())
      for (const member of group.members) for (const owned of member.owned.values()) owned.out?.abort.abort()
    this.wake()
    await this.store.close()
  }
}
