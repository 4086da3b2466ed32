import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RecordError, RefusedError } from '../../core/errors.js'
import { readHeader } from '../../connectors/hl7v2/header.js'
import { inspect } from '../../connectors/hl7v2/inspect.js'
import { cutMessages } from '../../connectors/hl7v2/framing.js'
import { readMessageBytes } from '../../connectors/hl7v2/message.js'
import { MessageEdit } from '../../connectors/hl7v2/writer.js'
import { charsetCases } from '../fixtures/gb18030/cases.js'

/** Reads everything there is to read; anything but a RecordError or RefusedError is a fault of ours. */
function readAll(bytes: Buffer, declared?: string): void {
  for (const line of inspect('f', bytes, declared)) {
    if ('error' in line) {
      expect(line.error.message).not.toBe('')
      expect(line.error.code).not.toBe('')
    }
  }
  try {
    readHeader(bytes)
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error
  }
  try {
    const message = readMessageBytes(bytes, declared)
    for (const line of message.lines()) {
      const fields = line.fields()
      for (let field = 1; field <= Math.min(fields.length, 12); field++) {
        expect(line.field(field)).toBe(fields[field - 1])
        line.text(field, 1, 2, 1)
        line.whole(field, line.repetitions(field))
      }
      line.place(1)
    }
    expect(new MessageEdit(message, bytes).bytes().equals(bytes)).toBe(true)
  } catch (error) {
    if (!(error instanceof RecordError)) throw error
  }
}

const charsets = [undefined, 'gb18030', 'utf-8', 'iso-8859-1', 'iso-2022-jp', 'big5', 'us-ascii'] as const
const declared = fc.constantFrom(...charsets)

describe('no input crashes or hangs the reader', () => {
  test('random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), declared, (bytes, charset) =>
        readAll(Buffer.from(bytes), charset),
      ),
      { numRuns: 600 },
    )
  })

  test('random bytes after MSH', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), declared, (bytes, charset) =>
        readAll(Buffer.concat([Buffer.from('MSH|^~\\&|'), Buffer.from(bytes)]), charset),
      ),
      { numRuns: 600 },
    )
  })

  test('texts of the characters that mean something', () => {
    const unit = fc.constantFrom(
      ...['MSH', 'OBX', 'PID', 'BHS', '|', '^', '~', '\\', '&', '#', '\r', '\n', '\x0b', '\x1c', '\0', ' ', '""'],
      ...['\\X', '\\.br\\', '\\M2442\\', '血', 'é', '\x1b$B', '\x1b(B', '\ufeff', '\ufffd', '\ue000', '1', '2.5'],
    )
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 60 }), declared, (units, charset) =>
        readAll(Buffer.from(units.join(''), 'utf8'), charset),
      ),
      { numRuns: 600 },
    )
  })

  test('mutated messages', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...charsetCases),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
        declared,
        ({ bytes }, changes, charset) => {
          const mutated = Buffer.from(bytes)
          for (const [at, byte] of changes) mutated[at % mutated.length] = byte
          readAll(mutated, charset)
        },
      ),
      { numRuns: 600 },
    )
  })

  test('messages cut after each byte', () => {
    for (const { bytes, declared: charset } of charsetCases.filter((_, index) => index % 12 === 0)) {
      for (let length = 0; length <= bytes.length; length++) readAll(bytes.subarray(0, length), charset)
    }
  })

  test('work grows with the length of the input, not with its square', () => {
    const lines = 20_000
    const hostile = [
      'MSH|^~\\&|A\r' + 'x'.repeat(80).concat('\r').repeat(lines),
      'MSH|^~\\&|A\r' + '\\'.repeat(lines * 10),
      'MSH|^~\\&|A\r' + ' '.repeat(lines * 20) + 'x',
      'MSH|^~\\&|A\r' + 'OBX|1|ST|X||\\T\r'.repeat(lines),
      '\r \t'.repeat(lines * 4) + 'MSH|^~\\&|A\r',
      'MSH|^~\\&|A' + '\x1b$B'.repeat(lines),
      `MSH|^~\\&|${'~'.repeat(lines * 10)}`,
      'MSH'.repeat(lines * 4),
    ]
    for (const text of hostile) {
      const bytes = Buffer.from(text, 'latin1')
      expect(cutMessages(bytes).messages.length).toBeLessThanOrEqual(1)
      for (const line of inspect('f', bytes)) expect(line.index).toBe(1)
      try {
        const message = readMessageBytes(bytes)
        for (const line of message.lines()) line.whole(5)
        message.segment(0).repetitions(3)
      } catch (error) {
        if (!(error instanceof RecordError)) throw error
      }
    }
  }, 20_000)
})
