import type { Delimiters } from './delimiters.js'
import type { Hl7Message, Segment } from './message.js'

/** Cuts raw field text and makes it readable, by the delimiters of one message. Counts from 1; '' where absent. */
export class FieldText {
  readonly separators: Delimiters

  constructor(private readonly message: Hl7Message) {
    this.separators = message.delimiters
  }

  /** A field as it stands, all repetitions. */
  raw(segment: Segment | null, field: number): string {
    return segment === null ? '' : (segment.field(field) ?? '')
  }

  /** A segment as it stands from a field to its end, without the separators at its end, which say nothing. */
  from(segment: Segment, field: number): string {
    const range = segment.fieldRange(field)
    if (range === undefined) return ''
    const separator = this.separators.field.charCodeAt(0)
    const { text } = this.message
    let end = segment.end
    while (end > range.start && text.charCodeAt(end - 1) === separator) end--
    return text.slice(range.start, end)
  }

  repeats(field: string): boolean {
    return this.separators.repetition !== '' && field.includes(this.separators.repetition)
  }

  repetitions(field: string): string[] {
    return this.repeats(field) ? field.split(this.separators.repetition) : [field]
  }

  first(field: string): string {
    const end = this.separators.repetition === '' ? -1 : field.indexOf(this.separators.repetition)
    return end < 0 ? field : field.slice(0, end)
  }

  component(repetition: string, number: number): string {
    return nth(repetition, number, this.separators.component)
  }

  subcomponent(component: string, number: number): string {
    return nth(component, number, this.separators.subcomponent)
  }

  /** HL7 null `""`: the sender deletes what stood here. */
  isNull(raw: string): boolean {
    return raw === '""'
  }

  /** For reading: null where absent, '' for HL7 null, else escapes resolved and outer blanks cut off. */
  read(raw: string): string | null {
    if (raw === '') return null
    if (raw === '""') return ''
    const text = this.plain(raw)
    if (text !== '' && isPlain(text.charCodeAt(0)) && isPlain(text.charCodeAt(text.length - 1))) return text
    const trimmed = text.trim()
    return trimmed === '' ? null : trimmed
  }

  /** Escapes resolved, nothing cut off. */
  plain(raw: string): string {
    return this.message.hasEscapes ? this.message.unescape(raw) : raw
  }

  /** A component of the first repetition of a field, for reading; subcomponents are kept together. */
  of(segment: Segment | null, field: number, component = 1): string | null {
    const raw = this.raw(segment, field)
    return raw === '' ? null : this.read(raw === '""' ? raw : this.component(this.first(raw), component))
  }

  /** As `of`, with HL7 null read as absent, for identifiers and codes. */
  stated(segment: Segment | null, field: number, component = 1): string | null {
    const text = this.of(segment, field, component)
    return text === '' ? null : text
  }

  /** A whole field with its components, escapes resolved. */
  whole(segment: Segment | null, field: number): string | null {
    return this.read(this.raw(segment, field))
  }

  /** What a coded element (CE, CWE: code^text^system^…) says in words, else its code. */
  coded(segment: Segment | null, field: number): string | null {
    return this.of(segment, field, 2) || this.of(segment, field, 1)
  }
}

/** Neither a blank of any kind nor a line end: ASCII, or the range of ideographs. */
const isPlain = (code: number): boolean => (code > 0x20 && code < 0x7f) || (code >= 0x3400 && code < 0xa000)

function nth(text: string, number: number, separator: string): string {
  if (separator === '') return number === 1 ? text : ''
  let start = 0
  for (let at = 1; at < number; at++) {
    const next = text.indexOf(separator, start)
    if (next < 0) return ''
    start = next + separator.length
  }
  const end = text.indexOf(separator, start)
  return end < 0 ? (start === 0 ? text : text.slice(start)) : text.slice(start, end)
}
