import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { describe, expect, test } from 'vitest'
import { feedRules } from '../../connectors/hl7v2/feed-rules.js'
import { hl7v2ParseOptions } from '../../connectors/hl7v2/parse-options.js'

const schema = Type.Object(hl7v2ParseOptions, { additionalProperties: false })

describe('parse options of a feed', () => {
  test('the declared defaults are the ones that hold', () => {
    const declared = Object.fromEntries(
      Object.entries(hl7v2ParseOptions)
        .map(([name, option]) => [name, (option as { readonly default?: unknown }).default] as const)
        .filter(([, value]) => value !== undefined),
    )
    expect(Object.keys(declared).length).toBeGreaterThan(8)
    expect(Value.Check(schema, declared)).toBe(true)
    expect(feedRules(declared)).toEqual(feedRules({}))
  })

  test('every option says what it is and what holds without it', () => {
    for (const [name, option] of Object.entries(hl7v2ParseOptions)) {
      expect((option as { readonly description?: string }).description, name).toMatch(/^[A-Z]|^delta/)
    }
  })

  test.each([
    [{ timezone: 'Asia/Shanghai' }],
    [{ patientIdFrom: ['PID3'] }],
    [{ patientIdFrom: [] }],
    [{ reportNumberFrom: ['OBR-3+'] }],
    [{ reportNumberRecycles: 'month' }],
    [{ localReportTypes: [{ kind: 'ecg' }] }],
    [{ patientIdForm: ['PID-3'] }],
  ])('%j is no configuration', (options) => {
    expect(Value.Check(schema, options)).toBe(false)
  })

  test.each([[{ timezone: 'Asia/Shanghai' }], [{ patientIdFrom: ['PID3'] }], [{ reportNumberFrom: ['OBR-3+'] }]])(
    '%j is refused where nobody checked it before',
    (options) => expect(() => feedRules(options)).toThrow(TypeError),
  )

  test('a field path is taken apart', () => {
    expect(feedRules({ reportNumberFrom: ['OBR-20.2+ZLB-3.1.4'] }).reportNumberFrom).toEqual([
      [
        { segment: 'OBR', field: 20, component: 2, subcomponent: 0, text: 'OBR-20.2' },
        { segment: 'ZLB', field: 3, component: 1, subcomponent: 4, text: 'ZLB-3.1.4' },
      ],
    ])
  })
})
