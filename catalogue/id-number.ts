import { isCalendarDate } from './birth-date.js'
import { foldText } from './fold.js'

/** What an ID number turned out to be. */
export type IdNumberKind =
  /** Citizen ID number (公民身份号码, GB 11643-1999). */
  | 'citizen'
  /** Residence permit of Hong Kong (81), Macau (82) or Taiwan (83) residents: an 18-digit citizen number of its own. */
  | 'residence-permit'
  /** Foreign permanent resident, new form of 2023: 18 digits, the first 9. No citizen number. */
  | 'foreign-resident'
  /** Foreign permanent resident, old form: three letters and twelve digits. No citizen number. */
  | 'foreign-resident-old'
  | 'placeholder'
  | 'invalid'

export interface IdNumberReading {
  readonly kind: IdNumberKind
  /** 18 characters, upper-case X, for citizens and residence permits; the folded text of a foreign number; else null. */
  readonly number: string | null
  /** YYYY-MM-DD, where the number holds one. */
  readonly birthDate: string | null
  /** GB/T 2261.1 by the sequence number: odd 1, even 2; null where the number does not say. */
  readonly sexCode: '1' | '2' | null
  /** It came with 15 digits. */
  readonly upgraded: boolean
}

const weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
const checkCharacters = '10X98765432'
// Province-level prefixes of GB/T 2260 and of the residence permits. Divisions below them are abolished and renamed
// all the time, and the number keeps the first registration, so nothing finer is checked.
const provinces = new Set(
  '11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83'.split(' '),
)

const invalid: IdNumberReading = { kind: 'invalid', number: null, birthDate: null, sexCode: null, upgraded: false }

/** Check character of 17 digits by ISO 7064 MOD 11-2 (GB 11643-1999, 4.2.4). */
export function idNumberCheck(digits17: string): string {
  let sum = 0
  for (let index = 0; index < 17; index++) sum += (digits17.charCodeAt(index) - 48) * (weights[index] ?? 0)
  return checkCharacters[sum % 11] ?? ''
}

/** Full-width digits, spaces, dashes and lower-case x folded away. */
export function foldIdNumber(text: string): string {
  return foldText(text)
    .replace(/[\s'`-]+/g, '')
    .toUpperCase()
    .replace(/×$/, 'X')
}

/** Reads one ID number, sent in whatever form. */
export function readIdNumber(text: string): IdNumberReading {
  const folded = foldIdNumber(text)
  if (isPlaceholder(folded)) return { ...invalid, kind: 'placeholder' }
  if (/^[A-Z]{3}\d{12}$/.test(folded)) return { ...invalid, kind: 'foreign-resident-old', number: folded }
  if (/^\d{15}$/.test(folded)) return readCitizen(upgrade(folded), true)
  if (!/^\d{17}[\dX]$/.test(folded)) return invalid
  if (folded.startsWith('9')) return readForeign(folded)
  return readCitizen(folded, false)
}

/** `19` after the sixth digit, and the check character (the 15-digit form knew years 1900 to 1999 only). */
function upgrade(digits15: string): string {
  const digits17 = `${digits15.slice(0, 6)}19${digits15.slice(6)}`
  return digits17 + idNumberCheck(digits17)
}

function readCitizen(number: string, upgraded: boolean): IdNumberReading {
  const date = dateAt(number, 6)
  if (date === null || !provinces.has(number.slice(0, 2)) || idNumberCheck(number) !== number[17]) return invalid
  const kind = number.startsWith('8') ? 'residence-permit' : 'citizen'
  const sexCode = Number(number[16]) % 2 === 1 ? '1' : '2'
  return { kind, number, birthDate: date, sexCode, upgraded }
}

function readForeign(number: string): IdNumberReading {
  if (idNumberCheck(number) !== number[17]) return invalid
  return { ...invalid, kind: 'foreign-resident', number, birthDate: dateAt(number, 6) }
}

function dateAt(number: string, start: number): string | null {
  const [year, month, day] = [
    number.slice(start, start + 4),
    number.slice(start + 4, start + 6),
    number.slice(start + 6, start + 8),
  ]
  return isCalendarDate(Number(year), month, day) ? `${year}-${month}-${day}` : null
}

function isPlaceholder(folded: string): boolean {
  if (folded === '') return true
  if (/^(.)\1+$/.test(folded) || /^(?:0123456789|1234567890?|9876543210?)+\d{0,9}X?$/.test(folded)) return true
  if (/^\d{6}0{11}[\dX]$/.test(folded) || /^0{6}/.test(folded)) return true
  return /^(?:无|不详|未知|未提供|无身份证|身份证不详|NULL|NONE|N\/A|UNKNOWN)$/.test(folded)
}
