import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { buildCatalogue, type NamedText } from '../../catalogue/catalogue.js'
import { readTsv } from '../../catalogue/tsv.js'
import { normaliseLabReport } from '../../pipelines/normalise/lab-report.js'
import { labReport, observation, patient } from './events.js'

const columns =
  'item obx2 unit value range sex kind number number_high comparator qualitative ucum range_low range_high range_text flags'
const table = readTsv(
  'spellings.tsv',
  readFileSync('test/fixtures/normalise/spellings.tsv', 'utf8'),
  columns.split(' '),
)
const data = (name: string): NamedText => ({ name, text: readFileSync(`catalogue/data/${name}`, 'utf8') })
const items = [...new Set(table.rows.map(({ cells }) => cells['item'] ?? '').filter((item) => item !== ''))]
const catalogue = buildCatalogue({
  items: data('unified-items.tsv'),
  units: data('units.tsv'),
  loincAlternates: data('loinc-alternates.tsv'),
  mappings: [
    {
      name: 'one-code-an-item',
      text: ['hospital\tsource_system\tlocal_code\titem_id', ...items.map((item) => `H001\t*\tX${item}\t${item}`)].join(
        '\n',
      ),
    },
  ],
})

describe('spellings of units, values and ranges', () => {
  test('the table is whole', () => {
    expect(table.problems).toEqual([])
    expect(table.rows.length).toBeGreaterThanOrEqual(150)
  })

  test.each(table.rows.map(({ line, cells }) => ({ line, ...cells }) as Record<string, string> & { line: number }))(
    'line $line: $item $value [$unit] ($range)',
    (row) => {
      const text = (name: string): string | null => row[name] || null
      const sent = observation({
        code: row['item'] === '' ? 'UNKNOWN' : `X${row['item']}`,
        valueType: text('obx2'),
        value: text('value'),
        unit: text('unit'),
        range: text('range'),
      })
      const report = labReport([sent], { patient: { ...patient, sex: row['sex'] ?? null } })
      const unified = normaliseLabReport(report, catalogue, 1).observations[0]?.unified
      expect({ ...unified, flags: unified?.flags.join(' ') }).toMatchObject({
        itemId: text('item'),
        kind: row['kind'],
        number: text('number'),
        numberHigh: text('number_high'),
        comparator: text('comparator'),
        qualitative: text('qualitative'),
        unit: text('ucum'),
        rangeLow: text('range_low'),
        rangeHigh: text('range_high'),
        rangeText: text('range_text'),
        flags: row['flags'],
      })
    },
  )
})
