import { byteOffsets, encode } from './encode.js'
import { escapeText } from './escape.js'
import { sniffUnicode } from './framing.js'
import type { Hl7Message, Segment } from './message.js'

/** Which part of a field; each counts from 1. */
export interface FieldPart {
  readonly repetition?: number
  readonly component?: number
  readonly subcomponent?: number
}

interface Replacement {
  readonly start: number
  readonly end: number
  readonly text: string
}

/**
 * Changes to a message that was read. What is not changed is written as it was read, byte for byte, line ends, blanks
 * and unusual codes included; only what is changed is encoded, in the message's charset.
 */
export class MessageEdit {
  readonly #fields = new Map<number, Map<number, string>>()
  readonly #inserted = new Map<number, string[]>()
  readonly #removed = new Set<number>()
  readonly #lines = new Map<number, string>()

  constructor(
    private readonly message: Hl7Message,
    /** The bytes the message was read from, byte order mark included. */
    private readonly source?: Uint8Array,
  ) {}

  /** Puts raw text in place of a whole field. @throws RangeError for MSH-1 and MSH-2 and for text with a line end or field separator */
  setRaw(segment: Segment, field: number, raw: string): this {
    const { delimiters } = this.message
    if (!segment.isSegment || field < (segment.name === 'MSH' ? 3 : 1)) {
      throw new RangeError(`${segment.name}-${field} cannot be set`)
    }
    if (raw.includes('\r') || raw.includes('\n') || raw.includes(delimiters.field)) {
      throw new RangeError(`raw text of ${segment.name}-${field} has a line end or a field separator`)
    }
    let fields = this.#fields.get(segment.index)
    if (fields === undefined) this.#fields.set(segment.index, (fields = new Map()))
    fields.set(field, raw)
    return this
  }

  /** Puts raw text in place of a line that is no segment. @throws RangeError for a segment and for text with a line end */
  setLine(line: Segment, raw: string): this {
    if (line.isSegment) throw new RangeError(`${line.name} is a segment: set its fields`)
    if (/[\r\n]/.test(raw)) throw new RangeError('raw text of a line has a line end')
    this.#lines.set(line.index, raw)
    return this
  }

  /**
   * Sets the text of one part of a field, escaped as the message's delimiters ask; null writes `""`. Without a
   * component the whole repetition is replaced. The other parts stay as they are.
   */
  set(segment: Segment, field: number, text: string | null, part: FieldPart = {}): this {
    const { delimiters } = this.message
    const raw = text === null ? '""' : escapeText(text, delimiters)
    const { repetition = 1, component, subcomponent } = part
    const current = this.#fields.get(segment.index)?.get(field) ?? segment.field(field)
    const changed = replacePiece(current, delimiters.repetition, repetition, (whole) =>
      component === undefined
        ? raw
        : replacePiece(whole, delimiters.component, component, (one) =>
            subcomponent === undefined ? raw : replacePiece(one, delimiters.subcomponent, subcomponent, () => raw),
          ),
    )
    return this.setRaw(segment, field, changed)
  }

  /** Adds a line after this one (and after those added before it). Raw fields from 1 on; not for MSH. */
  insertAfter(segment: Segment, name: string, fields: readonly string[]): this {
    if (!/^[A-Z][A-Z0-9]{2}$/.test(name) || name === 'MSH') throw new RangeError(`'${name}' cannot be added`)
    const line = [name, ...fields].join(this.message.delimiters.field)
    if (/[\r\n]/.test(line)) throw new RangeError(`raw text of ${name} has a line end`)
    const lines = this.#inserted.get(segment.index)
    if (lines === undefined) this.#inserted.set(segment.index, [line])
    else lines.push(line)
    return this
  }

  /** Takes a line out with its line end. @throws RangeError for MSH */
  remove(segment: Segment): this {
    if (segment.index === 0) throw new RangeError('MSH cannot be removed')
    this.#removed.add(segment.index)
    return this
  }

  get isChanged(): boolean {
    return this.#fields.size + this.#inserted.size + this.#removed.size + this.#lines.size > 0
  }

  /** The message's text with the changes. */
  text(): string {
    let written = ''
    let at = 0
    for (const { start, end, text } of this.#replacements()) {
      written += this.message.text.slice(at, start) + text
      at = end
    }
    return written + this.message.text.slice(at)
  }

  /** The message's bytes with the changes. @throws RangeError on a character that its charset does not have */
  bytes(): Buffer {
    const { charset } = this.message
    if (this.source === undefined) return encode(this.text(), charset)
    const source = Buffer.from(this.source.buffer, this.source.byteOffset, this.source.byteLength)
    if (!this.isChanged) return Buffer.from(source)
    const { bom } = sniffUnicode(source)
    const body = source.subarray(bom)
    const replacements = this.#replacements()
    const offsets = byteOffsets(
      body,
      charset,
      replacements.flatMap(({ start, end }) => [start, end]),
    )
    if (offsets === undefined) return Buffer.concat([source.subarray(0, bom), encode(this.text(), charset)])
    const pieces: Buffer[] = [source.subarray(0, bom)]
    let at = 0
    for (const [index, { text }] of replacements.entries()) {
      pieces.push(body.subarray(at, offsets[2 * index]), encode(text, this.#charsetFor(text)))
      at = offsets[2 * index + 1]!
    }
    pieces.push(body.subarray(at))
    return Buffer.concat(pieces)
  }

  /** A message of ASCII alone that claims no charset takes nothing else: MSH-18 would have to say so first. */
  #charsetFor(text: string): string {
    const { charset } = this.message
    if (charset === 'us-ascii' && /[^\0-\x7f]/.test(text)) {
      throw new RangeError('the message is us-ascii; text outside ASCII cannot be added to it')
    }
    return charset
  }

  #replacements(): Replacement[] {
    const found: Replacement[] = []
    for (const segment of this.message.lines()) {
      const lineEnd = this.#lineEnd(segment)
      if (this.#removed.has(segment.index)) {
        found.push({ start: segment.start, end: segment.end + lineEnd.length, text: '' })
      } else found.push(...this.#fieldReplacements(segment))
      const lines = this.#inserted.get(segment.index)
      if (lines === undefined) continue
      const gone = this.#removed.has(segment.index)
      const at = gone ? segment.end + lineEnd.length : segment.end
      const end = lineEnd === '' ? '\r' : lineEnd
      found.push({ start: at, end: at, text: lines.map((line) => (gone ? line + end : end + line)).join('') })
    }
    return found
  }

  #fieldReplacements(segment: Segment): Replacement[] {
    const line = this.#lines.get(segment.index)
    if (line !== undefined) return [{ start: segment.start, end: segment.end, text: line }]
    const fields = this.#fields.get(segment.index)
    if (fields === undefined) return []
    const found: Replacement[] = []
    let appended = ''
    let last = segment.fieldCount
    for (const [field, raw] of [...fields].sort(([a], [b]) => a - b)) {
      const range = segment.fieldRange(field)
      if (range !== undefined) {
        found.push({ ...range, text: raw })
        continue
      }
      appended += this.message.delimiters.field.repeat(field - last) + raw
      last = field
    }
    if (appended !== '') found.push({ start: segment.end, end: segment.end, text: appended })
    return found
  }

  #lineEnd(segment: Segment): string {
    return /^(?:\r\n|\r|\n)/.exec(this.message.text.slice(segment.end, segment.end + 2))?.[0] ?? ''
  }
}

function replacePiece(raw: string, separator: string, n: number, change: (piece: string) => string): string {
  if (separator === '') {
    if (n !== 1) throw new RangeError('MSH-2 names no separator for this part')
    return change(raw)
  }
  const pieces = raw.split(separator)
  while (pieces.length < n) pieces.push('')
  pieces[n - 1] = change(pieces[n - 1]!)
  return pieces.join(separator)
}
