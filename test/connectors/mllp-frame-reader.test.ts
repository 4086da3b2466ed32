import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameReader, type Frame } from '../../connectors/hl7v2-mllp/frame-reader.js'

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

function read(reader: FrameReader, chunks: readonly Buffer[]): Frame[] {
  const frames: Frame[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) frames.push(frame)
  }
  const last = reader.endOfSilence()
  if (last !== undefined) frames.push(last)
  return frames
}

function split(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b)
  return [...at, stream.length].map((end, i) => Buffer.from(stream.subarray(i === 0 ? 0 : at[i - 1], end)))
}

const texts = (frames: readonly Frame[]): string[] => frames.map((frame) => frame.content.toString('latin1'))

/** MSH and anything that may stand in a message: any byte but the two that frame it. */
const content = fc
  .uint8Array({ minLength: 0, maxLength: 300 })
  .map((tail) => Buffer.concat([bytes('MSH|'), Buffer.from(tail.filter((byte) => byte !== 0x0b && byte !== 0x1c))]))
const ending = fc.constantFrom('\x1c\r', '\x1c\r\n', '\x1c\n', '\x1c')
const junk = fc.constantFrom('', '\r', '\n', 'PING', '\0\0', 'é\r\n')

describe('frame reader', () => {
  test('any split of the stream gives the same messages and the same junk', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(content, ending, junk), { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 40 }),
        (messages, cuts) => {
          // Where the CR is missing, the next thing must be a start: anything else would be part of the message.
          const parts = messages.map(([body, end, between]) =>
            Buffer.concat([bytes('\x0b'), body, bytes(end), bytes(end === '\x1c' ? '' : between)]),
          )
          const stream = Buffer.concat(parts)
          const whole = new FrameReader(10_000)
          const cut = new FrameReader(10_000)
          const byByte = new FrameReader(10_000)
          const expected = messages.map(([body]) => body.toString('latin1'))
          expect(texts(read(whole, [stream]))).toEqual(expected)
          expect(texts(read(cut, split(stream, cuts)))).toEqual(expected)
          expect(
            texts(
              read(
                byByte,
                [...stream].map((byte) => Buffer.of(byte)),
              ),
            ),
          ).toEqual(expected)
          expect(cut.junkBytes).toBe(whole.junkBytes)
          expect(byByte.junkBytes).toBe(whole.junkBytes)
        },
      ),
    )
  })

  test('any bytes at all, split anyhow, give the same frames', () => {
    const hostile = fc
      .array(fc.constantFrom('\x0b', '\x1c', '\r', '\n', 'M', 'MSH', '\x0bMSH', 'abc', '\x1cx', '\xff'), {
        maxLength: 60,
      })
      .map((parts) => bytes(parts.join('')))
    const facts = (frames: readonly Frame[]) =>
      frames.map((f) => [f.content.toString('latin1'), f.size, f.tooLarge, f.abandonedBytes])
    fc.assert(
      fc.property(
        hostile,
        fc.array(fc.nat(), { maxLength: 30 }),
        fc.integer({ min: 1, max: 40 }),
        (stream, cuts, max) => {
          const whole = new FrameReader(max, 8)
          const cut = new FrameReader(max, 8)
          const byByte = new FrameReader(max, 8)
          const expected = facts(read(whole, [stream]))
          expect(facts(read(cut, split(stream, cuts)))).toEqual(expected)
          expect(
            facts(
              read(
                byByte,
                [...stream].map((byte) => Buffer.of(byte)),
              ),
            ),
          ).toEqual(expected)
          expect([cut.junkBytes, cut.emptyFrames]).toEqual([whole.junkBytes, whole.emptyFrames])
          expect(cut.abandon()?.size).toBe(whole.abandon()?.size)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('a 0x1C within the text does not cut the message short', () => {
    const frames = read(new FrameReader(1000), [bytes('\x0bMSH|a\x1cb\x1c'), bytes('c\x1c\r')])
    expect(texts(frames)).toEqual(['MSH|a\x1cb\x1cc'])
  })

  test('a new start with MSH within a message gives the former one up', () => {
    const [frame, ...more] = read(new FrameReader(1000), [bytes('\x0bMSH|half\x0bMSH|whole\x1c\r')])
    expect(more).toEqual([])
    expect(frame).toMatchObject({ abandonedBytes: 8, tooLarge: false })
    expect(frame!.content.toString()).toBe('MSH|whole')
  })

  test('a vertical tab within a text is text', () => {
    expect(texts(read(new FrameReader(1000), [bytes('\x0bMSH|a\x0bb\x1c\r')]))).toEqual(['MSH|a\x0bb'])
  })

  test('a message that is too large keeps its beginning only, and the next one is read', () => {
    const reader = new FrameReader(1000, 16)
    const big = Buffer.alloc(5000, 'x')
    const [large, next] = read(reader, [bytes('\x0bMSH|^~\\&|'), big, big, bytes('\x1c\r\x0bMSH|small\x1c\r')])
    expect(large).toMatchObject({ tooLarge: true, size: 10_009 })
    expect(large!.content.toString()).toBe('MSH|^~\\&|xxxxxxx')
    expect(next).toMatchObject({ tooLarge: false })
    expect(next!.content.toString()).toBe('MSH|small')
  })

  test('holds no more than its limit of a message without end, however it arrives', () => {
    const reader = new FrameReader(64 * 1024)
    reader.push(bytes('\x0bMSH|'))
    const chunk = Buffer.alloc(32 * 1024, 'x')
    let most = 0
    for (let i = 0; i < 1000; i++) {
      reader.push(chunk)
      expect(reader.next()).toBeUndefined()
      most = Math.max(most, reader.heldBytes)
    }
    expect(most).toBeLessThanOrEqual(64 * 1024)
    expect(reader.abandon()?.size).toBe(4 + 1000 * chunk.length)
  })

  test('a flood of starts is junk, not memory', () => {
    const reader = new FrameReader(64 * 1024)
    for (let i = 0; i < 100; i++) {
      reader.push(Buffer.alloc(10_000, 0x0b))
      expect(reader.next()).toBeUndefined()
    }
    expect(reader.heldBytes).toBe(0)
    expect(reader.junkBytes).toBe(999_999)
  })

  test('empty blocks are counted and pass', () => {
    const reader = new FrameReader(1000)
    expect(texts(read(reader, [bytes('\x0b\x1c\r\x0bMSH|a\x1c\r')]))).toEqual(['MSH|a'])
    expect(reader.emptyFrames).toBe(1)
  })
})
