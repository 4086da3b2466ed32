import { DataError, type Database } from './database.js'
import { schemaLock } from './migrate.js'
import { monthOf, monthText } from './months.js'

const partitioned = ['observation', 'observation_history', 'receipt', 'raw_message'] as const
export type PartitionedTable = (typeof partitioned)[number]

/** Partitions are made for these months only; anything outside is a clock error and rests in the DEFAULT partition. */
const firstMonth = monthOf(Date.parse('2000-01-01T00:00:00+08:00'))
const aheadMonths = 13

/**
 * Makes the monthly partitions of a span (months since 1970-01, both included) where they are missing. A month whose
 * rows already rest in DEFAULT keeps them there: `defaultPartitionRows` tells.
 */
export async function createPartitions(
  db: Database,
  from: number,
  to: number,
  tables: readonly PartitionedTable[] = partitioned,
): Promise<void> {
  for (let month = from; month <= to; month++) {
    for (const table of tables) {
      const name = `${table}_${monthText(month).slice(0, 7).replace('-', '_')}`
      try {
        await db.transaction(async (tx) => {
          await tx.query('SELECT pg_advisory_xact_lock($1::int8)::text', [schemaLock])
          const [row] = await tx.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [name])
          if (row?.there === true) return
          await tx.script(
            `CREATE TABLE ${name} PARTITION OF ${table} FOR VALUES FROM ('${monthText(month)}') TO ('${monthText(month + 1)}')`,
          )
        })
      } catch (error) {
        // check_violation: DEFAULT already holds rows of this month
        if (!(error instanceof DataError) || error.sqlState !== '23514') throw error
      }
    }
  }
}

/** Makes partitions as months are met, once a process and month. */
export class PartitionKeeper {
  private readonly known = new Map<PartitionedTable, Set<number>>()

  constructor(
    private readonly db: Database,
    private readonly now: () => number,
  ) {}

  /** Resolves when every month that deserves a partition has one. */
  async ensure(months: Iterable<number>, tables: readonly PartitionedTable[]): Promise<void> {
    for (const month of new Set(months)) {
      const missing = tables.filter((table) => this.known.get(table)?.has(month) !== true)
      if (missing.length === 0) continue
      if (month >= firstMonth && month <= monthOf(this.now()) + aheadMonths) {
        await createPartitions(this.db, month, month, missing)
      }
      for (const table of missing) this.known.set(table, (this.known.get(table) ?? new Set()).add(month))
    }
  }
}

/** Rows that found no monthly partition, by table; anything but 0 means a sender's clock or a month not made ahead. */
export async function defaultPartitionRows(db: Database): Promise<Readonly<Record<PartitionedTable, number>>> {
  const rows = await db.transaction((tx) =>
    tx.query<{ name: PartitionedTable; rows: number }>(
      partitioned
        .map((table) => `SELECT '${table}' AS name, count(*) AS rows FROM ${table}_default`)
        .join(' UNION ALL '),
    ),
  )
  return Object.fromEntries(rows.map(({ name, rows: count }) => [name, count])) as Record<PartitionedTable, number>
}
