import { describe, expect, test } from 'vitest'
import { RecordError } from '../../core/errors.js'
import { decode } from '../../connectors/hl7v2/charset.js'
import { readMessageBytes } from '../../connectors/hl7v2/message.js'
import { MessageEdit } from '../../connectors/hl7v2/writer.js'
import { charsetCases, type CharsetCase } from '../fixtures/gb18030/cases.js'

const faultOf = (one: CharsetCase): RecordError => {
  try {
    decode(one.bytes, one.declared)
  } catch (error) {
    if (error instanceof RecordError) return error
    throw error
  }
  throw new Error('decoded')
}

describe('GB18030 and what is taken for it', () => {
  test('there are at least 60 cases and no name twice', () => {
    expect(charsetCases.length).toBeGreaterThanOrEqual(60)
    expect(new Set(charsetCases.map(({ name }) => name)).size).toBe(charsetCases.length)
  })

  test.each(charsetCases.filter(({ error }) => error === undefined))('$name', (one) => {
    const { text, charset, flags } = decode(one.bytes, one.declared)
    expect(text).toBe(one.text)
    expect(charset).toBe(one.charset)
    expect(flags).toEqual(expect.arrayContaining([...one.flags]))
    for (const flag of one.absent) expect(flags).not.toContain(flag)
  })

  test.each(charsetCases.filter(({ error }) => error !== undefined))('$name is refused', (one) => {
    const { code, place, message } = faultOf(one)
    expect({ code, ...place }).toMatchObject(one.error!)
    expect(message.length).toBeGreaterThan(40)
  })

  test.each(charsetCases.filter(({ error }) => error === undefined))('$name writes back byte for byte', (one) => {
    const message = readMessageBytes(one.bytes, one.declared)
    expect(new MessageEdit(message, one.bytes).bytes().equals(one.bytes)).toBe(true)
  })
})
