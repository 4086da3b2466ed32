import type { Charset } from './charset-names.js'
import { encodeIso2022 } from './iso2022.js'

/**
 * Text as bytes of a charset by its canonical name, without a byte order mark. Where two codes read as one character
 * the shorter, then the lower is written. @throws RangeError on a character the charset does not have
 */
export function encode(text: string, charset: Charset): Buffer {
  switch (charset) {
    case 'utf-8':
      return Buffer.from(text, 'utf8')
    case 'utf-16le':
      return Buffer.from(text, 'utf16le')
    case 'utf-16be':
      return Buffer.from(text, 'utf16le').swap16()
    case 'iso-2022-jp':
      return encodeIso2022(text) ?? refuse(text, charset, (character) => encodeIso2022(character) === undefined)
    case 'us-ascii':
    case 'iso-8859-1': {
      const limit = charset === 'us-ascii' ? 0x7f : 0xff
      for (let at = 0; at < text.length; at++) {
        if (text.charCodeAt(at) > limit) refuse(text, charset, (character) => character.charCodeAt(0) > limit)
      }
      return Buffer.from(text, 'latin1')
    }
  }
  return encodeByTable(text, charset)
}

function refuse(text: string, charset: Charset, missing: (character: string) => boolean): never {
  const character = Array.from(text).find(missing) ?? ''
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  throw new RangeError(`U+${code} cannot be written in ${charset}`)
}

/** Codes by character: the decoder turned round, so that what is written reads back the same. */
const tables = new Map<Charset, Map<string, Uint8Array>>()

function encodeByTable(text: string, charset: Charset): Buffer {
  let table = tables.get(charset)
  if (table === undefined) {
    table = reverseTable(charset)
    tables.set(charset, table)
  }
  const bytes: number[] = []
  for (const character of text) {
    const code = character.charCodeAt(0)
    if (code < 0x80) {
      bytes.push(code)
      continue
    }
    const found = table.get(character) ?? (charset === 'gb18030' ? supplementary(character) : undefined)
    if (found === undefined) refuse(character, charset, () => true)
    bytes.push(...found)
  }
  return Buffer.from(bytes)
}

function reverseTable(charset: Charset): Map<string, Uint8Array> {
  const decoder = new TextDecoder(charset, { ignoreBOM: true })
  const table = new Map<string, Uint8Array>()
  const add = (text: string, code: Uint8Array): void => {
    const single = text.length === 1 || (text.length === 2 && text.charCodeAt(0) >>> 10 === 0x36)
    if (single && text > '\x7f' && text !== '\ufffd' && !table.has(text)) table.set(text, code)
  }
  // A row where every code is a character is decoded at once; one with gaps code by code.
  const addRow = (codes: readonly Uint8Array[]): void => {
    const text = Array.from(decoder.decode(Buffer.concat(codes)))
    if (text.length === codes.length && !text.includes('\ufffd')) codes.forEach((code, at) => add(text[at]!, code))
    else for (const code of codes) add(decoder.decode(code), code)
  }
  // 0x80 is no code of GB 18030, though it is read as the euro sign; A2E3 is.
  if (charset !== 'gb18030') for (let byte = 0x80; byte < 0x100; byte++) addRow([Uint8Array.of(byte)])
  if (/^(?:gb18030|big5|euc-|shift_jis)/.test(charset)) {
    for (let lead = 0x81; lead < 0xff; lead++) {
      const codes: Uint8Array[] = []
      for (let trail = 0x40; trail < 0xff; trail++) if (trail !== 0x7f) codes.push(Uint8Array.of(lead, trail))
      addRow(codes)
    }
  }
  if (charset === 'gb18030') {
    for (let start = 0; start < 39_420; start += 1260) {
      const length = Math.min(1260, 39_420 - start)
      addRow(Array.from({ length }, (_, at) => Uint8Array.from(fourBytes(start + at, 0x81))))
    }
    table.set('\ufffd', Uint8Array.of(0x84, 0x31, 0xa4, 0x37))
  }
  return table
}

/** GB 18030-2022: the planes above the BMP follow each other from 0x90308130. */
function supplementary(character: string): number[] | undefined {
  const code = character.codePointAt(0) ?? 0
  return code < 0x10000 ? undefined : fourBytes(code - 0x10000, 0x90)
}

function fourBytes(linear: number, firstByte: number): [number, number, number, number] {
  return [
    firstByte + Math.floor(linear / 12_600),
    0x30 + (Math.floor(linear / 1260) % 10),
    0x81 + (Math.floor(linear / 10) % 126),
    0x30 + (linear % 10),
  ]
}

/**
 * Where offsets of a text (ascending) lie in the bytes it was decoded from, byte order mark apart; undefined for a
 * charset with shift states, where a text offset is no place in the bytes.
 */
export function byteOffsets(
  bytes: Buffer,
  charset: Charset,
  textOffsets: readonly number[],
): readonly number[] | undefined {
  if (charset === 'iso-2022-jp') return undefined
  if (charset.startsWith('utf-16')) return textOffsets.map((offset) => offset * 2)
  const multiByte = /^(?:utf-8|gb18030|big5|euc-|shift_jis)/.test(charset)
  if (!multiByte) return textOffsets
  const decoder = new TextDecoder(charset)
  const found: number[] = []
  let at = 0
  let units = 0
  for (const offset of textOffsets) {
    while (units < offset && at < bytes.length) {
      const length = characterBytes(bytes, at, charset)
      units += length === 1 ? 1 : decoder.decode(bytes.subarray(at, at + length)).length
      at += length
    }
    found.push(at)
  }
  return found
}

function characterBytes(bytes: Buffer, at: number, charset: Charset): number {
  const lead = bytes[at]!
  if (lead < 0x80) return 1
  switch (charset) {
    case 'utf-8':
      return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
    case 'gb18030': {
      const second = bytes[at + 1]!
      return lead === 0x80 ? 1 : second >= 0x30 && second <= 0x39 ? 4 : 2
    }
    case 'euc-jp':
      return lead === 0x8f ? 3 : 2
    case 'shift_jis':
      return lead === 0x80 || (lead >= 0xa0 && lead <= 0xdf) || lead > 0xfc ? 1 : 2
    default:
      return lead === 0x80 || lead === 0xff ? 1 : 2
  }
}
