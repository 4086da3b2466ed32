import { describe, expect, test } from 'vitest'
import { cutMessages } from '../../connectors/hl7v2/framing.js'
import { charsetCases } from '../fixtures/gb18030/cases.js'

const msh = (id: string) => `MSH|^~\\&|LIS|H01|||20240506||ORU^R01|${id}|P|2.5`
const cut = (text: string, encoding: BufferEncoding = 'latin1') => cutMessages(Buffer.from(text, encoding))
const texts = (framed: ReturnType<typeof cutMessages>) => framed.messages.map(({ bytes }) => bytes.toString('latin1'))

describe('cutMessages', () => {
  test('cuts at MSH at the start of a line and trims what belongs to no message', () => {
    const framed = cut(`\r\n \t${msh('1')}\rPID|1 \t\r\n\x1c\r\x0b${msh('2')}\nOBX|1|ST|X||MSH|no\n\0\0`)
    expect(texts(framed)).toEqual([`${msh('1')}\rPID|1`, `${msh('2')}\nOBX|1|ST|X||MSH|no`])
    expect(framed.messages.map(({ index }) => index)).toEqual([1, 2])
    expect(framed.flags).toEqual(['stray-framing-bytes', 'nul-padding'])
  })

  test('MSH inside a word or without a separator starts nothing', () => {
    expect(texts(cut('MSHA|x\rMSH1\r xMSH|a'))).toEqual([])
    expect(texts(cut('MSH'))).toEqual([])
  })

  test('batches: header facts, trailers, counts', () => {
    const framed = cut(
      [
        `FHS|^~\\&|A`,
        'BHS|^~\\&|B|1',
        msh('1'),
        msh('2'),
        'BTS|2',
        'BHS|^~\\&|B|2',
        msh('3'),
        'BTS|5',
        'FTS|2',
        'tail',
      ].join('\r'),
    )
    expect(framed.messages.map((one) => one.batchHeader?.toString())).toEqual([
      'BHS|^~\\&|B|1',
      'BHS|^~\\&|B|1',
      'BHS|^~\\&|B|2',
    ])
    expect(framed.messages.every((one) => one.fileHeader?.toString() === 'FHS|^~\\&|A')).toBe(true)
    expect(framed.batchLines.map(({ name, messagesBefore }) => [name, messagesBefore])).toEqual([
      ['FHS', 0],
      ['BHS', 0],
      ['BTS', 2],
      ['BHS', 2],
      ['BTS', 3],
      ['FTS', 3],
    ])
    expect(framed.flags).toEqual(['batch-count-differs'])
  })

  test('text before the first message is flagged', () => {
    expect(cut(`From: LIS\r\n\r\n${msh('1')}`).flags).toEqual(['text-before-msh'])
  })

  test('byte order marks at the start and between concatenated files', () => {
    const framed = cut(`\ufeff${msh('1')}\rPID|1\r\n\ufeff${msh('2')}\rPID|2`, 'utf8')
    expect(framed.messages.length).toBe(2)
    expect(framed.messages[1]!.bytes.toString('latin1')).toBe(`${msh('2')}\rPID|2`)
    expect(framed.flags).toEqual(['bom'])
  })

  test('UTF-16 is cut in UTF-16', () => {
    const framed = cutMessages(
      Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(`${msh('1')}\r\n${msh('二')}\r\n`, 'utf16le')]),
    )
    expect(framed.messages.map(({ bytes }) => bytes.toString('utf16le'))).toEqual([msh('1'), msh('二')])
    expect(framed.flags).toEqual(['bom', 'utf-16'])
  })

  test('no byte of a Chinese character is taken for a line end or a framing byte', () => {
    for (const { bytes, name } of charsetCases.filter(
      (one) => !one.name.startsWith('bom-') && !one.name.startsWith('utf-16'),
    )) {
      const file = Buffer.concat([Buffer.from([0x0b]), bytes, Buffer.from([0x1c, 0x0d])])
      const framed = cutMessages(file)
      expect(framed.messages.length, name).toBe(1)
      expect(framed.messages[0]!.bytes.equals(bytes), name).toBe(true)
    }
  })
})
