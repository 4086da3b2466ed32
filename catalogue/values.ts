import { canonicalDecimal, compareDecimals, parseDecimal } from './decimal.js'
import { foldText } from './fold.js'
import { readQualitative, readSusceptibility, type Qualitative, type Susceptibility } from './qualitative.js'

export type Comparator = '<' | '<=' | '>' | '>=' | '~'

/** A value as it reads by itself, before the item and the unit have their say. Numbers are plain decimals. */
export interface ValueReading {
  readonly kind: 'numeric' | 'range' | 'titre' | 'semi-quantitative' | 'susceptibility' | 'text' | 'empty'
  readonly number: string | null
  /** Upper end of a range, or n of a titre 1:n. */
  readonly numberHigh: string | null
  readonly comparator: Comparator | null
  readonly qualitative: Qualitative | Susceptibility | null
  /** What follows the number, where it could be a unit. */
  readonly unit: string | null
  /** A mark the sender wrote into the value: ↑ ↓ H L. */
  readonly mark: string | null
}

const nothing: ValueReading = {
  kind: 'text',
  number: null,
  numberHigh: null,
  comparator: null,
  qualitative: null,
  unit: null,
  mark: null,
}
const text: ValueReading = nothing
const empty: ValueReading = { ...nothing, kind: 'empty' }

const plainNumber = /^(?:0|[1-9]\d{0,14})(?:\.\d{1,14})?$/
const number = String.raw`(?:[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|[+-]?\.\d+)`
const exponent = String.raw`(?:[eE][+-]?\d{1,2}|\s*[xX×*]\s*10\s*(?:\^|\*\*|[eE*])\s*[+-]?\d{1,2})?`
const quantity = `${number}${exponent}`
const comparatorWords = String.raw`<=|=<|>=|=>|<|>|~|≈|小于等于|小于或等于|不大于|大于等于|大于或等于|不小于|小于|低于|大于|高于|约`
const unitTail = String.raw`(?:\s*([\p{L}/%°‰×*[{][^()]{0,24}))?`

const quantityPattern = new RegExp(`^(${comparatorWords})?\\s*(${quantity})${unitTail}$`, 'u')
const bracketedPattern = new RegExp(`^(.*?)[\\s([]*(${comparatorWords})?\\s*(${quantity})${unitTail}[)\\]]?$`, 'u')
const trailingWordPattern = new RegExp(
  `^(${comparatorWords})?\\s*(${quantity})\\s*[([]?\\s*([^\\d()[\\]]+|[1-5]\\+)[)\\]]?$`,
)
const rangePattern = new RegExp(`^(${number})\\s*(?:-{1,2}|~{1,2}|至|to)\\s*(${number})${unitTail}$`, 'u')
const titrePattern = /^(?:([^\d:<>=~]+?)\s*\(?\s*)?(<=|>=|<|>)?\s*1\s*:\s*(\d{1,7}(?:\.\d+)?)\s*\)?\s*\(?([^\d()]*)\)?$/
const markPattern = /^(.*?\d.*?)\s*([↑↓]{1,2}|\s[HL]{1,2}|\*)$|^([↑↓]{1,2})\s*(.*\d.*)$/

/**
 * Reads a value of any type by its content, whatever OBX-2 says of it.
 * @param numberExpected the item or OBX-2 wants a number: then `+1` is a number and a lone `-` is no result
 */
export function readValue(value: string | null, numberExpected: boolean): ValueReading {
  if (value === null) return empty
  if (plainNumber.test(value)) return { ...nothing, kind: 'numeric', number: value }
  const folded = foldText(value)
  if (folded === '' || folded === '""') return empty
  if (folded.length > 64 || folded.includes('\n')) return text
  const marked = markPattern.exec(folded)
  if (marked === null) return readFolded(folded, numberExpected)
  const mark = (marked[2] ?? marked[3] ?? '').trim()
  return { ...readFolded((marked[1] ?? marked[4] ?? '').trim(), numberExpected), mark }
}

/**
 * Reads a structured numeric (HL7 v2.5.1 2.A.71, SN: comparator ^ num1 ^ separator ^ num2) from its raw components.
 * What is not one is read as an ordinary value.
 */
export function readStructured(raw: string, numberExpected: boolean): ValueReading {
  const [sign = '', first = '', separator = '', second = ''] = raw.split('^').map((part) => foldText(part))
  const low = canonicalDecimal(first)
  const high = canonicalDecimal(second)
  const comparator = sign === '' ? null : readComparator(sign)
  if (low === null || (sign !== '' && sign !== '=' && comparator === null))
    return readValue(raw.replaceAll('^', ''), numberExpected)
  if (separator === '' && second === '') return { ...nothing, kind: 'numeric', number: low, comparator }
  if (separator === '-' && high !== null) return asRange(low, high, null) ?? text
  if (separator === ':' && high !== null && low === '1')
    return { ...nothing, kind: 'titre', number: '1', numberHigh: high, comparator }
  if (separator === '+' && second === '' && /^[1-5]$/.test(low))
    return { ...nothing, kind: 'semi-quantitative', qualitative: readQualitative(`${low}+`) }
  return text
}

/** `<`, `≤`, `小于` … as one of five signs, or null; `=` is no comparator. */
export function readComparator(folded: string): Comparator | null {
  switch (folded) {
    case '<':
    case '小于':
    case '低于':
      return '<'
    case '<=':
    case '=<':
    case '小于等于':
    case '小于或等于':
    case '不大于':
      return '<='
    case '>':
    case '大于':
    case '高于':
      return '>'
    case '>=':
    case '=>':
    case '大于等于':
    case '大于或等于':
    case '不小于':
      return '>='
    case '~':
    case '≈':
    case '约':
      return '~'
    default:
      return null
  }
}

/** A number in any of its spellings (`1,234`, `1.2×10^5`, `5E-3`) as a plain decimal, or null. */
export function readNumber(folded: string): string | null {
  const plain = folded
    .replace(/,(?=\d{3})/g, '')
    .replace(/\s*[xX×*]\s*10\s*(?:\^|\*\*|[eE*])\s*/, 'E')
    .replace(/\s+/g, '')
  return canonicalDecimal(plain)
}

function readFolded(folded: string, numberExpected: boolean): ValueReading {
  const early = readWord(folded, numberExpected)
  if (early !== null) return early
  const range = rangePattern.exec(folded)
  if (range !== null && !/^0\d/.test(range[1] ?? '')) {
    const read = asRange(readNumber(range[1] ?? ''), readNumber(range[2] ?? ''), range[3] ?? null)
    if (read !== null) return read
  }
  const titre = readTitre(folded)
  if (titre !== null) return titre
  const single = quantityPattern.exec(folded)
  if (single !== null) {
    const read = readQuantity(single[1], single[2], single[3])
    if (read !== null) return read
  }
  return readNumberWithWord(folded) ?? text
}

/** Words and signs; `+1` and `-` mean something else where a number is expected. */
function readWord(folded: string, numberExpected: boolean): ValueReading | null {
  if (numberExpected && (folded === '-' || /^\+\d$/.test(folded))) return folded === '-' ? text : null
  const qualitative = readQualitative(folded)
  return qualitative === null ? null : { ...nothing, kind: 'semi-quantitative', qualitative }
}

function readQuantity(sign: string | undefined, digits = '', tail: string | undefined): ValueReading | null {
  const value = readNumber(digits)
  if (value === null) return null
  const comparator = sign === undefined ? null : readComparator(sign)
  if (tail === undefined) return { ...nothing, kind: 'numeric', number: value, comparator }
  const word = readWord(tail.trim(), false)
  if (word !== null) return { ...nothing, kind: 'numeric', number: value, comparator, qualitative: word.qualitative }
  const category = readSusceptibility(tail)
  if (category !== null && tail.trim().toLowerCase() !== 's')
    return { ...nothing, kind: 'susceptibility', number: value, comparator, qualitative: category }
  return { ...nothing, kind: 'numeric', number: value, comparator, unit: tail.trim() }
}

function asRange(low: string | null, high: string | null, unit: string | null): ValueReading | null {
  if (low === null || high === null || !inOrder(low, high)) return null
  return { ...nothing, kind: 'range', number: low, numberHigh: high, unit: unit?.trim() ?? null }
}

/** `1:160`, `<1:20`, `阳性(1:320)`, `1:100阳性`. */
function readTitre(folded: string): ValueReading | null {
  const match = titrePattern.exec(folded)
  if (match === null) return null
  const [, before, sign, denominator = '', after = ''] = match
  const word = before ?? (after.trim() === '' ? undefined : after.trim())
  const qualitative = word === undefined ? null : readQualitative(word.replace(/[\s:(]+$/, ''))
  if (word !== undefined && qualitative === null) return null
  const numberHigh = canonicalDecimal(denominator)
  const comparator = sign === undefined ? null : readComparator(sign)
  return { ...nothing, kind: 'titre', number: '1', numberHigh, comparator, qualitative }
}

/** `0.02(-)`, `阴性(0.02)`, `阴性 0.35 COI`, `<=0.5(S)`, `R >=32`: a number with what it was taken to mean. */
function readNumberWithWord(folded: string): ValueReading | null {
  const after = trailingWordPattern.exec(folded)
  if (after !== null) {
    const read = withMeaning(after[3] ?? '', after[1], after[2], null)
    if (read !== null) return read
  }
  const before = bracketedPattern.exec(folded)
  if (before === null) return null
  return withMeaning((before[1] ?? '').replace(/[\s:,]+$/, ''), before[2], before[3], before[4] ?? null)
}

function withMeaning(word: string, sign: string | undefined, digits = '', unit: string | null): ValueReading | null {
  const value = readNumber(digits)
  if (value === null || word === '') return null
  const comparator = sign === undefined ? null : readComparator(sign)
  const category = readSusceptibility(word)
  if (category !== null)
    return { ...nothing, kind: 'susceptibility', number: value, comparator, qualitative: category, unit }
  const qualitative = readQualitative(word)
  if (qualitative === null) return null
  return { ...nothing, kind: 'numeric', number: value, comparator, qualitative, unit }
}

function inOrder(low: string, high: string): boolean {
  const a = parseDecimal(low)
  const b = parseDecimal(high)
  return a !== null && b !== null && compareDecimals(a, b) <= 0
}
