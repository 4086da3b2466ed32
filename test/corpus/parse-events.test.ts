import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Parsed } from '../../connectors/connector.js'
import { cutMessages } from '../../connectors/hl7v2/framing.js'
import { hl7v2Parser } from '../../connectors/hl7v2/to-events.js'
import { RecordError } from '../../core/errors.js'
import { messageId } from '../../core/ids.js'
import { corpusFiles, corpusFolder, corpusPresent } from './facts.js'

/**
 * Every message of the corpus gives events, a reason to ignore it, or an error with a code. The errors are those of
 * parse-refusals.tsv (file, code, how many, why it is right): an error that is not there fails, and so does one that
 * is there and no longer happens.
 */
const listed = path.join(import.meta.dirname, 'parse-refusals.tsv')
const receivedAt = Date.parse('2026-01-01T00:00:00+08:00')
const parser = hl7v2Parser()

interface Counts {
  events: number
  ignored: number
  readonly errors: Map<string, number>
}

function parseAll(): {
  readonly bySource: Map<string, Counts>
  readonly refusals: Map<string, number>
  readonly wrong: string[]
} {
  const bySource = new Map<string, Counts>()
  const refusals = new Map<string, number>()
  const wrong: string[] = []
  for (const file of corpusFiles()) {
    const source = file.split('/').slice(0, 2).join('/')
    const counts = bySource.get(source) ?? { events: 0, ignored: 0, errors: new Map<string, number>() }
    bySource.set(source, counts)
    for (const frame of cutMessages(readFileSync(path.join(corpusFolder, file))).messages) {
      const content = Buffer.from(frame.bytes)
      try {
        const parsed = parser({
          content,
          feed: 'corpus',
          hospital: 'TEST',
          environment: 'test',
          receivedAt,
          messageId: messageId('corpus', content),
        })
        const fault = inconsistency(parsed)
        if (fault !== null) wrong.push(`${file} #${frame.index}: ${fault}`)
        if (parsed.ignored === undefined) counts.events++
        else counts.ignored++
      } catch (error) {
        if (!(error instanceof RecordError)) throw new Error(`${file} #${frame.index}`, { cause: error })
        if (error.place.segment === undefined && error.code !== 'charset-undecodable') {
          wrong.push(`${file} #${frame.index}: ${error.code} names no segment`)
        }
        counts.errors.set(error.code, (counts.errors.get(error.code) ?? 0) + 1)
        const key = `${file}\t${error.code}`
        refusals.set(key, (refusals.get(key) ?? 0) + 1)
      }
    }
  }
  return { bySource, refusals, wrong }
}

/** What the contract of an event rules out, in words; null where all is well. */
function inconsistency(parsed: Parsed): string | null {
  if (parsed.events.length > 0 === (parsed.ignored !== undefined)) return 'events and a reason to ignore it, or neither'
  for (const event of parsed.events) {
    const { recordedAt, messageTime, contentHash } = event.body
    if (messageTime > receivedAt + 86_400_000) return 'message time ahead of the receipt'
    if (recordedAt > messageTime + 86_400_000) return 'recorded ahead of the message'
    if (!Number.isSafeInteger(contentHash)) return 'content hash'
    if (event.body.patient.id === '') return 'patient without a number'
    if (event.domain !== 'lab-report') continue
    const keys = new Set<string>()
    for (const { panel, code, subId, occurrence } of event.body.observations) {
      const panelKey = event.body.panels[panel]?.key
      if (panelKey === undefined) return 'observation of no panel'
      keys.add([panelKey, code, subId, occurrence].join('\x1f'))
    }
    if (keys.size !== event.body.observations.length) return 'two observations with one key'
    if (new Set(event.body.panels.map((panel) => panel.key)).size !== event.body.panels.length)
      return 'two panels with one key'
  }
  return null
}

test('the corpus is here in CI', () => {
  expect(corpusPresent || process.env['CI'] !== 'true').toBe(true)
})

describe.runIf(corpusPresent)('the corpus as events', () => {
  const { bySource, refusals, wrong } = corpusPresent
    ? parseAll()
    : { bySource: new Map(), refusals: new Map(), wrong: [] }

  test('the events are consistent in themselves and every error names its place', () => {
    expect(wrong).toEqual([])
  })

  test('exactly the reviewed messages are refused', () => {
    console.log(table(bySource))
    const reviewed = existsSync(listed)
      ? readFileSync(listed, 'utf8')
          .split('\n')
          .filter((line) => line !== '' && !line.startsWith('#'))
          .map((line) => line.split('\t').slice(0, 3).join('\t'))
      : []
    expect([...refusals].map(([key, count]) => `${key}\t${count}`).sort()).toEqual(reviewed.sort())
  })
})

function table(bySource: ReadonlyMap<string, Counts>): string {
  const rows = [...bySource].map(([source, { events, ignored, errors }]) => {
    const codes = [...errors].map(([code, count]) => `${code} ${count}`).join(', ')
    return `${source.padEnd(62)}${String(events).padStart(7)}${String(ignored).padStart(9)}  ${codes}`
  })
  return [`${'source'.padEnd(62)} events  ignored  errors`, ...rows].join('\n')
}
