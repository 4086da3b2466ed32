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
    const openedIds: number[] = []
    for (const { feedId, kind, since, facts, notices } of changes.opened) {
      const [row] = await tx.query<{ id: number }>(
        `INSERT INTO alert (since, opened_at, last_seen_at, feed_id, kind, environment, facts) VALUES
         (to_timestamp($1::float8 / 1000), to_timestamp($2::float8 / 1000), to_timestamp($2::float8 / 1000), $3::int4, $4,
          $5, $6::text::jsonb) RETURNING id`,
        [String(since), String(now), feedId === null ? null : String(feedId), kind, environment, JSON.stringify(facts)],
      )
      openedIds.push(row!.id)
      await addNotices(tx, row!.id, notices, now)
    }
    for (const { id, facts, isFound, notices } of changes.seen) {
      await tx.execute(
        'UPDATE alert SET last_seen_at = coalesce(to_timestamp($2::float8 / 1000), last_seen_at), facts = $3::text::jsonb WHERE id = $1::int8',
        [String(id), isFound ? String(now) : null, JSON.stringify(facts)],
      )
      await addNotices(tx, id, notices, now)
    }
    for (const { id, notices } of changes.escalated) {
      await tx.execute('UPDATE alert SET escalated_at = to_timestamp($2::float8 / 1000) WHERE id = $1::int8', [
        String(id),
        String(now),
      ])
      await addNotices(tx, id, notices, now)
    }
    for (const { id, notices } of changes.closed) {
      await tx.execute('UPDATE alert SET closed_at = to_timestamp($2::float8 / 1000) WHERE id = $1::int8', [
        String(id),
        String(now),
      ])
      await addNotices(tx, id, notices, now)
    }
    return { changes, openedIds }
  })
}

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
  return {
    open: alerts.map((alert) => ({ ...alert, told: told.filter(({ alertId }) => alertId === alert.id) })),
    acknowledged: new Map(acknowledged.map(({ feedId, kind, at }) => [alertKey(feedId, kind), at])),
  }
}

async function addNotices(tx: Transaction, alertId: number, notices: readonly Notice[], now: number): Promise<void> {
  for (const { channel, event } of notices) {
    await tx.execute(
      `INSERT INTO alert_notice (alert_id, created_at, next_attempt_at, channel, event)
       VALUES ($1::int8, to_timestamp($2::float8 / 1000), to_timestamp($2::float8 / 1000), $3, $4)`,
      [String(alertId), String(now), channel, event],
    )
  }
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

/**
 * Takes what is due on a channel, oldest first: for `leaseMs` nobody else does. A deliverer that dies leaves it to be
 * delivered again, so a notice may be told twice, never not at all.
 */
export async function takeNotices(
  db: Database,
  options: {
    readonly channel: string
    readonly environment: string
    readonly now: number
    readonly leaseMs: number
    readonly limit: number
  },
): Promise<readonly DueNotice[]> {
  const { channel, environment, now, leaseMs, limit } = options
  type Taken = Alert & {
    readonly noticeId: number
    readonly event: NoticeEvent
    readonly attempt: number
    readonly createdAt: number
  }
  const taken = await db.transaction((tx) =>
    tx.query<Taken>(
      `WITH due AS (
         SELECT n.id FROM alert_notice n JOIN alert a ON a.id = n.alert_id
         WHERE n.channel = $1 AND a.environment = $2 AND n.delivered_at IS NULL AND n.given_up_at IS NULL
           AND n.next_attempt_at <= to_timestamp($3::float8 / 1000)
         ORDER BY n.id LIMIT $5::int8 FOR UPDATE OF n SKIP LOCKED
       ), taken AS (
         UPDATE alert_notice n SET attempts = n.attempts + 1, next_attempt_at = to_timestamp($4::float8 / 1000)
         FROM due WHERE n.id = due.id RETURNING n.id, n.alert_id, n.event, n.attempts, n.created_at
       )
       SELECT n.id AS "noticeId", n.event, n.attempts AS attempt, epoch_ms(n.created_at) AS "createdAt", ${columns}
       FROM taken n JOIN ${joined.replace('alert a', 'alert a ON a.id = n.alert_id')} ORDER BY n.id`,
      [channel, environment, String(now), String(now + leaseMs), String(limit)],
    ),
  )
  return taken.map(({ noticeId, event, attempt, createdAt, ...alert }) => ({
    noticeId,
    event,
    attempt,
    createdAt,
    alert,
  }))
}

/** How an attempt ended: told, to be tried again at `retryAt`, or given up. `failure` must hold no secret. */
export type NoticeOutcome =
  | { readonly state: 'delivered' }
  | { readonly state: 'retry'; readonly retryAt: number; readonly failure: string }
  | { readonly state: 'given-up'; readonly failure: string }

export async function settleNotices(
  db: Database,
  ids: readonly number[],
  outcome: NoticeOutcome,
  now: number,
): Promise<void> {
  const list = `{${ids.join(',')}}`
  const at = (ms: number): string => String(ms)
  await db.transaction((tx) => {
    switch (outcome.state) {
      case 'delivered':
        return tx.execute(
          'UPDATE alert_notice SET delivered_at = to_timestamp($2::float8 / 1000), failure = NULL WHERE id = ANY ($1::int8[])',
          [list, at(now)],
        )
      case 'retry':
        return tx.execute(
          'UPDATE alert_notice SET next_attempt_at = to_timestamp($2::float8 / 1000), failure = $3 WHERE id = ANY ($1::int8[])',
          [list, at(outcome.retryAt), outcome.failure],
        )
      case 'given-up':
        return tx.execute(
          'UPDATE alert_notice SET given_up_at = to_timestamp($2::float8 / 1000), failure = $3 WHERE id = ANY ($1::int8[])',
          [list, at(now), outcome.failure],
        )
    }
  })
}
