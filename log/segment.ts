import { writeFully, type FileSystem, type StoreFile } from './file-system.js'
import {
  claimedLength,
  decodeFrame,
  encodeFrame,
  frameHeaderBytes,
  frameKinds,
  paddedFrameBytes,
  scanSegment,
  seedOf,
  type SegmentHeader,
} from './segment-format.js'
import {
  decodeIndex,
  encodeIndex,
  indexFrames,
  Positions,
  type SegmentSummary,
  type StoredPayload,
  type StreamExtent,
} from './segment-index.js'

const idleMs = 10_000
const readWindowBytes = 256 * 1024
const firstChunkBytes = 1024 * 1024
const chunkBytesMin = 4096

/** One segment file: written at its end by the store, read anywhere below it. */
export class Segment {
  readonly seed: number
  readonly streams = new Map<string, StreamExtent>()
  end = 0
  /** What a flush has finished; marks stand behind it without one. */
  durableEnd = 0
  lastAt = 0
  nextSequence: number
  /** Its end is proven durable by a mark. */
  marked = false
  private positions: Map<string, Positions> | undefined
  private sealed = false
  private indexed = false
  private allocated = 0
  private extending: Promise<void> | undefined
  private opening: Promise<StoreFile> | undefined
  private readers = 0
  private idleTimer: NodeJS.Timeout | undefined
  private removed = false

  constructor(
    readonly path: string,
    readonly header: SegmentHeader,
    private readonly fileSystem: FileSystem,
    file?: StoreFile,
  ) {
    this.seed = seedOf(header)
    this.nextSequence = header.firstSequence
    if (file !== undefined) {
      this.opening = Promise.resolve(file)
      this.positions = new Map()
    }
  }

  /** A sealed segment as recovery found it; without `positions` they are read from the index file when needed. */
  static sealed(
    path: string,
    header: SegmentHeader,
    fileSystem: FileSystem,
    summary: SegmentSummary,
    positions?: Map<string, Positions>,
  ): Segment {
    const segment = new Segment(path, header, fileSystem)
    segment.sealed = true
    segment.indexed = positions === undefined
    segment.positions = positions
    segment.end = summary.end
    segment.lastAt = summary.lastAt
    segment.nextSequence = summary.nextSequence
    for (const [name, extent] of summary.streams) segment.streams.set(name, extent)
    return segment
  }

  get holdsRecords(): boolean {
    for (const { count } of this.streams.values()) if (count > 0) return true
    return false
  }

  get indexPath(): string {
    return this.path.replace(/\.segment$/, '.index')
  }

  declare(name: string, id: number, first: number): void {
    this.streams.set(name, { id, first, count: 0, payloadBytes: 0 })
    this.positions?.set(name, new Positions())
  }

  add(name: string, number: number, position: number, payloadBytes: number): void {
    const extent = this.streams.get(name)
    if (extent === undefined || number !== extent.first + extent.count)
      throw new Error(`${name} does not go on at ${number}`)
    extent.count++
    extent.payloadBytes += payloadBytes
    this.positions?.get(name)?.push(position)
    this.marked = false
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    // Zeros that are still being written ahead must not land on records.
    if (position + bytes.length > this.allocated) await this.extending
    await writeFully(await this.file(), bytes, position)
    this.allocated = Math.max(this.allocated, position + bytes.length)
  }

  async datasync(): Promise<void> {
    await (await this.file()).datasync()
  }

  async writeMark(sequence: number, now: number, ends: Buffer = Buffer.alloc(0)): Promise<void> {
    const bytes = Buffer.alloc(paddedFrameBytes(ends.length))
    const fields = {
      kind: frameKinds.mark,
      sequence,
      stream: 0,
      number: 0,
      appendedAt: now,
      groupStart: this.durableEnd,
    }
    encodeFrame(bytes, 0, this.seed, fields, ends)
    await this.write(bytes, this.end)
    this.end += bytes.length
    this.marked = true
  }

  /**
   * Fills the file with zeros ahead of the tail, so that a flush finds blocks and size already on the disk and needs no
   * journal commit of the file system. Runs beside; a failure only means that later flushes are slower.
   */
  preallocate(chunkBytesMax: number, segmentBytes: number): void {
    if (this.extending !== undefined || this.sealed) return
    const chunk = Math.floor(Math.min(chunkBytesMax, segmentBytes, Math.max(firstChunkBytes, this.end)))
    if (chunk < chunkBytesMin) return
    if (this.allocated >= segmentBytes || this.allocated - this.end > chunk / 2) return
    const from = Math.max(this.allocated, this.end)
    this.extending = this.extend(from, chunk)
      .catch(() => undefined)
      .finally(() => {
        this.extending = undefined
      })
  }

  private async extend(from: number, bytes: number): Promise<void> {
    // Its own open file: a failed flush is told to each open file once, and that of the records must hear of it.
    const file = await this.fileSystem.open(this.path, 'write')
    try {
      await writeFully(file, Buffer.alloc(bytes), from)
      await file.sync()
      this.allocated = from + bytes
    } finally {
      await file.close()
    }
  }

  /** No more is written: gives back what was filled ahead and leaves the index beside. */
  async seal(): Promise<void> {
    if (this.sealed) return
    this.sealed = true
    await this.extending
    await (await this.file()).truncate(this.end).catch(() => undefined)
    await this.writeIndex()
    this.rest()
  }

  async writeIndex(): Promise<void> {
    if (this.positions === undefined) return
    try {
      await this.fileSystem.writeWhole(this.indexPath, encodeIndex(this.header.salt, this.summary(), this.positions))
      this.indexed = true
    } catch {
      // Kept in memory then, and made again by a scan when the store is opened next.
    }
  }

  private summary(): SegmentSummary {
    return { nextSequence: this.nextSequence, end: this.end, lastAt: this.lastAt, streams: this.streams }
  }

  /** Records from `number` on that lie within one read window; at least one. */
  async read(name: string, number: number, recordsMax: number, bytesMax: number): Promise<readonly StoredPayload[]> {
    this.readers++
    try {
      if (this.removed) return []
      return await this.readRecords(name, number, recordsMax, bytesMax)
    } finally {
      this.readers--
      this.rest()
    }
  }

  private async readRecords(
    name: string,
    number: number,
    recordsMax: number,
    bytesMax: number,
  ): Promise<StoredPayload[]> {
    const extent = this.streams.get(name)
    const positions = (await this.loadPositions()).get(name)
    if (extent === undefined || positions === undefined) return []
    const first = number - extent.first
    const records: StoredPayload[] = []
    const last = Math.min(extent.count, first + recordsMax)
    const start = positions.at(first)
    let window: Buffer = Buffer.alloc(0)
    if (start !== 0) window = await this.readWindow(start, Math.max(1, bytesMax))
    for (let index = first; index < last; index++) {
      const position = positions.at(index)
      const wanted = extent.first + index
      if (position === 0) {
        records.push(lostRecord(wanted))
        continue
      }
      if (start === 0) break
      const at = position - start
      const length = claimedLength(window, at)
      const whole = length !== undefined && at + frameHeaderBytes + length <= window.length
      if (!whole && index > first && at + frameHeaderBytes + (length ?? readWindowBytes) > window.length) break
      records.push(this.verified(window, at, start, extent, wanted))
    }
    return records
  }

  private verified(window: Buffer, at: number, start: number, extent: StreamExtent, number: number): StoredPayload {
    const frame = decodeFrame(window, at, this.seed, start)
    if (
      frame === undefined ||
      frame.kind !== frameKinds.record ||
      frame.number !== number ||
      frame.stream !== extent.id
    )
      return lostRecord(number)
    return { number, appendedAt: frame.appendedAt, payload: frame.payload }
  }

  private async readWindow(start: number, bytesMax: number): Promise<Buffer> {
    const file = await this.file()
    const size = Math.min(this.end - start, Math.max(frameHeaderBytes, Math.min(readWindowBytes, bytesMax)))
    const window = Buffer.allocUnsafeSlow(size)
    const got = window.subarray(0, await file.read(window, start))
    const needed = frameHeaderBytes + (claimedLength(got, 0) ?? 0)
    if (needed <= got.length || start + needed > this.end) return got
    const larger = Buffer.allocUnsafeSlow(needed)
    return larger.subarray(0, await file.read(larger, start))
  }

  private async loadPositions(): Promise<Map<string, Positions>> {
    if (this.positions !== undefined) return this.positions
    const read = await this.fileSystem.readWhole(this.indexPath).catch(() => Buffer.alloc(0))
    const index = decodeIndex(read, this.header.salt)
    if (index !== undefined) return (this.positions = index.positions)
    const scan = scanSegment(await this.fileSystem.readWhole(this.path), this.header, this.nextSequence)
    return (this.positions = indexFrames(scan).positions)
  }

  private file(): Promise<StoreFile> {
    this.opening ??= this.fileSystem.open(this.path, 'read')
    return this.opening
  }

  /** A sealed segment that nobody reads keeps neither its file open nor its positions in memory. */
  private rest(): void {
    if (!this.sealed) return
    clearTimeout(this.idleTimer)
    this.idleTimer = setTimeout(() => void this.closeFile().catch(() => undefined), idleMs)
    this.idleTimer.unref()
  }

  async closeFile(): Promise<void> {
    clearTimeout(this.idleTimer)
    if (this.readers > 0) return this.rest()
    if (this.indexed) this.positions = undefined
    const opening = this.opening
    this.opening = undefined
    await (await opening)?.close()
  }

  async remove(): Promise<void> {
    this.removed = true
    await this.fileSystem.remove(this.path).catch(() => undefined)
    await this.fileSystem.remove(this.indexPath).catch(() => undefined)
    await this.closeFile()
  }
}

const lostRecord = (number: number): StoredPayload => ({ number, appendedAt: 0, payload: null })
