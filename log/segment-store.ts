import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Clock } from '../core/clock.js'
import { writeFully, type FileSystem } from './file-system.js'
import type { FolderLock } from './folder-lock.js'
import { encodeNewest, newestName, recoverFolder, segmentName } from './segment-recovery.js'
import { Segment } from './segment.js'
import type { StoredPayload } from './segment-index.js'
import {
  dataStart,
  decodeCell,
  encodeCell,
  encodeFrame,
  encodeHeader,
  frameHeaderBytes,
  frameKinds,
  paddedFrameBytes,
  payloadBytesMax,
  seedOf,
  type FrameKind,
} from './segment-format.js'
import { TailCache } from './tail-cache.js'

export interface SegmentStoreOptions {
  readonly dir: string
  readonly fileSystem: FileSystem
  readonly clock: Clock
  /** A segment is sealed once it is this large (default 64 MiB). */
  readonly segmentBytes?: number
  /** A segment that holds records is sealed at this age (default: never), so that retention by age can remove it. */
  readonly segmentAgeMs?: number
  /** Records are refused while less than this is free on the disk (default 0); cells still pass. */
  readonly diskReserveBytes?: number
  /** How far ahead of the tail the file is filled with zeros (default 8 MiB; 0 turns it off). */
  readonly preallocateBytes?: number
  /** Payload bytes of the newest records kept in memory for readers (default 32 MiB). */
  readonly cacheBytes?: number
  /** An idle store proves its last group durable after this (default 50 ms). */
  readonly markAfterMs?: number
  /** Without it nothing survives a power cut: only for demonstrations and tests (default true). */
  readonly durable?: boolean
}

/** The disk has no room for more records now. */
export class StoreFullError extends Error {
  override readonly name = 'StoreFullError'
}

/** The store cannot take anything now: it is closed, lost its folder, or its disk fails. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError'
}

interface Entry {
  readonly kind: FrameKind
  readonly name: string
  readonly payload: Buffer
}

interface Pending {
  readonly entries: readonly Entry[]
  readonly bytes: number
  readonly resolve: (firstNumbers: readonly number[]) => void
  readonly reject: (error: Error) => void
}

interface Stream {
  readonly id: number
  next: number
}

const groupBytesMax = 8 * 1024 * 1024
/** Zeros ahead halve the wait of small groups (measured: 1.5× at one writer) and the bandwidth of large ones. */
const preallocateBelowBytes = 64 * 1024
const spaceCheckEveryMs = 1_000
const retryWhenFullMs = 200

/**
 * Append-only streams of records in one sequence of segment files, flushed in groups: while one flush runs the next
 * group gathers. What `append` resolved for survives kill -9 and a power cut; after a failed flush the group is written
 * again to a new segment, never acknowledged by a second try of the same flush.
 */
export class SegmentStore {
  private readonly streamsByName = new Map<string, Stream>()
  private readonly cellsByName = new Map<string, Buffer>()
  private readonly segments: Segment[] = []
  private readonly cache: TailCache
  private readonly listeners = new Set<() => void>()
  private active: Segment | undefined
  private sequence = 0
  private segmentNumber = 0
  private queue: Pending[] = []
  private queuedBytes = 0
  private flushing: Promise<void> | undefined
  private markTimer: NodeJS.Timeout | undefined
  private markDue = false
  private rollDue = false
  private closed = false
  private broken: Error | undefined
  private free = Number.POSITIVE_INFINITY
  private freeCheckedAt = Number.NEGATIVE_INFINITY
  private fullUntil = Number.NEGATIVE_INFINITY
  private uncertain = 0

  private constructor(
    private readonly options: SegmentStoreOptions,
    private readonly lock: FolderLock,
  ) {
    this.cache = new TailCache(options.cacheBytes ?? 32 * 1024 * 1024)
    lock.lost.addEventListener('abort', () => {
      this.broken = new StoreUnavailableError(`${options.dir} was taken over by another process`)
    })
  }

  /** Takes the folder, finds the durable end and reports what is damaged. @throws UsageError where another process holds it */
  static async open(options: SegmentStoreOptions): Promise<SegmentStore> {
    const { dir, fileSystem } = options
    await fileSystem.makeFolder(dir)
    const lock = await fileSystem.lock(dir)
    try {
      const store = new SegmentStore(options, lock)
      await store.recover()
      return store
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  private async recover(): Promise<void> {
    const { dir, fileSystem } = this.options
    const found = await recoverFolder(dir, fileSystem)
    this.segments.push(...found.segments)
    for (const [name, next] of found.streams) this.streamsByName.set(name, { id: this.streamsByName.size + 1, next })
    for (const [name, value] of found.cells) this.cellsByName.set(name, value)
    this.sequence = found.nextSequence
    this.segmentNumber = found.lastNumber
    this.uncertain = found.uncertain
    await this.checkSpace()
  }

  /** Records that were durable and are lost at the end of the store, so that ends of streams are not certain. 0 normally. */
  get lostAtEnd(): number {
    return this.uncertain
  }

  /** Leaves out `count` numbers of a stream as lost: what damage at the end may have held of it. Before the first append. */
  skipLost(name: string, count: number): void {
    const stream = this.streamsByName.get(name)
    if (stream !== undefined) stream.next += count
  }

  /** Streams with the number of the first retained record and of the next one. */
  streams(): ReadonlyMap<string, { readonly start: number; readonly next: number }> {
    return new Map([...this.streamsByName.keys()].map((name) => [name, this.extent(name)]))
  }

  /** The same for one stream; an unknown one is empty. */
  extent(name: string): { readonly start: number; readonly next: number } {
    const next = this.streamsByName.get(name)?.next ?? 0
    for (const segment of this.segments) {
      const held = segment.streams.get(name)
      if (held !== undefined && held.count > 0) return { start: held.first, next }
    }
    return { start: next, next }
  }

  /** Whether a segment says that it holds the record, be it readable or not. */
  isPlaced(name: string, number: number): boolean {
    return this.segments.some(({ streams }) => {
      const held = streams.get(name)
      return held !== undefined && held.first <= number && number < held.first + held.count
    })
  }

  /** Payload bytes retained of a stream from `from` on; within a segment by the average. */
  payloadBytesFrom(name: string, from: number): number {
    let bytes = 0
    for (const { streams } of this.segments) {
      const held = streams.get(name)
      if (held === undefined || held.count === 0 || held.first + held.count <= from) continue
      const counted = Math.min(held.count, held.first + held.count - from)
      bytes += (held.payloadBytes * counted) / held.count
    }
    return Math.round(bytes)
  }

  get cells(): ReadonlyMap<string, Buffer> {
    return this.cellsByName
  }

  /** Bytes of all segments. */
  get diskBytes(): number {
    return this.segments.reduce((total, segment) => total + segment.end, 0)
  }

  get freeBytes(): number {
    return this.free
  }

  /** Whether a record would be tried now; false while the disk is full. Looks again by itself as time passes. */
  get hasRoom(): boolean {
    this.refreshSpace()
    return this.free >= (this.options.diskReserveBytes ?? 0) && this.options.clock.now() >= this.fullUntil
  }

  /** Calls back after each group of records became durable. Returns how to stop. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /**
   * Appends one after the other, in one group; resolves to their numbers once they are durable.
   * @throws StoreFullError (nothing was stored), StoreUnavailableError
   */
  append(records: readonly { readonly stream: string; readonly payload: Buffer }[]): Promise<readonly number[]> {
    if (!this.hasRoom) return Promise.reject(new StoreFullError(`no room in ${this.options.dir}`))
    return this.enqueue(records.map(({ stream, payload }) => ({ kind: frameKinds.record, name: stream, payload })))
  }

  /** Sets small named values together; durable when it resolves. @throws StoreFullError, StoreUnavailableError */
  async set(cells: ReadonlyMap<string, Buffer>): Promise<void> {
    await this.enqueue(
      [...cells].map(([name, value]) => ({ kind: frameKinds.cell, name, payload: encodeCell(name, value) })),
    )
  }

  private enqueue(entries: readonly Entry[]): Promise<readonly number[]> {
    const failure = this.closed ? new StoreUnavailableError(`${this.options.dir} is closed`) : this.broken
    if (failure !== undefined) return Promise.reject(failure)
    if (entries.length === 0) return Promise.resolve([])
    let bytes = 0
    for (const { payload } of entries) {
      if (payload.length > payloadBytesMax) return Promise.reject(new RangeError(`a record of ${payload.length} bytes`))
      bytes += paddedFrameBytes(payload.length)
    }
    return new Promise((resolve, reject) => {
      this.queue.push({ entries, bytes, resolve, reject })
      this.queuedBytes += bytes
      this.kick()
    })
  }

  private kick(): void {
    this.flushing ??= Promise.resolve()
      .then(() => this.flushLoop())
      .finally(() => {
        this.flushing = undefined
        if (this.queue.length > 0) this.kick()
      })
  }

  private async flushLoop(): Promise<void> {
    while (this.queue.length > 0 || this.markDue || this.rollDue) {
      if (this.rollDue) await this.roll()
      else if (this.queue.length === 0) await this.writeMark()
      else await this.flushGroup(this.takeGroup())
    }
    this.scheduleMark()
  }

  /** Seals what is being written and begins anew, so that the old one can be removed without its numbers being lost. */
  private async roll(): Promise<void> {
    this.rollDue = false
    if (this.active !== undefined) await this.seal(this.active)
    try {
      this.active = await this.startSegment()
    } catch {
      // No room for it: the old one stays.
    }
  }

  private takeGroup(): Pending[] {
    let bytes = 0
    let count = 0
    for (const pending of this.queue) {
      if (count > 0 && bytes + pending.bytes > groupBytesMax) break
      bytes += pending.bytes
      count++
    }
    this.queuedBytes -= bytes
    return this.queue.splice(0, count)
  }

  private async flushGroup(group: readonly Pending[]): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.writeGroup(group)
      } catch (error) {
        await this.abandonActive()
        const full = isFull(error)
        if (full) this.fullUntil = this.options.clock.now() + retryWhenFullMs
        if (!full && attempt === 0) continue // the group once more, in a new segment
        const cause = { cause: error }
        const failure = full
          ? new StoreFullError(`no room in ${this.options.dir}`, cause)
          : new StoreUnavailableError(`${this.options.dir} cannot be written`, cause)
        for (const { reject } of group) reject(failure)
        return
      }
    }
  }

  /** All or nothing: in memory nothing changes until the group is on the disk. */
  private async writeGroup(group: readonly Pending[]): Promise<void> {
    const segment = await this.writableSegment()
    const now = this.options.clock.now()
    const start = segment.end
    const groupStart = segment.durableEnd
    const next = new Map<string, Stream>()
    const frames: { entry: Entry; number: number; position: number }[] = []
    let size = 0
    let sequence = this.sequence
    let streams = this.streamsByName.size
    const declarations: { name: string; stream: Stream }[] = []
    for (const { entries } of group) {
      for (const { kind, name } of entries) {
        if (kind !== frameKinds.record || next.has(name)) continue
        const known = this.streamsByName.get(name)
        const stream = { id: known?.id ?? ++streams, next: known?.next ?? 0 }
        next.set(name, stream)
        if (known === undefined) {
          declarations.push({ name, stream })
          size += paddedFrameBytes(Buffer.byteLength(name))
        }
      }
    }
    if (streams > 0xffff) throw new RangeError('more than 65535 streams in one store')
    const bytes = Buffer.allocUnsafe(size + group.reduce((total, pending) => total + pending.bytes, 0))
    let at = 0
    for (const { name, stream } of declarations) {
      at = encodeFrame(
        bytes,
        at,
        segment.seed,
        {
          kind: frameKinds.stream,
          sequence: sequence++,
          stream: stream.id,
          number: 0,
          appendedAt: now,
          groupStart,
        },
        Buffer.from(name),
      )
    }
    for (const { entries } of group) {
      for (const entry of entries) {
        const stream = entry.kind === frameKinds.record ? next.get(entry.name) : undefined
        const number = stream === undefined ? 0 : stream.next++
        const end = encodeFrame(
          bytes,
          at,
          segment.seed,
          {
            kind: entry.kind,
            sequence: sequence++,
            stream: stream?.id ?? 0,
            number,
            appendedAt: now,
            groupStart,
          },
          entry.payload,
        )
        frames.push({ entry, number, position: start + at })
        at = end
      }
    }
    await segment.write(bytes, start)
    if (this.options.durable !== false) await segment.datasync()
    // Durable from here on: make it known, then answer.
    segment.end = start + bytes.length
    segment.durableEnd = segment.end
    segment.lastAt = now
    segment.nextSequence = sequence
    this.sequence = sequence
    this.free -= bytes.length
    for (const { name, stream } of declarations) segment.declare(name, stream.id, 0)
    for (const [name, stream] of next) this.streamsByName.set(name, stream)
    for (const { entry, number, position } of frames) {
      if (entry.kind === frameKinds.record) {
        segment.add(entry.name, number, position, entry.payload.length)
        const offset = position - start + frameHeaderBytes
        const payload = bytes.subarray(offset, offset + entry.payload.length)
        this.cache.add(entry.name, { number, appendedAt: now, payload })
      } else {
        const { name, value } = decodeCell(entry.payload)
        this.cellsByName.set(name, value)
      }
    }
    let index = 0
    for (const { entries, resolve } of group) {
      const numbers = entries.map(() => frames[index++]?.number ?? 0)
      resolve(numbers)
    }
    for (const listener of this.listeners) listener()
    if (bytes.length >= preallocateBelowBytes) return
    // Not where it would take the room that the next records need.
    const spare = (this.free - (this.options.diskReserveBytes ?? 0)) / 4
    segment.preallocate(Math.min(this.options.preallocateBytes ?? 8 * 1024 * 1024, spare), this.segmentBytes)
  }

  private get segmentBytes(): number {
    return this.options.segmentBytes ?? 64 * 1024 * 1024
  }

  private async writableSegment(): Promise<Segment> {
    const { active } = this
    if (active !== undefined) {
      const age = this.options.clock.now() - active.header.createdAt
      const old = age >= (this.options.segmentAgeMs ?? Number.POSITIVE_INFINITY)
      if (active.end < this.segmentBytes && !(old && active.holdsRecords)) return active
      await this.seal(active)
    }
    this.active = await this.startSegment()
    return this.active
  }

  private async seal(segment: Segment): Promise<void> {
    this.active = undefined
    await segment.seal()
  }

  /** After a failure: what the file holds behind the durable end is not to be relied on, in either direction. */
  private async abandonActive(): Promise<void> {
    const { active } = this
    this.active = undefined
    await active?.seal().catch(() => undefined)
  }

  /** A new file with its header, all streams and all cells: older segments can then be removed. */
  private async startSegment(): Promise<Segment> {
    const { dir, fileSystem, clock } = this.options
    const number = ++this.segmentNumber
    const header = { number, firstSequence: this.sequence, createdAt: clock.now(), salt: randomBytes(8) }
    const path = join(dir, segmentName(number))
    const file = await fileSystem.open(path, 'create')
    try {
      const segment = new Segment(path, header, fileSystem, file)
      await writeFully(file, encodeHeader(header), 0)
      const sequence = await this.writeSnapshot(segment)
      await file.sync()
      await fileSystem.syncFolder(dir)
      this.sequence = sequence
      segment.nextSequence = sequence
      this.segments.push(segment)
      await this.noteNewest(number)
      return segment
    } catch (error) {
      await file.close().catch(() => undefined)
      await fileSystem.remove(path).catch(() => undefined)
      throw error
    }
  }

  /** Remembered apart from the segments, so that a newest segment that vanished is missed. */
  private async noteNewest(number: number): Promise<void> {
    const { dir, fileSystem } = this.options
    await fileSystem.writeWhole(join(dir, newestName), encodeNewest(number)).catch(() => undefined)
  }

  private async writeSnapshot(segment: Segment): Promise<number> {
    const seed = seedOf(segment.header)
    const appendedAt = segment.header.createdAt
    let sequence = this.sequence
    const parts: Buffer[] = []
    let id = 0
    const streams = [...this.streamsByName].map(([name, { next }]) => ({ name, id: ++id, next }))
    const frame = (kind: FrameKind, stream: number, number: number, payload: Buffer): void => {
      const bytes = Buffer.alloc(paddedFrameBytes(payload.length))
      encodeFrame(
        bytes,
        0,
        seed,
        { kind, sequence: sequence++, stream, number, appendedAt, groupStart: dataStart },
        payload,
      )
      parts.push(bytes)
    }
    for (const { name, id, next } of streams) frame(frameKinds.stream, id, next, Buffer.from(name))
    for (const [name, value] of this.cellsByName) frame(frameKinds.cell, 0, 0, encodeCell(name, value))
    // The mark closes the snapshot: a segment without it was never written to.
    const ends = this.streamEnds()
    const mark = Buffer.alloc(paddedFrameBytes(ends.length))
    const fields = { kind: frameKinds.mark, sequence, stream: 0, number: 0, appendedAt, groupStart: dataStart }
    encodeFrame(mark, 0, seed, fields, ends)
    const bytes = Buffer.concat([...parts, mark])
    await segment.write(bytes, dataStart)
    for (const { name, id, next } of streams) {
      this.streamsByName.set(name, { id, next })
      segment.declare(name, id, next)
    }
    segment.end = dataStart + bytes.length
    segment.durableEnd = segment.end
    return sequence
  }

  private scheduleMark(): void {
    clearTimeout(this.markTimer)
    if (this.active === undefined || this.closed || this.active.marked) return
    this.markTimer = setTimeout(() => {
      this.markDue = true
      this.kick()
    }, this.options.markAfterMs ?? 50)
    this.markTimer.unref()
  }

  /** Nothing waits for it: it only shows a later recovery that what stands before it was durable. */
  private async writeMark(ends?: Buffer): Promise<void> {
    this.markDue = false
    const { active } = this
    if (active === undefined) return
    try {
      await active.writeMark(this.sequence, this.options.clock.now(), ends)
    } catch {
      await this.abandonActive()
    }
  }

  /** Records of a stream from a number on, in order; empty where there is none yet. Lost ones have a null payload. */
  async read(
    stream: string,
    from: number,
    limits: { readonly recordsMax: number; readonly bytesMax: number; readonly fromDisk?: boolean },
  ): Promise<readonly StoredPayload[]> {
    const { start, next } = this.extent(stream)
    let number = Math.max(from, start)
    const records: StoredPayload[] = []
    let bytes = 0
    const room = (): boolean => records.length < limits.recordsMax && (records.length === 0 || bytes < limits.bytesMax)
    while (number < next && room()) {
      const cached = limits.fromDisk === true ? undefined : this.cache.get(stream, number)
      if (cached !== undefined) {
        records.push(cached)
        bytes += cached.payload?.length ?? 0
        number++
        continue
      }
      const chunk = await this.readChunk(
        stream,
        number,
        next,
        limits.recordsMax - records.length,
        limits.bytesMax - bytes,
      )
      if (chunk.length === 0) break // retention was quicker
      for (const record of chunk) {
        if (!room()) break
        records.push(record)
        bytes += record.payload?.length ?? 0
        number = record.number + 1
      }
    }
    return records
  }

  private async readChunk(
    stream: string,
    number: number,
    next: number,
    recordsMax: number,
    bytesMax: number,
  ): Promise<readonly StoredPayload[]> {
    for (const segment of this.segments) {
      const held = segment.streams.get(stream)
      if (held === undefined || held.count === 0 || held.first + held.count <= number) continue
      if (held.first > number) return lostBetween(number, Math.min(held.first, number + recordsMax))
      return segment.read(stream, number, recordsMax, bytesMax)
    }
    return number < next ? lostBetween(number, Math.min(next, number + recordsMax)) : []
  }

  /**
   * Removes segments from the old end as long as `mayGo` says so; one being written is sealed first. Only from the old end: the
   * header of a segment is what bounds the one before it, even where it holds no record itself.
   */
  async retain(
    mayGo: (segment: {
      readonly lastAt: number
      readonly bytes: number
      readonly streams: Segment['streams']
    }) => boolean,
  ): Promise<void> {
    for (;;) {
      const oldest = this.segments[0]
      if (oldest === undefined) return
      if (oldest.holdsRecords && !mayGo({ lastAt: oldest.lastAt, bytes: oldest.end, streams: oldest.streams })) return
      if (this.segments.length === 1) {
        // The last one also holds the numbers and the cells: a new one takes them over first.
        if (!oldest.holdsRecords || this.closed || this.broken !== undefined) return
        this.rollDue = true
        this.kick()
        await this.flushing
        if (this.segments[0] !== oldest || this.segments.length === 1) return
      }
      if (oldest === this.active) return
      await this.remove(oldest)
    }
  }

  private streamEnds(): Buffer {
    return Buffer.from(
      JSON.stringify(Object.fromEntries([...this.streamsByName].map(([name, { next }]) => [name, next]))),
    )
  }

  private async remove(segment: Segment): Promise<void> {
    const at = this.segments.indexOf(segment)
    if (at !== -1) this.segments.splice(at, 1)
    await segment.remove()

    this.free += segment.end
  }

  private refreshSpace(): void {
    const now = this.options.clock.now()
    if (now - this.freeCheckedAt < spaceCheckEveryMs && now >= this.freeCheckedAt) {
      const reserve = this.options.diskReserveBytes ?? 0
      if (this.free - this.queuedBytes >= reserve || now - this.freeCheckedAt < retryWhenFullMs) return
    }
    this.freeCheckedAt = now
    void this.checkSpace()
  }

  private async checkSpace(): Promise<void> {
    try {
      this.free = await this.options.fileSystem.freeBytes(this.options.dir)
      this.freeCheckedAt = this.options.clock.now()
    } catch {
      // A disk that cannot be asked is found out by the next write.
    }
  }

  /** Flushes what is queued, writes the ends of all streams and gives the folder up. */
  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    clearTimeout(this.markTimer)
    while (this.flushing !== undefined) await this.flushing
    await this.writeMark(this.streamEnds())
    if (this.active !== undefined && this.options.durable !== false) await this.active.datasync().catch(() => undefined)
    await this.active?.seal().catch(() => undefined)
    for (const segment of this.segments) await segment.closeFile()
    await this.lock.release()
    for (const listener of this.listeners) listener()
  }
}

const lostBetween = (from: number, to: number): StoredPayload[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, at) => ({ number: from + at, appendedAt: 0, payload: null }))

const isFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
