import { describe, expect, test } from 'vitest'
import { cutAstmMessages, isAstm, isAstmMessage } from '../../connectors/astm-lis2/message-cutter.js'
import { encodeFrame } from '../../connectors/astm-lis2/control.js'

const cut = (text: string | Buffer): string[] =>
  cutAstmMessages(typeof text === 'string' ? Buffer.from(text) : text).map(String)

describe('messages of a file', () => {
  test('lines before H and after L are remarks; an H begins the next message', () => {
    expect(cut('# room 3\nH|\\^&|1\nP|1\nL|1\n@ sent twice\n\nH|\\^&|2\nP|1\nH|\\^&|3\nL|1')).toEqual([
      'H|\\^&|1\nP|1\nL|1\n',
      'H|\\^&|2\nP|1\n',
      'H|\\^&|3\nL|1',
    ])
  })

  test('a byte order mark is no part of the message', () => {
    expect(cut('\ufeffH|\\^&|1\rL|1\r')).toEqual(['H|\\^&|1\rL|1\r'])
  })

  test('a capture of a line: from the middle of a session, a frame repeated, a message cut off', () => {
    const frame = (number: number, record: string): Buffer => encodeFrame(number, Buffer.from(record), true)
    const capture = [
      Buffer.from('R|9|…\r\x03A0\r\n'),
      ...[frame(1, 'H|\\^&|1\r'), frame(2, 'P|1\r'), frame(2, 'P|1\r'), frame(3, 'L|1\r'), Buffer.from('\x04\x05')],
      frame(1, 'H|\\^&|2\r'),
    ]
    expect(cut(Buffer.concat(capture))).toEqual(['H|\\^&|1\rP|1\rL|1\r', 'H|\\^&|2\r'])
  })

  test.each([
    ['H|\\^&', true],
    ['# remark\nH|\\^&||x', true],
    ['\x05\x021H|\\^&|', true],
    ['H|1|2|3', false],
    ['Header,Value\nH,1', false],
    ['MSH|^~\\&|LIS', false],
    ['\x05', false],
    ['', false],
  ])('%j is told apart', (text, expected) => expect(isAstm(Buffer.from(text))).toBe(expected))

  test('a message is told by its first record alone', () => {
    expect(isAstmMessage(Buffer.from('\r\nH|\\^&|1\rL|1\r'))).toBe(true)
    expect(isAstmMessage(Buffer.from('MSH|^~\\&|LIS\rH|\\^&|1\r'))).toBe(false)
  })
})
