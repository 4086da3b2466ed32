import { randomBytes } from 'node:crypto'
import { crc32 as zlibCrc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  crc32ByTable,
  dataStart,
  decodeHeader,
  encodeFrame,
  encodeHeader,
  frameKinds,
  paddedFrameBytes,
  scanSegment,
  seedOf,
  type SegmentHeader,
} from '../../log/segment-format.js'
import { seeded } from './faulty-file-system.js'
import { TailCache } from '../../log/tail-cache.js'

const header: SegmentHeader = {
  number: 7,
  firstSequence: 100,
  createdAt: 1_790_000_000_000,
  salt: Buffer.from('saltsalt'),
}

/** A segment of groups of records; each text is a record. */
function segment(groups: readonly (readonly string[])[], of = header): { bytes: Buffer; positions: number[] } {
  const parts = [encodeHeader(of)]
  const positions: number[] = []
  let end = dataStart
  let sequence = of.firstSequence
  for (const group of groups) {
    const groupStart = end
    for (const text of group) {
      const payload = Buffer.from(text)
      const frame = Buffer.alloc(paddedFrameBytes(payload.length))
      const fields = {
        kind: frameKinds.record,
        sequence,
        stream: 1,
        number: sequence - of.firstSequence,
        appendedAt: 1,
        groupStart,
      }
      encodeFrame(frame, 0, seedOf(of), fields, payload)
      parts.push(frame)
      positions.push(end)
      end += frame.length
      sequence++
    }
  }
  return { bytes: Buffer.concat([...parts, Buffer.alloc(4096)]), positions }
}

const texts = (bytes: Buffer, limit?: number): string[] =>
  scanSegment(bytes, header, limit).frames.map(({ payload }) => payload.toString())

describe('header', () => {
  test('reads back, from the second copy where the first is damaged; never used and damaged are told apart', () => {
    const bytes = encodeHeader(header)
    expect(decodeHeader(bytes)).toEqual(header)
    bytes.fill(0xff, 0, 4096)
    expect(decodeHeader(bytes)).toEqual(header)
    bytes.fill(0xff, 4096, 5000)
    expect(decodeHeader(bytes)).toBe('damaged')
    expect(decodeHeader(Buffer.alloc(dataStart))).toBe('unused')
    expect(decodeHeader(Buffer.alloc(0))).toBe('unused')
  })
})

describe('scan', () => {
  const groups = [['a0', 'a1'], ['b0', 'b1', 'b2'], ['c0']]

  test('finds all frames and the end', () => {
    const { bytes, positions } = segment(groups)
    expect(scanSegment(bytes, header)).toMatchObject({ nextSequence: 106, lost: 0, end: (positions[5] ?? 0) + 48 })
    expect(texts(bytes)).toEqual(['a0', 'a1', 'b0', 'b1', 'b2', 'c0'])
  })

  test('any single damaged frame: damage where a later group stands behind it, a torn tail in the last group', () => {
    const all = groups.flat()
    const { positions } = segment(groups)
    for (const [hit, position] of positions.entries()) {
      for (const offset of [0, 4, 9, 20, 41]) {
        const { bytes } = segment(groups)
        bytes[position + offset] = (bytes[position + offset] ?? 0) ^ 0x55
        const scan = scanSegment(bytes, header)
        const torn = hit === 5
        expect(scan.frames.map(({ payload }) => payload.toString())).toEqual(all.filter((_, at) => at !== hit))
        expect(scan.lost).toBe(torn ? 0 : 1)
        expect(scan.nextSequence).toBe(torn ? 105 : 106)
      }
    }
  })

  test('a group that was torn in its middle is cut there, whatever of it lies behind', () => {
    const { bytes, positions } = segment([['a0'], ['b0', 'b1', 'b2']])
    bytes.fill(0, positions[2], positions[3])
    const scan = scanSegment(bytes, header)
    expect(scan).toMatchObject({ lost: 0, nextSequence: 102, end: positions[2] })
  })

  test('a sealed segment has no torn tail, and nothing behind its limit counts', () => {
    const { bytes, positions } = segment(groups)
    bytes.fill(0, positions[5], (positions[5] as number) + 48)
    expect(scanSegment(bytes, header, 106)).toMatchObject({ lost: 1, nextSequence: 106 })
    expect(texts(segment(groups).bytes, 102)).toEqual(['a0', 'a1'])
  })

  test('frames of another life are never taken, not even at the very place and number', () => {
    const old = segment(groups, { ...header, salt: Buffer.from('otherold') })
    const fresh = segment([['x0']])
    old.bytes.copy(fresh.bytes, (fresh.positions[0] ?? 0) + 48, old.positions[1])
    encodeHeader(header).copy(fresh.bytes)
    expect(texts(fresh.bytes)).toEqual(['x0'])
  })

  test('no bytes whatever make it throw or loop', () => {
    const seed = Number(process.env['HUTONG_TEST_SEED'] ?? Date.now() % 1_000_000)
    process.stdout.write(`segment format: seed ${seed}\n`)
    const random = seeded(seed)
    for (let round = 0; round < 200; round++) {
      const { bytes, positions } = segment(groups)
      for (let hit = 0; hit < 8; hit++) bytes[dataStart + Math.floor(random() * 400)] = Math.floor(random() * 256)
      const scan = scanSegment(bytes, header)
      expect(scan.end).toBeLessThanOrEqual((positions[5] ?? 0) + 48)
      expect(scanSegment(randomBytes(20_000), header).frames).toEqual([])
    }
  })
})

test('the table gives the CRC-32 of zlib, also continued', () => {
  for (const length of [1, 7, 1000]) {
    const bytes = randomBytes(length)
    expect(crc32ByTable(bytes, 0)).toBe(zlibCrc32(bytes, 0))
    expect(crc32ByTable(bytes, 0xdeadbeef)).toBe(zlibCrc32(bytes, 0xdeadbeef))
  }
  expect(crc32ByTable(Buffer.from('123456789'), 0)).toBe(0xcbf43926)
})

test('the tail cache gives what it still has, the newest of each stream, within its bytes', () => {
  const cache = new TailCache(100_000)
  for (let at = 0; at < 10_000; at++)
    cache.add(at % 3 === 0 ? 'a' : 'b', {
      number: Math.floor(at / 3) * (at % 3 === 0 ? 1 : 2) + (at % 3 === 2 ? 1 : 0),
      appendedAt: at,
      payload: Buffer.alloc(36),
    })
  let kept = 0
  for (const [stream, last] of [
    ['a', 3333],
    ['b', 6665],
  ] as const) {
    expect(cache.get(stream, last)?.number).toBe(last)
    expect(cache.get(stream, 0)).toBeUndefined()
    expect(cache.get(stream, last + 1)).toBeUndefined()
    for (let number = last; cache.get(stream, number) !== undefined; number--) kept++
  }
  expect(kept).toBe(1000)
})
