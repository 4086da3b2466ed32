import { Worker } from 'node:worker_threads'
import { UsageError } from '../core/errors.js'
import type { Driver, Transaction, Value } from './transaction.js'

/** What the thread is asked, and what it answers; requests are served in order. */
interface Request {
  readonly kind: 'open' | 'query' | 'script' | 'close'
  readonly sql?: string
  readonly values?: readonly unknown[]
}

interface Answer {
  readonly id: number
  readonly rows?: readonly Record<string, unknown>[]
  readonly affectedRows?: number
  readonly error?: { readonly message: string } & Readonly<Record<string, unknown>>
}

export interface EmbeddedTypes {
  /** Type oids that are read as text. */
  readonly textTypes: readonly number[]
  /** Type oids that are read as numbers; beyond 2^53 is an error. */
  readonly integerTypes: readonly number[]
  /** Type oids whose values are bound in binary form. */
  readonly binaryTypes: readonly number[]
}

/**
 * PGlite, PostgreSQL inside this process, on a thread of its own: one backend, no fsync; for demonstration and tests.
 * Transactions follow one another.
 */
export async function openEmbeddedDatabase(dir: string | undefined, types: EmbeddedTypes): Promise<Driver> {
  const backend = new Backend(dir, types)
  await backend.ask({ kind: 'open' }).catch(async (error: unknown) => {
    await backend.end()
    throw error
  })
  const tx = transactionOn(backend)
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work, work)
    last = result.catch(() => undefined)
    return result
  }
  return {
    kind: 'pglite',
    transaction: (work) =>
      inTurn(async () => {
        await tx.script('BEGIN')
        try {
          const result = await work(tx)
          await tx.script('COMMIT')
          return result
        } catch (error) {
          await tx.script('ROLLBACK').catch(() => undefined)
          throw error
        }
      }),
    close: () =>
      inTurn(async () => {
        try {
          await backend.ask({ kind: 'close' })
        } finally {
          await backend.end()
        }
      }),
  }
}

function transactionOn(backend: Backend): Transaction {
  return {
    async query<R>(sql: string, values: readonly Value[] = []) {
      return (await backend.ask({ kind: 'query', sql, values: values.map(sendable) })).rows as readonly R[] as R[]
    },
    async execute(sql, values = []) {
      return (await backend.ask({ kind: 'query', sql, values: values.map(sendable) })).affectedRows ?? 0
    },
    async script(sql) {
      await backend.ask({ kind: 'script', sql })
    },
  }
}

/** A buffer may be a view of a large slab, which would be copied whole. */
const sendable = (value: Value): unknown => (Buffer.isBuffer(value) ? new Uint8Array(value) : value)

/** A package for hospitals comes without PGlite. */
const leftOut = (cause: Error): UsageError =>
  new UsageError(
    'this installation is an edge and has no embedded database: forward with uplink, name a database (database.url, ' +
      'HUTONG_DATABASE_URL), or use the full product',
    { cause },
  )

class Backend {
  private readonly thread: Worker
  private readonly waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>()
  private asked = 0
  private gone: Error | undefined

  constructor(dir: string | undefined, types: EmbeddedTypes) {
    this.thread = new Worker(new URL('./pglite-worker.mjs', import.meta.url), { workerData: { dir, ...types } })
    this.thread.on('message', (answer: Answer) => this.onAnswer(answer))
    this.thread.on('error', (error: NodeJS.ErrnoException) =>
      this.onGone(error.code === 'ERR_MODULE_NOT_FOUND' ? leftOut(error) : error),
    )
    this.thread.on('exit', () => this.onGone(new Error('the embedded database has been closed')))
  }

  ask(request: Request): Promise<Answer> {
    if (this.gone !== undefined) return Promise.reject(this.gone)
    const id = ++this.asked
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      this.thread.postMessage({ id, ...request })
    })
  }

  async end(): Promise<void> {
    await this.thread.terminate()
  }

  private onAnswer(answer: Answer): void {
    const waiting = this.waiting.get(answer.id)
    this.waiting.delete(answer.id)
    if (waiting === undefined) return
    if (answer.error !== undefined) {
      const { message, ...facts } = answer.error
      waiting.reject(Object.assign(new Error(message), facts))
      return
    }
    for (const row of answer.rows ?? []) revive(row)
    waiting.resolve(answer)
  }

  private onGone(error: Error): void {
    this.gone ??= error
    for (const { reject } of this.waiting.values()) reject(this.gone)
    this.waiting.clear()
  }
}

/** Buffers cross the thread as plain bytes. */
function revive(row: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(row)) {
    if (value instanceof Uint8Array) row[name] = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }
}
