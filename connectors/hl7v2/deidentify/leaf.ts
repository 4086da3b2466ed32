import { decodeStrictly } from '../charset.js'
import { encode } from '../encode.js'
import { unescape } from '../escape.js'
import type { Hl7Message } from '../message.js'
import { filler, writable } from './characters.js'
import type { Changed } from './dates.js'

/** A stretch of raw text and what it reads as. */
interface Piece {
  readonly raw: string
  readonly text: string
  readonly kind: 'plain' | 'sequence' | 'hexadecimal' | 'opaque'
}

/**
 * Changes the decoded text of one subcomponent and writes it back the way it was written: what `change` leaves as it is
 * keeps its escape sequences, a changed character that stood in `\X..\` stands there again, in the message's charset.
 * Sequences that do not decode (`\Z..\`, hexadecimal of another charset) are blanked, for nobody can tell what they say.
 */
export function rewrite(message: Hl7Message, raw: string, change: (text: string) => Changed): string {
  if (raw === '' || raw === '""') return raw
  const pieces = piecesOf(message, raw)
  const text = pieces.map((piece) => piece.text).join('')
  const changed = text === '' ? text : change(text)
  let at = 0
  return pieces
    .map((piece) => {
      const part = changed.slice(at, at + piece.text.length)
      at += piece.text.length
      return written(message, piece, typeof part === 'string' ? part : part.join(''))
    })
    .join('')
}

/** The text of a subcomponent as `rewrite` would show it. */
export function leafText(message: Hl7Message, raw: string): string {
  if (raw === '""') return ''
  return piecesOf(message, raw)
    .map((piece) => piece.text)
    .join('')
}

function written(message: Hl7Message, piece: Piece, text: string): string {
  if (piece.kind === 'opaque') return blanked(message, piece.raw)
  if (text === piece.text) return piece.raw
  const safe = Array.from(text, (character) => writable(character, message.charset)).join('')
  if (piece.kind !== 'hexadecimal' || safe === '') return safe
  const { escape } = message.delimiters
  const charset = /^[\0-\x7f]*$/.test(safe) ? 'us-ascii' : message.charset
  return `${escape}X${encode(safe, charset).toString('hex').toUpperCase()}${escape}`
}

function piecesOf(message: Hl7Message, raw: string): Piece[] {
  const { delimiters, charset } = message
  const { escape } = delimiters
  const pieces: Piece[] = []
  const plain = (text: string): void => {
    for (const character of text) pieces.push({ raw: character, text: character, kind: 'plain' })
  }
  let at = 0
  while (escape !== '' && at < raw.length) {
    const open = raw.indexOf(escape, at)
    const close = open < 0 ? -1 : raw.indexOf(escape, open + 1)
    if (close < 0) break
    plain(raw.slice(at, open))
    const whole = raw.slice(open, close + 1)
    const body = whole.slice(1, -1)
    const text = unescape(whole, delimiters, charset)
    if (/^[CM][0-9A-Fa-f]{4,6}$/.test(body)) {
      // From here on characters of another set are spelt in ASCII, up to the next sequence of this kind.
      const next = raw.slice(close + 1).search(/[\\][CM][0-9A-Fa-f]{4}/)
      const end = escape !== '\\' || next < 0 ? raw.length : close + 1 + next
      pieces.push({ raw: whole, text: '', kind: 'sequence' })
      if (/^C2842$|^M2842$/i.test(body)) {
        at = close + 1
        continue
      }
      pieces.push({ raw: raw.slice(close + 1, end), text: '', kind: 'opaque' })
      at = end
    } else if (text !== whole) {
      pieces.push({ raw: whole, text, kind: body.startsWith('X') ? 'hexadecimal' : 'sequence' })
      at = close + 1
    } else if (/^[A-Za-z.][A-Za-z0-9.+-]{0,79}$/.test(body)) {
      pieces.push({ raw: whole, text: '', kind: 'opaque' })
      at = close + 1
    } else {
      plain(escape)
      at = open + 1
    }
  }
  plain(raw.slice(at))
  return pieces
}

/** As long as before, and as unreadable: the sequence's own letter stays. */
function blanked(message: Hl7Message, raw: string): string {
  const { escape } = message.delimiters
  const hexadecimal = raw.startsWith(`${escape}X`) && /^[0-9A-Fa-f]+$/.test(raw.slice(2, -1))
  if (hexadecimal) {
    const bytes = Buffer.from(raw.slice(2, -1), 'hex')
    for (const charset of ['utf-8', 'gb18030']) {
      const text = bytes.length === 0 ? undefined : decodeStrictly(bytes, charset)
      if (text === undefined || raw.length % 2 === 0) continue
      const other = encode(Array.from(text, (character) => writable(filler(character), charset)).join(''), charset)
      return `${escape}X${other.toString('hex').toUpperCase()}${escape}`
    }
    return `${escape}X${raw.slice(2, -1).replace(/[0-9A-Fa-f]/g, 'F')}${escape}`
  }
  if (!raw.startsWith(escape)) return raw.replace(/[!-~]{2}/g, '0!').replace(/[!-~]$/, '0')
  return (
    raw.slice(0, 2) +
    raw
      .slice(2)
      .replace(/[0-9]/g, '0')
      .replace(/[A-Za-z]/g, 'X')
  )
}
