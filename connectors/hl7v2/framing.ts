/** A line of the batch protocol (HL7 v2.5.1 section 2.10.3) with the separators it stands between. */
export interface BatchLine {
  readonly name: 'FHS' | 'BHS' | 'BTS' | 'FTS'
  readonly bytes: Buffer
  /** How many messages of the file stand before it. */
  readonly messagesBefore: number
}

/** One message of a file: a view of the file's bytes, not a copy. */
export interface MessageFrame {
  /** From 1, over the messages of the file. */
  readonly index: number
  /** Byte offset in the file. */
  readonly offset: number
  readonly bytes: Buffer
  /** The batch header that it stands under, and the file header. */
  readonly batchHeader?: Buffer
  readonly fileHeader?: Buffer
}

export type FramingFlag =
  'bom' | 'utf-16' | 'text-before-msh' | 'stray-framing-bytes' | 'nul-padding' | 'batch-count-differs'

export interface Framed {
  readonly messages: readonly MessageFrame[]
  readonly batchLines: readonly BatchLine[]
  readonly flags: readonly FramingFlag[]
}

export type Utf16 = 'utf-16le' | 'utf-16be'

/**
 * UTF-16 by its byte order mark, or by `MSH`, `FHS` or `BHS` in sixteen-bit units where a mark is missing; `bom` is the
 * length of the mark (a UTF-8 mark too).
 */
export function sniffUnicode(bytes: Uint8Array): { readonly utf16?: Utf16; readonly bom: number } {
  const [b0, b1, b2, b3] = bytes
  if (b0 === 0xef && b1 === 0xbb && b2 === 0xbf) return { bom: 3 }
  if (b0 === 0xff && b1 === 0xfe) return { utf16: 'utf-16le', bom: 2 }
  if (b0 === 0xfe && b1 === 0xff) return { utf16: 'utf-16be', bom: 2 }
  const headerLetter = (byte: number | undefined): boolean => byte === 0x4d || byte === 0x46 || byte === 0x42
  if (headerLetter(b0) && b1 === 0 && b3 === 0) return { utf16: 'utf-16le', bom: 0 }
  if (b0 === 0 && headerLetter(b1) && b2 === 0) return { utf16: 'utf-16be', bom: 0 }
  return { bom: 0 }
}

/** Text of UTF-16 bytes for finding lines in; half a unit at the end is left out. */
export function utf16Text(bytes: Buffer, utf16: Utf16): string {
  const whole = bytes.subarray(0, bytes.length & ~1)
  return utf16 === 'utf-16le' ? whole.toString('utf16le') : Buffer.from(whole).swap16().toString('utf16le')
}

/**
 * A header line: at the start of the file or after CR, LF, 0x0B or 0x1C, blanks and tabs allowed, a byte after the
 * name that is no letter or digit. A byte order mark between concatenated files is passed over. None of these bytes is
 * ever the second byte of a GBK, GB18030 or Big5 character, so bytes may be searched before they are decoded.
 */
const headerLine = (): RegExp =>
  /(?:^|[\r\n\x0b\x1c])(?:\xef\xbb\xbf|\ufeff)?[ \t]*(?:(MSH)(?=[^A-Za-z0-9])|(FHS|BHS|BTS|FTS)(?![A-Za-z0-9]))/g

/** Where the first message starts in a text (or in bytes seen as Latin-1), -1 if nowhere. */
export function messageStart(text: string, from = 0): number {
  const pattern = headerLine()
  pattern.lastIndex = from
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    if (match[1] !== undefined) return pattern.lastIndex - 3
  }
  return -1
}

/** Blanks, line ends, MLLP bytes and NUL at the end belong to no message. */
function trimEnd(text: string, start: number, end: number): number {
  while (end > start) {
    const code = text.charCodeAt(end - 1)
    if (
      code !== 0x20 &&
      code !== 0x09 &&
      code !== 0x0d &&
      code !== 0x0a &&
      code !== 0x0b &&
      code !== 0x1c &&
      code !== 0
    )
      break
    end--
  }
  return end
}

interface Found {
  readonly name: string
  readonly start: number
}

/**
 * Cuts a file, or a stream's payload, into messages. Each starts at its MSH and ends before the next MSH, FHS, BHS, BTS
 * or FTS line; what stands outside of all messages is flagged. Never throws.
 */
export function cutMessages(file: Uint8Array): Framed {
  const bytes = Buffer.isBuffer(file) ? file : Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  const { utf16, bom } = sniffUnicode(bytes)
  const unit = utf16 === undefined ? 1 : 2
  const body = bytes.subarray(bom)
  const text = utf16 === undefined ? body.toString('latin1', 0, body.length) : utf16Text(body, utf16)
  const view = (start: number, end: number): Buffer => body.subarray(start * unit, end * unit)

  const found: Found[] = []
  const pattern = headerLine()
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    found.push({ name: match[1] ?? match[2]!, start: pattern.lastIndex - 3 })
  }
  const messages: MessageFrame[] = []
  const batchLines: BatchLine[] = []
  let batchHeader: Buffer | undefined
  let fileHeader: Buffer | undefined
  for (const [at, { name, start }] of found.entries()) {
    const end = trimEnd(text, start, found[at + 1]?.start ?? text.length)
    if (name === 'MSH') {
      messages.push({
        index: messages.length + 1,
        offset: bom + start * unit,
        bytes: view(start, end),
        ...(batchHeader && { batchHeader }),
        ...(fileHeader && { fileHeader }),
      })
      continue
    }
    const lineEnd = text.slice(start, end).search(/[\r\n]/)
    const line = view(start, lineEnd < 0 ? end : start + lineEnd)
    batchLines.push({ name: name as BatchLine['name'], bytes: line, messagesBefore: messages.length })
    if (name === 'FHS') fileHeader = line
    if (name === 'BHS') batchHeader = line
    if (name === 'BTS') batchHeader = undefined
    if (name === 'FTS') fileHeader = undefined
  }
  return { messages, batchLines, flags: framingFlags(text, found, batchLines, { bom, utf16: utf16 !== undefined }) }
}

function framingFlags(
  text: string,
  found: readonly Found[],
  batchLines: readonly BatchLine[],
  unicode: { readonly bom: number; readonly utf16: boolean },
): FramingFlag[] {
  const flags: FramingFlag[] = []
  if (unicode.bom > 0) flags.push('bom')
  if (unicode.utf16) flags.push('utf-16')
  const before = text.slice(0, found[0]?.start ?? text.length)
  if (/[^\s\0\x0b\x1c\ufeff]/.test(before)) flags.push('text-before-msh')
  if (text.includes('\x0b') || text.includes('\x1c')) flags.push('stray-framing-bytes')
  if (text.includes('\0')) flags.push('nul-padding')
  if (batchCountDiffers(batchLines)) flags.push('batch-count-differs')
  return flags
}

/** BTS-1 (batch message count) against the messages that stand between its BHS and it. */
function batchCountDiffers(lines: readonly BatchLine[]): boolean {
  let opened = 0
  for (const line of lines) {
    if (line.name === 'BHS') opened = line.messagesBefore
    if (line.name !== 'BTS') continue
    const [stated = ''] = line.bytes.toString('latin1', 4).split(line.bytes.toString('latin1', 3, 4))
    if (stated.trim() !== '' && Number(stated) !== line.messagesBefore - opened) return true
  }
  return false
}
