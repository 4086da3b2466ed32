const shanghaiMs = 8 * 3_600_000
const dayMs = 86_400_000

/** Months since 1970-01 of a moment, by the calendar of +08:00. */
export function monthOf(ms: number): number {
  const date = new Date(ms + shanghaiMs)
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
}

/** Days since 1970-01-01 of a month's first day: how a `date` is bound. */
export function monthDays(month: number): number {
  const date = new Date(0)
  date.setUTCFullYear(1970 + Math.floor(month / 12), month - Math.floor(month / 12) * 12, 1)
  return date.getTime() / dayMs
}

/** `YYYY-MM-01`, how a month is read and written in SQL text. Years 0001 to 9999. */
export function monthText(month: number): string {
  const year = 1970 + Math.floor(month / 12)
  return `${String(year).padStart(4, '0')}-${String(month - Math.floor(month / 12) * 12 + 1).padStart(2, '0')}-01`
}

/** Reads what `month::text` gives. */
export function monthFromText(text: string): number {
  return (Number(text.slice(0, 4)) - 1970) * 12 + Number(text.slice(5, 7)) - 1
}

/** Start of a day of +08:00 (`YYYY-MM-DD`), ms. */
export function dayStart(day: string): number {
  return Date.parse(`${day}T00:00:00+08:00`)
}
