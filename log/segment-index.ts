import { crc32, decodeCell, frameKinds, type SegmentScan } from './segment-format.js'

/** Positions that grow, four bytes each. Position 0 stands for a record that is lost: no frame starts there. */
export class Positions {
  private values: Uint32Array
  constructor(
    values?: Uint32Array,
    public length = values?.length ?? 0,
  ) {
    this.values = values ?? new Uint32Array(16)
  }
  push(position: number): void {
    if (this.length === this.values.length) {
      const grown = new Uint32Array(this.values.length * 2)
      grown.set(this.values)
      this.values = grown
    }
    this.values[this.length++] = position
  }
  at(index: number): number {
    return index < this.length ? (this.values[index] ?? 0) : 0
  }
  toArray(): Uint32Array {
    return this.values.subarray(0, this.length)
  }
}

/** What a segment holds of one stream. */
export interface StreamExtent {
  /** Id in the frames of this segment. */
  readonly id: number
  /** First number in this segment. */
  readonly first: number
  count: number
  payloadBytes: number
}

/** What is known of a segment without reading its records. */
export interface SegmentSummary {
  readonly nextSequence: number
  readonly end: number
  readonly lastAt: number
  readonly streams: ReadonlyMap<string, StreamExtent>
}

/**
 * The index beside a sealed segment: what a scan would find, kept so that opening a store reads no records. Bound to
 * the segment by its salt; a missing or damaged index is made again by a scan.
 */
export function encodeIndex(salt: Buffer, summary: SegmentSummary, positions: ReadonlyMap<string, Positions>): Buffer {
  const { nextSequence, end, lastAt, streams } = summary
  const head = Buffer.from(
    JSON.stringify({ version: 1, salt: salt.toString('hex'), nextSequence, end, lastAt, streams: [...streams] }),
  )
  const parts: Buffer[] = [Buffer.alloc(8), head]
  for (const name of streams.keys()) {
    const array = positions.get(name)?.toArray() ?? new Uint32Array()
    const bytes = Buffer.alloc(array.length * 4)
    for (const [at, position] of array.entries()) bytes.writeUInt32BE(position, at * 4)
    parts.push(bytes)
  }
  const whole = Buffer.concat(parts)
  whole.writeUInt32BE(head.length, 4)
  whole.writeUInt32BE(crc32(whole.subarray(4), 0), 0)
  return whole
}

/** Undefined where the bytes are not the undamaged index of the segment with this salt. */
export function decodeIndex(
  bytes: Buffer,
  salt: Buffer,
): { readonly summary: SegmentSummary; readonly positions: Map<string, Positions> } | undefined {
  if (bytes.length < 8 || crc32(bytes.subarray(4), 0) !== bytes.readUInt32BE(0)) return undefined
  const headEnd = 8 + bytes.readUInt32BE(4)
  const head = JSON.parse(bytes.subarray(8, headEnd).toString('utf8')) as {
    version: number
    salt: string
    nextSequence: number
    end: number
    lastAt: number
    streams: [string, StreamExtent][]
  }
  if (head.version !== 1 || head.salt !== salt.toString('hex')) return undefined
  const positions = new Map<string, Positions>()
  let at = headEnd
  for (const [name, { count }] of head.streams) {
    const values = new Uint32Array(count)
    for (let index = 0; index < count; index++, at += 4) values[index] = bytes.readUInt32BE(at)
    positions.set(name, new Positions(values))
  }
  const { nextSequence, end, lastAt } = head
  return { summary: { nextSequence, end, lastAt, streams: new Map(head.streams) }, positions }
}

export interface IndexedFrames {
  readonly summary: SegmentSummary
  readonly positions: Map<string, Positions>
  readonly cells: ReadonlyMap<string, Buffer>
  /** Lost frames that no later frame of the segment names. */
  readonly unnamed: number
}

/** Orders the frames of a scan by stream: numbers left out are lost records, at position 0. */
export function indexFrames(scan: SegmentScan): IndexedFrames {
  const streams = new Map<string, StreamExtent>()
  const positions = new Map<string, Positions>()
  const names = new Map<number, string>()
  const cells = new Map<string, Buffer>()
  let lastAt = 0
  let named = 0
  let complete = false
  const fillTo = (name: string, number: number): void => {
    const extent = streams.get(name)
    const list = positions.get(name)
    if (extent === undefined || list === undefined) return
    while (extent.first + extent.count < number) {
      extent.count++
      list.push(0)
      named++
    }
  }
  for (const frame of scan.frames) {
    if (frame.kind !== frameKinds.mark) complete = false
    if (frame.kind === frameKinds.stream) {
      const name = frame.payload.toString('utf8')
      names.set(frame.stream, name)
      if (streams.has(name)) continue
      streams.set(name, { id: frame.stream, first: frame.number, count: 0, payloadBytes: 0 })
      positions.set(name, new Positions())
    } else if (frame.kind === frameKinds.cell) {
      const { name, value } = decodeCell(frame.payload)
      cells.set(name, value)
    } else if (frame.kind === frameKinds.record) {
      lastAt = Math.max(lastAt, frame.appendedAt)
      const name = names.get(frame.stream)
      const extent = name === undefined ? undefined : streams.get(name)
      if (name === undefined || extent === undefined) continue
      fillTo(name, frame.number)
      if (frame.number !== extent.first + extent.count) continue
      extent.count++
      extent.payloadBytes += frame.payload.length
      positions.get(name)?.push(frame.position)
    } else if (frame.payload.length > 0) {
      const ends = JSON.parse(frame.payload.toString('utf8')) as Record<string, number>
      for (const [name, next] of Object.entries(ends)) fillTo(name, next)
      complete = Object.keys(ends).every((name) => streams.has(name))
    }
  }
  return {
    summary: { nextSequence: scan.nextSequence, end: scan.end, lastAt, streams },
    positions,
    cells,
    unnamed: complete ? 0 : Math.max(0, scan.lost - named),
  }
}

export interface StoredPayload {
  readonly number: number
  /** ms */
  readonly appendedAt: number
  /** Null where the record was durable and cannot be read any more. */
  readonly payload: Buffer | null
}
