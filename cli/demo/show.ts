import { recordErrors } from '../../core/errors.js'
import type { Environment } from '../../core/environment.js'
import { displayWidth } from '../terminal.js'
import type { Percentiles } from './freshness.js'
import { addsUp, type DemoSummary, type DemoView, type SourceFigures } from './figures.js'
import type { DemoSetting } from './setting.js'
import type { DemoTexts } from './texts.js'

/** The live table: a heading, one line a source, their sum. Not wider than 80 columns. */
export function progressTable(view: DemoView, texts: DemoTexts): string {
  const { columns, phase, total } = texts
  const rate = view.sources.reduce((sum, { settledPerSecond }) => sum + settledPerSecond, 0)
  const header = [...figureColumns(texts), columns.rate, columns.freshness]
  const rows = view.sources.map((source) => [
    ...figureCells(source.source.hospital.code, [source]),
    source.settledPerSecond.toFixed(0),
    milliseconds(source.freshness.p95),
  ])
  const sum = [...figureCells(total, view.sources), rate.toFixed(0), '']
  return `${(view.elapsedMs / 1000).toFixed(0)} s  ${phase[view.phase]}\n${rightAligned([header, ...rows, sum])}`
}

/** The same on one line, for where nothing can be redrawn. */
export function progressLineText(view: DemoView, texts: DemoTexts): string {
  const { columns, phase } = texts
  const parts = view.sources.map(({ source, journal, stored, deadLettered, inFlight, settledPerSecond, freshness }) => {
    const p95 = milliseconds(freshness.p95)
    return (
      `${source.hospital.code} ${columns.sent} ${journal.sent} ${columns.acknowledged} ${journal.acknowledgements}` +
      ` ${columns.stored} ${stored} ${columns.deadLettered} ${deadLettered} ${columns.inFlight} ${inFlight}` +
      ` ${settledPerSecond.toFixed(0)} ${columns.rate} ${columns.freshness} ${p95}`
    )
  })
  return `${(view.elapsedMs / 1000).toFixed(0)} s ${phase[view.phase]} | ${parts.join(' | ')}`
}

/** What the demonstration came to, for people. */
export function summaryText(
  summary: DemoSummary,
  setting: DemoSetting,
  texts: DemoTexts,
  language: Environment['language'],
): string {
  const { sources } = summary
  const header = [...figureColumns(texts), texts.columns.balance]
  const rows = sources.map((source) => [
    ...figureCells(source.source.hospital.code, [source]),
    addsUp(source) ? '✓' : '✗',
  ])
  const sum = [...figureCells(texts.total, sources), sources.every(addsUp) ? '✓' : '✗']
  const sections = [
    `${texts.ended(summary.seconds)}\n${rightAligned([header, ...rows, sum])}${texts.legend}`,
    balanceLines(sources, texts).join('\n'),
    freshnessText(summary.freshness, texts),
    causesText(summary, texts, language),
    unmappedText(summary, texts),
    summary.reconcile.balanced ? texts.reconcileGood : texts.reconcileBad(summary.reconcile.discrepancies),
    nextText(summary, setting, texts),
  ]
  return `\n${sections.join('\n\n')}\n`
}

/** What the demonstration came to, for scripts: one JSON object. */
export function summaryJson({ sources, ...summary }: DemoSummary): string {
  const plain = sources.map((entry) => {
    const { source, journal, stored, superseded, deadLettered, ignored, inFlight, freshness } = entry
    const { hospital, feed } = source
    const ledger = { stored, superseded, deadLettered, ignored, inFlight }
    return { hospital: hospital.code, feed, ...journal, ...ledger, freshness, addsUp: addsUp(entry) }
  })
  return JSON.stringify({ ...summary, sources: plain })
}

function figureColumns({ columns }: DemoTexts): string[] {
  const { source, sent, acknowledged, stored, superseded, deadLettered, ignored, inFlight } = columns
  return [source, sent, acknowledged, stored, superseded, deadLettered, ignored, inFlight]
}

function figureCells(name: string, sources: readonly SourceFigures[]): string[] {
  const sum = (read: (source: SourceFigures) => number): string =>
    String(sources.reduce((total, source) => total + read(source), 0))
  return [
    name,
    sum(({ journal }) => journal.sent),
    sum(({ journal }) => journal.acknowledgements),
    sum(({ stored }) => stored),
    sum(({ superseded }) => superseded),
    sum(({ deadLettered }) => deadLettered),
    sum(({ ignored }) => ignored),
    sum(({ inFlight }) => inFlight),
  ]
}

function balanceLines(sources: readonly SourceFigures[], texts: DemoTexts): string[] {
  const total = (read: (source: SourceFigures) => number): number =>
    sources.reduce((sum, source) => sum + read(source), 0)
  const lines = sources
    .filter((source) => !addsUp(source))
    .flatMap((source) => {
      const { journal, stored, superseded, deadLettered, ignored, inFlight } = source
      const { code } = source.source.hospital
      const differs = texts.notBalanced(code, journal.acknowledgements, stored + superseded + deadLettered + ignored)
      return inFlight > 0 ? [differs, texts.lateLedger(code, inFlight)] : [differs]
    })
  if (lines.length === 0) lines.push(texts.balanced)
  const resent = total(({ journal }) => journal.acknowledgements - journal.acknowledged)
  const unanswered = total(({ journal }) => journal.unanswered)
  const refused = total(({ journal }) => journal.refused)
  if (resent > 0) lines.push(texts.resent(resent))
  if (unanswered > 0) lines.push(texts.unanswered(unanswered))
  if (refused > 0) lines.push(texts.refused(refused))
  return lines
}

function freshnessText({ p50, p95, p99 }: Percentiles, texts: DemoTexts): string {
  if (p50 === null) return texts.noFreshness
  const ms = (value: number | null): string => `${milliseconds(value)} ms`
  return texts.freshness(ms(p50), ms(p95), ms(p99))
}

function causesText({ deadLetterCauses }: DemoSummary, texts: DemoTexts, language: Environment['language']): string {
  if (deadLetterCauses.length === 0) return texts.noCauses
  const known: Readonly<Record<string, { readonly zh: string; readonly en: string }>> = recordErrors
  const rows = deadLetterCauses
    .slice(0, 5)
    .map(({ code, count }) => `${count}`.padStart(6) + `  ${code}  ${known[code]?.[language] ?? ''}`)
  return [texts.causes, ...rows].join('\n')
}

function unmappedText({ unmapped }: DemoSummary, texts: DemoTexts): string {
  if (unmapped.length === 0) return texts.noUnmapped
  const rows = unmapped.map(({ hospital, subject, count }) => `${count}`.padStart(6) + `  ${hospital}  ${subject}`)
  return [texts.unmapped, ...rows].join('\n')
}

function nextText({ examples }: DemoSummary, setting: DemoSetting, texts: DemoTexts): string {
  const place = setting.embeddedDatabase ? ` --data-dir ${setting.dataDir}` : ''
  const { reportNumber, deadLetterId } = examples
  const commands: (readonly [string, string])[] = []
  if (reportNumber !== undefined) commands.push([texts.nextTrace, `npx hutong trace ${reportNumber}${place}`])
  if (deadLetterId !== undefined) {
    commands.push([texts.nextDeadLetters, `npx hutong dead-letters list${place}`])
    commands.push([texts.nextShow, `npx hutong dead-letters show ${deadLetterId}${place}`])
  }
  commands.push([texts.nextReconcile, `npx hutong reconcile${place}`])
  if (!setting.separate) commands.push([texts.nextRun, `npx hutong run ${setting.dataDir}/demo.yaml`])
  return [texts.next, ...commands.flatMap(([why, command]) => [`  ${why}`, `  ${command}`])].join('\n')
}

const milliseconds = (value: number | null): string => (value === null ? '-' : value.toFixed(value < 10 ? 1 : 0))

/** The first column to the left, the others to the right; wide characters count as two. */
function rightAligned(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, index) => (widths[index] = Math.max(widths[index] ?? 0, displayWidth(cell))))
  return rows
    .map((row) => {
      const cells = row.map((cell, index) => {
        const blanks = ' '.repeat((widths[index] ?? 0) - displayWidth(cell))
        return index === 0 ? cell + blanks : blanks + cell
      })
      return `${cells.join('  ').trimEnd()}\n`
    })
    .join('')
}
