import { filler } from './characters.js'
import { findDates, spliced, type Changed, type Piece } from './dates.js'
import type { Identifying, IdentifyingKind } from './identifying.js'
import { findPatterns } from './patterns.js'
import type { Pseudonyms } from './pseudonyms.js'
import type { Vocabulary } from './vocabulary.js'

export interface TextRules {
  readonly identifying: Identifying
  readonly pseudonyms: Pseudonyms
  readonly vocabulary: Vocabulary
  readonly shift: (day: number) => number
}

/** Digits in groups, as telephone and card numbers are written; seven or more of them are no result. */
const groupedDigits = /(?<![0-9.])\+?\(?\d{2,}\)?(?:[- ]\(?\d{2,}\)?)+(?![0-9.])/g
const age = /(?<![0-9])(9\d|1[0-4]\d)(?=\s?(?:周?岁|years?|yrs?|y\/o|yo\b))/gi

/**
 * Free text of which only numbers, units, times of day and known words stay: identifying values of the set become their
 * pseudonyms, dates are moved, and every other word becomes filler of its length and script.
 */
export function scrubText(text: string, rules: TextRules): Changed {
  const fixed = [...replacements(text, rules, false), ...dates(text, rules)]
  for (const match of text.matchAll(groupedDigits)) {
    if (match[0].replace(/\D/g, '').length < 7) continue
    fixed.push({ start: match.index, end: match.index + match[0].length, text: rules.pseudonyms.number(match[0]) })
  }
  for (const match of text.matchAll(age)) {
    fixed.push({ start: match.index, end: match.index + match[0].length, text: '90'.padStart(match[0].length, '0') })
  }
  return spliced(text, fixed, (rest) => scrubWords(rest, rules))
}

/** Codes, units and values: they stay, but for identifying values of the set and what shows by its form what it is. */
export function scrubCode(text: string, rules: TextRules): Changed {
  const found = replacements(text, rules, true)
  return spliced(text, /^\s*(?:18|19|20)\d{6}/.test(text) ? [...found, ...dates(text, rules)] : found)
}

function replacements(text: string, rules: TextRules, keepWords: boolean): Piece[] {
  const { identifying, pseudonyms, vocabulary } = rules
  const found: Piece[] = []
  for (const { start, end, kind } of identifying.find(text)) {
    // A name of three letters is a code among codes: AMY is amylase.
    const isCode = keepWords && kind === 'name' && /^[A-Za-z]{1,3}$/.test(text.slice(start, end))
    if (isCode || (keepWords && kind === 'name' && vocabulary.covers(text, start, end))) continue
    found.push({ start, end, text: replacementOf(text.slice(start, end), kind, pseudonyms) })
  }
  for (const { start, end, kind } of findPatterns(text)) {
    const value = text.slice(start, end)
    const by =
      kind === 'uid' ? pseudonyms.uid(value) : kind === 'mail' ? pseudonyms.mail(value) : pseudonyms.number(value)
    found.push({ start, end, text: by })
  }
  return found
}

function replacementOf(value: string, kind: IdentifyingKind, pseudonyms: Pseudonyms): string {
  if (kind === 'name') return pseudonyms.word(value)
  if (kind === 'number') return pseudonyms.number(value)
  return kind === 'mail' ? pseudonyms.mail(value) : Array.from(value, filler).join('')
}

function dates(text: string, rules: TextRules): Piece[] {
  return findDates(text).map(({ start, end, day, write }) => ({ start, end, text: write(rules.shift(day)) }))
}

const token = /[A-Za-z0-9+/=]{64,}|[\p{Script=Han}]+|[A-Za-z0-9]+|[\p{L}\p{M}\p{N}]/gu

function scrubWords(text: string, rules: TextRules): string {
  return text.replace(token, (word) => {
    if (/^\p{Script=Han}/u.test(word)) return scrubHan(word, rules.vocabulary)
    if (/^\d+$/.test(word)) return word.length < 5 ? word : rules.pseudonyms.number(word)
    if (/^[A-Za-z]+$/.test(word)) return rules.vocabulary.hasWord(word) ? word : Array.from(word, filler).join('')
    if (!/^[A-Za-z0-9]+$/.test(word) || word.length > 4) return Array.from(word, filler).join('')
    // H1N1, CD4, 10ml: too short to be a number of somebody's.
    return word
  })
}

function scrubHan(text: string, vocabulary: Vocabulary): string {
  let written = ''
  for (let at = 0; at < text.length;) {
    const known = vocabulary.hanWordAt(text, at)
    if (known > 0) {
      written += text.slice(at, at + known)
      at += known
      continue
    }
    const character = String.fromCodePoint(text.codePointAt(at)!)
    written += filler(character)
    at += character.length
  }
  return written
}
