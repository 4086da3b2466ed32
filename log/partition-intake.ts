import { RetryableError } from '../core/errors.js'
import type { Batch, Partition, Position, StoredRecord } from './event-log.js'

export interface IntakeOptions {
  /** Cut batches at about this many records. */
  readonly recordsMax: number
  /** Cut batches at about this many bytes. */
  readonly bytesMax: number
  readonly lingerMs: number
  /** Stop fetching a partition while more than this many bytes of it wait. */
  readonly waitingBytesMax: number
  /** The group has everything before this position, unless `signal` aborts first. @throws RetryableError */
  readonly commit: (position: Position, signal: AbortSignal) => Promise<void>
  readonly pause: (partition: Partition) => void
  readonly resume: (partition: Partition) => void
}

interface Owned extends Partition {
  /** Offset of the next record to take in; a fetch from elsewhere is not ours. */
  position: bigint
  records: StoredRecord[]
  bytes: number
  /** When the first of `records` came, ms. */
  since: number
  out: OutBatch | undefined
  paused: boolean
}

/**
 * Between a client that pushes what it fetched and a loop that pulls batches: holds what waits per partition, cuts
 * batches, keeps one batch of a partition out, and withdraws everything when the partitions are taken away.
 */
export class PartitionIntake {
  private readonly owned = new Map<string, Owned>()
  /** Batches withdrawn whose bodies still run: their partition waits for them. */
  private readonly withdrawn = new Map<string, Set<OutBatch>>()
  private readonly asking: ((batch: Batch | undefined) => void)[] = []
  private timer: NodeJS.Timeout | undefined
  private ended = false
  private readonly idle: (() => void)[] = []

  constructor(private readonly options: IntakeOptions) {}

  /** The partitions that are this member's from now on, with the first offset to take in of each. */
  assign(positions: readonly Position[]): void {
    this.revoke()
    for (const { topic, partition, offset } of positions) {
      const state = {
        topic,
        partition,
        position: offset,
        records: [],
        bytes: 0,
        since: 0,
        out: undefined,
        paused: false,
      }
      this.owned.set(keyOf({ topic, partition }), state)
    }
  }

  /** Everything is taken away: what waits is forgotten, what is out is aborted. */
  revoke(): void {
    for (const [key, { out }] of this.owned) {
      if (out === undefined) continue
      const batches = this.withdrawn.get(key) ?? new Set()
      this.withdrawn.set(key, batches.add(out))
      out.withdraw()
    }
    this.owned.clear()
  }

  positionOf(partition: Partition): bigint | undefined {
    return this.owned.get(keyOf(partition))?.position
  }

  /** Nothing of the partition waits, is out or is held back: what comes next is the client's to bring. */
  isHungry(partition: Partition): boolean {
    const state = this.owned.get(keyOf(partition))
    return state !== undefined && state.records.length === 0 && state.out === undefined && !state.paused
  }

  partitions(): readonly Partition[] {
    return [...this.owned.values()].map(({ topic, partition }) => ({ topic, partition }))
  }

  /** Goes on elsewhere, where the log no longer has the records in between. */
  skipTo({ topic, partition, offset }: Position): void {
    const state = this.owned.get(keyOf({ topic, partition }))
    if (state !== undefined) state.position = offset
  }

  /**
   * Takes in what was fetched from `fetchedFrom` on; the next fetch starts at `next`. False where the partition is not
   * ours or the fetch started elsewhere: taking it would skip records or bring them out of order.
   */
  offer(partition: Partition, fetchedFrom: bigint, records: readonly StoredRecord[], next: bigint): boolean {
    const state = this.owned.get(keyOf(partition))
    if (state === undefined || state.position !== fetchedFrom) return false
    if (state.records.length === 0) state.since = Date.now()
    for (const record of records) {
      state.records.push(record)
      state.bytes += bytesOf(record)
    }
    state.position = next
    this.holdBack(state)
    this.hand()
    return true
  }

  /** The next batch, when there is one; undefined after `end`. */
  next(): Promise<Batch | undefined> {
    if (this.ended) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      this.asking.push(resolve)
      this.hand()
    })
  }

  /** No more batches are given out; those that are out stay valid. */
  end(): void {
    this.ended = true
    clearTimeout(this.timer)
    for (const resolve of this.asking.splice(0)) resolve(undefined)
  }

  /** Resolves when no batch is out. */
  settled(): Promise<void> {
    if (!this.isOut()) return Promise.resolve()
    return new Promise((resolve) => this.idle.push(resolve))
  }

  private isOut(): boolean {
    return this.withdrawn.size > 0 || [...this.owned.values()].some(({ out }) => out !== undefined)
  }

  private hand(): void {
    clearTimeout(this.timer)
    if (this.ended) return
    let dueInMs = Infinity
    for (const [key, state] of this.owned) {
      if (this.asking.length === 0) return
      if (state.out !== undefined || state.records.length === 0 || this.withdrawn.has(key)) continue
      const waitMs = this.isFull(state) ? 0 : state.since + this.options.lingerMs - Date.now()
      if (waitMs > 0) {
        dueInMs = Math.min(dueInMs, waitMs)
        continue
      }
      // to the end of the row, so that no partition starves the others
      this.owned.delete(key)
      this.owned.set(key, state)
      this.asking.shift()!(this.cut(state))
    }
    if (dueInMs < Infinity && this.asking.length > 0) this.timer = setTimeout(() => this.hand(), dueInMs)
  }

  private isFull(state: Owned): boolean {
    return state.records.length >= this.options.recordsMax || state.bytes >= this.options.bytesMax
  }

  private cut(state: Owned): Batch {
    const { recordsMax, bytesMax } = this.options
    let bytes = 0
    let count = 0
    for (const record of state.records) {
      const size = bytesOf(record)
      if (count > 0 && (count >= recordsMax || bytes + size > bytesMax)) break
      bytes += size
      count++
    }
    const records = state.records.splice(0, count)
    state.bytes -= bytes
    state.since = Date.now()
    const out = new OutBatch(state, records, this.options.commit, (handedBack) => this.settle(state, out, handedBack))
    state.out = out
    this.holdBack(state)
    return out
  }

  private settle(state: Owned, out: OutBatch, handedBack: boolean): void {
    const key = keyOf(state)
    const batches = this.withdrawn.get(key)
    if (batches?.delete(out) === true && batches.size === 0) this.withdrawn.delete(key)
    if (state.out === out) {
      state.out = undefined
      if (handedBack) {
        state.records.unshift(...out.records)
        for (const record of out.records) state.bytes += bytesOf(record)
        state.since = 0
      }
    }
    this.hand()
    if (!this.isOut()) for (const resolve of this.idle.splice(0)) resolve()
  }

  private holdBack(state: Owned): void {
    const { waitingBytesMax, recordsMax } = this.options
    const isTooMuch = state.bytes >= waitingBytesMax || state.records.length >= 4 * recordsMax
    const isLittle = state.bytes < waitingBytesMax / 2 && state.records.length < 2 * recordsMax
    if (isTooMuch && !state.paused) {
      state.paused = true
      this.options.pause(state)
    } else if (isLittle && state.paused) {
      state.paused = false
      this.options.resume(state)
    }
  }
}

class OutBatch implements Batch {
  readonly partition: Partition
  private readonly withdrawal = new AbortController()
  readonly signal = this.withdrawal.signal
  private state: 'out' | 'committed' | 'released' = 'out'

  constructor(
    { topic, partition }: Partition,
    readonly records: readonly StoredRecord[],
    private readonly commitTo: (position: Position, signal: AbortSignal) => Promise<void>,
    private readonly settled: (handedBack: boolean) => void,
  ) {
    this.partition = { topic, partition }
  }

  withdraw(): void {
    this.withdrawal.abort()
  }

  async commit(): Promise<void> {
    if (this.state === 'committed') return
    if (this.state === 'released') throw this.lost('was handed back')
    if (this.signal.aborted) {
      this.settle('released')
      throw this.lost('was taken away')
    }
    const last = this.records[this.records.length - 1]!
    try {
      await this.commitTo({ ...this.partition, offset: last.offset + 1n }, this.signal)
    } catch (error) {
      if (this.signal.aborted) this.settle('released')
      throw error
    }
    this.settle('committed')
  }

  async release(): Promise<void> {
    if (this.state === 'out') this.settle('released')
  }

  private settle(state: 'committed' | 'released'): void {
    if (this.state !== 'out') return
    this.state = state
    this.settled(state === 'released')
  }

  private lost(how: string): RetryableError {
    return new RetryableError(`${this.partition.topic}/${this.partition.partition} ${how}: its records come again`)
  }
}

const keyOf = ({ topic, partition }: Partition): string => `${topic}/${partition}`

const bytesOf = (record: StoredRecord): number => record.value.length + record.key.length
