import { join } from 'node:path'
import type { FileSystem } from './file-system.js'
import {
  crc32,
  dataStart,
  decodeHeader,
  encodeFrame,
  frameHeaderBytes,
  frameKinds,
  scanSegment,
  type SegmentHeader,
  type SegmentScan,
} from './segment-format.js'
import { decodeIndex, indexFrames, type IndexedFrames } from './segment-index.js'
import { Segment } from './segment.js'

export const segmentName = (number: number): string => `${String(number).padStart(8, '0')}.segment`
export const newestName = 'newest.json'

/** What a folder holds, as far as it can be relied on. */
export interface RecoveredStore {
  readonly segments: readonly Segment[]
  /** Next number of each stream. */
  readonly streams: ReadonlyMap<string, number>
  readonly cells: ReadonlyMap<string, Buffer>
  readonly nextSequence: number
  /** Highest file number ever used. */
  readonly lastNumber: number
  /** Durable frames lost where nothing behind them says whose they were; at least so many. */
  readonly uncertain: number
}

/** Reads a folder: sealed segments by their index, the newest by a scan to its durable end. */
export async function recoverFolder(dir: string, fileSystem: FileSystem): Promise<RecoveredStore> {
  const names = await fileSystem.list(dir)
  const numbers = names
    .map((name) => Number(/^(\d{8})\.segment$/.exec(name)?.[1] ?? Number.NaN))
    .filter((number) => !Number.isNaN(number))
    .sort((a, b) => a - b)
  const valid: { path: string; header: SegmentHeader }[] = []
  const unreadable: { path: string; number: number }[] = []
  for (const number of numbers) {
    const path = join(dir, segmentName(number))
    const header = decodeHeader(await readStart(fileSystem, path))
    if (typeof header !== 'string' && header.number === number) valid.push({ path, header })
    else unreadable.push({ path, number })
  }
  let lastNumber = numbers.at(-1) ?? 0
  const noted = await notedNewest(dir, fileSystem)
  let uncertain = noted > lastNumber ? 1 : 0
  lastNumber = Math.max(lastNumber, noted)

  const unused: string[] = []
  const emptyOnes: Segment[] = []
  let newest = valid.pop()
  let found = newest === undefined ? undefined : await scanWhole(newest, fileSystem)
  while (newest !== undefined && found !== undefined && !found.begun) {
    // Its header says where the segment before it ended, now and later: it stays, empty.
    const limit = newest.header.firstSequence
    const empty = { nextSequence: limit, end: dataStart, lastAt: 0, streams: new Map() }
    emptyOnes.unshift(Segment.sealed(newest.path, newest.header, fileSystem, empty))
    newest = valid.pop()
    found = newest === undefined ? undefined : await scanWhole(newest, fileSystem, limit)
  }
  const segments: Segment[] = []
  for (const [at, { path, header }] of valid.entries()) {
    const limit = (valid[at + 1] ?? newest)?.header.firstSequence ?? 0
    segments.push(await recoverSealed(path, header, limit, fileSystem))
  }
  const streams = new Map<string, number>()
  const cells = new Map<string, Buffer>()
  let nextSequence = 0
  if (newest !== undefined && found !== undefined) {
    const { bytes, scan, indexed, snapshot } = found
    const segment = Segment.sealed(newest.path, newest.header, fileSystem, indexed.summary, indexed.positions)
    await giveBack(newest.path, bytes, scan.end, fileSystem)
    await segment.writeIndex()
    segments.push(segment)
    const before = valid.at(-1)
    if (!snapshot && before !== undefined) {
      // Its list of streams and cells is damaged: those of the segment before are the best there is.
      const older = await scanWhole(before, fileSystem, newest.header.firstSequence)
      for (const [name, value] of older.indexed.cells) cells.set(name, value)
      uncertain++
    }
    for (const one of segments)
      for (const [name, { first, count }] of one.streams)
        streams.set(name, Math.max(streams.get(name) ?? 0, first + count))
    for (const [name, value] of indexed.cells) cells.set(name, value)
    nextSequence = scan.nextSequence
    uncertain += indexed.unnamed
  }
  for (const { path, number } of unreadable) {
    if (number < (newest?.header.number ?? 0)) continue // the declarations behind it name what it held
    const held = durableFrames(await fileSystem.readWhole(path), nextSequence)
    if (held === 0) unused.push(path)
    else uncertain += held
  }
  segments.push(...emptyOnes)
  for (const path of unused) await fileSystem.remove(path)
  // One that came back after the next power cut would limit the segment before it wrongly.
  if (unused.length > 0) await fileSystem.syncFolder(dir)
  return { segments, streams, cells, nextSequence: nextSequence + uncertain, lastNumber, uncertain }
}

/** `begun`: something was acknowledged in it, or may have been. `snapshot`: its list of streams and cells is whole. */
async function scanWhole(
  { path, header }: { readonly path: string; readonly header: SegmentHeader },
  fileSystem: FileSystem,
  limit?: number,
): Promise<{ bytes: Buffer; scan: SegmentScan; indexed: IndexedFrames; begun: boolean; snapshot: boolean }> {
  const bytes = await fileSystem.readWhole(path)
  const scan = scanSegment(bytes, header, limit)
  const snapshot = scan.frames.some(({ kind, groupStart }) => kind === frameKinds.mark && groupStart === dataStart)
  const begun = snapshot || scan.frames.some(({ groupStart }) => groupStart !== dataStart)
  return { bytes, scan, indexed: indexFrames(scan), begun, snapshot }
}

async function readStart(fileSystem: FileSystem, path: string): Promise<Buffer> {
  const file = await fileSystem.open(path, 'read')
  try {
    const bytes = Buffer.alloc(dataStart)
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}

async function recoverSealed(
  path: string,
  header: SegmentHeader,
  limit: number,
  fileSystem: FileSystem,
): Promise<Segment> {
  const indexPath = path.replace(/\.segment$/, '.index')
  const read = await fileSystem.readWhole(indexPath).catch(() => Buffer.alloc(0))
  const index = decodeIndex(read, header.salt)
  if (index !== undefined && index.summary.nextSequence === limit)
    return Segment.sealed(path, header, fileSystem, index.summary)
  const { summary, positions } = indexFrames(scanSegment(await fileSystem.readWhole(path), header, limit))
  const segment = Segment.sealed(path, header, fileSystem, summary, positions)
  await segment.writeIndex()
  return segment
}

/** Cuts off zeros that were filled ahead; anything else behind the end stays as it is, for whoever wants to look. */
async function giveBack(path: string, bytes: Buffer, end: number, fileSystem: FileSystem): Promise<void> {
  if (bytes.length <= end || !bytes.subarray(end).every((byte) => byte === 0)) return
  const file = await fileSystem.open(path, 'write')
  try {
    await file.truncate(end)
  } finally {
    await file.close()
  }
}

/** Content of the note. A write that a power cut tore may join digits of two numbers: the checksum tells. */
export function encodeNewest(segment: number): Buffer {
  return Buffer.from(JSON.stringify({ segment, crc32: crc32(Buffer.from(String(segment)), 0) }))
}

/** 0 where there is no note to rely on. */
async function notedNewest(dir: string, fileSystem: FileSystem): Promise<number> {
  try {
    const content = await fileSystem.readWhole(join(dir, newestName))
    const { segment } = JSON.parse(content.toString('utf8')) as { segment: number }
    return Number.isSafeInteger(segment) && content.equals(encodeNewest(segment)) ? segment : 0
  } catch {
    return 0
  }
}

/**
 * How many frames from `sequence` on a file without a readable header seems to hold. Header and
 * snapshot are flushed before the first group, so a file whose header was torn by a power cut holds none; checksums cannot be verified without the salt.
 */
function durableFrames(bytes: Buffer, sequence: number): number {
  const probe = Buffer.alloc(frameHeaderBytes)
  const nothing = { kind: frameKinds.mark, sequence: 0, stream: 0, number: 0, appendedAt: 0, groupStart: 0 }
  encodeFrame(probe, 0, 0, nothing, Buffer.alloc(0))
  const magic = probe.subarray(0, 4)
  let last = sequence
  for (let at = bytes.indexOf(magic, dataStart); at !== -1; at = bytes.indexOf(magic, at + 1)) {
    if (at % 8 !== 0 || at + frameHeaderBytes > bytes.length) continue
    const groupStart = bytes.readUInt32BE(at + 12)
    // The snapshot is flushed together with the header, and may be as torn: some of its bytes still zero.
    if (groupStart <= dataStart || groupStart > at) continue
    const claimed = bytes.readUIntBE(at + 16, 6)
    if (claimed >= last && claimed - sequence < bytes.length / frameHeaderBytes) last = claimed + 1
  }
  return last - sequence
}
