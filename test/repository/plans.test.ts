import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ArrayColumn, type ColumnType } from '../../repository/array-column.js'
import type { Value } from '../../repository/database.js'
import * as deadLetters from '../../repository/dead-letter-rows.js'
import { eventSink, firstReceiptSql, lookUpByIndex } from '../../repository/event-sink.js'
import * as ledger from '../../repository/ledger-batch.js'
import * as redrive from '../../repository/redrive-receipts.js'
import { registerStatements } from '../../repository/registers.js'
import * as conflicts from '../../repository/report-conflicts.js'
import { reportStatements } from '../../repository/report-statements.js'
import { newer } from '../../repository/versions.js'
import * as patients from '../../repository/write-patients.js'
import { engines, type TestDatabase } from './databases.js'
import * as make from './events.js'

const samples: Readonly<Record<ColumnType, string | number | boolean | Buffer>> = {
  int2: 1,
  int4: 1,
  int8: 1,
  bool: true,
  text: '1',
  bytea: Buffer.from('a'),
  uuid: Buffer.alloc(16),
  date: 20_000,
  timestamptz: make.morning,
}

/** Samples for the arrays a statement binds, as many rows as a batch has keys. */
function valuesFor(sql: string, rows: number): readonly Value[] {
  const types = new Map(
    [...sql.matchAll(/\$(\d+)::(\w+)\[\]/g)].map((match) => [Number(match[1]), match[2] as ColumnType]),
  )
  return [...types]
    .sort(([a], [b]) => a - b)
    .map(([, type]) => {
      const column = new ArrayColumn(type)
      for (let row = 0; row < rows; row++) column.push(samples[type])
      return column.finish()
    })
}

const named = (group: string, statements: object): readonly (readonly [string, string])[] =>
  Object.entries(statements)
    .filter((entry): entry is [string, string] => typeof entry[1] === 'string' && /unnest\(/.test(entry[1]))
    .map(([name, sql]) => [`${group}: ${name}`, sql])

const statements = [
  ...named('report', reportStatements(newer)),
  ...named('patient', registerStatements(patients.patientSpec, newer)),
  ...named('merge', registerStatements(patients.mergeSpec, newer)),
  ...named('encounter', registerStatements(patients.encounterSpec, newer)),
  ...named('order', registerStatements(patients.orderSpec, newer)),
  ...named('patients', patients),
  ...named('ledger', ledger),
  ...named('conflicts', conflicts),
  ...named('redrive', redrive),
  ...named('dead letters', deadLetters),
  ['first receipt', firstReceiptSql] as const,
]

interface PlanNode {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Index Cond'?: string
  readonly 'Conflict Arbiter Indexes'?: readonly string[]
  readonly Plans?: readonly PlanNode[]
}

const nodesOf = (node: PlanNode): readonly PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)]

/** Reads a table whole: by itself, or through an index without a condition on it. */
const readsAll = (node: PlanNode): boolean =>
  node['Node Type'] === 'Seq Scan' ||
  (/Index (Only )?Scan$/.test(node['Node Type']) && node['Index Cond'] === undefined)

const batchOf = (first: number, count: number): ReturnType<typeof make.lab>[] =>
  Array.from({ length: count }, (_, index) =>
    make.lab(
      make.labReport({
        envelope: make.envelope({ seq: first + index }),
        reportNumber: `R${first + index}`,
        patient: make.patient({ id: `P${first + index}` }),
      }),
    ),
  )

/** Never meant for hundreds of keys: then reading a table as small as this one whole is the better plan. */
const isRare = (name: string): boolean => /^(conflicts|redrive):/.test(name)

// Right after installation nothing has been analysed, and PGlite never analyses by itself.
const states = engines.flatMap(({ name, open }) => [
  { name: `${name}, analysed`, open, analysed: true },
  { name: `${name}, never analysed`, open, analysed: false },
])

describe.each(states)('plans on $name', ({ open, analysed }) => {
  let at: TestDatabase
  /** To read these whole costs nothing. */
  const empty = new Set<string>()
  beforeAll(async () => {
    at = await open()
    const sink = eventSink(at.db, { clock: { now: () => make.morning } })
    await sink.write(batchOf(1, 10))
    await at.db.transaction(async (tx) => {
      const tables = await tx.query<{ name: string }>(
        `SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
      )
      for (const { name } of tables) await tx.script(`ALTER TABLE ${name} SET (autovacuum_enabled = false)`)
    })
    for (let first = 11; first < 2000; first += 400) await sink.write(batchOf(first, 400))
    await at.db.transaction(async (tx) => {
      const tables = await tx.query<{ name: string }>(
        `SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
      )
      for (const { name } of tables) {
        if ((await tx.query(`SELECT 1 FROM ${name} LIMIT 1`)).length === 0) empty.add(name)
      }
      if (analysed) await tx.script('ANALYZE')
    })
  })
  afterAll(() => at.drop())

  const explain = async (sql: string, values: readonly Value[]): Promise<readonly PlanNode[]> => {
    const rows = await at.db.transaction(async (tx) => {
      await tx.script(lookUpByIndex)
      return tx.query<{ 'QUERY PLAN': readonly [{ readonly Plan: PlanNode }] }>(`EXPLAIN (FORMAT JSON) ${sql}`, values)
    })
    return nodesOf(rows[0]!['QUERY PLAN'][0].Plan)
  }

  test.each(statements)('finds its rows by index: %s', async (name, sql) => {
    for (const keys of isRare(name) ? [1] : [1, 400]) {
      const nodes = (await explain(sql, valuesFor(sql, keys))).filter((node) => !empty.has(node['Relation Name'] ?? ''))
      expect(nodes.filter(readsAll), `with ${keys} keys`).toEqual([])
    }
  })

  test('a reader finds the results of a patient by index, in the partitions of their months', async () => {
    const nodes = await explain('SELECT * FROM current_result WHERE patient_id = $1::int8', [1])
    expect(nodes.map((node) => node['Index Name'])).toContain('report_patient')
    const filled = nodes.filter((node) => !empty.has(node['Relation Name'] ?? ''))
    const whole = filled.filter((node) => /^(report|observation)/.test(node['Relation Name'] ?? '') && readsAll(node))
    expect(whole).toEqual([])
  })
})
