const dayMs = 86_400_000

interface DateParts {
  readonly year: number
  readonly month: number
  readonly day: number
}

/** Days since 1970-01-01 of a date that exists, 1850 to 2100; else null. */
export function dayNumber({ year, month, day }: DateParts): number | null {
  if (year < 1850 || year > 2100) return null
  const ms = Date.UTC(year, month - 1, day)
  const date = new Date(ms)
  return date.getUTCMonth() + 1 === month && date.getUTCDate() === day ? ms / dayMs : null
}

export function dateOfDay(days: number): DateParts {
  const date = new Date(days * dayMs)
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() }
}

/** A text of the same length, or what stands for each UTF-16 unit of the text it is made from: '' or two where a date became shorter or longer. */
export type Changed = string | readonly string[]

/**
 * What stands for each unit of `text`: digits of a number that grew stand with its first, those of one that shrank are
 * left out there. Both texts have the same numbers of any length in the same frame.
 */
export function unitByUnit(text: string, changed: string): string[] {
  if (text.length === changed.length) return changed.split('')
  const before = text.split(/(\d+)/)
  const after = changed.split(/(\d+)/)
  return before.flatMap((run, at) => {
    const other = after[at] ?? ''
    const more = other.length - run.length
    if (more <= 0) return [...Array<string>(-more).fill(''), ...other]
    return [other.slice(0, more + 1), ...other.slice(more + 1)]
  })
}

/** Where a text holds a date, how it is written and which day it is. */
export interface FoundDate {
  readonly start: number
  readonly end: number
  readonly day: number
  /** The same way of writing, for another day. */
  write(day: number): string
}

const two = (n: number): string => String(n).padStart(2, '0')
const like = (model: string, n: number): string => (model.length === 2 ? two(n) : String(n))

/** `20240506`, `202405060830`, `20240506083000` (time of day kept), also before a fraction or a zone. */
const compact =
  /(?<![0-9])((?:18|19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=(?:[0-2]\d(?:[0-5]\d(?:[0-6]\d)?)?)?(?![0-9]))/g
/** `2024-05-06`, `2024/5/6`, `2024.5.6`, `2024年5月6日`. */
const yearFirst = /(?<![0-9])((?:18|19|20)\d\d)([-/.年])\s?(\d{1,2})([-/.月])\s?(\d{1,2})(?![0-9])/g
/** `05/06/2024`, `6.5.2024`; where both readings are dates the American one is taken. */
const yearLast = /(?<![0-9])(\d{1,2})([-/.])(\d{1,2})\2((?:19|20)\d\d)(?![0-9])/g
const monthNames = 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ')
/** `06-MAY-2024`, `6 May 2024`. */
const named = /(?<![0-9A-Za-z])(\d{1,2})([- /])([A-Za-z]{3})([- /])((?:19|20)\d\d)(?![0-9])/g

/** The dates of a text, in order, none overlapping another. */
export function findDates(text: string): FoundDate[] {
  const found: FoundDate[] = []
  const add = (match: RegExpMatchArray, parts: DateParts, write: (parts: DateParts) => string): void => {
    const day = dayNumber(parts)
    const start = match.index ?? 0
    const end = start + match[0].length
    if (day === null || found.some((other) => other.start < end && start < other.end)) return
    found.push({ start, end, day, write: (shifted) => write(dateOfDay(shifted)) })
  }
  for (const match of text.matchAll(compact)) {
    const [, year, month, day] = match
    add(match, { year: Number(year), month: Number(month), day: Number(day) }, (to) => {
      return `${to.year}${two(to.month)}${two(to.day)}`
    })
  }
  for (const match of text.matchAll(yearFirst)) {
    const [whole, year = '', first = '', month = '', second = '', day = ''] = match
    if ((first === '年') !== (second === '月') || (first !== '年' && first !== second)) continue
    const gaps = /^\d+.(\s?)\d+.(\s?)/.exec(whole)
    add(match, { year: Number(year), month: Number(month), day: Number(day) }, (to) => {
      return `${to.year}${first}${gaps?.[1] ?? ''}${like(month, to.month)}${second}${gaps?.[2] ?? ''}${like(day, to.day)}`
    })
  }
  for (const match of text.matchAll(yearLast)) {
    const [, a = '', mark = '', b = '', year = ''] = match
    const american = dayNumber({ year: Number(year), month: Number(a), day: Number(b) }) !== null
    const [month, day] = american ? [a, b] : [b, a]
    add(match, { year: Number(year), month: Number(month), day: Number(day) }, (to) => {
      const [x, y] = american ? [to.month, to.day] : [to.day, to.month]
      return `${like(a, x)}${mark}${like(b, y)}${mark}${to.year}`
    })
  }
  for (const match of text.matchAll(named)) {
    const [, day = '', first = '', month = '', second = '', year = ''] = match
    const at = monthNames.indexOf(month.toUpperCase())
    if (at < 0) continue
    add(match, { year: Number(year), month: at + 1, day: Number(day) }, (to) => {
      const name = monthNames[to.month - 1]!
      const written = month === month.toUpperCase() ? name : name[0]! + name.slice(1).toLowerCase()
      return `${like(day, to.day)}${first}${written}${second}${to.year}`
    })
  }
  return found.sort((a, b) => a.start - b.start)
}

/**
 * Moves every date of a text by days, the rest unchanged. A field of type TS or DT may be less exact than a day: a year
 * or a month is moved by the nearest number of whole ones.
 */
export function shiftDates(text: string, shift: (day: number) => number): Changed {
  const partial = /^\s*((?:18|19|20)\d\d)(0[1-9]|1[0-2])?\s*$/.exec(text)
  if (partial !== null) {
    const [, year = '', month] = partial
    const day = dayNumber({ year: Number(year), month: month === undefined ? 7 : Number(month), day: 15 })
    if (day === null) return text
    const to = dateOfDay(shift(day))
    return text.replace(/\d+/, month === undefined ? String(to.year) : `${to.year}${two(to.month)}`)
  }
  return spliced(
    text,
    findDates(text).map(({ start, end, day, write }) => ({ start, end, text: write(shift(day)) })),
  )
}

export interface Piece {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** Pieces put in their places, the first of those that overlap; what is between them goes through `rest`. */
export function spliced(text: string, pieces: readonly Piece[], rest = (between: string): string => between): Changed {
  const taken: Piece[] = []
  for (const piece of pieces) {
    if (!taken.some((other) => other.start < piece.end && piece.start < other.end)) taken.push(piece)
  }
  const units: string[] = []
  let at = 0
  for (const piece of taken.sort((a, b) => a.start - b.start)) {
    units.push(...rest(text.slice(at, piece.start)).split(''))
    units.push(...unitByUnit(text.slice(piece.start, piece.end), piece.text))
    at = piece.end
  }
  units.push(...rest(text.slice(at)).split(''))
  return units.every((unit) => unit.length === 1) ? units.join('') : units
}
