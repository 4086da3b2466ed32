import { isAscii, isUtf8 } from 'node:buffer'
import { RefusedError } from '../../core/errors.js'
import { messageStart, sniffUnicode, utf16Text, type Utf16 } from './framing.js'

/** How the bytes of the MSH line were read: enough to split it, not a claim about the message. */
export type HeaderReading = 'us-ascii' | 'utf-8' | 'gb18030' | 'iso-2022-jp' | 'iso-8859-1' | Utf16

/**
 * What the receiver needs of MSH before it has decoded anything. Text is as it stands in the message, escapes included;
 * an absent field is ''.
 */
export interface MshFacts {
  /** MSH-1 */
  readonly fieldSeparator: string
  /** MSH-2 as it stands. */
  readonly encodingCharacters: string
  readonly componentSeparator: string
  readonly repetitionSeparator: string
  /** MSH-3 */
  readonly sendingApplication: string
  /** MSH-4 */
  readonly sendingFacility: string
  /** MSH-5 */
  readonly receivingApplication: string
  /** MSH-6 */
  readonly receivingFacility: string
  /** MSH-7 */
  readonly dateTime: string
  /** MSH-9.1, for example ORU */
  readonly messageCode: string
  /** MSH-9.2, for example R01 */
  readonly triggerEvent: string
  /** MSH-10 */
  readonly controlId: string
  /** MSH-11 */
  readonly processingId: string
  /** MSH-12 */
  readonly versionId: string
  /** MSH-15: AL, NE, ER, SU or '' (HL7 table 0155) */
  readonly acceptAcknowledgment: string
  /** MSH-16, same table */
  readonly applicationAcknowledgment: string
  /** MSH-18 as it stands, repetitions included. */
  readonly characterSet: string
  readonly reading: HeaderReading
  /** The bytes of MSH-n at [n - 1], one Latin-1 character per byte (UTF-16: the text), so that an echo is exact. */
  readonly rawFields: readonly string[]
}

/** A field separator is one printable ASCII character that is no letter, digit, blank or quotation mark. */
const separator = /^[!#-/:-@[-`{-~]$/

/** One byte per character; bytes that are part of a multi-byte character are replaced, so that no separator is seen there. */
function maskMultiByte(line: string, reading: HeaderReading): string {
  if (reading === 'iso-2022-jp') {
    return line.replace(/\x1b\$\(?[@-D].*?(?:\x1b\([BJ]|$)/gs, (run) => '\x80'.repeat(run.length))
  }
  if (reading !== 'gb18030') return line
  return line.replace(/[\x81-\xfe](?:[0-9][\x81-\xfe][0-9]|[\x40-\x7e\x80-\xfe])/g, (run) => '\x80'.repeat(run.length))
}

function splitAt(line: string, mask: string, fieldSeparator: string): string[] {
  const fields = [fieldSeparator]
  let start = 4
  for (;;) {
    const end = mask.indexOf(fieldSeparator, start)
    fields.push(end < 0 ? line.slice(start) : line.slice(start, end))
    if (end < 0) return fields
    start = end + 1
  }
}

/** Does MSH look like an MSH under this split: type, processing id or version where they belong. */
function looksRight(fields: readonly string[]): boolean {
  return (
    /^[A-Z]{3}(?:$|[^A-Za-z0-9])/.test(fields[8] ?? '') &&
    (/^2(?:\.|$)/.test(fields[11] ?? '') || /^[PDT]/.test(fields[10] ?? ''))
  )
}

/**
 * Some GBK characters have `|` or `^` as their second byte, so a line with bytes above 0x7F is split under the reading
 * that leaves MSH-9, 11 and 12 in their places: UTF-8 if valid, then GB18030, then one byte per character.
 */
function splitBytes(line: Buffer, text: string): { readonly fields: string[]; readonly reading: HeaderReading } {
  const fieldSeparator = text[3]!
  const split = (reading: HeaderReading) => ({
    fields: splitAt(text, maskMultiByte(text, reading), fieldSeparator),
    reading,
  })
  if (isAscii(line)) return split(text.includes('\x1b$') ? 'iso-2022-jp' : 'us-ascii')
  if (isUtf8(line)) return split('utf-8')
  const gb = split('gb18030')
  if (looksRight(gb.fields)) return gb
  const single = split('iso-8859-1')
  return looksRight(single.fields) ? single : gb
}

/** Lenient: this text routes and acknowledges, it is never stored as content. */
function headerText(raw: string, reading: HeaderReading): string {
  if (reading === 'us-ascii' || reading === 'iso-8859-1' || reading.startsWith('utf-16')) return raw
  return new TextDecoder(reading).decode(Buffer.from(raw, 'latin1'))
}

/** Length of the MSH line: to the first CR or LF, or the end. */
function lineEnd(text: string): number {
  const end = text.search(/[\r\n\x0b\x1c]/)
  return end < 0 ? text.length : end
}

/** An MSH line longer than this is no header; the search for its end stays bounded. */
const lineBytesMax = 64 * 1024

/**
 * Reads the facts of MSH from the bytes as they arrived, cheaply and without decoding the message. Odd text never
 * throws. @throws RefusedError('no-readable-msh') where there is no MSH with a usable MSH-1
 */
export function readHeader(bytes: Buffer): MshFacts {
  const { utf16, bom } = sniffUnicode(bytes)
  let fields: string[]
  let reading: HeaderReading
  if (utf16 !== undefined) {
    const text = utf16Text(bytes.subarray(bom, bom + 2 * lineBytesMax), utf16)
    const start = messageStart(text)
    if (start < 0) throw new RefusedError('no-readable-msh', 'no MSH segment found in the bytes received')
    const line = text.slice(start)
    const header = line.slice(0, lineEnd(line))
    fields = splitAt(header, header, usableSeparator(header))
    reading = utf16
  } else {
    const start = bytesStart(bytes)
    const view = bytes.toString('latin1', start, Math.min(bytes.length, start + lineBytesMax))
    const text = view.slice(0, lineEnd(view))
    usableSeparator(text)
    ;({ fields, reading } = splitBytes(bytes.subarray(start, start + text.length), text))
  }
  const field = (n: number): string => headerText(fields[n - 1] ?? '', reading)
  const encodingCharacters = fields[1] ?? ''
  const componentSeparator = encodingCharacters[0] ?? ''
  const type = componentSeparator === '' ? [field(9)] : field(9).split(componentSeparator)
  return {
    fieldSeparator: fields[0]!,
    encodingCharacters,
    componentSeparator,
    repetitionSeparator: encodingCharacters[1] ?? '',
    sendingApplication: field(3),
    sendingFacility: field(4),
    receivingApplication: field(5),
    receivingFacility: field(6),
    dateTime: field(7),
    messageCode: type[0] ?? '',
    triggerEvent: type[1] ?? '',
    controlId: field(10),
    processingId: field(11),
    versionId: field(12),
    acceptAcknowledgment: field(15),
    applicationAcknowledgment: field(16),
    characterSet: field(18),
    reading,
    rawFields: fields,
  }
}

function bytesStart(bytes: Buffer): number {
  if (bytes[0] === 0x4d && bytes[1] === 0x53 && bytes[2] === 0x48) return 0
  const start = messageStart(bytes.toString('latin1', 0, bytes.length))
  if (start < 0) throw new RefusedError('no-readable-msh', 'no MSH segment found in the bytes received')
  return start
}

function usableSeparator(header: string): string {
  const found = header[3]
  if (found === undefined || !separator.test(found)) {
    throw new RefusedError('no-readable-msh', 'MSH is not followed by a usable field separator (MSH-1)')
  }
  return found
}
