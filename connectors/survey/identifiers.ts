import { readIdNumber } from '../../catalogue/id-number.js'
import type { FieldText } from '../hl7v2/field-text.js'
import type { Segment } from '../hl7v2/message.js'
import { shown, tableValue } from './privacy.js'

/** What the numbers in one place look like; figures only. */
export interface IdentifierPlace {
  /** `PID-3`, or `PID-18`. */
  readonly field: string
  /** CX.5 (HL7 v2.5.1 table 0203), '' where not stated. */
  readonly type: string
  /** CX.4.1, '' where not stated. */
  readonly authority: string
  readonly filled: number
  /** Citizen numbers and residence permits of 18 or 15 digits whose check digit and birth date hold. */
  readonly idNumbers: number
  /** 15 or 18 digits that are none of these. */
  readonly invalidIdNumbers: number
  /** 0, 999…, 无 and their like. */
  readonly placeholders: number
  readonly numeric: number
  readonly lengthMin: number
  readonly lengthMax: number
}

interface Place {
  filled: number
  idNumbers: number
  invalidIdNumbers: number
  placeholders: number
  numeric: number
  lengthMin: number
  lengthMax: number
}

const fields = [2, 3, 4, 18, 19]
const placesMax = 200

/** Which field, type and authority carries what kind of number, over all PID segments given to it. */
export class Identifiers {
  readonly #places = new Map<string, Place>()
  pids = 0
  /** PID segments without any number in PID-3. */
  blankPid3 = 0
  blankNames = 0
  blankBirthDates = 0

  add(text: FieldText, pid: Segment): void {
    this.pids++
    for (const field of fields) {
      const raw = text.raw(pid, field)
      let filled = false
      for (const repetition of raw === '' || raw === '""' ? [] : text.repetitions(raw)) {
        const number = text.read(text.component(repetition, 1)) ?? ''
        if (number === '') continue
        filled = true
        const type = text.read(text.component(repetition, 5)) ?? ''
        const authority = text.read(text.subcomponent(text.component(repetition, 4), 1)) ?? ''
        this.#note([`PID-${field}`, tableValue(type), shown(authority)], number)
      }
      if (field === 3 && !filled) this.blankPid3++
    }
    if (text.stated(pid, 5) === null) this.blankNames++
    if (text.stated(pid, 7) === null) this.blankBirthDates++
  }

  #note(place: readonly string[], number: string): void {
    const key = place.join('\x1f')
    let counts = this.#places.get(key)
    if (counts === undefined) {
      if (this.#places.size >= placesMax) return
      counts = {
        ...{ filled: 0, idNumbers: 0, invalidIdNumbers: 0, placeholders: 0, numeric: 0 },
        ...{ lengthMin: Infinity, lengthMax: 0 },
      }
      this.#places.set(key, counts)
    }
    counts.filled++
    counts.lengthMin = Math.min(counts.lengthMin, number.length)
    counts.lengthMax = Math.max(counts.lengthMax, number.length)
    const { kind } = readIdNumber(number)
    if (kind === 'placeholder' || isPlaceholder(number)) counts.placeholders++
    else if (kind === 'citizen' || kind === 'residence-permit') counts.idNumbers++
    else if (/^(?:\d{15}|\d{17}[\dXx])$/.test(number)) counts.invalidIdNumbers++
    if (/^\d+$/.test(number)) counts.numeric++
  }

  read(): IdentifierPlace[] {
    return Array.from(this.#places, ([key, counts]) => {
      const [field = '', type = '', authority = ''] = key.split('\x1f')
      return { field, type, authority, ...counts }
    }).sort((a, b) => (a.field === b.field ? b.filled - a.filled : a.field < b.field ? -1 : 1))
  }
}

const isPlaceholder = (number: string): boolean => /^(?:0|-+|\.+|null|none|test|未知|无)$/i.test(number)
