import { describe, expect, test } from 'vitest'
import { noPercentiles } from '../../cli/demo/freshness.js'
import { demoHospitals } from '../../cli/demo/hospitals.js'
import { addsUp, type DemoSummary, type SourceFigures } from '../../cli/demo/figures.js'
import type { DemoSetting } from '../../cli/demo/setting.js'
import { progressLineText, progressTable, summaryJson, summaryText } from '../../cli/demo/show.js'
import { demoTexts } from '../../cli/demo/texts.js'
import { displayWidth } from '../../cli/terminal.js'

const journal = {
  sent: 40_100,
  attempts: 40_110,
  acknowledged: 40_100,
  acknowledgements: 40_110,
  unanswered: 0,
  refused: 0,
}
const figures = (change: Partial<SourceFigures> = {}, index = 0): SourceFigures => ({
  source: { hospital: demoHospitals[index]!, feed: demoHospitals[index]!.feed, port: 1 },
  journal,
  stored: 40_000,
  superseded: 80,
  deadLettered: 20,
  ignored: 10,
  inFlight: 0,
  freshness: { p50: 12.3, p95: 345.6, p99: 1234.5, count: 40_000 },
  ...change,
})
const setting: DemoSetting = {
  dataDir: '/tmp/demo',
  sources: [],
  separate: false,
  embeddedDatabase: true,
  embeddedLog: true,
}
const summary = (sources: readonly SourceFigures[]): DemoSummary => ({
  seed: 7,
  seconds: 31.5,
  sources,
  freshness: { p50: 12.3, p95: 345.6, p99: 1234.5, count: 1 },
  deadLetterCauses: [{ code: 'patient-id-missing', count: 12 }],
  unmapped: [{ kind: 'unmapped-code', hospital: 'H003', subject: 'LIS|99XH|X102', count: 99 }],
  reconcile: { balanced: true, discrepancies: 0 },
  examples: { reportNumber: 'R00070000001', controlId: '1', deadLetterId: 3 },
  balanced: sources.every(addsUp),
})

describe('addsUp', () => {
  test('holds to the message, but for attempts without an answer', () => {
    expect(addsUp(figures())).toBe(true)
    expect(addsUp(figures({ stored: 39_999 }))).toBe(false)
    expect(addsUp(figures({ stored: 40_001 }))).toBe(false)
    expect(addsUp(figures({ stored: 40_001, journal: { ...journal, unanswered: 1 } }))).toBe(true)
    expect(addsUp(figures({ stored: 39_999, journal: { ...journal, unanswered: 1 } }))).toBe(false)
  })
})

describe.each(['zh', 'en'] as const)('in %s', (language) => {
  const texts = demoTexts[language]
  const sources = [figures(), figures({}, 1), figures({ freshness: noPercentiles }, 2)]

  test('the live table fits 80 columns and sums up', () => {
    const view = {
      elapsedMs: 12_345,
      phase: 'sending' as const,
      sources: sources.map((source) => ({ ...source, settledPerSecond: 123.4 })),
    }
    const lines = progressTable(view, texts).trimEnd().split('\n')
    expect(lines).toHaveLength(6)
    for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(80)
    expect(lines[5]).toContain(' 120300 ')
    expect(progressLineText(view, texts)).toContain('H003')
  })

  test('the summary says that it adds up, or where it does not', () => {
    const good = summaryText(summary(sources), setting, texts, language)
    expect(good).toContain(texts.balanced)
    expect(good).toContain(texts.resent(30))
    expect(good).toContain('npx hutong trace R00070000001 --data-dir /tmp/demo')
    expect(good).toContain('LIS|99XH|X102')
    expect(good).not.toContain('undefined')
    const bad = summaryText(summary([figures({ stored: 1, inFlight: 5 })]), setting, texts, language)
    expect(bad).not.toContain(texts.balanced)
    expect(bad).toContain(texts.notBalanced('H001', 40_110, 111))
    expect(bad).toContain(texts.lateLedger('H001', 5))
  })

  test('the JSON has the figures of each source', () => {
    const parsed = JSON.parse(summaryJson(summary(sources))) as { sources: unknown[] }
    expect(parsed).toMatchObject({ balanced: true, seed: 7 })
    expect(parsed.sources[0]).toMatchObject({
      hospital: 'H001',
      acknowledgements: 40_110,
      stored: 40_000,
      addsUp: true,
    })
  })
})
