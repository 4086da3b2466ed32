import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { demoMappingFiles, loadCatalogue } from '../../catalogue/catalogue.js'
import { isNormaliseFlag } from '../../catalogue/flags.js'
import { readTsv } from '../../catalogue/tsv.js'
import { normaliseLabReport } from '../../pipelines/normalise/lab-report.js'
import type { LabReport, Observation, UnifiedObservation } from '../../schemas/types.js'
import { envelope, labReport, observation, panel, patient } from './events.js'

const catalogue = loadCatalogue({ mappingFiles: demoMappingFiles })
const unifiedOf = (
  facts: Partial<Observation>,
  report: Partial<LabReport> = {},
): UnifiedObservation | null | undefined =>
  normaliseLabReport(labReport([observation(facts)], report), catalogue, 1).observations[0]?.unified

describe('a laboratory report', () => {
  test('carries the release, the panel item and the patient reading; verbatim parts stay', () => {
    const sent = observation({
      code: 'WBC',
      text: '白细胞',
      system: 'L',
      value: '６.７０',
      unit: '×10⁹/L',
      range: '3.5～9.5',
    })
    const report = labReport([sent], { panels: [{ ...panel, code: 'P01' }], flags: ['charset-header-lies'] })
    const normalised = normaliseLabReport(report, catalogue, 12)
    expect(normalised.envelope).toEqual({ ...envelope, derivation: 12 })
    expect(normalised.panels[0]?.itemId).toBe('PNL001')
    expect(normalised.patient).toMatchObject({ sex: 'M', sexCode: '1', birthDateIso: '1949-12-31', nameFolded: '张三' })
    expect(normalised.flags).toEqual(['charset-header-lies'])
    const { unified, ...verbatim } = normalised.observations[0] as Observation
    expect({ ...verbatim, unified: null }).toEqual(sent)
    expect(unified).toEqual({
      itemId: 'LAB071',
      kind: 'numeric',
      number: '6.70',
      numberHigh: null,
      comparator: null,
      unit: '10*9/L',
      rangeLow: '3.5',
      rangeHigh: '9.5',
      rangeText: null,
      qualitative: null,
      abnormal: null,
      flags: [],
    })
  })

  test('an unknown code goes on with its number and unit, marked', () => {
    expect(unifiedOf({ code: 'ZZZ', value: '5.0', unit: 'mmol/L' })).toMatchObject({
      itemId: null,
      number: '5.0',
      unit: 'mmol/L',
      flags: ['unmapped-code'],
    })
  })

  test('a code mapped for another name is not taken', () => {
    const h002 = { envelope: { ...envelope, hospital: 'H002' } }
    expect(unifiedOf({ code: '0113', text: '血小板压积', value: '0.22', unit: '%' }, h002)).toMatchObject({
      itemId: 'LAB103',
    })
    expect(unifiedOf({ code: '0113', text: '降钙素原', value: '0.22', unit: 'NG/ML' }, h002)).toMatchObject({
      itemId: null,
      flags: ['code-text-differs', 'ambiguous-unit'].slice(0, 1),
    })
  })

  test.each([
    ['H', 'H'],
    ['↑', 'H'],
    ['↓↓', 'LL'],
    ['高', 'H'],
    ['偏低', 'L'],
    ['*', 'A'],
    ['阳性', 'A'],
    ['危急值', 'AA'],
    ['N', 'N'],
    ['正常', 'N'],
    ['H~A', 'H'],
    ['~N', 'N'],
    ['HH^极高^L', 'HH'],
    ['', null],
    ['U', null],
  ])('the abnormal flag %s is %s', (abnormalFlags, abnormal) =>
    expect(unifiedOf({ code: 'WBC', value: '6.7', unit: '10^9/L', abnormalFlags })).toMatchObject({
      abnormal,
      flags: [],
    }),
  )

  test('an abnormal flag is read from a mark in the value, flagged where unknown, and never worked out', () => {
    const facts = { code: 'WBC', unit: '10^9/L', range: '3.5-9.5' }
    expect(unifiedOf({ ...facts, value: '16.7↑' })).toMatchObject({ number: '16.7', abnormal: 'H' })
    expect(unifiedOf({ ...facts, value: '16.7' })).toMatchObject({ abnormal: null })
    expect(unifiedOf({ ...facts, value: '16.7', abnormalFlags: '@@' })).toMatchObject({
      abnormal: null,
      flags: ['abnormal-flag-unmapped'],
    })
  })

  test('coded values are read by their code, then by their words; others stay coded', () => {
    const facts = { code: 'HBsAg', valueType: 'CWE' }
    expect(unifiedOf({ ...facts, value: 'Negative', valueCode: '260385009', valueSystem: 'SCT' })).toMatchObject({
      kind: 'coded',
      qualitative: 'NEG',
      flags: [],
    })
    expect(unifiedOf({ ...facts, value: '阳性', valueCode: '2', valueSystem: 'L' })).toMatchObject({
      qualitative: 'POS',
    })
    expect(unifiedOf({ ...facts, value: '其他', valueCode: '9', valueSystem: 'L' })).toMatchObject({
      kind: 'coded',
      qualitative: null,
    })
  })

  test('documents and empty values are what they are', () => {
    expect(unifiedOf({ code: 'WBC', valueType: 'ED', document: 0 })).toMatchObject({
      kind: 'document',
      number: null,
      flags: [],
    })
    expect(unifiedOf({ code: 'WBC', value: null, unit: '10^9/L' })).toMatchObject({
      kind: 'empty',
      number: null,
      flags: [],
    })
  })
})

describe('microbiology', () => {
  const code = (name: string, facts: Partial<Observation>): Observation =>
    observation({ code: name, valueType: 'ST', ...facts })
  const readings = (report: LabReport) =>
    normaliseLabReport(report, catalogue, 1).observations.map(({ unified }) => unified as UnifiedObservation)

  test('OBR-26 links susceptibilities to the organism it names', () => {
    const report = labReport(
      [
        code('XJPY', { subId: '1', value: '大肠埃希菌', valueType: 'CWE', valueCode: 'ECO', valueSystem: 'L' }),
        code('XJPY', { subId: '2', value: '金黄色葡萄球菌', valueType: 'CWE', valueCode: 'SAU', valueSystem: 'L' }),
        code('AMK', { panel: 1, value: '<=2', abnormalFlags: 'S', valueType: 'SN', valueRaw: '<=^2' }),
        code('CIP', { panel: 1, value: '≥4', abnormalFlags: 'R' }),
        code('VAN', { panel: 2, value: '1(S)' }),
        code('CRO', { panel: 3, value: 'R' }),
      ],
      {
        kind: 'microbiology',
        panels: [
          { ...panel, code: 'P12' },
          { ...panel, parentObservation: 'XJPY&细菌培养&L^1^大肠埃希菌' },
          { ...panel, parentObservation: 'XJPY&细菌培养&L^2' },
          { ...panel, parentObservation: 'XJPY&细菌培养&L^3' },
        ],
      },
    )
    expect(readings(report)).toMatchObject([
      { itemId: 'LAB134', kind: 'organism', flags: [] },
      { itemId: 'LAB134', kind: 'organism', flags: [] },
      {
        kind: 'susceptibility',
        qualitative: 'S',
        number: '2',
        comparator: '<=',
        unit: 'ug/mL',
        abnormal: null,
        flags: [],
      },
      { kind: 'susceptibility', qualitative: 'R', number: '4', comparator: '>=', unit: 'ug/mL', flags: [] },
      { kind: 'susceptibility', qualitative: 'S', number: '1', unit: 'ug/mL', flags: [] },
      { kind: 'susceptibility', qualitative: 'R', number: null, flags: ['organism-unlinked'] },
    ])
  })

  test('without OBR-26 they share OBX-4', () => {
    const report = labReport(
      [
        code('XJPY', { subId: '1', value: '肺炎克雷伯菌' }),
        code('AMK', { subId: '1.1', value: '敏感' }),
        code('CIP', { subId: '1.2', value: '>=4 耐药' }),
        code('GEN', { subId: '2.1', value: 'SDD' }),
      ],
      { kind: 'microbiology' },
    )
    expect(readings(report)).toMatchObject([
      { kind: 'organism' },
      { kind: 'susceptibility', qualitative: 'S', flags: [] },
      { kind: 'susceptibility', qualitative: 'R', number: '4', comparator: '>=', flags: [] },
      { kind: 'susceptibility', qualitative: 'SDD', flags: ['organism-unlinked'] },
    ])
  })

  test('a culture without growth names no organism, and an S in chemistry is a letter', () => {
    const negative = labReport([code('XJPY', { value: '阴性' })], { kind: 'microbiology' })
    expect(readings(negative)).toMatchObject([{ kind: 'semi-quantitative', qualitative: 'NEG', flags: [] }])
    expect(unifiedOf({ code: 'HBsAg', valueType: 'ST', value: 'S' })).toMatchObject({ kind: 'text', qualitative: null })
  })
})

// Spellings that laboratories send, drawn at random in any mixture, and arbitrary text among them.
const fixture = readTsv('x', readFileSync('test/fixtures/normalise/spellings.tsv', 'utf8'), []).rows
const column = (name: string): fc.Arbitrary<string | null> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...fixture.map(({ cells }) => cells[name] ?? null)) },
    { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 30 }) },
    { weight: 1, arbitrary: fc.constant(null) },
  )
const sent: fc.Arbitrary<Observation> = fc
  .record({
    code: fc.constantFrom('WBC', 'HGB', 'GLU', 'CREA', 'TG', 'PRO', 'HBsAg', 'D-Dimer', 'TSH', 'XJPY', 'AMK', 'ZZZ'),
    valueType: fc.constantFrom('NM', 'ST', 'SN', 'CE', 'TX', null),
    value: column('value'),
    unit: column('unit'),
    range: column('range'),
    abnormalFlags: fc.constantFrom(null, 'H', 'S', '↑', 'weird'),
    subId: fc.constantFrom('', '1', '1.1'),
    altCode: fc.constantFrom(null, '2345-7'),
    altSystem: fc.constant('LN'),
  })
  .map((facts) => observation(facts))
const reportOf = fc
  .record({
    observations: fc.array(sent, { maxLength: 6 }),
    kind: fc.constantFrom('lab', 'microbiology'),
    sex: fc.constantFrom('男', '2', null, '?'),
  })
  .map(({ observations, kind, sex }) =>
    labReport(observations, { kind, patient: { ...patient, sex, flags: ['from-parse'] } }),
  )

describe('whatever is sent', () => {
  test('the same event gives the same event, normalising again changes nothing, verbatim parts and input stay', () => {
    fc.assert(
      fc.property(reportOf, (report) => {
        const before = structuredClone(report)
        const once = normaliseLabReport(report, catalogue, 3)
        expect(report).toEqual(before)
        expect(normaliseLabReport(report, loadedAgain, 3)).toEqual(once)
        expect(normaliseLabReport(once, catalogue, 3)).toEqual(once)
        expect(once.observations.map((each) => ({ ...each, unified: null }))).toEqual(report.observations)
      }),
      { numRuns: 300 },
    )
  })

  test('a number has a unit, a range and a comparator have a number or stand as text, flags are of the closed list', () => {
    fc.assert(
      fc.property(reportOf, (report) => {
        for (const { unified } of normaliseLabReport(report, catalogue, 3).observations) {
          if (unified === null) throw new Error('a result was left out')
          const { number, numberHigh, comparator, unit, rangeLow, rangeHigh, rangeText, flags } = unified
          for (const text of [number, numberHigh, rangeLow, rangeHigh])
            if (text !== null) expect(text).toMatch(/^-?\d+(\.\d+)?$/)
          if (number !== null || rangeLow !== null || rangeHigh !== null) expect(unit).not.toBeNull()
          if (number === null) expect([numberHigh, comparator]).toEqual([null, null])
          if (rangeText !== null) expect([rangeLow, rangeHigh]).toEqual([null, null])
          expect(flags.filter((flag) => !isNormaliseFlag(flag))).toEqual([])
          expect(new Set(flags).size).toBe(flags.length)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('a comparator survives every conversion', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('<', '<=', '>', '>='),
        fc.integer({ min: 20, max: 400 }),
        fc.constantFrom('mg/dL', 'mmol/L', 'MG/DL', 'mg/L'),
        (comparator, value, unit) => {
          const unified = unifiedOf({ code: 'GLU', value: `${comparator}${value}`, unit })
          if (unified?.number !== null) expect(unified?.comparator).toBe(comparator)
          else expect(unified.flags).not.toEqual([])
        },
      ),
    )
  })
})

const loadedAgain = loadCatalogue({ mappingFiles: demoMappingFiles })
