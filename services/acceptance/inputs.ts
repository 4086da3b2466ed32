import { UsageError } from '../../core/errors.js'
import { checklist } from './checklist.js'
import type { Waiver } from './report.js'

/**
 * The hospital's own counts: a day (YYYY-MM-DD, +08:00) and a number on each line, apart by comma, semicolon or tab; a first
 * line without a day is a heading. @throws UsageError naming the line
 */
export function readHospitalCounts(text: string, file: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r\n|[\r\n]/)
    .entries()) {
    if (line.trim() === '') continue
    const [day = '', count = ''] = line.split(/[,;\t]/).map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
    const isDay = /^\d{4}-\d{2}-\d{2}$/.test(day) && !Number.isNaN(Date.parse(day))
    if (index === 0 && !isDay) continue
    if (!isDay || !/^\d{1,9}$/.test(count)) {
      throw new UsageError(`${file}:${index + 1}: a line is a day and a number, as 2026-03-01,1250`)
    }
    if (counts.has(day)) throw new UsageError(`${file}:${index + 1}: ${day} stands twice`)
    counts.set(day, Number(count))
  }
  return counts
}

/** Waivers written `item=reason`, all of one person. @throws UsageError for an unknown item or a missing reason */
export function readWaivers(texts: readonly string[], by: string): ReadonlyMap<string, Waiver> {
  const known = checklist.items.map(({ id }) => id)
  return new Map(
    texts.map((text): [string, Waiver] => {
      const [id = '', ...rest] = text.split('=')
      const reason = rest.join('=').trim()
      if (!known.includes(id)) throw new UsageError(`--waive: no item ${id}; items are ${known.join(', ')}`)
      if (reason === '') throw new UsageError(`--waive ${id}: say why, as ${id}="the reason"`)
      return [id, { by, reason }]
    }),
  )
}
