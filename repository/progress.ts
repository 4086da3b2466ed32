import type { Database } from './database.js'
import type { Settlement } from './settlement.js'

/** Messages of a feed by what became of them. */
export interface FeedProgress extends Omit<Settlement, 'inFlight'> {
  readonly feed: string
}

const textArray = (values: readonly string[]): string =>
  `{${values.map((value) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`

/** $1 names of feeds, $2 first receipt as ms. A message counts by its gravest event, as settlement counts. */
export const feedProgressSql = `SELECT f.name AS feed, count(*) FILTER (WHERE dead) AS "deadLettered",
  count(*) FILTER (WHERE stored AND NOT dead) AS stored,
  count(*) FILTER (WHERE superseded AND NOT stored AND NOT dead) AS superseded,
  count(*) FILTER (WHERE NOT superseded AND NOT stored AND NOT dead) AS ignored
FROM (
  SELECT r.feed_id, bool_or(r.disposition = 'dead-lettered') AS dead, bool_or(r.disposition = 'stored') AS stored,
    bool_or(r.disposition = 'superseded') AS superseded
  FROM receipt r
  WHERE r.feed_id IN (SELECT id FROM feed WHERE name = ANY ($1::text[]))
    AND r.received_at >= to_timestamp($2::float8 / 1000)
    AND r.month >= date_trunc('month', (to_timestamp($2::float8 / 1000) AT TIME ZONE 'UTC') + interval '8 hours')::date
  GROUP BY r.feed_id, r.epoch, r.seq HAVING count(*) >= max(r.event_count)
) message JOIN feed f ON f.id = message.feed_id GROUP BY f.name`

/** What has become so far of the messages these feeds received since `since` (ms); feeds without any are left out. */
export async function feedProgress(
  db: Database,
  feeds: readonly string[],
  since: number,
): Promise<readonly FeedProgress[]> {
  return db.transaction((tx) => tx.query<FeedProgress>(feedProgressSql, [textArray(feeds), String(since)]))
}

/** Something a person has to look at, with how many events it concerns. */
export interface CountedWorkItem {
  readonly kind: string
  readonly hospital: string
  /** For a result `source system|coding system|local code`, with the unit where the unit is at fault; else the feed. */
  readonly subject: string
  readonly count: number
}

export const topWorkItemsSql = `SELECT w.kind, h.code AS hospital, w.subject, w.count
FROM work_item w JOIN hospital h ON h.id = w.hospital_id
WHERE w.kind = ANY ($1::text[]) AND h.code = ANY ($2::text[])
ORDER BY w.count DESC, w.kind, h.code, w.subject LIMIT $3::int8`

/** The work items of these kinds and hospitals that concern most events. */
export async function topWorkItems(
  db: Database,
  filter: { readonly kinds: readonly string[]; readonly hospitals: readonly string[]; readonly limit: number },
): Promise<readonly CountedWorkItem[]> {
  const { kinds, hospitals, limit } = filter
  const values = [textArray(kinds), textArray(hospitals), String(limit)]
  return db.transaction((tx) => tx.query<CountedWorkItem>(topWorkItemsSql, values))
}
