/**
 * Cost of normalising, one thread: `npx vite-node bench/normalise.ts`. Blood counts of three hospitals (24 results, the
 * sheets of the demonstration) and mixed chemistry with conversions, semi-quantitative and unmapped results; values
 * differ from message to message. The goal is 8 µs an observation.
 */
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { demoMappingFiles, loadCatalogue } from '../catalogue/catalogue.js'
import { readTsv } from '../catalogue/tsv.js'
import { normaliseLabReport } from '../pipelines/normalise/lab-report.js'
import type { LabReport } from '../schemas/types.js'
import { envelope, labReport, observation, panel, patient } from '../test/normalise/events.js'

const runs = 7
const reportsPerRun = 6_000
const columns =
  'hospital panel_id panel_code panel_text item_id local_code local_text coding_system unit range typical_low typical_high decimals choices'
const codes = readTsv('demo-codes.tsv', readFileSync('catalogue/data/demo-codes.tsv', 'utf8'), columns.split(' ')).rows

let seed = 42
const random = (): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed / 2 ** 32
}

function sentValue(cells: Readonly<Record<string, string>>): string {
  const choices = (cells['choices'] ?? '').split('|')
  if (cells['choices'] !== '') return choices[Math.floor(random() * choices.length)] ?? ''
  const [low, high] = [Number(cells['typical_low']), Number(cells['typical_high'])]
  return (low + random() * (high - low)).toFixed(Number(cells['decimals']))
}

function reports(hospital: string, panelIds: readonly string[], count: number): LabReport[] {
  const rows = codes.filter(({ cells }) => cells['hospital'] === hospital && panelIds.includes(cells['panel_id'] ?? ''))
  return Array.from({ length: count }, () =>
    labReport(
      rows.map(({ cells }) =>
        observation({
          code: cells['local_code'] ?? '',
          text: cells['local_text'] ?? '',
          system: cells['coding_system'] || null,
          value: sentValue(cells),
          unit: cells['unit'] || null,
          range: cells['range'] || null,
          abnormalFlags: random() < 0.2 ? 'H' : null,
        }),
      ),
      {
        envelope: { ...envelope, hospital },
        panels: [{ ...panel, code: rows[0]?.cells['panel_code'] ?? '' }],
        patient: {
          ...patient,
          identifiers: [
            { assigner: null, type: 'PI', value: String(Math.floor(random() * 1e8)) },
            { assigner: null, type: 'NI', value: '11010519491231002X' },
          ],
        },
      },
    ),
  )
}

const catalogue = loadCatalogue({ mappingFiles: demoMappingFiles })
const chemistry = ['PNL002', 'PNL003', 'PNL005', 'PNL007', 'PNL010']
const cases: Readonly<Record<string, LabReport[]>> = {
  'blood count, H001 (UTF-8, plain units)': reports('H001', ['PNL001'], reportsPerRun),
  'blood count, H002 (own codes, capitals)': reports('H002', ['PNL001'], reportsPerRun),
  'blood count, H003 (LOINC, other scales)': reports('H003', ['PNL001'], reportsPerRun),
  'chemistry and urine, H003 (mg/dL, words)': reports('H003', chemistry, reportsPerRun / 2),
}

process.stdout.write(`node ${process.version}, ${runs} runs, µs an observation: min / median / max\n`)
for (const [name, messages] of Object.entries(cases)) {
  const observations = messages.reduce((sum, { observations }) => sum + observations.length, 0)
  const normaliseAll = (): number => {
    const start = performance.now()
    let flagged = 0
    for (const message of messages) flagged += normaliseLabReport(message, catalogue, 1).observations.length
    if (flagged !== observations) throw new Error('results were lost')
    return ((performance.now() - start) * 1000) / observations
  }
  normaliseAll()
  const costs = Array.from({ length: runs }, normaliseAll).sort((a, b) => a - b)
  const show = (index: number): string => (costs[index] ?? 0).toFixed(2)
  process.stdout.write(
    `${name.padEnd(42)} ${show(0)} / ${show(Math.floor(runs / 2))} / ${show(runs - 1)}   ${observations} observations a run\n`,
  )
}
