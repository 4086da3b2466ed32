import type { Hl7Message } from '../message.js'
import {
  isPersonalOrFree,
  readable,
  readsAsTime,
  searchable,
  statedIn,
  statesNumber,
  type StatedKind,
} from './stated-values.js'
import { ValueIndex } from './value-index.js'
import type { Vocabulary } from './vocabulary.js'

/** Where an identifying value was found, never the value. */
export interface Leak {
  /** `OBX[2]`; `bytes` for what stands in another charset, in Base64 or in hexadecimal; or the name of a file. */
  readonly segment: string
  readonly field: string
  readonly kind: string
}

/** In which a value may stand unseen by who reads the message in its own. */
const charsets = ['utf-8', 'gb18030', 'utf-16le'] as const

/** What a text is taken from, which decides what may stand there by chance. */
interface Place {
  /** Bytes that may be no text, where short values come about by chance. */
  readonly isDoubtful?: boolean
  /** A clinical word here may be a name. */
  readonly isPersonal: boolean
  /** Digits here that read as a time may be a number of somebody's. */
  readonly holdsNumbers: boolean
}

/**
 * Searches what was written for what the original messages state of persons. It reads the originals by a table of its own
 * and shares nothing with what replaces but the list of clinical words: what the replacing forgets is found here.
 */
export class LeakCheck {
  readonly #values = new ValueIndex<StatedKind>()

  constructor(private readonly vocabulary: Vocabulary) {}

  /** Takes note of what one original message states. All of a set come before the first is checked. */
  learn(original: Hl7Message): void {
    for (const { kind, value } of statedIn(original)) {
      if (kind !== 'birth date' && value.length >= 2) this.#values.add(value, kind)
    }
  }

  /** Leaks in one written message; its original tells the birth dates that it may not state any more. */
  message(written: Hl7Message, bytes: Buffer, original: Hl7Message): Leak[] {
    const births = [...statedIn(original)].filter(({ kind }) => kind === 'birth date').map(({ value }) => value)
    const leaks: Leak[] = []
    for (const segment of written.lines()) {
      const { name } = segment
      const result = name === 'OBX' && /^(?:NM|SN)$/.test(segment.field(2)) && segment.field(6) !== ''
      for (const [at, raw] of segment.fields().entries()) {
        const field = at + 1
        if (raw === '' || (name === 'MSH' && field < 3)) continue
        const text = readable(written, raw)
        // A result with its unit is a result, whatever number it is.
        if (result && field === 5 && /^[<>=+\-\s]*\d{1,8}(?:\.\d+)?\s*$/.test(text)) continue
        const place = { isPersonal: isPersonalOrFree(segment, field), holdsNumbers: statesNumber(name, field) }
        const kinds = [...this.#kinds(text, place), ...(statesBirth(text, births) ? ['birth date'] : [])]
        for (const kind of kinds) {
          leaks.push({ segment: segment.place().segment ?? name, field: `${name}-${field}`, kind })
        }
      }
    }
    return [...leaks, ...this.#bytes(bytes, written.charset)]
  }

  /** Leaks in a text written beside the messages. */
  text(text: string, file: string): Leak[] {
    const kinds = this.#kinds(searchable(text), { isPersonal: false, holdsNumbers: false })
    return kinds.map((kind) => ({ segment: file, field: file, kind }))
  }

  #kinds(text: string, { isPersonal, holdsNumbers, isDoubtful = false }: Place): string[] {
    const kinds: string[] = []
    const [hanMin, latinMin, digitsMin] = isDoubtful ? [3, 6, 8] : [2, 1, 1]
    for (const { start, value, entry } of this.#values.in(text)) {
      const end = start + value.length
      const isHan = /^\p{Script=Han}+$/u.test(value)
      if (value.length < (isHan ? hanMin : /\d/.test(value) ? digitsMin : latinMin)) continue
      if (!isHan && !standsAlone(text, start, end)) continue
      // Codes are words and letters too: AMY is amylase.
      const isCode = !isHan && value.length < 4
      if (entry === 'name' && !isPersonal && (isCode || this.vocabulary.covers(text, start, end))) continue
      if (!holdsNumbers && readsAsTime(value)) continue
      kinds.push(entry)
    }
    return kinds
  }

  /** What the fields do not show: other charsets, Base64, hexadecimal. */
  #bytes(bytes: Buffer, charset: string): Leak[] {
    const leaks: Leak[] = []
    const search = (content: Buffer, but?: string): void => {
      for (const other of charsets) {
        if (other === but) continue
        const { text, isText } = decoded(content, other)
        const place = { isPersonal: false, holdsNumbers: false, isDoubtful: !isText || but !== undefined }
        const kinds = this.#kinds(searchable(text), place)
        const found = but === undefined ? kinds : kinds.filter((kind) => kind === 'name' || kind === 'address')
        leaks.push(...found.map((kind) => ({ segment: 'bytes', field: other, kind })))
      }
    }
    if (/[\x80-\xff]/.test(bytes.toString('latin1'))) search(bytes, charset)
    const text = bytes.toString('latin1')
    for (const [run] of text.matchAll(/[A-Za-z0-9+/]{12,}={0,2}/g)) {
      if (!/[a-z]/.test(run) || !/[A-Z]/.test(run)) continue
      // A run may begin anywhere in what was encoded.
      for (let skip = 0; skip < 4; skip++) search(Buffer.from(run.slice(skip), 'base64'))
    }
    for (const [run] of text.matchAll(/(?:[0-9A-Fa-f]{2}){4,}/g)) search(Buffer.from(run, 'hex'))
    return leaks
  }
}

function standsAlone(text: string, start: number, end: number): boolean {
  const isPart = (beside: string, edge: string): boolean =>
    /\p{N}/u.test(edge) ? /[\p{N}A-Z]/u.test(beside) : /(?!\p{Script=Han})[\p{L}\p{M}]/u.test(beside)
  return !isPart(text[start - 1] ?? '', text[start]!) && !isPart(text[end] ?? '', text[end - 1]!)
}

function statesBirth(text: string, births: readonly string[]): boolean {
  if (births.length === 0) return false
  for (const match of text.matchAll(/(?<!\d)((?:18|19|20)\d\d)(\d\d|[-/.年]\d{1,2}[-/.月])(\d{1,2})/g)) {
    const [, year = '', month = '', day = ''] = match
    const compact = year + month.replace(/\D/g, '').padStart(2, '0') + day.padStart(2, '0')
    if (births.includes(compact)) return true
  }
  return false
}

const strict = new Map(charsets.map((name) => [name, new TextDecoder(name, { fatal: true })]))
const lenient = new Map(charsets.map((name) => [name, new TextDecoder(name)]))

function decoded(bytes: Buffer, charset: (typeof charsets)[number]): { text: string; isText: boolean } {
  try {
    const text = strict.get(charset)!.decode(bytes)
    return { text, isText: !/[^\P{C}\r\n\t]/u.test(text) }
  } catch {
    return { text: lenient.get(charset)!.decode(bytes), isText: false }
  }
}
