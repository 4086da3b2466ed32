import { describe, expect, test } from 'vitest'
import { RefusedError } from '../../core/errors.js'
import { readHeader } from '../../connectors/hl7v2/header.js'
import { bytesOf, charsetCases } from '../fixtures/gb18030/cases.js'

const ascii = (text: string) => readHeader(Buffer.from(text, 'latin1'))

describe('readHeader', () => {
  test('reads every fact', () => {
    const facts = ascii(
      'MSH|^~\\&|LIS|H01|HUB|GOV|20240506||ORU^R01^ORU_R01|M1|P|2.5.1|||AL|NE||GB 18030-2000~ASCII\rPID|1',
    )
    expect(facts).toMatchObject({
      fieldSeparator: '|',
      encodingCharacters: '^~\\&',
      componentSeparator: '^',
      repetitionSeparator: '~',
      sendingApplication: 'LIS',
      sendingFacility: 'H01',
      receivingApplication: 'HUB',
      receivingFacility: 'GOV',
      dateTime: '20240506',
      messageCode: 'ORU',
      triggerEvent: 'R01',
      controlId: 'M1',
      processingId: 'P',
      versionId: '2.5.1',
      acceptAcknowledgment: 'AL',
      applicationAcknowledgment: 'NE',
      characterSet: 'GB 18030-2000~ASCII',
      reading: 'us-ascii',
    })
  })

  // 珅 玘 玕 珇: second bytes | ^ \ ~
  test.each(['{AB7C}', '{AB5E}', '{AB5C}', '{AB7E}', '{CAD0AB7CD2BDD4BA}'])(
    'GBK %s in MSH-4 shifts nothing',
    (hospital) => {
      const bytes = bytesOf(`MSH|^~\\&|LIS|${hospital}|HUB||20240506||ADT^A08|M2|P|2.4||||||`)
      const facts = readHeader(bytes)
      expect([facts.messageCode, facts.triggerEvent, facts.controlId, facts.versionId]).toEqual([
        'ADT',
        'A08',
        'M2',
        '2.4',
      ])
      expect(Buffer.from(facts.rawFields[3]!, 'latin1')).toEqual(bytesOf(hospital))
      expect(facts.reading).toBe('gb18030')
    },
  )

  test('a Latin-1 letter before a separator swallows nothing', () => {
    const facts = ascii('MSH|^~\\&|LIS|Sant\xe9|Caf\xe9|X|20240506||ADT^A08|M3|P|2.4')
    expect([facts.sendingFacility, facts.controlId, facts.reading]).toEqual(['Santé', 'M3', 'iso-8859-1'])
  })

  test('ISO-2022-JP bytes that look like separators are none', () => {
    const facts = ascii('MSH|^~\\&|LIS|\x1b$B%|%~%^\x1b(B|HUB||20240506||ADT^A08|M4|P|2.4||||||ISO IR87')
    expect([facts.controlId, facts.characterSet]).toEqual(['M4', 'ISO IR87'])
  })

  test('every charset case has its control id, decodable or not', () => {
    for (const [index, { bytes, name }] of charsetCases.entries()) {
      expect(readHeader(bytes).controlId, name).toBe(`M${String(index + 1).padStart(3, '0')}`)
    }
  })

  test('short and odd headers', () => {
    expect(ascii('MSH|').controlId).toBe('')
    expect(ascii('MSH|^~\\&|only').sendingApplication).toBe('only')
    expect(ascii('\x0b\r\n MSH|^~\\&|A\r').sendingApplication).toBe('A')
    expect(ascii('MSH#!@%*#LIS##\xff\xfe####ORU!R01#M9').messageCode).toBe('ORU')
  })

  test.each(['', 'MSH', 'PID|1', 'MSHX', 'MSH\r', 'MSH ^~', '\0\0\0'])('%j has no readable MSH', (text) => {
    expect(() => ascii(text)).toThrowError(RefusedError)
    expect(() => ascii(text)).toThrowError(expect.objectContaining({ reason: 'no-readable-msh' }))
  })
})
