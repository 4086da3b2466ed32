import { compareDecimals, parseDecimal } from './decimal.js'
import { foldText } from './fold.js'
import { readNumber } from './values.js'

/** A reference range as it reads by itself. Either ends, or the text, or nothing where there is none. */
export interface RangeReading {
  readonly low: string | null
  readonly high: string | null
  /** Set where the range is not one interval: words, several groups, conditions. As sent, without outer space. */
  readonly text: string | null
  /** A unit written behind the interval. */
  readonly unit: string | null
  /** The lower end stands above the upper end. */
  readonly inverted: boolean
}

/** No range was sent. */
export const noRange: RangeReading = { low: null, high: null, text: null, unit: null, inverted: false }
const number = String.raw`[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2}|\s*[xX×*]\s*10\s*(?:\^|\*\*|[eE])\s*[+-]?\d{1,2})?`
const tail = String.raw`(?:\s*([^\d\s][^\d]?[^;,:，；：]{0,22}))?`
const interval = new RegExp(`^(${number})\\s*(?:-{1,3}|~{1,2}|_|至|to)\\s*(${number})${tail}$`, 'i')
const upper = new RegExp(`^(?:<=|=<|<|小于等于|小于或等于|不大于|小于|低于|至|0?-(?=<))\\s*(${number})${tail}$`)
const lower = new RegExp(`^(?:>=|=>|>|大于等于|大于或等于|不小于|大于|高于)\\s*(${number})${tail}$`)
const openHigh = new RegExp(`^(${number})\\s*(?:-|~|以上)$`)
const openLow = new RegExp(`^(?:~\\s*(${number})|(${number})\\s*以下)$`)

/**
 * Reads a reference range: `3.5-5.5`, `3.5~5.5`, `3.5--5.5`, `[ 80 - 98 ]`, `<5.2`, `≤5.2 mmol/L`, `阴性`,
 * `男:130-175 女:115-150`. A range by sex is chosen by `sexCode` (GB/T 2261.1: 1 male, 2 female); without a known sex,
 * and wherever ages, phases or several grades are told apart, the text is kept whole and no interval is given.
 */
export function readRange(range: string, sexCode: string | null): RangeReading {
  const verbatim = range.trim()
  if (verbatim === '' || verbatim === '""') return noRange
  // Tables of grades and phases; no interval is that long.
  if (verbatim.length > 200) return { ...noRange, text: verbatim }
  const folded = foldText(verbatim).replace(/\s*\n\s*/g, ' ')
  const whole = readInterval(unwrap(folded))
  if (whole !== null) return whole
  const chosen = chooseBySex(folded, sexCode)
  const part = chosen === null ? null : readInterval(unwrap(chosen))
  if (part !== null && !part.inverted) return part
  return /[^\s[\]()-]/.test(folded) || folded === '-' || folded === '(-)' ? { ...noRange, text: verbatim } : noRange
}

function readInterval(folded: string): RangeReading | null {
  const both = interval.exec(folded)
  if (both !== null) return ordered(both[1] ?? '', both[2] ?? '', both[3])
  const below = upper.exec(folded)
  if (below !== null) return { ...noRange, high: readNumber(below[1] ?? ''), unit: below[2]?.trim() ?? null }
  const above = lower.exec(folded)
  if (above !== null) return { ...noRange, low: readNumber(above[1] ?? ''), unit: above[2]?.trim() ?? null }
  const from = openHigh.exec(folded)
  if (from !== null) return { ...noRange, low: readNumber(from[1] ?? '') }
  const to = openLow.exec(folded)
  if (to !== null) return { ...noRange, high: readNumber(to[1] ?? to[2] ?? '') }
  return null
}

function ordered(lowText: string, highText: string, unit: string | undefined): RangeReading | null {
  const low = readNumber(lowText)
  const high = readNumber(highText)
  const lowDecimal = low === null ? null : parseDecimal(low)
  const highDecimal = high === null ? null : parseDecimal(high)
  if (lowDecimal === null || highDecimal === null) return null
  if (compareDecimals(lowDecimal, highDecimal) > 0)
    return { ...noRange, text: `${lowText}-${highText}`, inverted: true }
  return { ...noRange, low, high, unit: unit?.trim() ?? null }
}

function unwrap(folded: string): string {
  const inner = /^[[(【（]\s*(.*?)\s*[\])】）]$/.exec(folded)?.[1]
  return inner ?? folded
}

const sexLabel = /(男性?|女性?|\bmale|\bfemale|\bm(?=\s*[:(])|\bf(?=\s*[:(]))\s*[:：]?\s*/gi

/** The part that stands after the label of this sex, where the text is nothing but one part for each sex. */
function chooseBySex(folded: string, sexCode: string | null): string | null {
  if (sexCode !== '1' && sexCode !== '2') return null
  const labels = [...folded.matchAll(sexLabel)]
  if (labels.length !== 2 || labels[0]?.index !== 0) return null
  const isMale = (label: string): boolean => /^(男|m)/i.test(label)
  const [first = '', second = ''] = labels.map((label) => label[1] ?? '')
  if (isMale(first) === isMale(second)) return null
  const wanted = isMale(first) === (sexCode === '1') ? 0 : 1
  const label = labels[wanted]
  if (label === undefined) return null
  const end = wanted === 0 ? (labels[1]?.index ?? folded.length) : folded.length
  return folded.slice(label.index + label[0].length, end).replace(/^[\s(]+|[\s;,/|。)]+$/g, '')
}
