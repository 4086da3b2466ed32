/** Offset of a zone written `+08:00`, `+0800`, `-05` or `Z`, in minutes east of UTC; null where it is none of these. */
export function zoneOffsetMinutes(text: string): number | null {
  if (text === 'Z' || text === 'z') return 0
  const sign = text[0] === '+' ? 1 : text[0] === '-' ? -1 : 0
  if (sign === 0) return null
  const digits = text[3] === ':' ? text.slice(1, 3) + text.slice(4) : text.slice(1)
  if ((digits.length !== 2 && digits.length !== 4) || !allDigits(digits, 0, digits.length)) return null
  const hours = Number(digits.slice(0, 2))
  const minutes = Number(digits.slice(2, 4))
  return hours > 14 || minutes > 59 ? null : sign * (hours * 60 + minutes)
}

/**
 * Reads an HL7 v2 time (TS.1/DTM, v2.5.1 section 2.A.22: `YYYYMMDD[HH[MM[SS[.S+]]]][+/-ZZZZ]`) and the forms Chinese
 * systems send instead (`2024-05-06 08:30:00`, `2024/5/6`, `2024-05-06T08:30:00Z`) as ms since 1970-01-01T00:00:00Z.
 * A stated zone wins, else `zoneMinutes` east of UTC. Null where the text is no time or is less exact than a day.
 */
export function readTime(text: string, zoneMinutes: number): number | null {
  const length = text.length
  if (length < 8) return null
  return allDigits(text, 0, 8) ? readCompact(text, length, zoneMinutes) : readSeparated(text.trim(), zoneMinutes)
}

/** The local date of an instant as `YYYYMMDD`. */
export function localDate(ms: number, zoneMinutes: number): string {
  return new Date(ms + zoneMinutes * 60_000).toISOString().slice(0, 10).replaceAll('-', '')
}

function readCompact(text: string, length: number, zoneMinutes: number): number | null {
  let end = 8
  while (end < length && isDigit(text.charCodeAt(end))) end++
  if (end > 14 || end % 2 !== 0) return null
  const pair = (at: number): number => (at < end ? twoDigits(text, at) : 0)
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2)
  return instant(year, pair(4), pair(6), pair(8), pair(10), pair(12), text, end, zoneMinutes)
}

const separated = /^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?)?/

function readSeparated(text: string, zoneMinutes: number): number | null {
  const match = separated.exec(text)
  if (match === null) return null
  const part = (group: number): number => Number(match[group] ?? 0)
  return instant(part(1), part(2), part(3), part(4), part(5), part(6), text, match[0].length, zoneMinutes)
}

function instant(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
  text: string,
  from: number,
  zoneMinutes: number,
): number | null {
  if (year < 1900 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return null
  if (hour > 24 || minute > 59 || second > 60 || (hour === 24 && minute + second > 0)) return null
  let at = from
  let fractionMs = 0
  if (text[at] === '.') {
    const start = ++at
    while (at < text.length && isDigit(text.charCodeAt(at))) at++
    fractionMs = Number(
      text
        .slice(start, start + 3)
        .slice(0, at - start)
        .padEnd(3, '0'),
    )
  }
  let zone = zoneMinutes
  if (at < text.length) {
    const rest = text.slice(at).trim()
    const stated = rest === '' ? zoneMinutes : zoneOffsetMinutes(rest)
    if (stated === null) return null
    zone = stated
  }
  return Date.UTC(year, month - 1, day, hour, minute - zone, second, fractionMs)
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57

const twoDigits = (text: string, at: number): number => (text.charCodeAt(at) - 48) * 10 + text.charCodeAt(at + 1) - 48

function allDigits(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (!isDigit(text.charCodeAt(at))) return false
  return true
}
