import { RecordError, type FaultPlace } from '../../core/errors.js'
import { decode, type CharsetFlag } from './charset.js'
import type { Charset } from './charset-names.js'
import { readDelimiters, standardDelimiters, type Delimiters } from './delimiters.js'
import { unescape } from './escape.js'
import { messageStart } from './framing.js'

export type MessageFlag =
  | CharsetFlag
  /** A line that is no segment, usually the rest of a field after a raw line break. It is joined to nothing. */
  | 'not-a-segment'
  | 'blank-lines'
  | 'mixed-line-ends'
  | 'delimiters-short'
  | 'delimiters-odd'
  | 'text-before-msh'
  | 'message-type-missing'
  | 'control-id-missing'

/**
 * A value as HL7 v2.5.1 section 2.5.3 tells them apart: undefined where the part is not there at all, '' where it is
 * there and not valued, null where it says `""` (delete what you have).
 */
export type Hl7Text = string | null | undefined

const standardCodes = { field: 0x7c, component: 0x5e, repetition: 0x7e, subcomponent: 0x26 }

const CR = 0x0d
const LF = 0x0a
const nameLength = 3

/**
 * A decoded message with the offsets of its lines; fields and their parts are found when asked for. The text is kept
 * whole and unchanged. Strings that it hands out may share its memory: copy what must outlive the message. A message
 * read from its own bytes shares nothing with the file it was cut from.
 */
export class Hl7Message {
  readonly #flags: MessageFlag[]
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  /** Three letters packed, 0 for a line that is no segment. */
  readonly #names: number[] = []
  readonly delimiters: Delimiters
  /** Codes of the delimiters; NaN, which no character has, where MSH-2 names none. */
  readonly codes: {
    readonly field: number
    readonly component: number
    readonly repetition: number
    readonly subcomponent: number
  }
  /** False where the text has no escape character after MSH-2: nothing to decode anywhere. */
  readonly hasEscapes: boolean

  /** @throws RecordError hl7-no-msh, hl7-bad-delimiters, hl7-several-messages */
  constructor(
    readonly text: string,
    readonly charset: Charset = 'utf-8',
    flags: readonly MessageFlag[] = [],
  ) {
    this.#flags = [...flags]
    const start = /^MSH[^A-Za-z0-9]/.test(text) ? 0 : messageStart(text)
    if (start < 0) throw new RecordError('hl7-no-msh', noMshDetail(text))

    if (start > 0 && /[^\s\0\x0b\x1c\ufeff]/.test(text.slice(0, start))) this.#flags.push('text-before-msh')
    const field = text.charAt(start + nameLength)
    const encodingEnd = endOfEncodingCharacters(text, start + nameLength + 1, field)
    const { delimiters, flag } = readDelimiters(field, text.slice(start + nameLength + 1, encodingEnd))
    if (flag !== undefined) this.#flags.push(flag)
    this.delimiters = delimiters
    this.codes =
      delimiters === standardDelimiters
        ? standardCodes
        : {
            field: delimiters.field.charCodeAt(0),
            component: delimiters.component.charCodeAt(0),
            repetition: delimiters.repetition.charCodeAt(0),
            subcomponent: delimiters.subcomponent.charCodeAt(0),
          }
    this.hasEscapes = delimiters.escape !== '' && text.includes(delimiters.escape, encodingEnd)
    this.#findLines(start)
    const msh = this.segment(0)
    if (msh.field(9) === '') this.#flags.push('message-type-missing')
    if (msh.field(10) === '') this.#flags.push('control-id-missing')
  }

  /** Any mix of CR, LF and CRLF ends a line; lines without a visible character are passed over. */
  #findLines(start: number): void {
    const { text } = this
    const fieldCode = this.delimiters.field.charCodeAt(0)
    const end = endWithoutFraming(text)
    const onlyCr = text.indexOf('\n', start) < 0
    let cr = -1
    let lf = -1
    let endings = 0
    let at = start
    while (at < end) {
      if (cr < at) cr = ending(text, '\r', at, end)
      if (!onlyCr && lf < at) lf = ending(text, '\n', at, end)
      const lineEnd = onlyCr || cr < lf ? cr : lf
      const crlf = lineEnd < end && text.charCodeAt(lineEnd) === CR && text.charCodeAt(lineEnd + 1) === LF
      if (lineEnd < end) endings |= crlf ? 4 : text.charCodeAt(lineEnd) === CR ? 1 : 2
      this.#addLine(at, lineEnd, fieldCode)
      at = lineEnd + (crlf ? 2 : 1)
    }
    if (endings !== 0 && endings !== 1 && endings !== 2 && endings !== 4) this.#flag('mixed-line-ends')
  }

  #addLine(start: number, end: number, fieldCode: number): void {
    const { text } = this
    if (isBlank(text, start, end)) {
      this.#flag('blank-lines')
      return
    }
    const name = packedName(text, start, end, fieldCode)
    if (
      this.#starts.length > 0 &&
      (name === MSH || (name === 0 && /^[\s\ufeff]*MSH[^A-Za-z0-9]/.test(text.slice(start, end))))
    ) {
      throw new RecordError('hl7-several-messages', `a second MSH stands on line ${this.#starts.length + 1}`, {
        segment: 'MSH[2]',
      })
    }
    if (name === 0) this.#flag('not-a-segment')
    this.#starts.push(start)
    this.#ends.push(end)
    this.#names.push(name)
  }

  #flag(flag: MessageFlag): void {
    if (!this.#flags.includes(flag)) this.#flags.push(flag)
  }

  /** What is odd about this message, of its charset and of its structure. */
  get flags(): readonly MessageFlag[] {
    return this.#flags
  }

  /** Lines that are not blank, those that are no segments included. */
  get length(): number {
    return this.#starts.length
  }

  /** The line at this position, from 0 (MSH). @throws RangeError outside the message */
  segment(index: number): Segment {
    const start = this.#starts[index]
    if (start === undefined) throw new RangeError(`the message has ${this.length} segments, not ${index + 1}`)
    return new Segment(this, index, start, this.#ends[index]!, this.#names[index]!)
  }

  /** The segments of this name in message order. */
  segments(name: string): Segment[] {
    const code = packName(name)
    const names = this.#names
    const found: Segment[] = []
    if (code === 0) return found
    for (let index = 0; index < names.length; index++) {
      if (names[index] !== code) continue
      found.push(new Segment(this, index, this.#starts[index]!, this.#ends[index]!, code))
    }
    return found
  }

  /** The first segment of this name. */
  first(name: string): Segment | undefined {
    const index = this.#names.indexOf(packName(name))
    return index < 0 ? undefined : this.segment(index)
  }

  /** All lines in order, those that are no segments included. */
  *lines(): Generator<Segment> {
    for (let index = 0; index < this.length; index++) yield this.segment(index)
  }

  /** How many segments of this packed name stand at or before this index. */
  ordinalAt(index: number): number {
    const code = this.#names[index]
    let ordinal = 0
    for (let at = 0; at <= index; at++) if (this.#names[at] === code) ordinal++
    return ordinal
  }

  /** Decodes the escape sequences of raw text of this message. */
  unescape(raw: string): string {
    return this.hasEscapes ? unescape(raw, this.delimiters, this.charset) : raw
  }
}

/** One line of a message. Fields, repetitions, components and subcomponents count from 1, MSH-1 is the separator. */
export class Segment {
  // The field found last: asked for in ascending order, a segment is walked once.
  private readonly source: string
  private token = 0
  tokenStart: number
  tokenEnd: number
  private partStart = 0
  private partEnd = 0

  constructor(
    readonly message: Hl7Message,
    /** Position among the lines of the message, from 0. */
    readonly index: number,
    /** Offsets of the line in the message's text. */
    readonly start: number,
    readonly end: number,
    private readonly packed: number,
  ) {
    this.source = message.text
    this.tokenStart = start
    this.tokenEnd = packed === 0 ? -1 : start + nameLength
  }

  /** Three letters; for a line that is no segment what stands before its first separator. */
  get name(): string {
    const known = frequentNames.get(this.packed)
    if (known !== undefined) return known
    if (this.packed !== 0) return this.message.text.slice(this.start, this.start + nameLength)
    return this.findToken(0) ? this.message.text.slice(this.tokenStart, this.tokenEnd) : ''
  }

  /** False for a line that does not start with a segment name and a separator. */
  get isSegment(): boolean {
    return this.packed !== 0
  }

  /** Which of the segments of its name it is, from 1. */
  get ordinal(): number {
    return this.message.ordinalAt(this.index)
  }

  /** Where a fault lies, as dead letters name it: `OBX[3]`, `OBX-5`. */
  place(field?: number): FaultPlace {
    const name = this.isSegment ? this.name : `line ${this.index + 1}`
    const segment = this.isSegment ? `${name}[${this.ordinal}]` : name
    return field === undefined || !this.isSegment ? { segment } : { segment, field: `${name}-${field}` }
  }

  /** Token 0 is the name; leaves its offsets in tokenStart and tokenEnd. */
  private findToken(token: number): boolean {
    const { source, end } = this
    const separator = this.message.codes.field
    let found = this.token
    let at = this.tokenEnd
    if (token < found || at < 0) {
      found = 0
      at = this.packed === 0 ? separatorFrom(source, this.start, end, separator) : this.start + nameLength
      this.tokenStart = this.start
    }
    let from = this.tokenStart
    while (found < token && at < end) {
      from = at + 1
      at = separatorFrom(source, from, end, separator)
      found++
    }
    this.token = found
    this.tokenStart = from
    this.tokenEnd = at
    return found === token
  }

  private findField(field: number): boolean {
    return this.findToken(this.packed === MSH ? field - 1 : field)
  }

  /** Raw text of a field as it stands, all repetitions; '' where it is empty or past the last separator. */
  field(field: number): string {
    if (field < 1) return ''
    if (this.packed === MSH && field === 1) return this.message.delimiters.field
    return this.findField(field) ? this.message.text.slice(this.tokenStart, this.tokenEnd) : ''
  }

  /** Raw text from this field to the end of the segment; '' past the last separator. */
  from(field: number): string {
    return field >= 1 && this.findField(field) ? this.message.text.slice(this.tokenStart, this.end) : ''
  }

  /** How many fields the segment has, empty ones included. */
  get fieldCount(): number {
    return this.fields().length
  }

  /** Raw text of all fields from 1 on; for MSH the first is the separator itself. */
  fields(): string[] {
    const line = this.message.text.slice(this.start, this.end)
    const fields = line.split(this.message.delimiters.field)
    if (this.packed === MSH) fields[0] = this.message.delimiters.field
    else fields.shift()
    return fields
  }

  /** Offsets of a field in the message's text; undefined past the last separator. */
  fieldRange(field: number): { readonly start: number; readonly end: number } | undefined {
    if (field < 1 || (this.packed === MSH && field < 2) || !this.findField(field)) return undefined
    return { start: this.tokenStart, end: this.tokenEnd }
  }

  /** How many repetitions a field has; 0 where it is absent or empty. */
  repetitions(field: number): number {
    const raw = this.field(field)
    if (raw === '') return 0
    const { repetition } = this.message.delimiters
    if (repetition === '' || (this.packed === MSH && field <= 2)) return 1
    let count = 1
    for (let at = raw.indexOf(repetition); at >= 0; at = raw.indexOf(repetition, at + 1)) count++
    return count
  }

  /** Raw text of one repetition, or of one component of it, or of one subcomponent; undefined where it is not there. */
  raw(field: number, repetition = 1, component?: number, subcomponent?: number): string | undefined {
    if (!this.locate(field, repetition, component ?? 0, subcomponent ?? 0)) return undefined
    return this.message.text.slice(this.partStart, this.partEnd)
  }

  /** Text of one subcomponent with its escapes decoded; see Hl7Text for what is not a string. */
  text(field: number, repetition = 1, component = 1, subcomponent = 1): Hl7Text {
    if (repetition === 1 && component === 1 && subcomponent === 1 && this.packed !== MSH) {
      return this.findField(field) ? this.firstOf(this.tokenStart, this.tokenEnd) : undefined
    }
    return this.locate(field, repetition, component, subcomponent) ? this.value() : undefined
  }

  /**
   * Text of a whole repetition with its escapes decoded; unescaped component and subcomponent separators stay in it.
   * For fields of a simple type (ST, TX, FT) whose sender does not escape.
   */
  whole(field: number, repetition = 1): Hl7Text {
    return this.locate(field, repetition, 0, 0) ? this.value() : undefined
  }

  private value(): Hl7Text {
    return this.textBetween(this.partStart, this.partEnd)
  }

  /** Up to the first separator of any level. */
  private firstOf(start: number, end: number): Hl7Text {
    const { source } = this
    const { component, repetition, subcomponent } = this.message.codes
    let at = start
    for (; at < end; at++) {
      const code = source.charCodeAt(at)
      if (code === component || code === repetition || code === subcomponent) break
    }
    return this.textBetween(start, at)
  }

  private textBetween(start: number, end: number): Hl7Text {
    const { source } = this
    if (end - start === 2 && source.charCodeAt(start) === 0x22 && source.charCodeAt(start + 1) === 0x22) return null
    const raw = source.slice(start, end)
    return this.message.hasEscapes ? this.message.unescape(raw) : raw
  }

  /** Leaves the offsets of a part in partStart and partEnd. 0 for component or subcomponent means all of it. */
  private locate(field: number, repetition: number, component: number, subcomponent: number): boolean {
    if (this.packed === MSH && field <= 2) return this.locateDelimiters(field, repetition, component, subcomponent)
    if (field < 1 || !this.findField(field)) return false
    const { message } = this
    const { codes } = message
    this.partStart = this.tokenStart
    this.partEnd = this.tokenEnd
    if (!this.narrow(codes.repetition, repetition)) return false
    if (component === 0) return true
    if (!this.narrow(codes.component, component)) return false
    return subcomponent === 0 || this.narrow(codes.subcomponent, subcomponent)
  }

  private locateDelimiters(field: number, repetition: number, component: number, subcomponent: number): boolean {
    if (field < 1 || repetition !== 1 || component > 1 || subcomponent > 1) return false
    this.partStart = this.start + nameLength
    this.partEnd = this.partStart + 1
    if (field === 2) {
      this.findToken(1)
      this.partStart = this.tokenStart
      this.partEnd = this.tokenEnd
    }
    return true
  }

  /** Narrows the part to its n-th piece. */
  private narrow(separator: number, n: number): boolean {
    const { source } = this
    const end = this.partEnd
    let start = this.partStart
    for (let left = n; ; left--) {
      let at = start
      while (at < end && source.charCodeAt(at) !== separator) at++
      if (left === 1) {
        this.partStart = start
        this.partEnd = at
        return n >= 1
      }
      if (at >= end) return false
      start = at + 1
    }
  }
}

/** Reads decoded text. @throws RecordError hl7-no-msh, hl7-bad-delimiters, hl7-several-messages */
export function readMessage(text: string, charset?: Charset): Hl7Message {
  return new Hl7Message(text, charset)
}

/**
 * Decodes and reads one message; its flags are those of its charset and of its structure.
 * @throws RecordError charset-undecodable, charset-ambiguous and those of `readMessage`
 */
export function readMessageBytes(bytes: Uint8Array, declaredCharset?: string): Hl7Message {
  const { text, charset, flags } = decode(bytes, declaredCharset)
  return new Hl7Message(text, charset, flags)
}

function packName(name: string): number {
  if (!/^[A-Z][A-Z0-9]{2}$/.test(name)) return 0
  return (name.charCodeAt(0) << 16) | (name.charCodeAt(1) << 8) | name.charCodeAt(2)
}

const MSH = packName('MSH')

/** Names that need not be cut out of the text again and again. */
const frequentNames: ReadonlyMap<number, string> = new Map(
  [
    'MSH',
    'SFT',
    'EVN',
    'PID',
    'PD1',
    'NK1',
    'PV1',
    'PV2',
    'MRG',
    'IN1',
    'AL1',
    'DG1',
    'GT1',
    'ROL',
    'ORC',
    'OBR',
    'OBX',
  ]
    .concat(['NTE', 'SPM', 'SAC', 'TQ1', 'IPC', 'DSC', 'MSA', 'ERR', 'QRD', 'SCH', 'TXA', 'RXA', 'RXO', 'RXE', 'ZDS'])
    .map((name) => [packName(name), name]),
)

const isNameCode = (code: number): boolean => (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39)

/** A capital letter, two capital letters or digits, then a separator or the end of the line (v2.5.1 section 2.5.2). */
function packedName(text: string, start: number, end: number, fieldCode: number): number {
  if (end - start < nameLength) return 0
  const first = text.charCodeAt(start)
  const second = text.charCodeAt(start + 1)
  const third = text.charCodeAt(start + 2)
  if (first < 0x41 || first > 0x5a || !isNameCode(second) || !isNameCode(third)) return 0
  const next = start + nameLength
  if (next < end && text.charCodeAt(next) !== fieldCode && !isBlank(text, next, end)) return 0
  return (first << 16) | (second << 8) | third
}

/** Fields are short: a loop over their characters is quicker than a call of indexOf for each, until one is long. */
function separatorFrom(text: string, from: number, end: number, separator: number): number {
  const near = Math.min(end, from + 64)
  for (let at = from; at < near; at++) if (text.charCodeAt(at) === separator) return at
  if (near === end) return end
  const found = text.slice(near, end).indexOf(String.fromCharCode(separator)) // a slice, to look no further than the line
  return found < 0 ? end : near + found
}

/** Only blanks, tabs, NUL and framing bytes. */
function isBlank(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (text.charCodeAt(at) > 0x20) return false
  return true
}

function ending(text: string, character: string, from: number, end: number): number {
  const found = text.indexOf(character, from)
  return found < 0 || found > end ? end : found
}

function endOfEncodingCharacters(text: string, from: number, field: string): number {
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === CR || code === LF || text[at] === field) return at
  }
  return text.length
}

/** MLLP bytes and NUL padding after the last segment belong to no field. */
function endWithoutFraming(text: string): number {
  let end = text.length
  for (; end > 0; end--) {
    const code = text.charCodeAt(end - 1)
    if (code !== 0 && code !== 0x0b && code !== 0x1c && code !== CR && code !== LF) break
  }
  return end
}

function noMshDetail(text: string): string {
  return text.trim() === '' ? 'the message is empty' : 'no line of the message starts with MSH and a separator'
}
