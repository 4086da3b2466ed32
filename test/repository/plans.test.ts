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

/** One row of samples for the arrays a statement binds. */
function valuesFor(sql: string): readonly Value[] {
  const types = new Map(
    [...sql.matchAll(/\$(\d+)::(\w+)\[\]/g)].map((match) => [Number(match[1]), match[2] as ColumnType]),
  )
  return [...types]
    .sort(([a], [b]) => a - b)
    .map(([, type]) => {
      const column = new ArrayColumn(type)
      column.push(samples[type])
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

describe.each(engines)('plans on $name', ({ open }) => {
  let at: TestDatabase
  beforeAll(async () => {
    at = await open()
    const sink = eventSink(at.db, { clock: { now: () => make.morning } })
    await sink.write(
      Array.from({ length: 300 }, (_, index) =>
        make.lab(
          make.labReport({
            envelope: make.envelope({ seq: index + 1 }),
            reportNumber: `R${index}`,
            patient: make.patient({ id: `P${index}` }),
          }),
        ),
      ),
    )
    await at.db.transaction((tx) => tx.script('ANALYZE'))
  })
  afterAll(() => at.drop())

  const explain = async (sql: string, values: readonly Value[]): Promise<string> => {
    const rows = await at.db.transaction(async (tx) => {
      await tx.script(lookUpByIndex)
      return tx.query<{ 'QUERY PLAN': string }>(`EXPLAIN (COSTS OFF) ${sql}`, values)
    })
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  }

  test.each(statements)('finds its rows by index: %s', async (_, sql) => {
    const plan = await explain(sql, valuesFor(sql))
    expect(plan).not.toMatch(/Seq Scan on (?!suppression)/)
    if (/JOIN|USING|UPDATE/.test(sql)) expect(plan).toMatch(/Index|Conflict Arbiter/)
  })

  test('a reader finds the results of a patient by index, in the partitions of their months', async () => {
    const plan = await explain('SELECT * FROM current_result WHERE patient_id = $1::int8', [1])
    expect(plan).toContain('report_patient')
    expect(plan).not.toMatch(/Seq Scan on (report|observation)/)
  })
})
