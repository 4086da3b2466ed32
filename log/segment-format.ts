import * as zlib from 'node:zlib'

/**
 * Segment file: two copies of a header (at 0 and 4096), then frames from 8192 on, each at a multiple of 8 bytes. A frame's
 * checksum is seeded with its segment's random salt, so that bytes of another segment or of an earlier life of the disk
 * block are never taken for a record. A frame names the end of the last flush before it (`groupStart`); a group
 * is written only after the one before it is on the disk, so a valid frame proves everything before that place to have
 * been durable. All numbers are big-endian.
 */
export const dataStart = 8192
const headerCopies = [0, 4096] as const
const headerMagic = 0x48545347 // "HTSG"
const frameMagic = 0x48544652 // "HTFR"
const formatVersion = 1
const headerBytes = 40
export const frameHeaderBytes = 40
/** Larger payloads are refused, and a larger length on disk is damage. */
export const payloadBytesMax = 256 * 1024 * 1024

export interface SegmentHeader {
  readonly number: number
  /** Sequence of the first frame; frames of earlier segments from here on do not count. */
  readonly firstSequence: number
  /** ms */
  readonly createdAt: number
  readonly salt: Buffer
}

export const frameKinds = {
  /** A record of a stream. */
  record: 1,
  /** A small named value, the last of which counts. */
  cell: 2,
  /** Gives a stream its id within this segment and its next number. */
  stream: 3,
  /** Nothing but the proof that what stands before it was durable; at a clean close with the ends of all streams. */
  mark: 4,
} as const
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds]

export interface FrameFields {
  readonly kind: FrameKind
  /** Counts all frames of a store but marks, which carry that of the next frame. */
  readonly sequence: number
  /** Stream id within the segment; 0 where the kind has none. */
  readonly stream: number
  /** Number within the stream, from 0. */
  readonly number: number
  /** ms */
  readonly appendedAt: number
  readonly groupStart: number
}

export interface Frame extends FrameFields {
  readonly position: number
  /** Position of the next frame. */
  readonly end: number
  readonly payload: Buffer
}

export const paddedFrameBytes = (payloadBytes: number): number => (frameHeaderBytes + payloadBytes + 7) & ~7

/** Header copies and the gap after each, ready to be written at 0. */
export function encodeHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(dataStart)
  for (const at of headerCopies) {
    bytes.writeUInt32BE(headerMagic, at)
    bytes.writeUInt32BE(formatVersion, at + 8)
    bytes.writeUInt32BE(header.number, at + 12)
    bytes.writeUIntBE(header.firstSequence, at + 16, 6)
    bytes.writeUIntBE(header.createdAt, at + 22, 6)
    header.salt.copy(bytes, at + 28, 0, 8)
    bytes.writeUInt32BE(crc32(bytes.subarray(at + 8, at + headerBytes), 0), at + 4)
  }
  return bytes
}

/** The header of either copy; `unused` where neither was ever written, `damaged` where neither can be read. */
export function decodeHeader(bytes: Buffer): SegmentHeader | 'unused' | 'damaged' {
  for (const at of headerCopies) {
    if (bytes.length < at + headerBytes || bytes.readUInt32BE(at) !== headerMagic) continue
    if (bytes.readUInt32BE(at + 4) !== crc32(bytes.subarray(at + 8, at + headerBytes), 0)) continue
    if (bytes.readUInt32BE(at + 8) !== formatVersion) continue
    return {
      number: bytes.readUInt32BE(at + 12),
      firstSequence: bytes.readUIntBE(at + 16, 6),
      createdAt: bytes.readUIntBE(at + 22, 6),
      salt: Buffer.from(bytes.subarray(at + 28, at + 36)),
    }
  }
  return bytes.subarray(0, dataStart).every((byte) => byte === 0) ? 'unused' : 'damaged'
}

/** Start value of the checksums of a segment. */
export function seedOf(header: SegmentHeader): number {
  const number = Buffer.alloc(4)
  number.writeUInt32BE(header.number)
  return crc32(number, crc32(header.salt, 0))
}

/** Writes a frame at `at` and returns where the next one starts. `target` has room for it. */
export function encodeFrame(target: Buffer, at: number, seed: number, fields: FrameFields, payload: Buffer): number {
  const end = at + paddedFrameBytes(payload.length)
  target.writeUInt32BE(frameMagic, at)
  target.writeUInt32BE(payload.length, at + 8)
  target.writeUInt32BE(fields.groupStart, at + 12)
  target.writeUIntBE(fields.sequence, at + 16, 6)
  target.writeUIntBE(fields.number, at + 22, 6)
  target.writeUIntBE(fields.appendedAt, at + 28, 6)
  target.writeUInt16BE(fields.stream, at + 34)
  target.writeUInt32BE(fields.kind << 24, at + 36)
  payload.copy(target, at + frameHeaderBytes)
  target.fill(0, at + frameHeaderBytes + payload.length, end)
  target.writeUInt32BE(crc32(target.subarray(at + 8, at + frameHeaderBytes + payload.length), seed), at + 4)
  return end
}

/** Payload length that the bytes at `at` claim, undefined where no frame starts there. Nothing is verified. */
export function claimedLength(bytes: Buffer, at: number): number | undefined {
  if (at + frameHeaderBytes > bytes.length || bytes.readUInt32BE(at) !== frameMagic) return undefined
  const length = bytes.readUInt32BE(at + 8)
  return length <= payloadBytesMax ? length : undefined
}

/** The frame at `at` where a whole and undamaged one of this segment stands there. `base` is the position of bytes[0]. */
export function decodeFrame(bytes: Buffer, at: number, seed: number, base = 0): Frame | undefined {
  const length = claimedLength(bytes, at)
  if (length === undefined) return undefined
  const payloadStart = at + frameHeaderBytes
  if (payloadStart + length > bytes.length) return undefined
  if (bytes.readUInt32BE(at + 4) !== crc32(bytes.subarray(at + 8, payloadStart + length), seed)) return undefined
  return {
    kind: bytes.readUInt8(at + 36) as FrameKind,
    sequence: bytes.readUIntBE(at + 16, 6),
    stream: bytes.readUInt16BE(at + 34),
    number: bytes.readUIntBE(at + 22, 6),
    appendedAt: bytes.readUIntBE(at + 28, 6),
    groupStart: bytes.readUInt32BE(at + 12),
    position: base + at,
    end: base + at + paddedFrameBytes(length),
    payload: bytes.subarray(payloadStart, payloadStart + length),
  }
}

export interface SegmentScan {
  /** Whole frames in order, without those that lie behind `limit`. */
  readonly frames: readonly Frame[]
  /** Sequence that the next frame takes. */
  readonly nextSequence: number
  /** Where the segment ends; what follows was never acknowledged. */
  readonly end: number
  /** Frames that were durable and are not readable. */
  readonly lost: number
}

/**
 * Finds the durable end of a segment. A hole is damage when a frame of a later group stands behind it, and the torn tail
 * of a flush that never finished when none does. `limit` is the first sequence of the next segment: this one is sealed,
 * so everything up to there must be in it, and what lies beyond is left over from a flush that failed.
 */
export function scanSegment(bytes: Buffer, header: SegmentHeader, limit?: number): SegmentScan {
  const seed = seedOf(header)
  const frames: Frame[] = []
  let sequence = header.firstSequence
  let at = dataStart
  let end = dataStart
  let lost = 0
  const take = (frame: Frame): void => {
    lost += frame.sequence - sequence
    sequence = frame.kind === frameKinds.mark ? frame.sequence : frame.sequence + 1
    frames.push(frame)
    at = frame.end
    end = frame.end
  }
  for (;;) {
    const frame = decodeFrame(bytes, at, seed)
    if (frame !== undefined && frame.sequence === sequence) {
      if (limit !== undefined && frame.sequence >= limit) break
      take(frame)
      continue
    }
    const beyond = framesBeyond(bytes, at, seed, sequence, limit)
    const proven = limit !== undefined || beyond.some((later) => later.groupStart > at)
    if (beyond.length === 0 || !proven) break
    // Frames of the hole's own group count as well: a later group shows that their flush had finished.
    take(beyond[0] as Frame)
  }
  if (limit !== undefined && sequence < limit) {
    lost += limit - sequence
    sequence = limit
  }
  return { frames, nextSequence: sequence, end, lost }
}

/** Whole frames behind a hole, up to the first of a later group. */
function framesBeyond(bytes: Buffer, hole: number, seed: number, sequence: number, limit: number | undefined): Frame[] {
  const found: Frame[] = []
  const magic = Buffer.alloc(4)
  magic.writeUInt32BE(frameMagic)
  for (let at = bytes.indexOf(magic, hole + 1); at !== -1; at = bytes.indexOf(magic, at + 1)) {
    if (at % 8 !== 0) continue
    const frame = decodeFrame(bytes, at, seed)
    if (frame === undefined || frame.sequence < sequence || (limit !== undefined && frame.sequence >= limit)) continue
    found.push(frame)
    if (limit !== undefined || frame.groupStart > hole) break
    at = frame.end - 1
  }
  return found
}

/** Cell payload: length of the name (2 bytes), name, value. */
export function encodeCell(name: string, value: Buffer): Buffer {
  const key = Buffer.from(name)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(key.length)
  return Buffer.concat([length, key, value])
}

export function decodeCell(payload: Buffer): { readonly name: string; readonly value: Buffer } {
  const end = 2 + payload.readUInt16BE(0)
  return { name: payload.subarray(2, end).toString('utf8'), value: Buffer.from(payload.subarray(end)) }
}

const native = (zlib as { crc32?: (data: Uint8Array, value?: number) => number }).crc32

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let entry = index
  for (let bit = 0; bit < 8; bit++) entry = entry & 1 ? (entry >>> 1) ^ 0xedb88320 : entry >>> 1
  return entry
})

export function crc32ByTable(data: Uint8Array, value: number): number {
  let crc = ~value
  for (const byte of data) crc = (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}

/** CRC-32 (IEEE 802.3) continued from `value`: the one of zlib where Node.js has it (20.15 on). */
export const crc32: (data: Uint8Array, value: number) => number = native ?? crc32ByTable
