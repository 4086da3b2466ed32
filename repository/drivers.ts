import pg from 'pg'
import { UsageError } from '../core/errors.js'
import { openEmbeddedDatabase } from './embedded-database.js'
import type { Driver, Transaction, Value } from './transaction.js'

export type { Driver }

/** Error codes of node and texts of pg that mean the connection is gone or never came. */
export const connectionFaults = [
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'Connection terminated',
  'timeout exceeded when trying to connect',
  'Client has encountered a connection error',
  'Client was closed',
] as const

const oids = { bool: 16, bytea: 17, int8: 20, int2: 21, int4: 23, json: 114, jsonb: 3802 } as const
/** int8[], int4[], int2[], bool[], text[], bytea[], timestamptz[], date[], uuid[] and bytea are bound in binary form. */
const binaryTypes = [1016, 1007, 1005, 1000, 1009, 1001, 1185, 1182, 2951, 17] as const

const asText = (text: string): string => text

function safeInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new Error(`an int8 beyond 2^53 was read: ${text}`)
  return value
}

/** PostgreSQL through a pool; each transaction holds one connection. @throws UsageError for a file in the URL that cannot be read */
export async function openPostgres(url: string, poolMax: number): Promise<Driver> {
  checkFilesOf(url)
  const types = new pg.TypeOverrides()
  types.setTypeParser(oids.int8, safeInteger)
  for (const oid of [1082, 1114, 1184, 1700]) types.setTypeParser(oid, asText)
  const pool = new pg.Pool({
    connectionString: url,
    max: poolMax,
    types,
    application_name: 'hutong',
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 30_000,
  })
  // An idle connection that breaks is replaced on next use.
  pool.on('error', () => undefined)
  return {
    kind: 'postgresql',
    async transaction(work) {
      const client = await pool.connect()
      // A connection that breaks between two statements fails the next one.
      const ignore = (): undefined => undefined
      client.on('error', ignore)
      let broken = false
      try {
        await client.query('BEGIN')
        try {
          const result = await work(postgresTransaction(client))
          await client.query('COMMIT')
          return result
        } catch (error) {
          await client.query('ROLLBACK').catch(() => (broken = true))
          throw error
        }
      } finally {
        client.off('error', ignore)
        client.release(broken)
      }
    },
    close: () => pool.end(),
  }
}

/** A client reads the files of sslrootcert, sslcert and sslkey when it is made: of a pool that is at the first query. */
function checkFilesOf(url: string): void {
  try {
    new pg.Client({ connectionString: url })
  } catch (error) {
    const { code, path, syscall } = error as NodeJS.ErrnoException
    if (syscall === undefined) throw error
    throw new UsageError(`database.url: cannot read ${path}: ${code} (sslrootcert, sslcert or sslkey)`, {
      cause: error,
    })
  }
}

function postgresTransaction(client: pg.PoolClient): Transaction {
  return {
    async query<R>(sql: string, values: readonly Value[] = []) {
      return (await client.query({ text: sql, values: [...values] })).rows as R[]
    },
    async execute(sql, values = []) {
      return (await client.query({ text: sql, values: [...values] })).rowCount ?? 0
    },
    async script(sql) {
      await client.query(sql)
    },
  }
}

/** PGlite, with the types read and bound as on PostgreSQL. */
export function openPglite(dir: string | undefined): Promise<Driver> {
  return openEmbeddedDatabase(dir, {
    textTypes: [1082, 1114, 1184, 1700],
    integerTypes: [oids.int8],
    binaryTypes,
  })
}
