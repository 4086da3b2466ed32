import { AsyncLocalStorage } from 'node:async_hooks'
import { RetryableError } from '../core/errors.js'
import { connectionFaults, openPglite, openPostgres, type Driver } from './drivers.js'
import type { Transaction } from './transaction.js'

export type { Transaction, Value } from './transaction.js'

/**
 * The repository's database. Session state is never used: no SET but SET LOCAL, no LISTEN, no named statements, no COPY
 * FROM STDIN; so that PGlite, which has one backend for all, runs the same SQL (decision 6).
 */
export interface Database {
  readonly kind: Driver['kind']
  /**
   * Commits when `work` resolves, rolls back when it rejects. Inside a transaction a second one throws at once.
   * @throws RetryableError when the database is away, overloaded or chose this transaction as a deadlock's victim
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** `postgres://…`; without it PGlite runs in this process. */
  readonly url?: string
  /** PGlite keeps its files here; in memory where unset. */
  readonly dir?: string
  /** Connections at most (default 4); PGlite always has one. */
  readonly poolMax?: number
}

/** The database refused the data of a statement (SQLSTATE classes 22 and 23): one of its rows is at fault. */
export class DataError extends Error {
  override readonly name = 'DataError'
  constructor(
    readonly sqlState: string,
    message: string,
    readonly constraint: string | undefined,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** Opens PostgreSQL by URL, else PGlite. @throws RetryableError when it cannot be reached */
export async function openDatabase(options: DatabaseOptions = {}): Promise<Database> {
  const driver =
    options.url === undefined ? await openPglite(options.dir) : await openPostgres(options.url, options.poolMax ?? 4)
  return guardDatabase(driver)
}

function guardDatabase(driver: Driver): Database {
  const inside = new AsyncLocalStorage<true>()
  return {
    kind: driver.kind,
    async transaction(work) {
      if (inside.getStore() === true) {
        throw new Error('a transaction was opened inside a transaction: pass the outer one on (docs/decisions/0010)')
      }
      try {
        return await inside.run(true, () => driver.transaction(work))
      } catch (error) {
        throw sorted(error)
      }
    },
    close: () => driver.close(),
  }
}

interface DatabaseFault {
  readonly code?: unknown
  readonly message?: unknown
  readonly constraint?: unknown
}

/** Transient faults become RetryableError, refused data DataError, anything else stays what it is. */
export function sorted(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof RetryableError || error instanceof DataError) return error
  const { code, constraint } = error as DatabaseFault
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) {
    if (/^(08|53|55P03|57P0|57014|40001|40P01|25006|XX000.*terminat)/.test(code)) {
      return new RetryableError(`the database is not ready (${code}): ${error.message}`, { cause: error })
    }
    if (/^(22|23)/.test(code)) {
      return new DataError(code, error.message, typeof constraint === 'string' ? constraint : undefined, {
        cause: error,
      })
    }
    return error
  }
  if (connectionFaults.some((fault) => code === fault || error.message.includes(fault))) {
    return new RetryableError(`the database cannot be reached: ${error.message}`, { cause: error })
  }
  return error
}
