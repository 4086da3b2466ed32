/** A bound value. A Buffer is sent in binary form, either as `bytea` or as an array built by `ArrayColumn`. */
export type Value = string | number | boolean | Buffer | null

/**
 * One transaction. `int8` is read as a number and throws beyond 2^53, for every id, hash and count of ours stays below;
 * `numeric`, dates and timestamps are read as text, `bytea` as Buffer, `jsonb` parsed.
 */
export interface Transaction {
  query<R>(sql: string, values?: readonly Value[]): Promise<R[]>
  /** Number of rows affected. */
  execute(sql: string, values?: readonly Value[]): Promise<number>
  /** Several statements without values. */
  script(sql: string): Promise<void>
}

/** What a driver offers; the port adds the guard against nesting and the sorting of errors. */
export interface Driver {
  readonly kind: 'postgresql' | 'pglite'
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  close(): Promise<void>
}
