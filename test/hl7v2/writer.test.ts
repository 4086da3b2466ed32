import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readMessageBytes } from '../../connectors/hl7v2/message.js'
import { encode } from '../../connectors/hl7v2/encode.js'
import { MessageEdit } from '../../connectors/hl7v2/writer.js'
import { bytesOf } from '../fixtures/gb18030/cases.js'

const header = 'MSH|^~\\&|LIS|H01|||20240506||ADT^A08|M1|P|2.4||||||GB 18030-2000'
const open = (bytes: Buffer, declared?: string) => {
  const message = readMessageBytes(bytes, declared)
  return { message, edit: new MessageEdit(message, bytes) }
}

describe('MessageEdit', () => {
  test('only the field that is set is encoded; unusual codes around it stay', () => {
    // 0x80 for the euro sign, A3A0 for a blank, 4-byte 82359037 for a character with a 2-byte code, CRLF, blanks
    const bytes = bytesOf(`${header}{0D0A}PID|1|{80}{A3A0}|P1||{C0EEAB7C}|{82359037} {0D0A}{0A}PV1|1{0D0A0D0A}`)
    const { message, edit } = open(bytes, 'gbk')
    edit.set(message.first('PID')!, 5, '王玘', { component: 1 })
    expect(edit.bytes()).toEqual(
      bytesOf(`${header}{0D0A}PID|1|{80}{A3A0}|P1||{CDF5AB5E}|{82359037} {0D0A}{0A}PV1|1{0D0A0D0A}`),
    )
  })

  test('sets parts, adds fields, adds and removes segments', () => {
    const bytes = Buffer.from(`MSH|^~\\&|A|B\rPID|1||P1^^^HIS~C1\rNK1|1\rPV1|1|I`)
    const { message, edit } = open(bytes)
    const pid = message.first('PID')!
    edit.set(pid, 3, 'A&B', { repetition: 2, component: 4, subcomponent: 2 })
    edit.set(pid, 8, null).set(pid, 5, 'x|y')
    edit.remove(message.first('NK1')!)
    edit.insertAfter(message.first('PV1')!, 'ZXX', ['1', '', 'z']).insertAfter(pid, 'PD1', [])
    expect(edit.bytes().toString()).toBe(
      'MSH|^~\\&|A|B\rPID|1||P1^^^HIS~C1^^^&A\\T\\B||x\\F\\y|||""\rPD1\rPV1|1|I\rZXX|1||z',
    )
    expect(bytes.toString()).toContain('NK1')
  })

  test('keeps line ends and byte order mark', () => {
    const bytes = Buffer.from('\ufeffMSH|^~\\&|A|市\r\nPID|1||x\r\n', 'utf8')
    const { message, edit } = open(bytes)
    edit.insertAfter(message.first('PID')!, 'PV1', ['1']).set(message.first('PID')!, 3, '珅')
    expect(edit.bytes().toString('utf8')).toBe('\ufeffMSH|^~\\&|A|市\r\nPID|1||珅\r\nPV1|1\r\n')
  })

  test('UTF-16', () => {
    const bytes = Buffer.from('\ufeffMSH|^~\\&|A|市𠮷\rPID|1||x|y', 'utf16le')
    const { message, edit } = open(bytes)
    expect(edit.set(message.first('PID')!, 3, '珅').bytes().toString('utf16le')).toBe(
      '\ufeffMSH|^~\\&|A|市𠮷\rPID|1||珅|y',
    )
  })

  test('refuses what would break the message', () => {
    const { message, edit } = open(Buffer.from('MSH|^~\\&|A|B\rPID|1'))
    const pid = message.first('PID')!
    expect(() => edit.setRaw(pid, 3, 'a|b')).toThrowError(RangeError)
    expect(() => edit.setRaw(pid, 3, 'a\rb')).toThrowError(RangeError)
    expect(() => edit.setRaw(message.segment(0), 2, '^~')).toThrowError(RangeError)
    expect(() => edit.remove(message.segment(0))).toThrowError(RangeError)
    expect(() => edit.insertAfter(pid, 'pid', [])).toThrowError(RangeError)
    expect(() => edit.set(pid, 3, '市').bytes()).toThrowError(/us-ascii/)
  })
})

describe('encode', () => {
  test.each(['gb18030', 'big5', 'euc-kr', 'shift_jis', 'iso-8859-2', 'windows-1251', 'iso-2022-jp'])(
    'what is decoded from %s writes back as text',
    (charset) => {
      const samples: Record<string, string> = {
        big5: '檢驗報告',
        'euc-kr': '검사',
        shift_jis: '検査',
        'iso-8859-2': 'Łódź',
        'windows-1251': 'Анализ',
        'iso-2022-jp': '検査a漢字',
        gb18030: '血𠮷€珅㐂\ue000é한',
      }
      const text = samples[charset]!
      const bytes = encode(text, charset)
      const message = readMessageBytes(Buffer.concat([Buffer.from('MSH|^~\\&|A|'), bytes]), charset)
      expect(message.segment(0).field(4)).toBe(text)
    },
  )

  test('GB18030 holds every character there is but 19 private-use ones that it maps elsewhere', () => {
    const decoder = new TextDecoder('gb18030', { fatal: true })
    const missing: number[] = []
    for (let code = 0; code < 0x11_0000; code += code < 0x1_0000 ? 1 : 97) {
      if (code >= 0xd800 && code < 0xe000) continue
      const character = String.fromCodePoint(code)
      try {
        if (decoder.decode(encode(character, 'gb18030')) !== character) throw new Error(`U+${code.toString(16)}`)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        missing.push(code)
      }
    }
    expect(missing.length).toBe(19)
    expect(missing.every((code) => code >= 0xe000 && code < 0xf900)).toBe(true)
  })

  test('says which character a charset does not have', () => {
    expect(() => encode('a血', 'iso-8859-1')).toThrowError('U+8840 cannot be written in iso-8859-1')
    expect(() => encode('한', 'big5')).toThrowError(RangeError)
  })
})

test('a field set in any GB18030 message changes no other byte', () => {
  const piece = fc.constantFrom(
    'A',
    '|',
    '^',
    '{80}',
    '{A3A0}',
    '{D1AA}',
    '{AB7C}',
    '{95328236}',
    '{82359037}',
    '{8139EE39}',
    '\r',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.array(piece, { maxLength: 12 }), (before, after) => {
      const head = `${header}\rNTE|${before.join('').replaceAll('MSH', '')}\rZZZ|1||`
      const tail = `|${after.join('')}`
      const bytes = bytesOf(`${head}{C0EE}${tail}`)
      const { message, edit } = open(bytes, 'gb18030')
      edit.setRaw(message.first('ZZZ')!, 3, '珅')
      expect(edit.bytes().equals(bytesOf(`${head}{AB7C}${tail}`))).toBe(true)
    }),
    { numRuns: 300 },
  )
})
