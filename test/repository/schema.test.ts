import { mkdtemp, readFile, rm, writeFile, cp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RetryableError } from '../../core/errors.js'
import { readEnvironment } from '../../core/environment.js'
import { DataError, openDatabase } from '../../repository/database.js'
import { migrate } from '../../repository/migrate.js'
import { monthDays, monthFromText, monthOf, monthText } from '../../repository/months.js'
import { createPartitions, defaultPartitionRows, PartitionKeeper } from '../../repository/partitions.js'
import { dumpSchema } from '../../repository/schema-dump.js'
import { createDatabase, engines, type TestDatabase } from './databases.js'

const golden = fileURLToPath(new URL('./schema.golden.txt', import.meta.url))
const migrations = fileURLToPath(new URL('../../repository/migrations', import.meta.url))
const { databaseUrl } = readEnvironment()

describe.each(engines)('schema on $name', ({ open }) => {
  let at: TestDatabase
  beforeAll(async () => {
    at = await open()
  })
  afterAll(() => at.drop())

  test('is the reviewed one', async () => {
    // UPDATE_GOLDEN=1 writes it anew; the difference is for the reviewer.
    if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(golden, await dumpSchema(at.db))
    expect(await dumpSchema(at.db)).toBe(await readFile(golden, 'utf8'))
  })

  test('is applied once, and a changed file is refused by name', async () => {
    expect(await migrate(at.db)).toEqual([])
    const folder = await mkdtemp(join(tmpdir(), 'hutong-migrations-'))
    try {
      await cp(migrations, folder, { recursive: true })
      await writeFile(join(folder, '0099-more.sql'), 'CREATE TABLE later (id int4); INSERT INTO later VALUES (1);')
      expect(await migrate(at.db, folder)).toEqual(['0099-more.sql'])
      await writeFile(join(folder, '0099-more.sql'), 'CREATE TABLE later (id int8);')
      await expect(migrate(at.db, folder)).rejects.toThrow(/0099-more\.sql was changed after it had been applied/)
      await expect(migrate(at.db)).rejects.toThrow(/0099-more\.sql.*newer release/)
    } finally {
      await at.db.transaction((tx) =>
        tx.script(`DROP TABLE later; DELETE FROM schema_migration WHERE name = '0099-more.sql'`),
      )
      await rm(folder, { recursive: true })
    }
  })

  test('a migration that fails leaves nothing behind', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hutong-migrations-'))
    try {
      await cp(migrations, folder, { recursive: true })
      await writeFile(join(folder, '0099-broken.sql'), 'CREATE TABLE half (id int4); SELECT 1/0;')
      await expect(migrate(at.db, folder)).rejects.toThrow(DataError)
      const [row] = await at.db.transaction((tx) => tx.query(`SELECT to_regclass('half') AS half`))
      expect(row).toEqual({ half: null })
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('a second transaction inside a transaction throws, on every engine', async () => {
    await expect(at.db.transaction(() => at.db.transaction(async () => 1))).rejects.toThrow(/inside a transaction/)
    // Side by side they may run.
    expect(await Promise.all([1, 2].map((n) => at.db.transaction(async () => n)))).toEqual([1, 2])
  })

  test('errors are sorted into data, and anything else', async () => {
    const run = (sql: string): Promise<unknown> => at.db.transaction((tx) => tx.query(sql))
    await expect(run('SELECT 1/0')).rejects.toMatchObject({ name: 'DataError', sqlState: '22012' })
    await expect(run(`INSERT INTO hospital (code) VALUES ('x'), ('x')`)).rejects.toMatchObject({
      sqlState: '23505',
      constraint: 'hospital_code_key',
    })
    await expect(run('SELECT nothing')).rejects.not.toBeInstanceOf(DataError)
    await expect(run('SELECT 9007199254740993::int8')).rejects.toThrow(/beyond 2\^53/)
    expect(await run('SELECT 9007199254740991::int8 AS n, 1.50::numeric AS d')).toEqual([
      { n: 9007199254740991, d: '1.50' },
    ])
  })

  test('partitions are made once by many, and rows that find none are counted', async () => {
    const month = monthOf(Date.parse('2026-03-31T23:30:00+08:00'))
    expect([
      monthText(month),
      monthFromText('2026-03-01'),
      new Date(monthDays(month) * 86_400_000).toISOString().slice(0, 10),
    ]).toEqual(['2026-03-01', month, '2026-03-01'])
    await Promise.all([1, 2, 3].map(() => createPartitions(at.db, month, month + 1)))
    const insert = (date: string): Promise<number> =>
      at.db.transaction((tx) =>
        tx.execute(`INSERT INTO receipt (id, seq, received_at, derivation, feed_id, epoch, month, event_index, event_count, rows, disposition)
          VALUES (1, 1, now(), 1, 1, 1, '${date}', 0, 1, 0, 'ignored')`),
      )
    await insert('2026-03-01')
    expect(await defaultPartitionRows(at.db)).toMatchObject({ receipt: 0, observation: 0 })
    await insert('1900-01-01')
    await insert('2027-07-01')
    expect(await defaultPartitionRows(at.db)).toMatchObject({ receipt: 2 })
    // DEFAULT holds rows of that month: they stay, nothing fails, the monitor goes on telling.
    const keeper = new PartitionKeeper(at.db, () => Date.parse('2027-07-02T00:00:00Z'))
    await keeper.ensure([monthOf(Date.parse('2027-07-02T00:00:00Z')), -840], ['receipt'])
    expect(await defaultPartitionRows(at.db)).toMatchObject({ receipt: 2 })
  })
})

describe.skipIf(databaseUrl === undefined)('schema of several processes', () => {
  test('many migrate at once, none fails', async () => {
    const created = await createDatabase(databaseUrl!)
    const databases = await Promise.all([1, 2, 3, 4].map(() => openDatabase({ url: created.url })))
    try {
      const applied = await Promise.all(databases.map((db) => migrate(db)))
      expect(applied.flat().sort()).toEqual((await migrationNames()).sort())
    } finally {
      await Promise.all(databases.map((db) => db.close()))
      await created.drop()
    }
  })

  test('a database that is away is worth a retry', async () => {
    const db = await openDatabase({ url: 'postgres://hutong@127.0.0.1:1/hutong' })
    await expect(db.transaction(async () => 1)).rejects.toBeInstanceOf(RetryableError)
    await db.close()
  })

  test('a connection cut in the middle is worth a retry, and the next one works', async () => {
    const db = await openDatabase({ url: databaseUrl!, poolMax: 2 })
    try {
      const cut = db.transaction(async (tx) => {
        const [row] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
        await tx.query('SELECT pg_terminate_backend($1)', [row!.pid])
        await tx.query('SELECT 1')
      })
      await expect(cut).rejects.toBeInstanceOf(RetryableError)
      expect(await db.transaction((tx) => tx.query('SELECT 1 AS one'))).toEqual([{ one: 1 }])
    } finally {
      await db.close()
    }
  })
})

async function migrationNames(): Promise<string[]> {
  const { readdir } = await import('node:fs/promises')
  return readdir(migrations)
}
