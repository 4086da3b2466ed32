import type { Database, Transaction, Value } from './database.js'
import { dayStart } from './months.js'

export interface ReconcileOptions {
  readonly feed?: string
  /** YYYY-MM-DD by the calendar of +08:00, of the message's receipt. */
  readonly day?: string
  /** A message without complete receipts is in flight this long before it is named (default 60,000 ms). */
  readonly graceMs?: number
  /** ms since 1970-01-01T00:00:00Z */
  readonly now: number
  /** Discrepancies named of each kind at most (default 1,000); all are counted. */
  readonly discrepanciesMax?: number
}

/** Messages of one feed and day; received = stored + superseded + deadLettered + ignored + inFlight. */
export interface FeedDay {
  readonly feed: string
  readonly hospital: string
  readonly environment: string
  readonly day: string
  readonly received: number
  readonly stored: number
  readonly superseded: number
  readonly deadLettered: number
  readonly ignored: number
  readonly inFlight: number
  /** Nothing is missing: every message is accounted for or in flight within the grace. */
  readonly balanced: boolean
}

export type DiscrepancyKind =
  /** A number up to the watermark that nobody has seen, neither the archive nor a receipt. */
  | 'message-missing'
  /** The message is archived, and not all of its events have receipts. */
  | 'receipt-missing'
  /** Receipts speak of a message whose bytes are not archived. */
  | 'raw-missing'
  /** A receipt owns more (or fewer) rows than there are. */
  | 'row-missing'
  /** A receipt says dead-lettered, and there is no dead letter. */
  | 'dead-letter-missing'

export interface Discrepancy {
  readonly kind: DiscrepancyKind
  readonly feed: string
  readonly epoch: number
  readonly seq: number
  /** Null where the whole message is meant. */
  readonly eventIndex: number | null
  readonly day: string
  readonly controlId: string | null
  /** What was expected and what is there. No patient data. */
  readonly detail: string
}

export interface Reconciliation {
  readonly days: readonly FeedDay[]
  readonly discrepancies: readonly Discrepancy[]
  /** All there are, also those beyond `discrepanciesMax`. */
  readonly discrepancyCount: number
  readonly balanced: boolean
}

const shanghaiDay = (column: string): string => `((${column} AT TIME ZONE 'UTC') + interval '8 hours')::date`

/** $1 feed name or null, $2 and $3 the bounds of receipt as ms (the second excluded); partitions are pruned by month. */
const scope = (alias: string): string => `
  ($1::text IS NULL OR ${alias}.feed_id IN (SELECT id FROM feed WHERE name = $1))
  AND ${alias}.received_at >= to_timestamp($2::float8 / 1000) AND ${alias}.received_at < to_timestamp($3::float8 / 1000)
  AND ${alias}.month >= date_trunc('month', ${shanghaiDay('to_timestamp($2::float8 / 1000)')})::date
  AND ${alias}.month <= ${shanghaiDay('to_timestamp($3::float8 / 1000)')}`

const messages = `
  r AS (
    SELECT feed_id, epoch, seq, month, min(received_at) AS received_at, count(*) AS receipts, max(event_count) AS events,
      bool_or(disposition = 'dead-lettered') AS dead, bool_or(disposition = 'stored') AS stored,
      bool_or(disposition = 'superseded') AS superseded
    FROM receipt x WHERE ${scope('x')} GROUP BY feed_id, epoch, seq, month
  ),
  m AS (SELECT feed_id, epoch, seq, month, received_at, control_id FROM raw_message x WHERE ${scope('x')}),
  known AS (
    SELECT coalesce(m.feed_id, r.feed_id) AS feed_id, coalesce(m.epoch, r.epoch) AS epoch, coalesce(m.seq, r.seq) AS seq,
      coalesce(m.received_at, r.received_at) AS received_at, m.seq IS NOT NULL AS archived, m.control_id,
      coalesce(r.receipts, 0) AS receipts, r.events,
      CASE WHEN r.receipts IS NULL OR r.receipts < r.events THEN 'in-flight' WHEN r.dead THEN 'dead-lettered'
        WHEN r.stored THEN 'stored' WHEN r.superseded THEN 'superseded' ELSE 'ignored' END AS disposition
    FROM m FULL JOIN r ON m.feed_id = r.feed_id AND m.epoch = r.epoch AND m.seq = r.seq AND m.month = r.month
  )`

/** Spans of numbers around what is known in scope that hold a number nobody knows; each on its predecessor's day. */
const gaps = `
  ordered AS (
    SELECT feed_id, epoch, seq, received_at,
      lag(seq) OVER w AS before, lead(seq) OVER w AS after
    FROM known WINDOW w AS (PARTITION BY feed_id, epoch ORDER BY seq)
  ),
  following AS (
    SELECT o.feed_id, o.epoch, o.seq + 1 AS first, o.received_at, o.after IS NULL AS is_end, coalesce(o.after - 1,
        (SELECT max(seq) FROM feed_watermark f WHERE f.feed_id = o.feed_id AND f.epoch = o.epoch), o.seq) AS last
    FROM ordered o
  ),
  spans AS (
    SELECT feed_id, epoch, first,
      CASE WHEN is_end THEN least(last,
        (SELECT min(x.seq) - 1 FROM raw_message x WHERE x.feed_id = g.feed_id AND x.epoch = g.epoch AND x.seq >= g.first),
        (SELECT min(x.seq) - 1 FROM receipt x WHERE x.feed_id = g.feed_id AND x.epoch = g.epoch AND x.seq >= g.first))
      ELSE last END AS last, received_at
    FROM following g WHERE first <= last
    UNION ALL
    SELECT feed_id, epoch, 1, seq - 1, received_at FROM ordered o WHERE before IS NULL AND seq > 1
      AND NOT EXISTS (SELECT FROM raw_message x WHERE x.feed_id = o.feed_id AND x.epoch = o.epoch AND x.seq < o.seq)
      AND NOT EXISTS (SELECT FROM receipt x WHERE x.feed_id = o.feed_id AND x.epoch = o.epoch AND x.seq < o.seq)
    UNION ALL
    SELECT w.feed_id, w.epoch, 1, w.seq, w.stated_at FROM feed_watermark w
    WHERE ($1::text IS NULL OR w.feed_id IN (SELECT id FROM feed WHERE name = $1))
      AND w.stated_at >= to_timestamp($2::float8 / 1000) AND w.stated_at < to_timestamp($3::float8 / 1000)
      AND NOT EXISTS (SELECT FROM raw_message x WHERE x.feed_id = w.feed_id AND x.epoch = w.epoch)
      AND NOT EXISTS (SELECT FROM receipt x WHERE x.feed_id = w.feed_id AND x.epoch = w.epoch)
  ),
  missing AS (
    SELECT s.feed_id, s.epoch, n.seq, s.received_at
    FROM spans s CROSS JOIN LATERAL generate_series(s.first, s.last) AS n (seq)
    WHERE s.first <= s.last
      AND NOT EXISTS (SELECT FROM raw_message x WHERE x.feed_id = s.feed_id AND x.epoch = s.epoch AND x.seq = n.seq)
      AND NOT EXISTS (SELECT FROM receipt x WHERE x.feed_id = s.feed_id AND x.epoch = s.epoch AND x.seq = n.seq)
  )`

export const daysSql = `WITH ${messages}, ${gaps},
  counted AS (
    SELECT feed_id, ${shanghaiDay('received_at')} AS day, disposition FROM known
    UNION ALL SELECT feed_id, ${shanghaiDay('received_at')}, 'in-flight' FROM missing
  )
SELECT f.name AS feed, h.code AS hospital, f.environment, c.day::text AS day, count(*) AS received,
  count(*) FILTER (WHERE disposition = 'stored') AS stored, count(*) FILTER (WHERE disposition = 'superseded') AS superseded,
  count(*) FILTER (WHERE disposition = 'dead-lettered') AS "deadLettered",
  count(*) FILTER (WHERE disposition = 'ignored') AS ignored, count(*) FILTER (WHERE disposition = 'in-flight') AS "inFlight"
FROM counted c JOIN feed f ON f.id = c.feed_id JOIN hospital h ON h.id = f.hospital_id
GROUP BY f.id, h.code, c.day ORDER BY f.name, c.day`

/** $4 is the moment (ms) before which a message must be accounted for. */
const isDue = `received_at < to_timestamp($4::float8 / 1000)`

const missingMessagesSql = `WITH ${messages}, ${gaps}
SELECT feed_id, epoch, seq, NULL::int4 AS event_index, received_at, NULL::text AS control_id,
  'no archived message and no receipt has this number' AS detail FROM missing WHERE ${isDue}`

const missingReceiptsSql = `WITH ${messages}
SELECT feed_id, epoch, seq, NULL::int4 AS event_index, received_at, control_id,
  CASE WHEN receipts = 0 THEN 'no receipt' ELSE receipts || ' of ' || events || ' receipts' END AS detail
FROM known WHERE disposition = 'in-flight' AND ${isDue}`

const missingRawSql = `WITH ${messages}
SELECT feed_id, epoch, seq, NULL::int4 AS event_index, received_at, control_id,
  'receipts, but no archived message' AS detail FROM known WHERE NOT archived AND ${isDue}`

/** Receipts and rows are read in one statement, so what is written meanwhile changes both or neither. */
export const missingRowsSql = `SELECT * FROM (
  SELECT r.feed_id, r.epoch, r.seq, r.event_index, r.received_at, NULL::text AS control_id,
    r.target || ': ' || r.rows || ' rows expected, ' || x.rows || ' there' || x.lost AS detail, r.rows AS expected, x.rows, x.lost
  FROM receipt r CROSS JOIN LATERAL (
    SELECT CASE r.target
      WHEN 'report' THEN
        (SELECT count(*) FROM report t WHERE t.id = r.target_id AND t.owner = r.id) +
        (SELECT count(*) FROM observation t WHERE t.report_id = r.target_id AND t.month = r.target_month AND t.owner = r.id)
      WHEN 'patient' THEN
        (SELECT count(*) FROM patient t WHERE t.id = r.target_id AND t.owner = r.id) +
        (SELECT count(*) FROM patient_merge t WHERE t.survivor_id = r.target_id AND t.owner = r.id)
      WHEN 'encounter' THEN (SELECT count(*) FROM encounter t WHERE t.id = r.target_id AND t.owner = r.id)
      WHEN 'medical_order' THEN (SELECT count(*) FROM medical_order t WHERE t.id = r.target_id AND t.owner = r.id)
      ELSE 0 END AS rows,
      CASE WHEN r.target = 'report' THEN coalesce((
        SELECT CASE WHEN NOT EXISTS (SELECT FROM patient p WHERE p.id = t.patient_id) THEN ', its patient is missing'
          WHEN t.kind = 'imaging' AND NOT EXISTS (SELECT FROM imaging_report i WHERE i.report_id = t.id)
          THEN ', its imaging part is missing' ELSE '' END
        FROM report t WHERE t.id = r.target_id AND t.owner = r.id), '') ELSE '' END AS lost
  ) x
  WHERE r.rows > 0 AND ${scope('r')}
) c WHERE expected <> rows OR lost <> ''`

const missingDeadLettersSql = `SELECT r.feed_id, r.epoch, r.seq, r.event_index, r.received_at, NULL::text AS control_id,
  'dead-lettered as ' || coalesce(r.reason, '?') || ', but there is no dead letter' AS detail
FROM receipt r WHERE r.disposition = 'dead-lettered' AND ${scope('r')}
  AND NOT EXISTS (SELECT FROM dead_letter d WHERE d.feed_id = r.feed_id AND d.epoch = r.epoch AND d.seq = r.seq
    AND d.event_index = r.event_index)`

interface Check {
  readonly kind: DiscrepancyKind
  readonly sql: string
  /** Takes $4. */
  readonly isTimed: boolean
}

const checks: readonly Check[] = [
  { kind: 'message-missing', sql: missingMessagesSql, isTimed: true },
  { kind: 'receipt-missing', sql: missingReceiptsSql, isTimed: true },
  { kind: 'raw-missing', sql: missingRawSql, isTimed: true },
  { kind: 'row-missing', sql: missingRowsSql, isTimed: false },
  { kind: 'dead-letter-missing', sql: missingDeadLettersSql, isTimed: false },
]

/**
 * Proves conservation: per feed and day (+08:00) what became of every message, and by name everything that is missing.
 * Reads one snapshot; sums and searches in the database, holds only what it reports.
 */
export async function reconcile(db: Database, options: ReconcileOptions): Promise<Reconciliation> {
  const { feed = null, day, graceMs = 60_000, now, discrepanciesMax = 1000 } = options
  const from = day === undefined ? Date.parse('0001-01-02T00:00:00Z') : dayStart(day)
  const to = day === undefined ? Date.parse('9999-12-30T00:00:00Z') : from + 86_400_000
  const bounds: readonly Value[] = [feed, String(from), String(to)]
  return db.transaction(async (tx) => {
    await tx.script('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY')
    const days = await tx.query<Omit<FeedDay, 'balanced'>>(daysSql, bounds)
    const discrepancies: Discrepancy[] = []
    const unbalanced = new Set<string>()
    let discrepancyCount = 0
    for (const { kind, sql, isTimed } of checks) {
      const values = isTimed ? [...bounds, String(now - graceMs)] : bounds
      const found = await tx.query<Discrepancy & { total: number }>(named(kind, sql, discrepanciesMax), values)
      const total = found[0]?.total ?? 0
      discrepancyCount += total
      for (const place of found) {
        const { feed: name, epoch, seq, eventIndex, day: date, controlId, detail } = place
        discrepancies.push({ kind, feed: name, epoch, seq, eventIndex, day: date, controlId, detail })
        unbalanced.add(`${place.feed} ${place.day}`)
      }
      if (total > found.length) for (const place of await unbalancedDays(tx, sql, values)) unbalanced.add(place)
    }
    return {
      days: days.map((entry) => ({ ...entry, balanced: !unbalanced.has(`${entry.feed} ${entry.day}`) })),
      discrepancies,
      discrepancyCount,
      balanced: discrepancyCount === 0,
    }
  })
}

const named = (kind: DiscrepancyKind, sql: string, max: number): string => `
SELECT '${kind}' AS kind, f.name AS feed, c.epoch, c.seq, c.event_index AS "eventIndex",
  ${shanghaiDay('c.received_at')}::text AS day, coalesce(c.control_id, (SELECT x.control_id FROM raw_message x
    WHERE x.feed_id = c.feed_id AND x.epoch = c.epoch AND x.seq = c.seq LIMIT 1)) AS "controlId", c.detail, c.total
FROM (SELECT *, count(*) OVER () AS total FROM (${sql}) b ORDER BY feed_id, epoch, seq, event_index LIMIT ${max}) c
JOIN feed f ON f.id = c.feed_id ORDER BY f.name, c.epoch, c.seq, c.event_index`

async function unbalancedDays(tx: Transaction, sql: string, values: readonly Value[]): Promise<readonly string[]> {
  const rows = await tx.query<{ feed: string; day: string }>(
    `SELECT DISTINCT f.name AS feed, ${shanghaiDay('c.received_at')}::text AS day FROM (${sql}) c JOIN feed f ON f.id = c.feed_id`,
    values,
  )
  return rows.map(({ feed, day }) => `${feed} ${day}`)
}

/** Messages of a feed without complete receipts: what a replay waits for. */
export async function unsettled(db: Database, feed: string, epoch: number, from: number, to: number): Promise<number> {
  const [row] = await db.transaction((tx) =>
    tx.query<{ settled: number }>(
      `SELECT count(*) AS settled FROM (
        SELECT r.seq FROM receipt r JOIN feed f ON f.id = r.feed_id
        WHERE f.name = $1 AND r.epoch = $2 AND r.seq BETWEEN $3 AND $4
        GROUP BY r.feed_id, r.seq HAVING count(*) >= max(r.event_count)) x`,
      [feed, epoch, from, to],
    ),
  )
  return to - from + 1 - (row?.settled ?? 0)
}
