import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import avsc from 'avsc'
import { describe, expect, test } from 'vitest'
import {
  loadEventSchemas,
  type AvroField,
  type AvroRecord,
  type AvroSchema,
  type EventSchema,
} from '../../schemas/catalogue.js'
import { checkSchemas, disagreements, ruleViolations } from '../../schemas/compatibility.js'
import { embeddedId } from '../../schemas/registry.js'
import { loadReleases } from '../../schemas/releases.js'

const field = (name: string, type: AvroSchema, more: Partial<AvroField> = {}): AvroField => ({
  name,
  type,
  doc: 'x',
  ...more,
})
const record = (fields: readonly AvroField[], name = 'Order'): AvroRecord => ({
  type: 'record',
  name,
  namespace: 'hutong',
  fields,
})
const schemaOf = (schema: AvroRecord): EventSchema => ({ event: 'order', schema, text: JSON.stringify(schema) })

test('the schemas of today keep every rule and agree with every release', () => {
  expect(checkSchemas()).toEqual([])
})

test('the generated types are those of the schemas', () => {
  const script = fileURLToPath(new URL('../../scripts/generate-schema-types.mjs', import.meta.url))
  execFileSync(process.execPath, [script, '--check'], { stdio: ['ignore', 'pipe', 'pipe'] })
})

test('the schemas of today are released, so that whoever opens an embedded log later can read it', () => {
  const released = new Set(loadReleases().flatMap(({ schemas }) => schemas.map(({ text }) => text)))
  const missing = loadEventSchemas().filter(({ text }) => !released.has(text))
  expect(
    missing.map(({ event }) => event),
    'run `npm run build && node scripts/release-schemas.mjs` (--force before the version is published)',
  ).toEqual([])
})

test('the ids of the embedded registry differ over all releases', () => {
  const texts = new Set(loadReleases().flatMap(({ schemas }) => schemas.map(({ text }) => text)))
  expect(new Set([...texts].map(embeddedId)).size).toBe(texts.size)
})

describe('rules', () => {
  test.for<readonly [string, AvroField, string]>([
    ['an enum', field('sex', { type: 'enum', name: 'Sex', symbols: ['M'] } as never), 'declare a string'],
    ['a map', field('x', { type: 'map', values: 'string' } as never), 'array of records'],
    ['a fixed', field('x', { type: 'fixed', name: 'F', size: 4 } as never), 'declare bytes'],
    ['a double', field('x', 'double'), 'decimal'],
    ['a float in a union', field('x', ['null', 'float']), 'decimal'],
    ['a decimal logical type', field('x', { type: 'bytes', logicalType: 'decimal' } as never), 'plain type'],
    ['a union without null', field('x', ['int', 'string']), '["null", T]'],
    ['null as second branch', field('x', ['string', 'null']), '["null", T]'],
    ['three branches', field('x', ['null', 'int', 'string']), '["null", T]'],
    ['a default that is no null', field('x', ['null', 'string'], { default: '' }), 'null for [null, T]'],
    ['no doc', { name: 'x', type: 'string' }, 'say what it holds'],
    ['an undeclared name', field('x', 'hutong.Nowhere'), 'schemas/avro/shared'],
    ['itself', field('x', ['null', 'hutong.Order']), 'flatten'],
    ['items of type null', field('x', { type: 'array', items: 'null' }), 'leave the field out'],
    ['an empty record', field('x', record([], 'Empty')), 'give it a field'],
  ])('%s is reported with its path and what to do', ([, bad, remedy]) => {
    const schema = record([field('ok', 'string'), field('deep', { type: 'array', items: record([bad], 'Deep') })])
    const found = ruleViolations(schemaOf(schema))
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject({
      subject: 'order',
      path: `deep.${bad.name}`,
      remedy: expect.stringContaining(remedy),
    })
  })

  test('all violations come together', () => {
    expect(ruleViolations(schemaOf(record([field('a', 'double'), field('b', ['int', 'null'])])))).toHaveLength(2)
  })
})

describe('FULL_TRANSITIVE against releases', () => {
  const base = record([
    field('id', 'string'),
    field('at', 'long'),
    field('note', ['null', 'string']),
    field('late', ['null', 'string'], { default: null }),
    field('items', { type: 'array', items: record([field('code', 'string')], 'Item') }),
  ])
  const changed = (change: (fields: AvroField[]) => AvroField[]): AvroRecord => record(change([...base.fields]))
  const items = (fields: readonly AvroField[]): AvroField =>
    field('items', { type: 'array', items: record(fields, 'Item') })
  const swap = (name: string, by: AvroField): AvroRecord =>
    changed((fields) => fields.map((one) => (one.name === name ? by : one)))

  const breaking: readonly (readonly [string, AvroRecord, string])[] = [
    ['added without a default', changed((fields) => [...fields, field('more', ['null', 'string'])]), 'more'],
    ['removed without a default', changed((fields) => fields.filter(({ name }) => name !== 'at')), 'at'],
    ['long became int', swap('at', field('at', 'int')), 'at'],
    ['int became nullable', swap('at', field('at', ['null', 'long'])), 'at'],
    ['nullable became required', swap('note', field('note', 'string')), 'note'],
    ['string became bytes', swap('id', field('id', 'bytes')), 'id'],
    ['array became its item', swap('items', field('items', record([field('code', 'string')], 'Item'))), 'items'],
    [
      'added deep without a default',
      swap('items', items([field('code', 'string'), field('unit', 'string')])),
      'items.unit',
    ],
    [
      'record renamed',
      swap('items', field('items', { type: 'array', items: record([field('code', 'string')], 'Line') })),
      'items',
    ],
  ]
  test.for(breaking)('%s is refused', ([, schema, path]) => {
    const releases = [{ version: '1.0.0', schemas: [schemaOf(base)] }]
    const found = checkSchemas([schemaOf(schema)], releases)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject({ subject: 'order', path, against: 'release 1.0.0' })
    expect(found[0]!.remedy).not.toBe('')
  })

  const fine: readonly (readonly [string, AvroRecord])[] = [
    ['the same', base],
    ['added with a default', changed((fields) => [field('more', ['null', 'string'], { default: null }), ...fields])],
    ['removed with a default', changed((fields) => fields.filter(({ name }) => name !== 'late'))],
    ['other order', changed((fields) => fields.reverse())],
    [
      'added deep with a default',
      swap('items', items([field('code', 'string'), field('unit', 'string', { default: '' })])),
    ],
  ]
  test.for(fine)('%s is taken, and avsc reads it in both directions', ([, schema]) => {
    expect(disagreements(schema, base)).toEqual([])
    const [now, then] = [avsc.Type.forSchema(schema as never), avsc.Type.forSchema(base as never)]
    now.createResolver(then)
    then.createResolver(now)
  })

  test('every release counts, not the last alone: a field that comes back must come back as it was', () => {
    const first = record([field('id', 'string'), field('x', ['null', 'string'], { default: null })])
    const second = record([field('id', 'string')])
    const third = record([field('id', 'string'), field('x', ['null', 'long'], { default: null })])
    const releases = [first, second].map((schema, index) => ({ version: `${index + 1}`, schemas: [schemaOf(schema)] }))
    expect(checkSchemas([schemaOf(third)], releases.slice(1))).toEqual([])
    expect(checkSchemas([schemaOf(third)], releases)).toMatchObject([{ path: 'x', against: 'release 1' }])
  })
})
