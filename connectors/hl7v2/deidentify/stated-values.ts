import type { Hl7Message, Segment } from '../message.js'

export type StatedKind = 'name' | 'number' | 'address' | 'telephone' | 'mail' | 'birth date'

export interface Stated {
  readonly kind: StatedKind
  /** As `searchable` reads a text; a birth date as yyyymmdd. */
  readonly value: string
}

type Form = 'person' | 'staff' | 'id' | 'address' | 'telephone' | 'birth'

/**
 * Fields that state who somebody is (HL7 v2.5.1 chapters 2, 3, 4, 6 and 7). Kept apart from the table by which values are
 * replaced: what one forgets the other finds.
 */
const holders: Readonly<Record<string, Partial<Record<Form, readonly number[]>>>> = {
  MSH: { id: [10] },
  EVN: { staff: [5] },
  PID: { id: [2, 3, 4, 18, 19, 20, 21], person: [5, 6, 9], birth: [7], address: [11], telephone: [13, 14] },
  PD1: { staff: [4] },
  NK1: { person: [2, 30], address: [4, 32], telephone: [5, 6, 31], id: [12, 33], birth: [16] },
  PV1: { id: [5, 19, 50], staff: [7, 8, 9, 17, 52] },
  PV2: { staff: [13] },
  GT1: { id: [2, 19], person: [3, 4], address: [5], telephone: [6, 7], birth: [8] },
  IN1: { person: [16], birth: [18], address: [19], id: [36, 49] },
  IN2: { id: [1, 2, 61] },
  MRG: { id: [1, 2, 3, 4, 5, 6], person: [7] },
  ROL: { staff: [4], telephone: [12] },
  ORC: { id: [2, 3, 4], staff: [10, 11, 12, 19], telephone: [14] },
  OBR: { id: [2, 3], staff: [10, 16, 28], telephone: [17] },
  OBX: { staff: [16, 25] },
  SPM: { id: [2, 3] },
  NTE: { staff: [5] },
  TXA: { staff: [5, 9, 10, 11], id: [12, 13] },
  RXA: { staff: [10] },
}
const birthFields = new Set(['PID-7'])
const timeShape = /^(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-4])(?:[0-5]\d){0,2})?$/

/** Whether a field is one that states an identifier. */
export const statesNumber = (segment: string, field: number): boolean => {
  const { id, staff, telephone } = holders[segment] ?? {}
  return [id, staff, telephone].some((fields) => fields?.includes(field) === true)
}

/** Whether a field is one that holds persons or free text, where a clinical word may be somebody's name. */
export function isPersonalOrFree(segment: Segment, field: number): boolean {
  const { name } = segment
  if (!segment.isSegment || name.startsWith('Z') || (name === 'NTE' && field === 3)) return true
  if (name === 'OBX' && field === 5) return /^(?:TX|FT|ST)$/.test(segment.field(2))
  return holders[name]?.person?.includes(field) === true
}

/** Digits that may be a time; in a field of times they are. */
export const readsAsTime = (digits: string): boolean => timeShape.test(digits)

/** Capitals, full-width forms narrow, every run of separators one blank, none between hanzi. */
export function searchable(text: string): string {
  return text
    .normalize('NFKC')
    .toUpperCase()
    .replace(/[\s\u3000]+/g, ' ')
    .replace(/(?<=\p{Script=Han}) (?=\p{Script=Han})/gu, '')
}

/** A field's text as it reads: escapes decoded, components apart by a blank, repetitions by a line feed. */
export function readable(message: Hl7Message, raw: string): string {
  return repetitionsOf(message, raw)
    .map((parts) => searchable(parts.map((subs) => subs.join(' ')).join(' ')))
    .join('\n')
}

function repetitionsOf(message: Hl7Message, raw: string): string[][][] {
  const { repetition, component, subcomponent } = message.delimiters
  const split = (text: string, separator: string): string[] => (separator === '' ? [text] : text.split(separator))
  return split(raw, repetition).map((one) =>
    split(one, component).map((part) => split(part, subcomponent).map((sub) => message.unescape(sub))),
  )
}

/** What a message states of persons, as far as it means something outside its field. */
export function* statedIn(message: Hl7Message): Generator<Stated> {
  for (const segment of message.lines()) {
    const held = segment.isSegment ? holders[segment.name] : undefined
    for (const [form, fields] of Object.entries(held ?? {}) as [Form, readonly number[]][]) {
      for (const field of fields) {
        const raw = segment.field(field)
        if (raw === '' || raw === '""') continue
        for (const parts of repetitionsOf(message, raw)) yield* stated(form, parts, segment.name, field)
      }
    }
  }
}

function* stated(form: Form, parts: readonly (readonly string[])[], segment: string, field: number): Generator<Stated> {
  const first = (component: number): string => searchable(parts[component - 1]?.[0] ?? '').trim()
  const names = (from: number): string[] =>
    parts.slice(from - 1, from + 2).map((subs) => searchable(subs.join(' ')).trim())
  switch (form) {
    case 'id':
      yield* numbers(first(1), 'number')
      break
    case 'person':
      yield* namesOf(names(1))
      break
    case 'staff':
      yield* numbers(first(1), 'number')
      yield* namesOf(names(2))
      break
    case 'address':
      for (const component of [1, 2]) yield* streets(first(component))
      break
    case 'telephone':
      for (const [at] of parts.entries()) {
        const text = first(at + 1)
        if (/^[A-Z0-9._%+-]+@[A-Z0-9.-]+$/.test(text)) yield { kind: 'mail', value: text }
        else if (at !== 1 && at !== 2) yield* numbers(text, 'telephone')
      }
      break
    case 'birth': {
      const day = /^(?:18|19|20)\d{6}/.exec(first(1))?.[0]
      if (day !== undefined && birthFields.has(`${segment}-${field}`)) yield { kind: 'birth date', value: day }
    }
  }
}

function* namesOf(parts: readonly string[]): Generator<Stated> {
  const whole = parts.join('')
  if (/^[某X*?0\s.·-]*$/.test(whole)) return
  if (/^[\p{Script=Han}·]+$/u.test(whole)) {
    if ([...whole].length >= 2) yield { kind: 'name', value: whole }
    return
  }
  const words = parts.flatMap((part) => part.match(/[\p{L}\p{M}]+/gu) ?? [])
  for (const word of words) {
    if (/\p{Script=Han}/u.test(word) ? [...word].length >= 2 : word.length >= 3) yield { kind: 'name', value: word }
  }
  // Names too short to be looked for word by word: LI NA.
  if (words.length >= 2 && words.every((word) => word.length < 3)) {
    yield { kind: 'name', value: words.join(' ') }
    yield { kind: 'name', value: [...words].reverse().join(' ') }
  }
}

function* numbers(text: string, kind: StatedKind): Generator<Stated> {
  const plain = text.replace(/[^\p{L}\p{N}]/gu, '')
  const isOne = /^(.)\1*$/.test(plain)
  const digits = plain.replace(/\D/g, '').length
  if (isOne || !/\d/.test(text) || plain.length < 6 || digits < 3) return
  yield { kind, value: text }
  if (kind === 'telephone' && digits >= 7 && /^\D*\d[\d\s()+.-]*$/.test(text)) yield { kind, value: plain }
}

/** The street of an address: what follows province and city, or a house number with its street. */
function* streets(text: string): Generator<Stated> {
  const [, , tail = ''] = /^(.*?省)?.*?[市州盟](.*)$/u.exec(text) ?? [text, '', text]
  if ((tail.match(/\p{Script=Han}/gu)?.length ?? 0) >= 4) yield { kind: 'address', value: tail }
  else if (/\d/.test(text) && /[A-Z]{3}/.test(text) && text.length >= 8) yield { kind: 'address', value: text }
}
