import { RecordError } from '../../core/errors.js'

/** The delimiters an H record declares (LIS2-A2 section 5.4.8), usually `|\^&`. */
export interface Delimiters {
  readonly field: string
  readonly repeat: string
  readonly component: string
  /** '' where none is declared. */
  readonly escape: string
}

/** One record; fields count from 1, the record's letter. Texts are null where nothing is stated. */
export class AstmRecord {
  private readonly fields: readonly string[]

  constructor(
    readonly letter: string,
    /** From 1, over the records of its letter in the message. */
    readonly ordinal: number,
    line: string,
    private readonly delimiters: Delimiters,
  ) {
    this.fields = line.split(delimiters.field)
  }

  /** As it stands, '' where absent. */
  raw(field: number): string {
    return this.fields[field - 1] ?? ''
  }

  repeats(field: number): readonly string[] {
    return this.raw(field).split(this.delimiters.repeat)
  }

  /** The components of the first repetition. */
  components(field: number, repetition = 0): readonly (string | null)[] {
    const first = this.repeats(field)[repetition] ?? ''
    return first.split(this.delimiters.component).map((component) => this.read(component))
  }

  /** One component of the first repetition. */
  component(field: number, number = 1): string | null {
    return this.components(field)[number - 1] ?? null
  }

  /**
   * The whole field for reading, its delimiters with it and trailing empty components without: units are written
   * `10^9/L` by analysers that do not escape.
   */
  whole(field: number): string | null {
    let text = this.raw(field)
    while (text.endsWith(this.delimiters.component)) text = text.slice(0, -1).trimEnd()
    return this.read(text)
  }

  place(field?: number): { readonly segment: string; readonly field?: string } {
    const segment = `${this.letter}[${this.ordinal}]`
    return field === undefined ? { segment } : { segment, field: `${this.letter}-${field}` }
  }

  private read(text: string): string | null {
    const trimmed = unescape(text, this.delimiters).trim()
    return trimmed === '' ? null : trimmed
  }
}

export interface AstmMessage {
  readonly records: readonly AstmRecord[]
  readonly header: AstmRecord
  /** The L record is there: the sender had ended the message. */
  readonly complete: boolean
}

/**
 * Reads the records of one message. Lines may end in CR, LF or both. What stands after the L record is no part of it.
 * @throws RecordError astm-no-header, astm-bad-delimiters, astm-bad-record
 */
export function readRecords(text: string): AstmMessage {
  const lines = text.split(/\r\n|\r|\n/).map((line) => line.trimStart())
  const first = lines.find((line) => line !== '') ?? ''
  if (!/^[Hh](?![A-Za-z0-9])/.test(first)) {
    throw new RecordError('astm-no-header', 'the first record is not H', { segment: 'H' })
  }
  const delimiters = delimitersOf(first)
  const counts = new Map<string, number>()
  const records: AstmRecord[] = []
  for (const [at, line] of lines.entries()) {
    if (line.trim() === '') continue
    const letter = line[0]!.toUpperCase()
    if (!/[A-Z]/.test(letter) || (line.length > 1 && line[1] !== delimiters.field)) {
      throw new RecordError('astm-bad-record', `line ${at + 1} does not begin with a record's letter`, {
        segment: `line ${at + 1}`,
      })
    }
    const ordinal = (counts.get(letter) ?? 0) + 1
    counts.set(letter, ordinal)
    records.push(new AstmRecord(letter, ordinal, line, delimiters))
    if (letter === 'L') break
  }
  return { records, header: records[0]!, complete: records.at(-1)?.letter === 'L' }
}

function delimitersOf(line: string): Delimiters {
  const field = line[1] ?? ''
  const declared = line.slice(2).split(field, 1)[0] ?? ''
  const [repeat = '', component = '', escape = ''] = declared
  const all = [field, repeat, component, escape]
  const wrong = all.some((one, at) => (one === '' ? at < 3 : /[A-Za-z0-9\s]/.test(one) || all.indexOf(one) !== at))
  if (field === '' || wrong) {
    throw new RecordError('astm-bad-delimiters', `H-2 is ${JSON.stringify(declared.slice(0, 8))}`, {
      segment: 'H[1]',
      field: 'H-2',
    })
  }
  return { field, repeat, component, escape }
}

/** Resolves the escape sequences of LIS2-A2 section 5.4.7 (`&F&` …); what is none of them stays as it is. */
function unescape(text: string, { field, repeat, component, escape }: Delimiters): string {
  if (escape === '' || !text.includes(escape)) return text
  const parts = text.split(escape)
  let read = parts[0] ?? ''
  for (let at = 1; at < parts.length; at++) {
    const code = parts[at]!
    const resolved = at < parts.length - 1 ? resolve(code, { field, repeat, component, escape }) : undefined
    if (resolved === undefined) read += escape + code
    else {
      read += resolved + (parts[at + 1] ?? '')
      at++
    }
  }
  return read
}

function resolve(code: string, { field, repeat, component, escape }: Delimiters): string | undefined {
  switch (code) {
    case 'F':
      return field
    case 'S':
      return component
    case 'R':
      return repeat
    case 'E':
      return escape
    case 'H':
    case 'N':
      // Highlighting on and off: an appearance, no text.
      return ''
  }
  // Bytes in hexadecimal; beyond ASCII their charset is not stated, and the sequence stays.
  if (!/^X(?:[0-7][0-9A-Fa-f])+$/.test(code)) return undefined
  return Buffer.from(code.slice(1), 'hex').toString('latin1')
}
