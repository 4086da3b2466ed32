import type { Clock } from '../core/clock.js'
import type { PayloadCipher } from '../core/crypto.js'
import { RecordError, RefusedError, RetryableError, UsageError } from '../core/errors.js'
import { messageId, type LedgerPosition } from '../core/ids.js'
import { realFileSystem, type FileSystem } from './file-system.js'
import { SegmentStore, StoreFullError } from './segment-store.js'
import type { StoredPayload } from './segment-index.js'
import type { Holds, Spool, SpooledBatch, SpooledMessage, SpoolMessage, SpoolStatistics } from './spool.js'
import { decodeSpoolFrame, encodeSpoolFrame } from './spool-frame.js'

export interface SpoolOptions {
  readonly dir: string
  /** Named in the store: the spool of a test environment is not opened as one of production. */
  readonly environment: string
  readonly clock: Clock
  readonly fileSystem?: FileSystem
  /** What was forwarded is removed when the spool is larger or the messages are older; what was not, never. */
  readonly retention: { readonly maxBytes: number; readonly maxAgeMs: number }
  /** Below this much free disk, messages are refused. */
  readonly diskReserveBytes: number
  readonly segmentBytes?: number
  /** Epochs of this spool begin above this (default 0): two spools of one feed need numbers of their own. */
  readonly epochsFrom?: number
  /** Encrypts new messages; undefined writes them plain. */
  readonly payloadCipher?: PayloadCipher
  /** Keys of older messages, by id; `payloadCipher` is known by itself. */
  readonly ciphers?: (keyId: string) => PayloadCipher | undefined
}

/**
 * Opens the spool in a folder, which no other process may hold. The epoch is that of the store; a new one begins where
 * numbering cannot go on because the folder is new or its end is damaged. @throws UsageError where the folder is in use
 * or belongs to another environment
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { maxAgeMs } = options.retention
  const store = await SegmentStore.open({
    dir: options.dir,
    fileSystem: options.fileSystem ?? realFileSystem,
    clock: options.clock,
    diskReserveBytes: options.diskReserveBytes,
    cacheBytes: 16 * 1024 * 1024,
    segmentAgeMs: Math.max(60_000, Math.min(86_400_000, maxAgeMs / 8)),
    ...(options.segmentBytes !== undefined && { segmentBytes: options.segmentBytes }),
  })
  try {
    return await StoredSpool.start(store, options)
  } catch (error) {
    await store.close()
    throw error
  }
}

const epochCell = 'epoch'
const environmentCell = 'environment'
const forwardedCell = (stream: string): string => `forwarded ${stream}`
/** 2020-01-01T00:00:00Z: epochs counted in seconds from here fit a 32-bit integer until 2088. */
const epochOrigin = 1_577_836_800_000
const retainEveryMs = 10_000
const overheadBytes = 160

interface FeedStream {
  readonly name: string
  readonly feed: string
  readonly epoch: number
  /** First number, from 0, that is not forwarded; durable up to here or further back. */
  forwarded: number
  /** Payload bytes of what is not forwarded, about. */
  bytes: number
  /** When the store took the oldest message not forwarded, ms. */
  oldestAt: number | null
  /** Forwarded ahead of others that are not yet, by first number. */
  readonly ahead: Map<number, { readonly end: number; readonly bytes: number }>
}

/** What a batch takes of one stream. */
interface Taken {
  readonly from: number
  readonly end: number
  readonly records: readonly StoredPayload[]
}

const streamName = (feed: string, epoch: number): string => `${epoch} ${feed}`

class StoredSpool implements Spool {
  private readonly streams = new Map<string, FeedStream>()
  private epoch = 0
  private stopping = false
  private readonly retainTimer: NodeJS.Timeout
  private retaining: Promise<void> | undefined
  private readonly stop = new AbortController()

  private constructor(
    private readonly store: SegmentStore,
    private readonly options: SpoolOptions,
  ) {
    this.retainTimer = setInterval(() => void this.retain(), retainEveryMs)
    this.retainTimer.unref()
  }

  static async start(store: SegmentStore, options: SpoolOptions): Promise<StoredSpool> {
    const environment = store.cells.get(environmentCell)?.toString('utf8')
    if (environment !== undefined && environment !== options.environment) {
      throw new UsageError(`${options.dir} is the spool of environment ${environment}, not of ${options.environment}`)
    }
    const spool = new StoredSpool(store, options)
    await spool.begin()
    return spool
  }

  private async begin(): Promise<void> {
    const { store } = this
    for (const name of store.streams().keys()) this.streamOf(name)
    const known = Number(store.cells.get(epochCell)?.toString('utf8') ?? 0)
    const lastEpoch = Math.max(known, ...[...this.streams.values()].map(({ epoch }) => epoch))
    if (known > 0 && store.lostAtEnd === 0) {
      this.epoch = known
    } else {
      // The lost messages may be of any feed: each one's ledger goes on by as many numbers, which no receipt will ever
      // settle, so that `reconcile` names them.
      for (const { name, epoch } of this.streams.values())
        if (epoch === lastEpoch) store.skipLost(name, store.lostAtEnd)
      const bySeconds = Math.floor((this.options.clock.now() - epochOrigin) / 1000)
      this.epoch = Math.max(lastEpoch + 1, (this.options.epochsFrom ?? 0) + bySeconds, 1)
    }
    for (const stream of this.streams.values()) await this.measure(stream)
    if (this.epoch !== known) await this.persistEpoch()
  }

  /** A disk too full for it leaves the epoch to the next start, which takes the same or a later one. */
  private async persistEpoch(): Promise<void> {
    const cells = new Map([
      [epochCell, Buffer.from(String(this.epoch))],
      [environmentCell, Buffer.from(this.options.environment)],
    ])
    try {
      await this.store.set(cells)
    } catch (error) {
      if (!(error instanceof StoreFullError)) throw error
      this.epochPending = true
    }
  }

  private epochPending = false

  private streamOf(name: string): FeedStream {
    let stream = this.streams.get(name)
    if (stream === undefined) {
      const space = name.indexOf(' ')
      const forwarded = Number(this.store.cells.get(forwardedCell(name))?.toString('utf8') ?? 0)
      stream = {
        name,
        feed: name.slice(space + 1),
        epoch: Number(name.slice(0, space)),
        forwarded,
        bytes: 0,
        oldestAt: null,
        ahead: new Map(),
      }
      this.streams.set(name, stream)
    }
    return stream
  }

  private async measure(stream: FeedStream): Promise<void> {
    const { start } = this.store.extent(stream.name)
    stream.forwarded = Math.max(stream.forwarded, start)
    stream.bytes = this.store.payloadBytesFrom(stream.name, stream.forwarded)
    stream.oldestAt = await this.receivedAt(stream.name, stream.forwarded)
  }

  private async receivedAt(name: string, number: number): Promise<number | null> {
    const [record] = await this.store.read(name, number, { recordsMax: 1, bytesMax: 1 })
    return record === undefined || record.payload === null ? null : record.appendedAt
  }

  async accept(message: SpoolMessage): Promise<LedgerPosition> {
    if (this.stopping) throw new RefusedError('stopping', 'the spool is closing')
    if (this.isFull()) {
      void this.retain()
      throw new RefusedError('disk-full', 'the spool holds as much as its retention allows, none of it forwarded')
    }
    if (this.epochPending) {
      this.epochPending = false
      await this.persistEpoch()
      if (this.epochPending) throw new RefusedError('disk-full', 'the disk of the spool is full')
    }
    const stream = this.streamOf(streamName(message.feed, this.epoch))
    const payload = encodeSpoolFrame(message, messageId(message.feed, message.content), this.options.payloadCipher)
    try {
      const [number] = await this.store.append([{ stream: stream.name, payload }])
      stream.bytes += payload.length
      stream.oldestAt ??= message.receivedAt
      return { feed: stream.feed, epoch: stream.epoch, seq: (number ?? 0) + 1 }
    } catch (error) {
      if (error instanceof StoreFullError)
        throw new RefusedError('disk-full', 'the disk of the spool is full', { cause: error })
      if (this.stopping) throw new RefusedError('stopping', 'the spool is closing', { cause: error })
      throw new RetryableError('the spool cannot be written', { cause: error })
    }
  }

  private isFull(): boolean {
    return this.store.diskBytes >= this.options.retention.maxBytes
  }

  async *unforwarded(
    signal: AbortSignal,
    options: { readonly bytesMax?: number; readonly recordsMax?: number; readonly holds?: Holds } = {},
  ): AsyncIterable<SpooledBatch> {
    const { bytesMax = 4 * 1024 * 1024, recordsMax = 1000, holds } = options
    const until = AbortSignal.any([signal, this.stop.signal])
    const next = new Map<string, number>()
    while (!until.aborted) {
      const wake = this.nextChange(until, holds)
      const batch = await this.gather(next, recordsMax, bytesMax, holds)
      if (batch === undefined) await wake
      else yield batch
    }
  }

  /** From every feed that has some, the feed with the oldest message first, each in its order. */
  private async gather(
    next: Map<string, number>,
    recordsMax: number,
    bytesMax: number,
    holds: Holds | undefined,
  ): Promise<SpooledBatch | undefined> {
    const messages: SpooledMessage[] = []
    const damaged: LedgerPosition[] = []
    const ends = new Map<FeedStream, Taken>()
    let bytes = 0
    const waiting = [...this.streams.values()].filter(
      (stream) => this.store.extent(stream.name).next > stream.forwarded && holds?.has(stream.feed) !== true,
    )
    waiting.sort((a, b) => a.epoch - b.epoch || (a.oldestAt ?? 0) - (b.oldestAt ?? 0))
    for (const stream of waiting) {
      const from = Math.max(next.get(stream.name) ?? 0, stream.forwarded)
      const room = recordsMax - messages.length - damaged.length
      if (room <= 0 || bytes >= bytesMax) break
      const records = await this.store.read(stream.name, from, { recordsMax: room, bytesMax: bytesMax - bytes })
      for (const record of records) {
        const message = this.decoded(stream, record)
        bytes += record.payload?.length ?? 0
        if (message === undefined) damaged.push(positionOf(stream, record.number))
        else messages.push(message)
      }
      const last = records.at(-1)
      if (last !== undefined) {
        ends.set(stream, { from, end: last.number + 1, records })
        next.set(stream.name, last.number + 1)
      }
    }
    if (ends.size === 0) return undefined
    const forwarded = (except: readonly LedgerPosition[] = []): Promise<void> => {
      for (const [stream, taken] of ends) {
        const end = endBefore(stream, taken, except)
        if (end === taken.end) continue
        next.delete(stream.name)
        ends.set(stream, { ...taken, end })
      }
      return this.markForwarded(ends)
    }
    return { messages, damaged, forwarded }
  }

  /** Undefined where it is lost. A payload that no key opens is not passed over: the role must be given the key. */
  private decoded(stream: FeedStream, record: StoredPayload): SpooledMessage | undefined {
    if (record.payload === null) return undefined
    return { ...this.decode(stream, record.payload), ...positionOf(stream, record.number) }
  }

  private decode(stream: FeedStream, payload: Buffer): Omit<SpooledMessage, 'epoch' | 'seq'> {
    return decodeSpoolFrame(payload, stream.feed, (keyId) => {
      const { payloadCipher, ciphers } = this.options
      return payloadCipher?.keyId === keyId ? payloadCipher : ciphers?.(keyId)
    })
  }

  /** The cursor of a feed moves over what is forwarded without a gap: batches may be forwarded in any order. */
  private async markForwarded(ends: ReadonlyMap<FeedStream, Taken>): Promise<void> {
    const cells = new Map<string, Buffer>()
    const moved: FeedStream[] = []
    for (const [stream, { from, end, records }] of ends) {
      if (end <= stream.forwarded || end <= from) continue
      const bytes = records.reduce((sum, { number, payload }) => sum + (number < end ? (payload?.length ?? 0) : 0), 0)
      stream.ahead.set(from, { end, bytes })
      const before = stream.forwarded
      for (const [start, range] of [...stream.ahead].sort(([a], [b]) => a - b)) {
        if (start > stream.forwarded) break
        stream.ahead.delete(start)
        stream.forwarded = Math.max(stream.forwarded, range.end)
        stream.bytes = Math.max(0, stream.bytes - range.bytes)
      }
      if (stream.forwarded === before) continue
      moved.push(stream)
      cells.set(forwardedCell(stream.name), Buffer.from(String(stream.forwarded)))
    }
    for (const stream of moved) {
      const empty = this.store.extent(stream.name).next <= stream.forwarded
      if (empty) stream.bytes = 0
      stream.oldestAt = empty ? null : await this.receivedAt(stream.name, stream.forwarded)
    }
    try {
      await this.store.set(cells)
    } catch (error) {
      // Not durable means only that it may be delivered again; on a full disk this must not stop the forwarding.
      if (!(error instanceof StoreFullError)) throw new RetryableError('the spool cannot be written', { cause: error })
    }
  }

  /** Resolves at the next append, or where what is held has changed. */
  private nextChange(signal: AbortSignal, holds: Holds | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        unsubscribe()
        endHolds?.()
        signal.removeEventListener('abort', done)
        resolve()
      }
      const unsubscribe = this.store.subscribe(done)
      const endHolds = holds?.subscribe(done)
      signal.addEventListener('abort', done)
      if (signal.aborted) done()
    })
  }

  watermarks(): readonly LedgerPosition[] {
    return [...this.streams.values()].flatMap((stream) => {
      const { next } = this.store.extent(stream.name)
      return next === 0 ? [] : [positionOf(stream, next - 1)]
    })
  }

  async read(position: LedgerPosition): Promise<SpooledMessage | undefined> {
    const stream = this.streams.get(streamName(position.feed, position.epoch))
    if (stream === undefined) return undefined
    const number = position.seq - 1
    const { start, next } = this.store.extent(stream.name)
    if (number < start || number >= next) return undefined
    const [record] = await this.store.read(stream.name, number, { recordsMax: 1, bytesMax: 1 })
    if (record === undefined || record.number !== number) return undefined
    const message = this.decoded(stream, record)
    if (message === undefined)
      throw new RecordError(
        'frame-unreadable',
        `spool record ${position.feed} ${position.epoch}/${position.seq} is damaged`,
      )
    return message
  }

  async *verify(): AsyncIterable<{ readonly position: LedgerPosition; readonly problem: 'missing' | 'damaged' }> {
    for (const stream of this.streams.values()) {
      const { start, next } = this.store.extent(stream.name)
      let number = start
      while (number < next) {
        const limits = { recordsMax: 1000, bytesMax: 8 * 1024 * 1024, fromDisk: true }
        const records = await this.store.read(stream.name, number, limits)
        if (records.length === 0) break // retention removed the rest meanwhile
        for (const record of records) {
          number = record.number + 1
          const problem = this.problemOf(stream, record)
          if (problem !== undefined) yield { position: positionOf(stream, record.number), problem }
        }
      }
    }
  }

  private problemOf(stream: FeedStream, record: StoredPayload): 'missing' | 'damaged' | undefined {
    if (record.payload === null) return this.store.isPlaced(stream.name, record.number) ? 'damaged' : 'missing'
    try {
      const message = this.decode(stream, record.payload)
      return messageId(stream.feed, message.content) === message.messageId ? undefined : 'damaged'
    } catch (error) {
      if (error instanceof RecordError) return error.code === 'decrypt-failed' ? undefined : 'damaged'
      throw error
    }
  }

  statistics(): SpoolStatistics {
    let depth = 0
    let depthBytes = 0
    let oldest: number | null = null
    for (const stream of this.streams.values()) {
      const waiting = this.store.extent(stream.name).next - stream.forwarded
      if (waiting <= 0) continue
      depth += waiting
      depthBytes += Math.max(0, stream.bytes - waiting * overheadBytes)
      if (stream.oldestAt !== null) oldest = Math.min(oldest ?? stream.oldestAt, stream.oldestAt)
    }
    return {
      depth,
      depthBytes,
      oldestUnforwardedAt: oldest,
      diskBytes: this.store.diskBytes,
      diskFreeBytes: this.store.freeBytes,
      accepting: !this.stopping && this.store.hasRoom && !this.isFull(),
    }
  }

  private retain(): Promise<void> {
    this.retaining ??= this.removeForwarded()
      .catch(() => undefined)
      .finally(() => {
        this.retaining = undefined
      })
    return this.retaining
  }

  private async removeForwarded(): Promise<void> {
    const { maxAgeMs, maxBytes } = this.options.retention
    const before = this.options.clock.now() - maxAgeMs
    await this.store.retain(({ lastAt, streams }) => {
      if (lastAt >= before && this.store.diskBytes < maxBytes) return false
      for (const [name, { first, count }] of streams) {
        if (count > 0 && first + count > (this.streams.get(name)?.forwarded ?? 0)) return false
      }
      return true
    })
  }

  async close(): Promise<void> {
    if (this.stopping) return
    this.stopping = true
    clearInterval(this.retainTimer)
    this.stop.abort()
    await this.retaining
    await this.store.close()
  }
}

/** The first number of a stream that is not forwarded with its batch. */
const endBefore = (stream: FeedStream, { from, end }: Taken, except: readonly LedgerPosition[]): number =>
  except
    .filter(({ feed, epoch }) => feed === stream.feed && epoch <= stream.epoch)
    .reduce((least, { epoch, seq }) => Math.min(least, epoch < stream.epoch ? from : seq - 1), end)

const positionOf = ({ feed, epoch }: FeedStream, number: number): LedgerPosition => ({ feed, epoch, seq: number + 1 })
