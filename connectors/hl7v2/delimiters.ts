import { RecordError } from '../../core/errors.js'

/** MSH-1 and MSH-2 of one message (HL7 v2.5.1 section 2.5.4); '' where MSH-2 is too short to name one. */
export interface Delimiters {
  readonly field: string
  readonly component: string
  readonly repetition: string
  readonly escape: string
  readonly subcomponent: string
  /** v2.7 section 2.5.5.2 */
  readonly truncation: string
}

export const standardDelimiters: Delimiters = {
  field: '|',
  component: '^',
  repetition: '~',
  escape: '\\',
  subcomponent: '&',
  truncation: '',
}

/** Printable ASCII, no letter, digit, blank or quotation mark (which would make `""` unreadable). */
const usable = /^[!#-/:-@[-`{-~]$/

/**
 * Reads MSH-1 and MSH-2. Two sloppy forms with one sane reading are taken and flagged: an MSH-2 that stops early, and
 * `^~\\&`, whose escape character was itself escaped. @throws RecordError('hl7-bad-delimiters')
 */
export function readDelimiters(
  field: string,
  encodingCharacters: string,
): { readonly delimiters: Delimiters; readonly flag?: 'delimiters-short' | 'delimiters-odd' } {
  if (field === '|' && encodingCharacters === '^~\\&') return { delimiters: standardDelimiters }
  if (!usable.test(field)) {
    throw bad('MSH-1', `MSH-1 is ${shown(field)}, which cannot be a separator`)
  }
  const doubled = encodingCharacters.length >= 5 && encodingCharacters[2] === encodingCharacters[3]
  const characters = (
    doubled ? encodingCharacters.slice(0, 3) + encodingCharacters.slice(4) : encodingCharacters
  ).trimEnd()
  if (characters === '') throw bad('MSH-2', 'MSH-2 is empty')
  if (characters.length > 5) throw bad('MSH-2', `MSH-2 has ${characters.length} characters, at most 5 are defined`)
  const seen = new Set([field])
  for (const character of characters) {
    if (!usable.test(character)) throw bad('MSH-2', `MSH-2 has ${shown(character)}, which cannot be a separator`)
    if (seen.has(character)) throw bad('MSH-2', `MSH-2 uses ${shown(character)} for two things`)
    seen.add(character)
  }
  const [component = '', repetition = '', escape = '', subcomponent = '', truncation = ''] = characters
  return {
    delimiters: { field, component, repetition, escape, subcomponent, truncation },
    ...(doubled
      ? { flag: 'delimiters-odd' as const }
      : characters.length < 4
        ? { flag: 'delimiters-short' as const }
        : {}),
  }
}

function bad(field: string, detail: string): RecordError {
  return new RecordError('hl7-bad-delimiters', detail, { segment: 'MSH[1]', field })
}

const shown = (character: string): string =>
  /^[!-~]$/.test(character)
    ? `'${character}'`
    : `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
