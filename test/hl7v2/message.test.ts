import { describe, expect, test } from 'vitest'
import { RecordError } from '../../core/errors.js'
import { readMessage, readMessageBytes } from '../../connectors/hl7v2/message.js'

const msh = 'MSH|^~\\&|LIS|H01|HUTONG||20240506083000||ORU^R01^ORU_R01|M1|P|2.5'
const message = (...lines: string[]) => readMessage([msh, ...lines].join('\r'))
const faultOf = (read: () => unknown): RecordError => {
  try {
    read()
  } catch (error) {
    if (error instanceof RecordError) return error
    throw error
  }
  throw new Error('was read')
}

describe('fields and their parts', () => {
  test('MSH counts its separator as MSH-1 and does not split MSH-2', () => {
    const header = message().segment(0)
    expect([header.field(1), header.field(2), header.field(3), header.field(12), header.field(13)]).toEqual([
      '|',
      '^~\\&',
      'LIS',
      '2.5',
      '',
    ])
    expect([header.text(1), header.text(2), header.text(9, 1, 2)]).toEqual(['|', '^~\\&', 'R01'])
    expect(header.fields().slice(0, 3)).toEqual(['|', '^~\\&', 'LIS'])
    expect(header.fieldCount).toBe(12)
  })

  test('are found in any order of asking', () => {
    const obx = message('OBX|1|NM|WBC^白细胞^LIS~A^B||6.12|10^9/L').first('OBX')!
    for (const field of [5, 1, 6, 3, 2, 6, 4, 1]) {
      expect(obx.field(field)).toBe(['', '1', 'NM', 'WBC^白细胞^LIS~A^B', '', '6.12', '10^9/L'][field])
    }
    expect([obx.text(3, 2, 2), obx.text(3, 1, 2), obx.text(3, 2, 1), obx.text(3)]).toEqual(['B', '白细胞', 'A', 'WBC'])
    expect(obx.from(4)).toBe('|6.12|10^9/L')
  })

  test('tell absent, empty and null apart', () => {
    const pid = message('PID|1||""|X^^""^&""|~').first('PID')!
    expect([pid.text(3), pid.text(2), pid.text(20), pid.text(4, 1, 2), pid.text(4, 1, 3)]).toEqual([
      null,
      '',
      undefined,
      '',
      null,
    ])
    expect([pid.text(4, 1, 4, 2), pid.text(4, 1, 5), pid.text(4, 2), pid.text(5, 2)]).toEqual([
      null,
      undefined,
      undefined,
      '',
    ])
    expect([pid.repetitions(2), pid.repetitions(4), pid.repetitions(5), pid.repetitions(9)]).toEqual([0, 1, 2, 0])
  })

  test('a value with unescaped separators is not lost', () => {
    const obx = message('OBX|1|ST|X||阳性&&弱|').first('OBX')!
    expect(obx.whole(5)).toBe('阳性&&弱')
    expect([obx.text(5), obx.text(5, 1, 1, 3)]).toEqual(['阳性', '弱'])
  })

  test('escapes are decoded after splitting', () => {
    const obx = message('OBX|1|ST|X||a\\S\\b\\T\\c^d\\F\\e').first('OBX')!
    expect([obx.text(5), obx.text(5, 1, 2), obx.whole(5), obx.field(5)]).toEqual([
      'a^b&c',
      'd|e',
      'a^b&c^d|e',
      'a\\S\\b\\T\\c^d\\F\\e',
    ])
  })

  test('a field longer than any is found, and the one after it', () => {
    const data = 'QUJD'.repeat(50_000)
    const obx = message(`OBX|1|ED|DOC||^application^pdf^Base64^${data}|u|`, 'NTE|1||x').first('OBX')!
    expect(obx.text(5, 1, 5)).toBe(data)
    expect([obx.field(6), obx.field(7), obx.field(8)]).toEqual(['u', '', ''])
  })

  test('delimiters are those of the message', () => {
    const odd = readMessage('MSH#!@%*#LIS#H##X##ORU!R01#M9#P#2.3\rPID###7!!!A*B@8##o%S%p')
    const pid = odd.first('PID')!
    expect([pid.text(3), pid.text(3, 1, 4, 2), pid.text(3, 2), pid.text(5)]).toEqual(['7', 'B', '8', 'o!p'])
    expect(odd.delimiters.field).toBe('#')
  })

  test('the truncation character of v2.7', () => {
    const seven = readMessage('MSH|^~\\&#|A|B|C|D|1||ORU^R01|1|P|2.7\rOBX|1|ST|X||a\\P\\b#')
    expect(seven.delimiters.truncation).toBe('#')
    expect(seven.first('OBX')!.text(5)).toBe('a#b#')
    expect(message('OBX|1|ST|X||a\\P\\b').first('OBX')!.text(5)).toBe('a\\P\\b')
  })
})

describe('segments', () => {
  test.each([
    ['CR', '\r'],
    ['LF', '\n'],
    ['CRLF', '\r\n'],
    ['blank lines', '\r\r\n\n \r'],
  ])('end with %s', (_name, end) => {
    const read = readMessage([msh, 'PID|1', 'OBX|1|ST', 'ZXX|9|', ''].join(end))
    expect(Array.from(read.lines(), (line) => line.name)).toEqual(['MSH', 'PID', 'OBX', 'ZXX'])
    expect(read.first('OBX')!.field(2)).toBe('ST')
    expect(read.first('ZXX')!.fields()).toEqual(['9', ''])
  })

  test('mixed line ends are flagged', () => {
    expect(readMessage(`${msh}\r\nPID|1\rOBX|1\n`).flags).toContain('mixed-line-ends')
    expect(readMessage(`${msh}\r\nPID|1\r\nOBX|1\r\n`).flags).toEqual([])
  })

  test('a line that is no segment is joined to nothing and flagged', () => {
    const read = message('OBX|1|TX|X||first', 'second line|x', 'pid|1', 'OBXX|2', 'OBX|2', 'OBX', ' OBX|4')
    expect(read.flags).toContain('not-a-segment')
    expect(read.segments('OBX').map((obx) => [obx.field(1), obx.field(5)])).toEqual([
      ['1', 'first'],
      ['2', ''],
      ['', ''],
    ])
    const lines = [...read.lines()]
    expect(lines.map((line) => line.name)).toEqual(['MSH', 'OBX', 'second line', 'pid', 'OBXX', 'OBX', 'OBX', ' OBX'])
    expect(lines[2]!.fields()).toEqual(['x'])
    expect(lines[2]!.place(5)).toEqual({ segment: 'line 3' })
  })

  test('know their ordinal and place', () => {
    const read = message('OBR|1', 'OBX|1', 'OBX|2', 'OBR|2', 'OBX|1')
    const last = read.segments('OBX')[2]!
    expect([last.ordinal, last.index, last.place(5)]).toEqual([3, 5, { segment: 'OBX[3]', field: 'OBX-5' }])
  })

  test('stray framing, NUL padding, blanks and text around the message', () => {
    const read = readMessageBytes(Buffer.from(`\x0b  ${msh}\rOBX|1|ST|X||1\r\x1c\r\0\0`, 'latin1'))
    expect(read.segments('OBX')[0]!.field(5)).toBe('1')
    expect(read.length).toBe(2)
    expect(readMessage(`sent by LIS\r${msh}`).flags).toContain('text-before-msh')
  })
})

describe('bad input is a RecordError that says where', () => {
  test.each([
    ['', 'hl7-no-msh', {}],
    ['PID|1||2', 'hl7-no-msh', {}],
    ['MSHX^~', 'hl7-no-msh', {}],
    ['MSH', 'hl7-no-msh', {}],
    ['MSH \r', 'hl7-bad-delimiters', { segment: 'MSH[1]', field: 'MSH-1' }],
    ['MSH|', 'hl7-bad-delimiters', { segment: 'MSH[1]', field: 'MSH-2' }],
    ['MSH||LIS', 'hl7-bad-delimiters', { segment: 'MSH[1]', field: 'MSH-2' }],
    ['MSH|&&&&|LIS', 'hl7-bad-delimiters', { segment: 'MSH[1]', field: 'MSH-2' }],
    ['MSH|^~\\&#!|LIS', 'hl7-bad-delimiters', { segment: 'MSH[1]', field: 'MSH-2' }],
    ['MSH|abcd|LIS', 'hl7-bad-delimiters', { segment: 'MSH[1]', field: 'MSH-2' }],
    [`${msh}\rPID|1\r${msh}\rPID|2`, 'hl7-several-messages', { segment: 'MSH[2]' }],
    [`${msh}\rPID|1\r \ufeff${msh}\rPID|2`, 'hl7-several-messages', { segment: 'MSH[2]' }],
  ])('%j', (text, code, place) => {
    const fault = faultOf(() => readMessage(text))
    expect({ code: fault.code, place: fault.place }).toEqual({ code, place })
  })

  test('sloppy delimiters with one sane reading are taken and flagged', () => {
    const doubled = readMessage('MSH|^~\\\\&|A|B|C|D|1||ADT^A01|1|P|2.4\rPID|||1^^^A&B\\T\\C')
    expect(doubled.flags).toContain('delimiters-odd')
    expect(doubled.first('PID')!.text(3, 1, 4, 2)).toBe('B&C')
    const short = readMessage('MSH|^~|A|B|C|D|1||ADT^A01|1|P|2.4\rPID|||1\\T\\2^3~4')
    expect(short.flags).toContain('delimiters-short')
    expect([short.first('PID')!.text(3), short.first('PID')!.text(3, 2)]).toEqual(['1\\T\\2', '4'])
  })

  test('what names no type and no control id is flagged', () => {
    expect(readMessage('MSH|^~\\&|A|B').flags).toEqual(['message-type-missing', 'control-id-missing'])
  })
})
