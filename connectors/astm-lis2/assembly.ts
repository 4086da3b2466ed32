import { cr, lf } from './control.js'
import type { Frame } from './frame-reader.js'

/** What has arrived of a message that is not complete. */
export interface Assembled {
  /** Whole records with their ends. */
  readonly records: Buffer
  /** The beginning of a record that goes on in the next frame. */
  readonly open: Buffer
}

const empty = Buffer.alloc(0)
export const nothing: Assembled = { records: empty, open: empty }

/**
 * Adds the text of a frame: the messages it completes, and what is left over. A message ends with its L record, or before
 * the next H. Text stays as it came, but a record that ETX ends without a CR gets one, or the next would run into it.
 */
export function assemble(
  before: Assembled,
  frame: Frame,
): { readonly messages: readonly Buffer[]; readonly rest: Assembled } {
  const messages: Buffer[] = []
  const joined = before.open.length === 0 ? frame.text : Buffer.concat([before.open, frame.text])
  const text = frame.last && !endsRecord(joined) ? Buffer.concat([joined, Buffer.of(cr)]) : joined
  const { whole, open } = cutRecords(text)
  let records = before.records.length === 0 ? [] : [before.records]
  const close = (): void => {
    messages.push(Buffer.concat(records))
    records = []
  }
  for (const record of whole) {
    const letter = letterOf(record)
    if (letter === 'H' && records.length > 0) close()
    // An empty line, or the LF of a CR LF that two frames share, begins no message.
    if (letter !== '' || records.length > 0) records.push(record)
    if (letter === 'L') close()
  }
  return { messages, rest: { records: records.length === 0 ? empty : Buffer.concat(records), open } }
}

export const heldBytes = ({ records, open }: Assembled): number => records.length + open.length

/** What has arrived of a message that will not go on; undefined where nothing has. */
export function remainder({ records, open }: Assembled): Buffer | undefined {
  const left = Buffer.concat([records, open])
  return left.every((byte) => byte <= 0x20) ? undefined : left
}

/** Cuts text after each CR, LF or CR LF. None of the two is ever part of a character of GBK, GB18030 or UTF-8. */
export function cutRecords(text: Buffer): { readonly whole: readonly Buffer[]; readonly open: Buffer } {
  const whole: Buffer[] = []
  let start = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== cr && text[at] !== lf) continue
    if (text[at] === cr && text[at + 1] === lf) at++
    whole.push(text.subarray(start, at + 1))
    start = at + 1
  }
  return { whole, open: text.subarray(start) }
}

/**
 * The letter of a record's type (LIS2-A2 section 5.2: in upper or lower case) where a delimiter or nothing follows it; `?`
 * for any other line with text in it, '' for an empty one.
 */
export function letterOf(record: Buffer): string {
  let at = 0
  while (at < record.length && record[at]! <= 0x20) at++
  if (at === record.length) return ''
  const letter = String.fromCharCode(record[at]!).toUpperCase()
  const next = record[at + 1]
  return next === undefined || !isWordByte(next) ? letter : '?'
}

const isWordByte = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte >= 0x80

const endsRecord = (text: Buffer): boolean => text.length === 0 || text.at(-1) === cr || text.at(-1) === lf
