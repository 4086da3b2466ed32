import { ColumnSet, unnestOrdered, type ColumnType } from './array-column.js'
import type { Database, Transaction, Value } from './database.js'
import { watchLock } from './feed-hours.js'
import { queries } from './queries.js'

/** An alert as kept. Times are ms since 1970-01-01T00:00:00Z; `facts` holds numbers only. */
export interface Alert {
  readonly id: number
  /** Null where the platform itself is meant. */
  readonly feedId: number | null
  readonly feed: string | null
  readonly hospital: string | null
  readonly kind: string
  readonly environment: string
  readonly since: number
  readonly openedAt: number
  readonly lastSeenAt: number
  readonly acknowledgedAt: number | null
  readonly acknowledgedBy: string | null
  readonly note: string | null
  readonly escalatedAt: number | null
  readonly closedAt: number | null
  readonly facts: Readonly<Record<string, number>>
}

export type NoticeEvent = 'opened' | 'repeated' | 'escalated' | 'recovered'

/** To be told to a channel. */
export interface Notice {
  readonly channel: string
  readonly event: NoticeEvent
}

/** An open alert with what has been told of it. */
export interface OpenAlert extends Alert {
  readonly told: readonly (Notice & { readonly at: number })[]
}

export interface AlertStanding {
  readonly open: readonly OpenAlert[]
  /** When an alert of this feed and kind was last acknowledged, ms, by `alertKey`. */
  readonly acknowledged: ReadonlyMap<string, number>
  /** When a feed's newest live message that anybody has counted was received, ms, by feed id. */
  readonly heard: ReadonlyMap<number, number>
}

/** What changes, all in one transaction. */
export interface AlertChanges {
  readonly opened: readonly (Pick<Alert, 'feedId' | 'kind' | 'since' | 'facts'> & {
    readonly notices: readonly Notice[]
  })[]
  /** Stay open; `isFound` where they were found again just now. */
  readonly seen: readonly (Pick<Alert, 'id' | 'facts'> & {
    readonly isFound: boolean
    readonly notices: readonly Notice[]
  })[]
  readonly escalated: readonly { readonly id: number; readonly notices: readonly Notice[] }[]
  readonly closed: readonly { readonly id: number; readonly notices: readonly Notice[] }[]
}

export const alertKey = (feedId: number | null, kind: string): string => `${feedId ?? 0} ${kind}`

const columns = `a.id, a.feed_id AS "feedId", f.name AS feed, h.code AS hospital, a.kind, a.environment,
  epoch_ms(a.since) AS since, epoch_ms(a.opened_at) AS "openedAt", epoch_ms(a.last_seen_at) AS "lastSeenAt",
  epoch_ms(a.acknowledged_at) AS "acknowledgedAt", a.acknowledged_by AS "acknowledgedBy", a.note,
  epoch_ms(a.escalated_at) AS "escalatedAt", epoch_ms(a.closed_at) AS "closedAt", a.facts`
const joined = 'alert a LEFT JOIN feed f ON f.id = a.feed_id LEFT JOIN hospital h ON h.id = f.hospital_id'

/**
 * Brings the alerts of an environment up to date: `plan` (pure) is given what stands and says what changes. One watch at a
 * time, so that each alert is opened once. Resolves with the ids of the alerts opened, in the order of `opened`.
 */
export async function updateAlerts(
  db: Database,
  environment: string,
  now: number,
  plan: (standing: AlertStanding) => AlertChanges,
): Promise<{ readonly changes: AlertChanges; readonly openedIds: readonly number[] }> {
  return db.transaction(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1::int8)::text', [String(watchLock)])
    const changes = plan(await readStanding(tx, environment))
    const openedIds = await open(tx, environment, now, changes.opened)
    await see(tx, now, changes.seen)
    await stamp(tx, 'escalated_at', now, changes.escalated)
    await stamp(tx, 'closed_at', now, changes.closed)
    await addNotices(tx, now, [
      ...changes.opened.map(({ notices }, index) => ({ id: openedIds[index]!, notices })),
      ...changes.seen,
      ...changes.escalated,
      ...changes.closed,
    ])
    return { changes, openedIds }
  })
}

const openedColumns = { since: 'timestamptz', feed_id: 'int4', kind: 'text', facts: 'text' } as const
const openSql = `INSERT INTO alert (since, opened_at, last_seen_at, feed_id, kind, environment, facts)
SELECT o.since, to_timestamp($1::float8 / 1000), to_timestamp($1::float8 / 1000), o.feed_id, o.kind, $2, o.facts::jsonb
FROM ${unnestOrdered(openedColumns, 'o', 3)} ORDER BY o.ord RETURNING id, feed_id AS "feedId", kind`

async function open(
  tx: Transaction,
  environment: string,
  now: number,
  opened: AlertChanges['opened'],
): Promise<readonly number[]> {
  if (opened.length === 0) return []
  const rows = columnsOf(
    openedColumns,
    opened.map(({ since, feedId, kind, facts }) => [since, feedId, kind, JSON.stringify(facts)]),
  )
  type Opened = { readonly id: number; readonly feedId: number | null; readonly kind: string }
  const found = await tx.query<Opened>(openSql, [String(now), environment, ...rows])
  const ids = new Map(found.map(({ id, feedId, kind }) => [alertKey(feedId, kind), id]))
  return opened.map(({ feedId, kind }) => ids.get(alertKey(feedId, kind))!)
}

const seenColumns = { id: 'int8', facts: 'text', is_found: 'bool' } as const
const seeSql = `UPDATE alert a SET facts = s.facts::jsonb,
  last_seen_at = CASE WHEN s.is_found THEN to_timestamp($1::float8 / 1000) ELSE a.last_seen_at END
FROM ${unnestOrdered(seenColumns, 's', 2)} WHERE a.id = s.id`

async function see(tx: Transaction, now: number, seen: AlertChanges['seen']): Promise<void> {
  if (seen.length === 0) return
  const rows = seen.map(({ id, facts, isFound }) => [id, JSON.stringify(facts), isFound])
  await tx.execute(seeSql, [String(now), ...columnsOf(seenColumns, rows)])
}

async function stamp(
  tx: Transaction,
  column: 'escalated_at' | 'closed_at',
  now: number,
  alerts: readonly { readonly id: number }[],
): Promise<void> {
  if (alerts.length === 0) return
  const sql = `UPDATE alert SET ${column} = to_timestamp($2::float8 / 1000) WHERE id = ANY ($1::int8[])`
  await tx.execute(sql, [listOf(alerts.map(({ id }) => id)), String(now)])
}

function columnsOf<N extends string>(
  types: Readonly<Record<N, ColumnType>>,
  rows: readonly (readonly (string | number | boolean | null)[])[],
): readonly Buffer[] {
  const set = new ColumnSet(types, rows.length)
  for (const row of rows) set.push(row)
  return set.finish()
}

const listOf = (ids: readonly number[]): string => `{${ids.join(',')}}`

async function readStanding(tx: Transaction, environment: string): Promise<AlertStanding> {
  type Told = Notice & { readonly alertId: number; readonly at: number }
  const alerts = await tx.query<Alert>(
    `SELECT ${columns} FROM ${joined} WHERE a.closed_at IS NULL AND a.environment = $1 ORDER BY a.id`,
    [environment],
  )
  const told = await tx.query<Told>(
    `SELECT n.alert_id AS "alertId", n.channel, n.event, epoch_ms(n.created_at) AS at FROM alert_notice n
     JOIN alert a ON a.id = n.alert_id WHERE a.closed_at IS NULL AND a.environment = $1 ORDER BY n.id`,
    [environment],
  )
  const acknowledged = await tx.query<{ feedId: number | null; kind: string; at: number }>(
    `SELECT feed_id AS "feedId", kind, epoch_ms(max(acknowledged_at)) AS at FROM alert
     WHERE environment = $1 AND acknowledged_at IS NOT NULL GROUP BY feed_id, kind`,
    [environment],
  )
  const heard = await tx.query<{ feedId: number; at: number }>(
    `SELECT feed_id AS "feedId", epoch_ms(last_received_at) AS at FROM watched_feed WHERE last_received_at IS NOT NULL`,
  )
  const toldOf = new Map<number, Told[]>()
  for (const one of told) toldOf.set(one.alertId, [...(toldOf.get(one.alertId) ?? []), one])
  return {
    open: alerts.map((alert) => ({ ...alert, told: toldOf.get(alert.id) ?? [] })),
    acknowledged: new Map(acknowledged.map(({ feedId, kind, at }) => [alertKey(feedId, kind), at])),
    heard: new Map(heard.map(({ feedId, at }) => [feedId, at])),
  }
}

const noticeColumns = { alert_id: 'int8', channel: 'text', event: 'text' } as const
const addNoticesSql = `INSERT INTO alert_notice (alert_id, created_at, next_attempt_at, channel, event)
SELECT n.alert_id, to_timestamp($1::float8 / 1000), to_timestamp($1::float8 / 1000), n.channel, n.event
FROM ${unnestOrdered(noticeColumns, 'n', 2)} ORDER BY n.ord`

async function addNotices(
  tx: Transaction,
  now: number,
  alerts: readonly { readonly id: number; readonly notices: readonly Notice[] }[],
): Promise<void> {
  const rows = alerts.flatMap(({ id, notices }) => notices.map(({ channel, event }) => [id, channel, event]))
  if (rows.length > 0) await tx.execute(addNoticesSql, [String(now), ...columnsOf(noticeColumns, rows)])
}

export interface AlertFilter {
  readonly feed?: string
  readonly hospital?: string
  readonly kind?: string
  readonly environment?: string
  /** Open alerts, or those that were closed as well (default). */
  readonly openOnly?: boolean
  readonly limit?: number
}

/** Alerts, the newest first. */
export async function listAlerts(db: Database, filter: AlertFilter = {}): Promise<readonly Alert[]> {
  const query = queries('alert as a')
    .leftJoin('feed as f', 'f.id', 'a.feed_id')
    .leftJoin('hospital as h', 'h.id', 'f.hospital_id')
    .select(queries.raw(columns))
    .orderBy('a.id', 'desc')
    .limit(filter.limit ?? 100)
  if (filter.feed !== undefined) void query.where('f.name', filter.feed)
  if (filter.hospital !== undefined) void query.where('h.code', filter.hospital)
  if (filter.kind !== undefined) void query.where('a.kind', filter.kind)
  if (filter.environment !== undefined) void query.where('a.environment', filter.environment)
  if (filter.openOnly === true) void query.whereNull('a.closed_at')
  const { sql, bindings } = query.toSQL().toNative()
  return db.transaction((tx) => tx.query<Alert>(sql, bindings as readonly Value[]))
}

/** How many alerts of an environment are open, by feed and kind; `feed` is '' where the platform itself is meant. */
export async function countOpenAlerts(
  db: Database,
  environment: string,
): Promise<readonly { readonly feed: string; readonly kind: string; readonly count: number }[]> {
  return db.transaction((tx) =>
    tx.query(
      `SELECT coalesce(f.name, '') AS feed, a.kind, count(*) AS count FROM ${joined}
       WHERE a.closed_at IS NULL AND a.environment = $1 GROUP BY f.name, a.kind`,
      [environment],
    ),
  )
}

/** Somebody takes an alert on: it is repeated and escalated no more. Undefined where no such alert is open. */
export async function acknowledgeAlert(
  db: Database,
  id: number,
  by: string,
  now: number,
  note?: string,
): Promise<Alert | undefined> {
  return db.transaction(async (tx) => {
    await tx.execute(
      `UPDATE alert SET acknowledged_at = coalesce(acknowledged_at, to_timestamp($2::float8 / 1000)),
         acknowledged_by = coalesce(acknowledged_by, $3), note = coalesce($4, note)
       WHERE id = $1::int8 AND closed_at IS NULL`,
      [String(id), String(now), by, note ?? null],
    )
    const [alert] = await tx.query<Alert>(
      `SELECT ${columns} FROM ${joined} WHERE a.id = $1::int8 AND a.closed_at IS NULL`,
      [String(id)],
    )
    return alert
  })
}

/** A notice with its alert, taken by a deliverer for a while. */
export interface DueNotice {
  readonly noticeId: number
  readonly event: NoticeEvent
  /** This attempt's number, from 1. */
  readonly attempt: number
  readonly createdAt: number
  readonly alert: Alert
}

/** A channel of an environment. */
export interface ChannelPlace {
  readonly channel: string
  readonly environment: string
}

const pending = `n.channel = $1 AND a.environment = $2 AND n.delivered_at IS NULL AND n.given_up_at IS NULL`

/** $1 channel, $2 environment, $3 now, $4 end of the lease, ms; $5 notices at most. */
export const takeNoticesSql = `WITH due AS (
  SELECT n.id FROM alert_notice n JOIN alert a ON a.id = n.alert_id
  WHERE ${pending} AND NOT EXISTS (
    SELECT FROM alert_notice n JOIN alert a ON a.id = n.alert_id
    WHERE ${pending} AND n.next_attempt_at > to_timestamp($3::float8 / 1000)
  )
  ORDER BY n.id LIMIT $5::int8
), taken AS (
  UPDATE alert_notice n SET attempts = n.attempts + 1, next_attempt_at = to_timestamp($4::float8 / 1000)
  FROM due WHERE n.id = due.id RETURNING n.id, n.alert_id, n.event, n.attempts, n.created_at
)
SELECT n.id AS "noticeId", n.event, n.attempts AS attempt, epoch_ms(n.created_at) AS "createdAt", ${columns}
FROM taken n JOIN ${joined.replace('alert a', 'alert a ON a.id = n.alert_id')} ORDER BY n.id`

/**
 * Takes what is due on a channel, oldest first: for `leaseMs`, and as long as something of the channel waits for a later
 * time, nobody is given anything of it. A deliverer that dies leaves it to be delivered again, so a notice may be told
 * twice, never not at all.
 */
export async function takeNotices(
  db: Database,
  options: ChannelPlace & { readonly now: number; readonly leaseMs: number; readonly limit: number },
): Promise<readonly DueNotice[]> {
  const { channel, environment, now, leaseMs, limit } = options
  type Taken = Alert & {
    readonly noticeId: number
    readonly event: NoticeEvent
    readonly attempt: number
    readonly createdAt: number
  }
  const taken = await db.transaction(async (tx) => {
    // two that look at the same time would both find nothing under way
    await tx.query('SELECT pg_advisory_xact_lock($1::int4, hashtext($2))::text', [
      String(watchLock),
      `${environment} ${channel}`,
    ])
    return tx.query<Taken>(takeNoticesSql, [channel, environment, String(now), String(now + leaseMs), String(limit)])
  })
  return taken.map(({ noticeId, event, attempt, createdAt, ...alert }) => ({
    noticeId,
    event,
    attempt,
    createdAt,
    alert,
  }))
}

/** A message was taken: it told `told`; `rest` was taken with them and is for the next one. The channel rests until `next`, ms. */
export async function settleTold(
  db: Database,
  options: ChannelPlace & {
    readonly told: readonly number[]
    readonly rest: readonly number[]
    readonly now: number
    readonly next: number
  },
): Promise<void> {
  const { channel, environment, told, rest, now, next } = options
  await db.transaction(async (tx) => {
    await tx.execute(
      'UPDATE alert_notice SET delivered_at = to_timestamp($2::float8 / 1000), failure = NULL WHERE id = ANY ($1::int8[])',
      [listOf(told), String(now)],
    )
    await tx.execute(
      `UPDATE alert_notice SET attempts = attempts - 1, next_attempt_at = to_timestamp($2::float8 / 1000)
       WHERE id = ANY ($1::int8[])`,
      [listOf(rest), String(next)],
    )
    await tx.execute(
      `UPDATE alert_notice n SET next_attempt_at = to_timestamp($3::float8 / 1000) FROM alert a
       WHERE a.id = n.alert_id AND ${pending} AND n.next_attempt_at < to_timestamp($3::float8 / 1000)`,
      [channel, environment, String(next)],
    )
  })
}

/** A message was not taken. `failure` must hold no secret; times are ms. */
export async function settleFailed(
  db: Database,
  options: {
    readonly retried: readonly number[]
    readonly givenUp: readonly number[]
    readonly retryAt: number
    readonly failure: string
    readonly now: number
  },
): Promise<void> {
  const { retried, givenUp, retryAt, failure, now } = options
  await db.transaction(async (tx) => {
    await tx.execute(
      'UPDATE alert_notice SET next_attempt_at = to_timestamp($2::float8 / 1000), failure = $3 WHERE id = ANY ($1::int8[])',
      [listOf(retried), String(retryAt), failure],
    )
    await tx.execute(
      'UPDATE alert_notice SET given_up_at = to_timestamp($2::float8 / 1000), failure = $3 WHERE id = ANY ($1::int8[])',
      [listOf(givenUp), String(now), failure],
    )
  })
}
