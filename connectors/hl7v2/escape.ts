import { decodeStrictly } from './charset.js'
import type { Charset } from './charset-names.js'
import type { Delimiters } from './delimiters.js'
import { decodeG0, g0SetOf } from './iso2022.js'

/**
 * Decodes the escape sequences of HL7 v2.5.1 section 2.7 in a text: `\F\ \S\ \R\ \T\ \E\` and (v2.7) `\P\` become the
 * message's own delimiters, `\Xhh..\` bytes in the message's charset, `\Cxxyy\` and `\Mxxyyzz\` switch to the set they
 * name. Of the formatting commands, those that break a line or skip blanks do so, the others and highlighting leave
 * nothing. Whatever is not a sequence of the standard, locally defined ones included, is kept as it stands.
 */
export function unescape(raw: string, delimiters: Delimiters, charset: Charset): string {
  const escape = delimiters.escape
  if (escape === '' || !raw.includes(escape)) return raw
  let text = ''
  let at = 0
  let set: ReturnType<typeof g0SetOf> = 'ascii'
  const plain = (from: number, to: number): void => {
    if (from < to) text += switched(raw.slice(from, to), set)
  }
  for (;;) {
    const open = raw.indexOf(escape, at)
    if (open < 0) break
    const close = raw.indexOf(escape, open + 1)
    if (close < 0) break
    plain(at, open)
    const body = raw.slice(open + 1, close)
    const designated = designation(body)
    const value = designated === undefined ? sequence(body, delimiters, charset) : ''
    if (designated !== undefined) set = designated
    if (value !== undefined) {
      text += value
      at = close + 1
    } else if (local.test(body)) {
      text += raw.slice(open, close + 1)
      at = close + 1
    } else {
      // A lone escape character: its partner may open a real sequence.
      text += escape
      at = open + 1
    }
  }
  plain(at, raw.length)
  return text
}

/** Shaped like a sequence: defined by the sender (`\Z..\`) or by a later version. */
const local = /^[A-Za-z.][A-Za-z0-9.+-]{0,79}$/

function sequence(body: string, delimiters: Delimiters, charset: Charset): string | undefined {
  switch (body) {
    case 'F':
      return delimiters.field
    case 'S':
      return delimiters.component
    case 'T':
      return delimiters.subcomponent
    case 'R':
      return delimiters.repetition
    case 'E':
      return delimiters.escape
    case 'P':
      return delimiters.truncation === '' ? undefined : delimiters.truncation
    case 'H':
    case 'N':
      return ''
  }
  if (body[0] === 'X') return hexadecimal(body.slice(1), charset)
  return body[0] === '.' ? formatting(body) : undefined
}

function hexadecimal(digits: string, charset: Charset): string | undefined {
  if (digits.length === 0 || digits.length % 2 !== 0 || !/^[0-9A-Fa-f]+$/.test(digits)) return undefined
  const bytes = Buffer.from(digits, 'hex')
  return bytes.every((byte) => byte < 0x80) ? bytes.toString('latin1') : decodeStrictly(bytes, charset)
}

/** HL7 v2.5.1 section 2.7.6. */
function formatting(body: string): string | undefined {
  const match = /^\.(br|sp|in|ti|fi|nf|ce|sk)\s*([+-]?\d{1,3})?$/.exec(body)
  if (match === null) return undefined
  const amount = Math.max(1, Number(match[2] ?? '1'))
  switch (match[1]) {
    case 'br':
    case 'ce':
      return '\n'
    case 'sp':
      return '\n'.repeat(amount)
    case 'sk':
      return ' '.repeat(amount)
    default:
      return ''
  }
}

/** `\Cxxyy\` and `\Mxxyyzz\` spell an ISO 2022 escape sequence in hexadecimal, without its ESC. */
function designation(body: string): ReturnType<typeof g0SetOf> {
  if (!/^(?:C[0-9A-Fa-f]{4}|M[0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{2})?)$/.test(body)) return undefined
  return g0SetOf(Buffer.from(body.slice(1), 'hex').toString('latin1'))
}

function switched(text: string, set: ReturnType<typeof g0SetOf>): string {
  if (set === undefined || set === 'ascii') return text
  try {
    return /[^\x21-\x7e]/.test(text) ? text : decodeG0(set, Buffer.from(text, 'latin1'))
  } catch {
    return text
  }
}

/** Text for a field: every character with a meaning in the message becomes its sequence, line ends `\.br\`. */
export function escapeText(text: string, delimiters: Delimiters): string {
  const { escape } = delimiters
  if (escape === '') return text
  const names: Record<string, string> = { '\r': '.br', '\n': '.br', [delimiters.field]: 'F', [escape]: 'E' }
  if (delimiters.component !== '') names[delimiters.component] = 'S'
  if (delimiters.repetition !== '') names[delimiters.repetition] = 'R'
  if (delimiters.subcomponent !== '') names[delimiters.subcomponent] = 'T'
  if (delimiters.truncation !== '') names[delimiters.truncation] = 'P'
  let written = ''
  for (const character of text.replaceAll('\r\n', '\n')) {
    // A control character would be taken for framing or a line end.
    if (character < ' ' && !Object.hasOwn(names, character)) {
      written += `${escape}X${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}${escape}`
    } else written += Object.hasOwn(names, character) ? escape + names[character]! + escape : character
  }
  return written
}
