import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  buildCatalogue,
  demoMappingFiles,
  lintMappings,
  loadCatalogue,
  type NamedText,
} from '../../catalogue/catalogue.js'
import { normaliseFlags } from '../../catalogue/flags.js'
import { isLoinc } from '../../catalogue/items.js'
import { readTsv } from '../../catalogue/tsv.js'
import { UsageError } from '../../core/errors.js'

const data = (name: string): NamedText => ({ name, text: readFileSync(`catalogue/data/${name}`, 'utf8') })
const build = (...mappings: NamedText[]) =>
  buildCatalogue({
    items: data('unified-items.tsv'),
    units: data('units.tsv'),
    loincAlternates: data('loinc-alternates.tsv'),
    mappings,
  })
const head = 'hospital\tsource_system\tlocal_code\tlocal_text\titem_id\tunit\tnote'
const mapping = (...lines: string[]): NamedText => ({ name: 'local.tsv', text: [head, ...lines].join('\n') })

describe('the shipped data', () => {
  const catalogue = loadCatalogue({ mappingFiles: demoMappingFiles })

  test('has a version, a digest, and every LOINC with its check digit', () => {
    expect(catalogue.version).toMatch(/^\d{4}\.\d+\.\d+$/)
    expect(catalogue.sha256).toMatch(/^[0-9a-f]{64}$/)
    for (const { loinc } of catalogue.items.values()) if (loinc !== null) expect(isLoinc(loinc)).toBe(true)
  })

  test('keeps every row of the catalogue it started from', () => {
    expect([...catalogue.items.values()].filter((item) => item.kind === 'imaging')).toHaveLength(38)
    expect(catalogue.items.get('LAB020')).toMatchObject({ nameZh: '甘油三酯', ucum: 'mmol/L', loinc: '14927-8' })
  })

  test('the digest changes with a mapping and not with the order of the files', () => {
    const [a, b] = [mapping('H9\t*\tA\t\tLAB001'), { ...mapping('H9\t*\tB\t\tLAB002'), name: 'other.tsv' }]
    expect(build(a, b).sha256).toBe(build(b, a).sha256)
    expect(build(a).sha256).not.toBe(build(a, b).sha256)
  })

  test('every reviewed spelling of a unit reads as the unit beside it', () => {
    const table = readTsv('units.tsv', data('units.tsv').text, ['spelling', 'ucum', 'letters', 'note', 'reviewed'])
    for (const { cells } of table.rows)
      expect([cells['spelling'], catalogue.units.read(cells['spelling'] ?? '')]).toEqual([
        cells['spelling'],
        { candidates: [cells['ucum']], ambiguous: false },
      ])
  })

  test('every flag says in both languages what it means', () => {
    for (const { en, zh } of Object.values(normaliseFlags)) {
      expect(en).toMatch(/^[A-Z][^\p{Script=Han}]{20}/u)
      expect(zh).toMatch(/\p{Script=Han}{4}/u)
    }
  })
})

describe('look-ups', () => {
  const catalogue = build(
    mapping(
      'H1\tLIS\t001\t\tLAB071',
      'H1\t*\t002\t\tLAB073',
      'H1\tLIS\t002\t\tLAB072',
      'H1\tLIS\tPCT\t降钙素原\tLAB039',
      'H1\tLIS\tPCT\t血小板压积\tLAB103',
      'H1\tLIS\t2345-7\t\tLAB019',
    ),
  )

  test('a code means what this hospital and this system say', () => {
    expect(catalogue.itemFor('H1', 'LIS', '001')?.id).toBe('LAB071')
    expect(catalogue.itemFor('H2', 'LIS', '001')).toBeNull()
    expect(catalogue.itemFor('H1', 'POCT', '001')).toBeNull()
    expect(catalogue.itemFor('H1', 'POCT', '002')?.id).toBe('LAB073')
    expect(catalogue.itemFor('H1', 'LIS', '002')?.id).toBe('LAB072')
  })

  test('one abbreviation for two items is told apart by the name, and never without it', () => {
    expect(catalogue.itemFor('H1', 'LIS', 'PCT', '降钙素原')?.id).toBe('LAB039')
    expect(catalogue.itemFor('H1', 'LIS', 'PCT', ' 血小板压积 ')?.id).toBe('LAB103')
    expect(catalogue.itemFor('H1', 'LIS', 'PCT')).toBeNull()
    const match = catalogue.scope('H1', 'LIS').match({ code: 'PCT', text: '其他', system: null })
    expect(match).toMatchObject({ item: null, textDiffers: true })
  })

  test('our ids and LOINC are taken where the coding system says so, and the mapping outranks both', () => {
    expect(catalogue.itemFor('H9', 'X', 'LAB013', undefined, 'HUTONG')?.id).toBe('LAB013')
    expect(catalogue.itemFor('H9', 'X', 'LAB013', undefined, 'L')).toBeNull()
    expect(catalogue.itemFor('H9', 'X', '14749-6', undefined, 'LN')?.id).toBe('LAB013')
    expect(catalogue.itemFor('H9', 'X', '2345-7', undefined, 'LN')?.id).toBe('LAB013')
    expect(catalogue.itemFor('H1', 'LIS', '2345-7', undefined, 'LN')?.id).toBe('LAB019')
    expect(catalogue.itemFor('H9', 'X', '43583-4', undefined, 'LN')).toBeNull()
  })

  test('never by name: the very name of an item is no code', () => {
    expect(catalogue.itemFor('H1', 'LIS', 'WBC', '白细胞计数')).toBeNull()
    expect(catalogue.itemFor('H1', 'LIS', '白细胞计数', '白细胞计数')).toBeNull()
  })

  test('the alternate code speaks where the first means nothing', () => {
    const scope = catalogue.scope('H1', 'LIS')
    const loinc = { code: '6690-2', text: null, system: 'LN' }
    expect(scope.match({ code: 'ZZZ', text: null, system: 'L' }, loinc).item?.id).toBe('LAB071')
    expect(scope.match({ code: '002', text: null, system: 'L' }, loinc).item?.id).toBe('LAB072')
  })

  test('a LOINC code holds its unit to its property', () => {
    const flags = (code: string, unit: string) =>
      catalogue.scope('H9', 'X').match({ code, text: null, system: 'LN' }).unitPlan(unit).flags
    expect(flags('2345-7', 'mg/dL')).toEqual([])
    expect(flags('2345-7', 'g/L')).toEqual([])
    expect(flags('2345-7', 'mmol/L')).toEqual(['loinc-unit-conflict'])
    expect(flags('14749-6', 'mmol/L')).toEqual([])
    expect(flags('14749-6', 'mg/dL')).toEqual(['loinc-unit-conflict'])
    expect(flags('3094-0', 'mg/dL')).toEqual([])
    expect(flags('48065-7', 'ng/mL')).toEqual([])
  })
})

describe('mapping lint', () => {
  test('says every problem at once, with the line and the nearest valid name', () => {
    const bad = mapping(
      '# a comment',
      'H1\t*\tA\t\tLAB71',
      'H1\t*\t\t\tLAB071',
      'H1\t*\tB\t\tLAB072\tmmol/L',
      'H1\t*\tC\t\tWBC',
      'H1\t*\tD\t\tLAB073\tG/DL',
      'H1\t*\tE\t\tLAB073',
      'H1\t*\tE\t\tLAB074',
      'H1\t*\tF\t\tLAB073\t\t\textra',
    )
    expect(lintMappings([bad]).map(({ line, message, nearest }) => [line, message.split(';')[0], nearest])).toEqual([
      [3, 'item_id "LAB71" is not in the catalogue', expect.stringMatching(/^LAB071/)],
      [4, 'local_code is empty', undefined],
      [5, 'unit "mmol/L" cannot be brought to 10*12/L, the unit of LAB072 红细胞计数', '10*12/L'],
      [6, 'item_id "WBC" is not in the catalogue', 'LAB071 白细胞计数'],
      [7, 'unit "G/DL" cannot be brought to g/L, the unit of LAB073 血红蛋白', 'g/dL'],
      [9, 'code E is already mapped on line 8', undefined],
      [10, '8 cells, but only 7 columns', undefined],
    ])
    expect(() => build(bad)).toThrow(UsageError)
    expect(() => build(bad)).toThrow(/local\.tsv:6: .*did you mean LAB071 白细胞计数\?/)
  })

  test('a missing or unknown column is named', () => {
    const problems = lintMappings([{ name: 'x.tsv', text: 'hospital\tlocal_code\titem\nH1\tA\tLAB001' }])
    expect(problems.map(({ message }) => message).join('\n')).toMatch(
      /"source_system" is missing[^]*"item_id" is missing[^]*unknown column "item"/,
    )
  })

  test('the same code in two files is found', () => {
    const other = { ...mapping('H1\t*\tA\t\tLAB002'), name: 'second.tsv' }
    const problems = lintMappings([mapping('H1\t*\tA\t\tLAB001'), other])
    expect(problems).toMatchObject([
      { file: 'second.tsv', line: 2, message: 'code A of H1 is already mapped in local.tsv:2' },
    ])
  })

  test('a file that is not there is a usage error that names it', () => {
    expect(() => loadCatalogue({ mappingFiles: ['/nowhere/x.tsv'] })).toThrow(/\/nowhere\/x\.tsv/)
  })
})
