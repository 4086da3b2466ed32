import type { DueNotice } from '../../repository/alerts.js'
import { eventText, noticeLine, type Language } from './notice-text.js'

/** What one message may hold. */
export interface TextLimits {
  /** UTF-8. */
  readonly bytesMax: number
  readonly linesMax: number
}

export interface Composed {
  readonly text: string
  /** So many of the notices, from the first, have been told with it. */
  readonly told: number
}

/** Where more messages than this would be needed one after the other, one digest says it all. */
const messagesMax = 3

/**
 * One message of notices, the oldest first: one line each, as many as fit; the rest is for the next message. Where it
 * would take more than three messages, one digest tells of all: how many of what, as many lines as fit, and the command
 * that lists the rest. At least one notice; a line is always shorter than a message. Pure.
 */
export function composeText(notices: readonly DueNotice[], language: Language, limits: TextLimits): Composed {
  const lines = notices.map((notice) => noticeLine(notice, language))
  const fitting = Math.max(1, countFitting(lines, limits))
  if (lines.length <= fitting * messagesMax) {
    const told = Math.min(fitting, lines.length)
    return { text: lines.slice(0, told).join('\n'), told }
  }
  const head = summary(notices, language)
  const room = Buffer.byteLength(`${head}\n\n${rest(lines.length, language)}`)
  const shown = countFitting(lines, { bytesMax: limits.bytesMax - room, linesMax: limits.linesMax - 2 })
  const text = [head, ...lines.slice(0, shown), rest(lines.length - shown, language)].join('\n')
  return { text, told: lines.length }
}

function countFitting(lines: readonly string[], { bytesMax, linesMax }: TextLimits): number {
  let bytes = 0
  let count = 0
  for (const line of lines) {
    bytes += Buffer.byteLength(line) + (count === 0 ? 0 : 1)
    if (bytes > bytesMax || count >= linesMax) break
    count++
  }
  return count
}

function summary(notices: readonly DueNotice[], language: Language): string {
  const events = counted(notices.map(({ event }) => eventText(event, language)))
  const kinds = counted(notices.map(({ alert }) => alert.kind))
  const hospitals = new Set(notices.flatMap(({ alert }) => (alert.hospital === null ? [] : [alert.hospital]))).size
  return language === 'zh'
    ? `共 ${notices.length} 条，涉及 ${hospitals} 家医院：${events}（${kinds}）`
    : `${notices.length} notices of ${hospitals} hospitals: ${events} (${kinds})`
}

const rest = (count: number, language: Language): string =>
  language === 'zh' ? `… 其余 ${count} 条见 hutong alerts list` : `… ${count} more: hutong alerts list`

function counted(names: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ')
}
