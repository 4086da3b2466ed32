import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { demoMappingFiles, loadCatalogue } from '../../catalogue/catalogue.js'
import { readTsv } from '../../catalogue/tsv.js'
import { normaliseLabReport } from '../../pipelines/normalise/lab-report.js'
import { envelope, labReport, observation } from './events.js'

const catalogue = loadCatalogue({ mappingFiles: demoMappingFiles })
const columns =
  'hospital panel_id panel_code panel_text item_id local_code local_text coding_system unit range typical_low typical_high decimals choices'
const codes = readTsv('demo-codes.tsv', readFileSync('catalogue/data/demo-codes.tsv', 'utf8'), columns.split(' '))
const panels = readTsv(
  'demo-panels.tsv',
  readFileSync('catalogue/data/demo-panels.tsv', 'utf8'),
  'panel_id panel_zh item_id item_zh unit ref_low ref_high ref_text typical_low typical_high decimals choices'.split(
    ' ',
  ),
)

test('the sheets are whole: three hospitals, every item of every panel, 24 of them in the blood count', () => {
  expect([...codes.problems, ...panels.problems]).toEqual([])
  expect(panels.rows.filter((row) => row.cells['panel_id'] === 'PNL001')).toHaveLength(24)
  for (const hospital of ['H001', 'H002', 'H003'])
    expect(codes.rows.filter((row) => row.cells['hospital'] === hospital)).toHaveLength(panels.rows.length)
})

for (const hospital of ['H001', 'H002', 'H003'])
  test(`every code of ${hospital} comes to its item, unit and range; those left unmapped are flagged`, () => {
    const wrong: unknown[] = []
    const canonical = new Map(panels.rows.map(({ cells }) => [cells['item_id'] ?? '', cells]))
    for (const { cells } of codes.rows.filter((row) => row.cells['hospital'] === hospital)) {
      const choices = (cells['choices'] ?? '').split('|')
      for (const value of cells['choices'] === '' ? [cells['typical_low'], cells['typical_high']] : choices) {
        const sent = observation({
          code: cells['local_code'] ?? '',
          text: cells['local_text'] ?? '',
          system: cells['coding_system'] || null,
          value: value ?? null,
          unit: cells['unit'] || null,
          range: cells['range'] || null,
          valueType: cells['choices'] === '' ? 'NM' : 'ST',
        })
        const report = labReport([sent], { envelope: { ...envelope, hospital } })
        const unified = normaliseLabReport(report, catalogue, 7).observations[0]?.unified
        const expected = canonical.get(cells['item_id'] ?? '')
        const item = cells['item_id'] === '' ? null : cells['item_id']
        const flags = item === null ? ['unmapped-code'] : []
        const unit = unified?.unit ?? ''
        const unitRight = item === null || unit === (expected?.['unit'] ?? '')
        const read =
          cells['choices'] === '' ? typeof unified?.number === 'string' : typeof unified?.qualitative === 'string'
        if (unified?.itemId !== item || unified?.flags.join() !== flags.join() || !unitRight || !read)
          wrong.push({ ...cells, value, unified })
      }
    }
    expect(wrong).toEqual([])
  })
