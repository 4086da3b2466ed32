import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { readEnvironment } from '../../core/environment.js'
import { pause } from '../../core/pause.js'
import { openDatabase, type Database } from '../../repository/database.js'
import { migrate } from '../../repository/migrate.js'

const { databaseUrl, ci } = readEnvironment()

/** SQLSTATE, PostgreSQL appendix A. */
const insufficientPrivilege = '42501'
const objectInUse = '55006'

export interface TestDatabase {
  readonly db: Database
  /** Set on PostgreSQL: a second connection pool can be opened. */
  readonly url: string | undefined
  drop(): Promise<void>
}

/** A migrated database of its own on each engine at hand; PostgreSQL is required under CI=true. */
export const engines: readonly { readonly name: string; open(): Promise<TestDatabase> }[] = [
  { name: 'pglite', open: openPgliteTest },
  ...(databaseUrl === undefined ? [] : [{ name: 'postgresql', open: () => openPostgresTest(databaseUrl) }]),
]

if (ci && databaseUrl === undefined) throw new Error('CI=true needs HUTONG_DATABASE_URL')

async function openPgliteTest(): Promise<TestDatabase> {
  const db = await openDatabase()
  await migrate(db)
  return { db, url: undefined, drop: () => db.close() }
}

/** An empty database that nobody else uses, on the server of another one's URL. */
export interface CreatedDatabase {
  readonly name: string
  readonly url: string
  drop(): Promise<void>
}

/** An empty database beside the one the URL names, dropped afterwards. */
export async function createDatabase(url: string): Promise<CreatedDatabase> {
  const name = `hutong_test_${process.pid}_${randomBytes(4).toString('hex')}`
  await administer(url, `CREATE DATABASE ${name}`)
  const own = new URL(url)
  own.pathname = `/${name}`
  return { name, url: own.href, drop: () => dropDatabase(url, name) }
}

/** PostgreSQL 15 refuses to end an autovacuum worker for who is no superuser; such a worker is gone in a moment. */
async function dropDatabase(url: string, name: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await administer(url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    } catch (error) {
      const { code } = error as { readonly code?: string }
      if (attempt === 60 || (code !== insufficientPrivilege && code !== objectInUse)) throw error
      await pause(500)
    }
  }
}

async function openPostgresTest(url: string): Promise<TestDatabase> {
  const created = await createDatabase(url)
  const db = await openDatabase({ url: created.url })
  await migrate(db)
  return {
    db,
    url: created.url,
    async drop() {
      await db.close()
      await created.drop()
    },
  }
}

async function administer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

/** Empties everything that facts and receipts are kept in; dictionaries stay, as caches know their ids. */
export async function empty(db: Database): Promise<void> {
  await db.transaction((tx) =>
    tx.script(`TRUNCATE patient, patient_identifier, patient_merge, encounter, medical_order, suppression, report,
      imaging_report, report_document, report_history, observation, observation_history, receipt, raw_message,
      feed_watermark, first_receipt, dead_letter, work_item`),
  )
}
