import type { Hl7Message } from '../message.js'
import { MessageEdit } from '../writer.js'
import { filler, isBlanked } from './characters.js'
import { dateOfDay, dayNumber, findDates, shiftDates, type Changed } from './dates.js'
import { syntheticData } from './documents.js'
import { scrubCode, scrubText, type TextRules } from './free-text.js'
import { Identifying } from './identifying.js'
import { Keyed } from './keyed.js'
import { findPatterns } from './patterns.js'
import { Persons } from './persons.js'
import { Pseudonyms } from './pseudonyms.js'
import { Vocabulary } from './vocabulary.js'
import { patientKeys, walk, type Hand } from './walk.js'

export interface DeidentifyOptions {
  /** Secret of at least 16 bytes: the same key gives the same pseudonyms. */
  readonly key: Buffer
  /** Fields that are left as they are, `ZXX-3`. */
  readonly keep?: readonly string[]
  /** Words that may stay in free text beside the built-in ones. */
  readonly words?: readonly string[]
}

/**
 * De-identifies a set of messages: `learn` every message first, then `replace` each. Pure but for what it has learnt:
 * the same set and key give the same bytes.
 */
export class Deidentifier {
  readonly identifying = new Identifying()
  readonly vocabulary: Vocabulary
  readonly #persons = new Persons()
  readonly #keyed: Keyed
  readonly #keep: ReadonlySet<string>
  readonly #pseudonyms: Pseudonyms

  constructor(options: DeidentifyOptions) {
    this.#keyed = new Keyed(options.key)
    this.#keep = new Set(options.keep)
    this.vocabulary = new Vocabulary(options.words)
    this.#pseudonyms = new Pseudonyms(this.#keyed, this.identifying, (idNumber, day) => {
      return this.#persons.shiftBirth(
        this.#persons.has(idNumber) ? idNumber : this.#persons.join([idNumber]),
        day,
        this.#keyed,
      )
    })
  }

  /** Takes note of the values by which somebody could be told. */
  learn(message: Hl7Message): void {
    const hand = new Learning(this.identifying, this.#persons)
    for (const change of walk(message, hand)) void change
    for (const { day } of findDates(message.segment(0).field(7))) this.#persons.addMessageDay(day)
  }

  /** The message with every such value replaced; line ends, separators, escapes, blanks and unusual codes as they were. */
  replace(message: Hl7Message, source: Uint8Array): Buffer {
    const hand = new Replacing(message, this.#rules(), this.#persons, this.#keyed)
    const edit = new MessageEdit(message, source)
    for (const { segment, field, raw } of walk(message, hand, this.#keep)) {
      if (field === 0) edit.setLine(segment, raw)
      else edit.setRaw(segment, field, raw)
    }
    return edit.bytes()
  }

  /** Days by which the dates of the message's first patient are moved. */
  shiftDays(message: Hl7Message): number {
    const pid = message.first('PID')
    const person = this.#persons.join(pid === undefined ? [] : patientKeys(message, pid))
    return this.#persons.shiftDays(person, this.#keyed)
  }

  #rules(): Omit<TextRules, 'shift'> {
    return { identifying: this.identifying, pseudonyms: this.#pseudonyms, vocabulary: this.vocabulary }
  }
}

class Learning implements Hand {
  #person = ''

  constructor(
    private readonly identifying: Identifying,
    private readonly persons: Persons,
  ) {}

  patient(keys: readonly string[]): void {
    this.#person = this.persons.join(keys)
  }

  name(parts: readonly string[]): readonly string[] {
    this.identifying.addName(parts.join(/[A-Za-z]/.test(parts.join('')) ? ' ' : ''))
    if (parts.length > 1) for (const part of parts) if (part.trim() !== '') this.identifying.addName(part)
    return parts
  }

  number(text: string): string {
    this.identifying.addNumber(text)
    return this.text(text)
  }

  telephone(text: string): string {
    this.identifying.addNumber(text)
    const digits = text.replace(/\D/g, '')
    if (digits.length >= 7) this.identifying.addNumber(digits)
    return text
  }

  mail(text: string): string {
    this.identifying.addMail(text)
    return text
  }

  address(text: string): string {
    this.identifying.addAddress(text)
    this.identifying.addAddress(text.slice(keptAddress(text)))
    return text
  }

  place(text: string): string {
    return text
  }

  date(text: string): string {
    for (const { day } of findDates(text)) this.persons.addDay(this.#person, day)
    return text
  }

  birthDate(text: string): string {
    for (const { day } of findDates(text)) this.persons.addBirth(this.#person, day)
    return text
  }

  text(text: string): string {
    for (const { kind, start, end } of findPatterns(text)) {
      if (kind === 'mail') this.identifying.addMail(text.slice(start, end))
      else if (kind === 'number') this.identifying.addNumber(text.slice(start, end))
    }
    for (const { day } of findDates(text)) this.persons.addDay(this.#person, day)
    return text
  }

  code(text: string): string {
    return this.text(text)
  }

  value(text: string): string {
    return this.text(text)
  }

  document(raw: string): string {
    return raw
  }
}

class Replacing implements Hand {
  #person = ''
  readonly #rules: TextRules

  constructor(
    private readonly message: Hl7Message,
    rules: Omit<TextRules, 'shift'>,
    private readonly persons: Persons,
    private readonly keyed: Keyed,
  ) {
    this.#rules = { ...rules, shift: (day) => day + this.persons.shiftDays(this.#person, this.keyed) }
  }

  patient(keys: readonly string[]): void {
    this.#person = this.persons.join(keys)
  }

  name(parts: readonly string[]): readonly string[] {
    return this.#rules.pseudonyms.name(parts)
  }

  number(text: string): string {
    return isBlanked(text) ? text : this.#rules.pseudonyms.number(text)
  }

  telephone(text: string): string {
    return this.number(text)
  }

  mail(text: string): string {
    return this.#rules.pseudonyms.mail(text)
  }

  address(text: string): string {
    const kept = keptAddress(text)
    const rest = Array.from(text.slice(kept), (one) => (/[0-9]/.test(one) ? one : filler(one))).join('')
    return text.slice(0, kept) + rest.replace(/\d+/g, (digits) => this.#rules.pseudonyms.substitute('address', digits))
  }

  place(text: string): Changed {
    return /\d/.test(text) ? this.#rules.pseudonyms.substitute('place', text) : this.code(text)
  }

  date(text: string): Changed {
    const shifted = shiftDates(text, this.#rules.shift)
    if (shifted !== text || /^[-\d:.+Z\s]{1,12}$/.test(text.replace(/^(?:18|19|20)\d\d/, ''))) {
      return shifted !== text ? shifted : this.#unreadable(text)
    }
    return this.text(text)
  }

  /** A date that does not exist stays one: its year alone is moved. */
  #unreadable(text: string): string {
    return text.replace(/^(?:18|19|20)\d\d/, (year) => {
      const day = dayNumber({ year: Number(year), month: 7, day: 15 })
      return day === null ? year : String(dateOfDay(this.#rules.shift(day)).year)
    })
  }

  birthDate(text: string): Changed {
    const shifted = shiftDates(text, (day) => this.persons.shiftBirth(this.#person, day, this.keyed))
    return shifted === text ? this.#unreadable(text) : shifted
  }

  text(text: string): Changed {
    return scrubText(text, this.#rules)
  }

  code(text: string): Changed {
    return scrubCode(text, this.#rules)
  }

  value(text: string, hasUnit: boolean, item: string): Changed {
    if (/年龄|\bage\b/i.test(item) && /^\d{2,3}$/.test(text) && Number(text) > 89)
      return '90'.padStart(text.length, '0')
    if (/^\d{8,}$/.test(text) && !hasUnit) return this.number(text)
    // 250000 platelets are 250000, whoever has that number.
    if (hasUnit && /^[<>=]*[-+]?\d{1,8}(?:\.\d+)?$/.test(text.trim())) return text
    return /^[-+<>=.,:/\d\s]*$/.test(text) ? this.code(text) : this.text(text)
  }

  document(raw: string, encoding: string): string {
    return syntheticData(raw, encoding, this.message.delimiters.escape)
  }
}

/** How much of an address stays: province and city, no more. */
function keptAddress(text: string): number {
  const match =
    /^(?:[\p{Script=Han}]{2,3}省|(?:内蒙古|广西壮族|宁夏回族|新疆维吾尔|西藏)自治区|(?:北京|上海|天津|重庆)市)?(?:[\p{Script=Han}]{2,4}?[市州盟])?/u.exec(
      text,
    )
  return match?.[0].length ?? 0
}
