import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CutMessage, CutSummary } from '../../connectors/files/format.js'
import { MessageCutter } from '../../connectors/hl7v2/message-cutter.js'
import { cutMessages } from '../../connectors/hl7v2/framing.js'

function cut(chunks: readonly Buffer[], max = 1_000_000): { messages: CutMessage[]; summary: CutSummary } {
  const cutter = new MessageCutter(max)
  const messages = chunks.flatMap((chunk) => cutter.push(chunk))
  messages.push(...cutter.end())
  return { messages, summary: cutter.summary() }
}

function pieces(file: Buffer, size: number): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < file.length; at += size) chunks.push(file.subarray(at, at + size))
  return chunks
}

const line = fc.constantFrom(
  'MSH|^~\\&|LIS|H1',
  'PID|1||100',
  'OBX|1|TX|A||阳性',
  'FHS|^~\\&|LIS',
  'BHS|^~\\&|LIS',
  'BTS|1',
  'BTS|3',
  'FTS|1',
  'xMSH|no header',
  'FHSX',
  'MSH',
  '',
  '\x0bMSH|^~\\&|framed\rPID|2\x1c',
)
const file = fc
  .tuple(fc.array(fc.tuple(line, fc.constantFrom('\r', '\n', '\r\n', '\r\n\r\n')), { maxLength: 40 }), fc.boolean())
  .map(([lines, bom]) => Buffer.from((bom ? '\ufeff' : '') + lines.map(([text, end]) => text + end).join('')))

describe('message cutter', () => {
  test('cuts any file in any chunks as the whole file is cut', () => {
    fc.assert(
      fc.property(file, fc.integer({ min: 1, max: 64 }), (bytes, size) => {
        const expected = cutMessages(bytes).messages.map((m) => [m.index, m.offset, m.bytes.toString('hex')])
        const { messages, summary } = cut(pieces(bytes, size))
        expect(messages.map((m) => [m.index, m.offset, m.content.toString('hex')])).toEqual(expected)
        expect(summary).toEqual(cut([bytes]).summary)
      }),
      { numRuns: 500 },
    )
  })

  test('UTF-16 files are cut alike', () => {
    const text = '\ufeffMSH|^~\\&|甲\rPID|1\rMSH|^~\\&|乙\rPID|2\r'
    for (const bytes of [Buffer.from(text, 'utf16le'), Buffer.from(text, 'utf16le').swap16()]) {
      const expected = cutMessages(bytes).messages.map((m) => m.bytes.toString('hex'))
      expect(expected).toHaveLength(2)
      for (const size of [1, 2, 3, 7, 1000]) {
        expect(cut(pieces(bytes, size)).messages.map((m) => m.content.toString('hex'))).toEqual(expected)
      }
    }
  })

  test('a message above the limit gives its beginning, and the next one comes whole', () => {
    const bytes = Buffer.from(`MSH|^~\\&|A\rOBX|${'x'.repeat(300_000)}\rMSH|^~\\&|B\r`)
    for (const size of [1000, 64 * 1024, 1_000_000]) {
      const { messages } = cut(pieces(bytes, size), 100_000)
      expect(messages.map((m) => [m.index, m.tooLarge])).toEqual([
        [1, true],
        [2, false],
      ])
      expect(messages[0]!.content.length).toBe(4096)
      expect(messages[1]!.content.toString()).toBe('MSH|^~\\&|B')
    }
  })

  test.each([
    ['complete', 'FHS|^~\\&\rBHS|^~\\&\rMSH|^~\\&|A\rBTS|1\rFTS|1\r', false],
    ['count differs', 'BHS|^~\\&\rMSH|^~\\&|A\rBTS|2\r', true],
    ['no count stated', 'BHS|^~\\&\rMSH|^~\\&|A\rBTS\r', false],
    ['no batch trailer', 'BHS|^~\\&\rMSH|^~\\&|A\r', true],
    ['no file trailer', 'FHS|^~\\&\rBHS|^~\\&\rMSH|^~\\&|A\rBTS|1\r', true],
    ['two batches', 'BHS|^~\\&\rMSH|^~\\&|A\rBTS|1\rBHS|^~\\&\rMSH|^~\\&|B\rMSH|^~\\&|C\rBTS|2\r', false],
    ['no batch at all', 'MSH|^~\\&|A\rMSH|^~\\&|B\r', false],
  ])('batch: %s', (_name, text, truncated) => {
    for (const size of [1, 5, 1000]) {
      expect(cut(pieces(Buffer.from(text), size)).summary.batchTruncated).toBe(truncated)
    }
  })

  test('bytes that are no message are counted', () => {
    for (const size of [1, 16, 40, 1000]) {
      expect(cut(pieces(Buffer.from(`hello\r\n${'z'.repeat(100)}\r\nMSH|^~\\&|A\r`), size)).summary).toMatchObject({
        messages: 1,
        junkBytes: 105,
      })
      expect(cut(pieces(Buffer.alloc(1000, 0xfe - 0x80), size)).summary).toMatchObject({ messages: 0, junkBytes: 1000 })
    }
  })
})
