import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Database, Transaction } from './database.js'

/** Guards migrations and the making of partitions against other processes; any fixed number of ours. */
export const schemaLock = 7_236_517

interface Migration {
  readonly name: string
  readonly sql: string
  readonly checksum: string
}

/**
 * Brings the schema up to this release: `migrations/NNNN-….sql` in order, each in its own transaction under an advisory
 * lock, so that several processes may start at once. Resolves with the names applied now.
 * @throws Error when an applied file has been changed since, or the database is newer than this release
 */
export async function migrate(
  db: Database,
  folder: string = fileURLToPath(new URL('./migrations', import.meta.url)),
): Promise<readonly string[]> {
  const migrations = await readMigrations(folder)
  await db.transaction(async (tx) => {
    await lock(tx)
    await tx.script(
      'CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())',
    )
  })
  const applied: string[] = []
  for (const migration of migrations) {
    const isNew = await db.transaction((tx) => apply(tx, migration))
    if (isNew) applied.push(migration.name)
  }
  const known = new Set(migrations.map(({ name }) => name))
  const recorded = await db.transaction((tx) => tx.query<{ name: string }>('SELECT name FROM schema_migration'))
  const unknown = recorded.filter(({ name }) => !known.has(name)).map(({ name }) => name)
  if (unknown.length > 0) {
    throw new Error(
      `the database has migrations this release does not know (${unknown.join(', ')}): use a newer release`,
    )
  }
  return applied
}

async function apply(tx: Transaction, migration: Migration): Promise<boolean> {
  await lock(tx)
  const [recorded] = await tx.query<{ checksum: string }>('SELECT checksum FROM schema_migration WHERE name = $1', [
    migration.name,
  ])
  if (recorded !== undefined) {
    if (recorded.checksum === migration.checksum) return false
    throw new Error(
      `migration ${migration.name} was changed after it had been applied: restore the file, add a new one`,
    )
  }
  await tx.script(migration.sql)
  await tx.execute('INSERT INTO schema_migration (name, checksum) VALUES ($1, $2)', [
    migration.name,
    migration.checksum,
  ])
  return true
}

const lock = (tx: Transaction): Promise<unknown> =>
  tx.query('SELECT pg_advisory_xact_lock($1::int8)::text', [schemaLock])

async function readMigrations(folder: string): Promise<readonly Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}-.*\.sql$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => {
      const sql = (await readFile(`${folder}/${name}`, 'utf8')).replaceAll('\r\n', '\n')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}
