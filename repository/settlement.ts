import type { Database } from './database.js'

/** Numbers of one feed and epoch, both ends included. */
export interface LedgerSpan {
  readonly feed: string
  readonly epoch: number
  readonly from: number
  readonly to: number
}

/** Messages by what became of them; in flight are those without complete receipts. */
export interface Settlement {
  readonly stored: number
  readonly superseded: number
  readonly deadLettered: number
  readonly ignored: number
  readonly inFlight: number
}

/** A message counts by its gravest event: dead-lettered before stored before superseded before ignored, as reconcile counts. */
export const settlementSql = `SELECT count(*) FILTER (WHERE dead) AS "deadLettered",
  count(*) FILTER (WHERE stored AND NOT dead) AS stored,
  count(*) FILTER (WHERE superseded AND NOT stored AND NOT dead) AS superseded,
  count(*) FILTER (WHERE NOT superseded AND NOT stored AND NOT dead) AS ignored
FROM (
  SELECT bool_or(r.disposition = 'dead-lettered') AS dead, bool_or(r.disposition = 'stored') AS stored,
    bool_or(r.disposition = 'superseded') AS superseded
  FROM unnest($1::text[], $2::int4[], $3::int8[], $4::int8[]) AS s (feed, epoch, first, last)
  JOIN feed f ON f.name = s.feed
  JOIN receipt r ON r.feed_id = f.id AND r.epoch = s.epoch AND r.seq BETWEEN s.first AND s.last
  GROUP BY r.feed_id, r.epoch, r.seq HAVING count(*) >= max(r.event_count)
) message`

/** What became of the messages with these numbers: what a replay waits for and reports. */
export async function settlement(db: Database, spans: readonly LedgerSpan[]): Promise<Settlement> {
  const numbers = (values: readonly number[]): string => `{${values.join(',')}}`
  const names = `{${spans.map(({ feed }) => `"${feed.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`
  const total = spans.reduce((sum, { from, to }) => sum + to - from + 1, 0)
  const [row] = await db.transaction((tx) =>
    tx.query<Omit<Settlement, 'inFlight'>>(settlementSql, [
      names,
      numbers(spans.map(({ epoch }) => epoch)),
      numbers(spans.map(({ from }) => from)),
      numbers(spans.map(({ to }) => to)),
    ]),
  )
  const { stored = 0, superseded = 0, deadLettered = 0, ignored = 0 } = row ?? {}
  return { stored, superseded, deadLettered, ignored, inFlight: total - stored - superseded - deadLettered - ignored }
}
