import type { FieldText } from '../hl7v2/field-text.js'
import type { Hl7Message, Segment } from '../hl7v2/message.js'

/** What stands for a text that repeats something of the patient. */
export const hiddenText = '‹patient data›'

/**
 * Fields of PID that name a person (HL7 v2.5.1 section 3.4.2). Of identifiers (CX) the first component alone is
 * personal: type and authority are those of a system, and often what the system calls itself elsewhere.
 */
const identifierFields = [2, 3, 4, 18, 19, 20, 21]
const describingFields = [5, 6, 9, 11, 13, 14]
const fieldsOfRelatives = [2, 4, 5, 30]
const fieldsOfInsurance = [16, 19]

/**
 * Makes texts of a message fit to be shown in counts: codes, names of tests and units pass; what repeats the patient's
 * own data, because a sender put it into the wrong field, is hidden, and long digits and long texts are shown by shape.
 */
export class Discretion {
  readonly #words: ReadonlySet<string>
  /** How many texts were hidden since it was made. */
  hidden = 0

  constructor(message: Hl7Message, text: FieldText) {
    const words = new Set<string>()
    const note = (raw: string): void => {
      const parts = raw.split(separators(message))
      for (const part of [...parts, parts.join('')]) {
        const word = text.plain(part).trim()
        if (isTelling(word)) words.add(word)
      }
    }
    const noteFields = (segment: Segment, fields: readonly number[]): void => {
      for (const field of fields) for (const one of text.repetitions(text.raw(segment, field))) note(one)
    }
    for (const pid of message.segments('PID')) {
      for (const field of identifierFields) {
        for (const one of text.repetitions(text.raw(pid, field))) note(text.component(one, 1))
      }
      noteFields(pid, describingFields)
    }
    for (const relative of message.segments('NK1')) noteFields(relative, fieldsOfRelatives)
    for (const insured of message.segments('IN1')) noteFields(insured, fieldsOfInsurance)
    this.#words = words
  }

  /** The text as it may be shown: at most 60 characters on one line. */
  show(text: string): string {
    const word = text.trim()
    for (const personal of this.#words) {
      if (word === personal || (word.includes(personal) && personal.length * 3 >= word.length)) {
        this.hidden++
        return hiddenText
      }
    }
    return shown(word)
  }
}

/** A code, name or unit on one line; digits of seven and more, as numbers of people have, by shape. */
export function shown(text: string): string {
  const line = text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, ' ')
    .replace(/\d{7,}/g, (digits) => `‹${digits.length} digits›`)
    .trim()
  const characters = Array.from(line)
  return characters.length <= 60 ? line : `${characters.slice(0, 59).join('')}…`
}

/** A value of a short closed table as it stands; anything else only by its shape. */
export const tableValue = (text: string): string => (/^[A-Za-z0-9._/-]{1,8}$/.test(text) ? text : shapeOf(text))

/** `A9汉` for letters, digits and hanzi, repeated ones counted: what a text looks like, and not what it says. */
export function shapeOf(text: string): string {
  if (text === '') return ''
  const classes = Array.from(text.slice(0, 64), (character) =>
    /\d/.test(character)
      ? '9'
      : /[A-Za-z]/.test(character)
        ? 'A'
        : /\p{Script=Han}/u.test(character)
          ? '汉'
          : /\s/.test(character)
            ? '␣'
            : '?',
  )
  let shape = ''
  for (let at = 0; at < classes.length;) {
    let end = at
    while (classes[end] === classes[at]) end++
    shape += end - at === 1 ? classes[at] : `${classes[at]}{${end - at}}`
    at = end
  }
  return `‹${shape}${text.length > 64 ? '…' : ''}›`
}

function separators(message: Hl7Message): RegExp {
  const { component, subcomponent } = message.delimiters
  const characters = `${component}${subcomponent}`.replace(/[\\\]^-]/g, '\\$&')
  return characters === '' ? /(?!)/ : new RegExp(`[${characters}]`)
}

/** Shorter words stand in codes and names of tests by chance: two hanzi, four other characters, five digits. */
const isTelling = (word: string): boolean =>
  word.length <= 200 &&
  (/^\p{Script=Han}{2,}/u.test(word) || (/^\d+$/.test(word) ? word.length >= 5 : word.length >= 4))
