import type { Hl7Message, Segment } from '../message.js'
import type { Changed } from './dates.js'
import { fieldType, valueType, type FieldType } from './field-types.js'
import { leafText, rewrite } from './leaf.js'

/**
 * What is done with each value of a message by its kind. What a method returns stands in its place; learning returns
 * what it was given.
 */
export interface Hand {
  /** A PID begins; its numbers, folded, and its name and birth date where it has none. */
  patient(keys: readonly string[]): void
  name(parts: readonly string[]): readonly string[]
  number(text: string): Changed
  telephone(text: string): Changed
  mail(text: string): string
  address(text: string): Changed
  place(text: string): Changed
  date(text: string): Changed
  birthDate(text: string): Changed
  text(text: string): Changed
  code(text: string): Changed
  /** OBX-5 of type NM or SN; `hasUnit` says whether OBX-6 is filled. */
  value(text: string, hasUnit: boolean, item: string): Changed
  /** ED.5, raw. */
  document(raw: string, encoding: string): string
}

/** A changed field, or a whole line that is no segment (field 0). */
export interface Change {
  readonly segment: Segment
  readonly field: number
  readonly raw: string
}

const nameItems = /姓名|医生|医师|护士|联系人|\bname\b|physician|doctor/i
const numberItems =
  /病历号|住院号|门诊号|身份证|证件|条码|条形码|电话|手机|卡号|床号|病案号|标本号|\bmrn\b|phone|telephone|\bssn\b|passport|accession/i
const addressItems = /住址|地址|\baddress\b/i

/** Hands every value of a message to `hand`, in order, and yields the fields that come back changed. */
export function* walk(message: Hl7Message, hand: Hand, keep: ReadonlySet<string> = new Set()): Generator<Change> {
  const first = message.first('PID')
  hand.patient(first === undefined ? [] : patientKeys(message, first))
  const { delimiters } = message
  for (const segment of message.lines()) {
    if (!segment.isSegment) {
      const raw = message.text.slice(segment.start, segment.end)
      const changed = inParts(raw, [delimiters.field, ...levels(message)], (part) => {
        return rewrite(message, part, (text) => hand.text(text))
      })
      if (changed !== raw) yield { segment, field: 0, raw: changed }
      continue
    }
    if (segment.name === 'PID') hand.patient(patientKeys(message, segment))
    const from = segment.name === 'MSH' ? 3 : 1
    for (const [at, raw] of segment.fields().entries()) {
      const field = at + 1
      if (field < from || raw === '' || keep.has(`${segment.name}-${field}`)) continue
      const changed = new FieldWalk(message, segment, hand).field(field, raw)
      if (changed !== raw) yield { segment, field, raw: changed }
    }
  }
}

/** Numbers of a patient by which messages are told to be of one person. */
export function patientKeys(message: Hl7Message, pid: Segment): string[] {
  const keys: string[] = []
  for (const field of [3, 19, 2, 4]) {
    for (let repetition = 1; repetition <= pid.repetitions(field); repetition++) {
      const key = (pid.text(field, repetition) ?? '').toUpperCase().replace(/[\s-]/g, '')
      if (key.length >= 4 && !/^(.)\1*$/.test(key)) keys.push(key)
    }
  }
  const name = leafText(message, pid.field(5))
  return keys.length > 0 ? keys : [`${name} ${pid.field(7)} ${pid.field(3)}`]
}

const levels = (message: Hl7Message): string[] => {
  const { repetition, component, subcomponent } = message.delimiters
  return [repetition, component, subcomponent]
}

function inParts(raw: string, separators: readonly string[], change: (part: string) => string): string {
  const [separator, ...inner] = separators
  if (separator === undefined) return change(raw)
  if (separator === '') return inParts(raw, inner, change)
  return raw
    .split(separator)
    .map((part) => inParts(part, inner, change))
    .join(separator)
}

/** Values of HL7 tables steer the reading and stay; anything longer in their place is looked through as a code is. */
const tableValue = /^[A-Za-z0-9.]{1,3}$/

class FieldWalk {
  constructor(
    private readonly message: Hl7Message,
    private readonly segment: Segment,
    private readonly hand: Hand,
  ) {}

  field(field: number, raw: string): string {
    const { repetition } = this.message.delimiters
    const type = fieldType(this.segment.name, field)
    if (type === 'OBX5') return this.#value(raw)
    return raw
      .split(repetition === '' ? '\0' : repetition)
      .map((one) => this.#typed(type, one))
      .join(repetition)
  }

  #value(raw: string): string {
    const { repetition } = this.message.delimiters
    const { segment, hand } = this
    const type = valueType(segment.text(2) ?? '')
    const item = `${segment.text(3, 1, 1) ?? ''} ${segment.text(3, 1, 2) ?? ''}`
    const simple = type === 'TEXT' || type === 'NUMBER'
    const each = (change: (text: string) => Changed) =>
      inParts(raw, levels(this.message), (part) => this.#leaf(part, change))
    if (simple && nameItems.test(item))
      return each((text) => (/\d/.test(text) ? hand.number(text) : hand.name([text])[0]!))
    if (simple && numberItems.test(item)) return each((text) => hand.number(text))
    if (simple && addressItems.test(item)) return each((text) => hand.address(text))
    if (type === 'NUMBER') return each((text) => hand.value(text, segment.field(6) !== '', item))
    if (type === 'ED') {
      return raw
        .split(repetition === '' ? '\0' : repetition)
        .map((one) => this.#document(one))
        .join(repetition)
    }
    return raw
      .split(repetition === '' ? '\0' : repetition)
      .map((one) => this.#typed(type, one))
      .join(repetition)
  }

  #document(raw: string): string {
    const { component, escape } = this.message.delimiters
    const parts = component === '' ? [raw] : raw.split(component)
    const encoding = leafText(this.message, parts[3] ?? '')
    const head = parts.slice(0, 4).map((part, at) => {
      return inParts(part, [this.message.delimiters.subcomponent], (one) =>
        at === 0 ? this.#leaf(one, (text) => this.hand.code(text)) : this.#table(one),
      )
    })
    if (parts.length < 5) return head.join(component)
    const data = parts.slice(4).join(component)
    const encoded = /^(?:base64|hex)$/i.test(encoding) || (escape !== '' && /^[A-Za-z0-9+/=\s]{64,}$/.test(data))
    const changed = encoded
      ? this.hand.document(data, encoding)
      : inParts(data, levels(this.message), (one) => this.#leaf(one, (text) => this.hand.text(text)))
    return [...head, changed].join(component)
  }

  #leaf(raw: string, change: (text: string) => Changed): string {
    return rewrite(this.message, raw, (text) => (text.trim() === '' ? text : change(text)))
  }

  #table(raw: string): string {
    return tableValue.test(raw) ? raw : this.#leaf(raw, (text) => this.hand.code(text))
  }

  /** One repetition. */
  #typed(type: FieldType, raw: string): string {
    const { component, subcomponent } = this.message.delimiters
    const components = component === '' ? [raw] : raw.split(component)
    const parts = components.map((one) => (subcomponent === '' ? [one] : one.split(subcomponent)))
    const changed = this.#parts(type, parts)
    return changed.map((one) => one.join(subcomponent)).join(component)
  }

  #parts(type: FieldType, parts: readonly (readonly string[])[]): readonly (readonly string[])[] {
    const { hand } = this
    const each = (of: (text: string, component: number, sub: number) => Changed) =>
      parts.map((one, at) => one.map((raw, sub) => this.#leaf(raw, (text) => of(text, at + 1, sub + 1))))
    switch (type) {
      case 'TABLE':
        return parts.map((one) => one.map((raw) => this.#table(raw)))
      case 'CODE':
        return each((text) => hand.code(text))
      case 'TEXT':
        return each((text) => hand.text(text))
      case 'TS':
        return each((text) => hand.date(text))
      case 'BIRTH':
        return each((text) => hand.birthDate(text))
      case 'DR':
        return each((text) => (/\d{8}/.test(text) ? hand.date(text) : hand.code(text)))
      case 'TQ':
        return each((text, at) =>
          at === 4 || at === 5 ? hand.date(text) : at >= 7 ? hand.text(text) : hand.code(text),
        )
      case 'EI':
        return each((text, at) => (at === 1 ? hand.number(text) : hand.code(text)))
      case 'EIP':
        return each((text, _at, sub) => (sub === 1 ? hand.number(text) : hand.code(text)))
      case 'CX':
        return each((text, at) =>
          at <= 2 ? hand.number(text) : at === 7 || at === 8 ? hand.date(text) : hand.code(text),
        )
      case 'PL':
        return each((text, at) =>
          at === 2 || at === 3 ? hand.place(text) : at === 9 ? hand.text(text) : hand.code(text),
        )
      case 'XAD':
        return each((text, at) => {
          if (at === 4) return text.length <= 3 || /[省市区]$/.test(text) ? hand.code(text) : hand.address(text)
          if (at === 5) return hand.place(text)
          return at === 6 || at === 7 ? hand.code(text) : at >= 11 ? hand.date(text) : hand.address(text)
        })
      case 'XTN':
        return each((text, at) => {
          if (/@/.test(text)) return hand.mail(text)
          if (at === 2 || at === 3) return /\d{4}/.test(text) ? hand.telephone(text) : hand.code(text)
          if (at === 5) return hand.code(text)
          return /\d/.test(text) ? hand.telephone(text) : hand.text(text)
        })
      case 'XPN':
        return this.#person(parts, 0)
      case 'XCN':
        return this.#staff(parts)
      case 'NDL':
        return this.#interpreter(parts)
      default:
        return each((text) => hand.text(text))
    }
  }

  /** Family and given names from this component on, then XPN.4 … or XCN.5 … */
  #person(parts: readonly (readonly string[])[], from: number): readonly (readonly string[])[] {
    const names = parts.slice(from, from + 3).flatMap((one) => one)
    const replaced = this.#names(names)
    let used = 0
    return parts.map((one, at) => {
      if (at >= from && at < from + 3) return one.map(() => replaced[used++]!)
      const past = at - from
      const isDate = past === 9 || past === 11 || past === 12
      return one.map((raw) =>
        this.#leaf(raw, (text) => {
          if (past < 0) return this.hand.number(text)
          if (from === 0 && isDate) return this.hand.date(text)
          return text.length <= 4 ? this.hand.code(text) : past >= 6 ? this.hand.code(text) : this.hand.text(text)
        }),
      )
    })
  }

  #names(raws: readonly string[]): string[] {
    const texts = raws.map((raw) => leafText(this.message, raw))
    const replaced = texts.join('').trim() === '' ? texts : this.hand.name(texts)
    return raws.map((raw, at) => this.#leaf(raw, () => replaced[at] ?? ''))
  }

  #staff(parts: readonly (readonly string[])[]): readonly (readonly string[])[] {
    const [first = [], ...others] = parts
    if (others.slice(0, 3).some((one) => one.join('') !== '')) return this.#person(parts, 1)
    return [this.#numberAndName(first), ...this.#person(parts, 1).slice(1)]
  }

  /** `1001&family&given`, or a bare number or name. */
  #numberAndName(subs: readonly string[]): readonly string[] {
    const [number = '', ...names] = subs
    if (names.join('') !== '') return [this.#leaf(number, (text) => this.hand.number(text)), ...this.#names(names)]
    if (number === '') return subs
    const bare = /\d/.test(leafText(this.message, number))
    const replaced = bare ? this.#leaf(number, (text) => this.hand.number(text)) : this.#names([number])[0]!
    return [replaced, ...names]
  }

  #interpreter(parts: readonly (readonly string[])[]): readonly (readonly string[])[] {
    const [first = [], second = [], third = [], ...others] = parts
    const isXcn = [...second, ...third].some((raw) => raw !== '' && !/^\d/.test(raw))
    if (isXcn) return this.#staff(parts)
    const times = [second, third].slice(0, Math.max(0, parts.length - 1))
    return [
      this.#numberAndName(first),
      ...times.map((one) => one.map((raw) => this.#leaf(raw, (text) => this.hand.date(text)))),
      ...others.map((one) => one.map((raw) => this.#leaf(raw, (text) => this.hand.place(text)))),
    ]
  }
}
