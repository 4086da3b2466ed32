import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readDelimiters, standardDelimiters } from '../../connectors/hl7v2/delimiters.js'
import { escapeText, unescape } from '../../connectors/hl7v2/escape.js'

const read = (raw: string, charset = 'utf-8') => unescape(raw, standardDelimiters, charset)

describe('unescape', () => {
  test.each([
    ['a\\F\\b\\S\\c\\R\\d\\T\\e\\E\\f', 'a|b^c~d&e\\f'],
    ['一行\\.br\\二行', '一行\n二行'],
    ['a\\.sp\\b\\.sp3\\c\\.sp+2\\d', 'a\nb\n\n\nc\n\nd'],
    ['\\.in+4\\\\.ti-2\\\\.fi\\\\.nf\\x\\.ce\\y\\.sk3\\z', 'x\ny   z'],
    ['\\H\\重要\\N\\', '重要'],
    ['\\X0D\\\\X0A41\\', '\r\nA'],
    ['\\XE8A180\\', '血'],
    ['\\Z12\\ \\Zabc\\T\\\\', '\\Z12\\ \\Zabc\\T\\\\'],
    ['\\Zabc\\\\T\\', '\\Zabc\\&'],
    ['50\\ of \\T\\', '50\\ of &'],
    ['C:\\temp', 'C:\\temp'],
    ['\\', '\\'],
    ['\\\\', '\\\\'],
    ['\\X\\ \\X1\\ \\XZZ\\', '\\X\\ \\X1\\ \\XZZ\\'],
    ['\\XFF\\', '\\XFF\\'],
    ['\\E\\T\\E\\', '\\T\\'],
    ['\\M2442\\4A;z\\C2842\\ab', '漢字ab'],
    ['\\C9999\\x', '\\C9999\\x'],
    ['\\f\\', '\\f\\'],
  ])('%j', (raw, text) => {
    expect(read(raw)).toBe(text)
  })

  test('hexadecimal bytes are in the charset of the message', () => {
    expect(read('\\XD1AA\\', 'gb18030')).toBe('血')
    expect(read('\\XAB7C\\', 'gb18030')).toBe('珅')
    expect(read('\\XD1\\', 'gb18030')).toBe('\\XD1\\')
    expect(read('\\XE9\\', 'iso-8859-1')).toBe('é')
  })
})

test('what escapeText writes reads back, whatever the delimiters', () => {
  const odd = readDelimiters('#', '!@%*$').delimiters
  for (const delimiters of [standardDelimiters, odd]) {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('|', '^', '~', '\\', '&', '#', '!', '%', '\n', '\t', '血', 'F', '.', 'X') }),
        (text) => {
          const raw = escapeText(text, delimiters)
          expect(unescape(raw, delimiters, 'utf-8')).toBe(text)
          for (const separator of [
            delimiters.field,
            delimiters.component,
            delimiters.repetition,
            delimiters.subcomponent,
          ]) {
            expect(raw).not.toContain(separator)
          }
          expect(raw).not.toMatch(/[\r\n]/)
        },
      ),
    )
  }
})
