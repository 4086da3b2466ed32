import type { Database } from './database.js'

/** One entry of the activation record; the newest of a feed counts. */
export interface FeedActivation {
  readonly id: number
  /** ms since 1970-01-01T00:00:00Z */
  readonly at: number
  readonly hospital: string
  readonly feed: string
  readonly isActive: boolean
  readonly by: string
  /** SHA-256 of the acceptance report's JSON, hex; null where a reason stands instead. */
  readonly reportSha256: string | null
  readonly configurationSha256: string | null
  readonly reason: string | null
}

const columns = `id, epoch_ms(at) AS at, hospital, feed, is_active AS "isActive", by, report_sha256 AS "reportSha256",
  configuration_sha256 AS "configurationSha256", reason`

/** Feeds that may write to production now. @throws RetryableError */
export async function readActiveFeeds(
  db: Database,
): Promise<readonly { readonly hospital: string; readonly feed: string }[]> {
  return db.transaction((tx) =>
    tx.query(
      `SELECT hospital, feed FROM (
         SELECT DISTINCT ON (hospital, feed) hospital, feed, is_active FROM feed_activation ORDER BY hospital, feed, id DESC
       ) newest WHERE is_active`,
    ),
  )
}

/** The entry that counts of each feed. @throws RetryableError */
export async function readActivations(db: Database): Promise<readonly FeedActivation[]> {
  return db.transaction((tx) =>
    tx.query<FeedActivation>(
      `SELECT DISTINCT ON (hospital, feed) ${columns} FROM feed_activation ORDER BY hospital, feed, id DESC`,
    ),
  )
}

/** Messages of a feed that wait for its activation, and the receipt of the first, ms. */
export interface MessagesWaiting {
  readonly messages: number
  readonly since: number
}

/** By feed id; a feed that none of wait is not there. */
export async function messagesWaiting(db: Database): Promise<ReadonlyMap<number, MessagesWaiting>> {
  const rows = await db.transaction((tx) =>
    tx.query<MessagesWaiting & { readonly feed: number }>(
      `SELECT feed_id AS feed, count(*) AS messages, epoch_ms(min(received_at)) AS since FROM dead_letter
       WHERE code = 'feed-not-activated' AND state = 'open' AND feed_id IS NOT NULL GROUP BY feed_id`,
      [],
    ),
  )
  return new Map(rows.map(({ feed, messages, since }) => [feed, { messages, since }]))
}

/** Adds an entry; nothing is ever changed or removed. */
export async function recordActivation(db: Database, entry: Omit<FeedActivation, 'id'>): Promise<FeedActivation> {
  const { at, hospital, feed, isActive, by, reportSha256, configurationSha256, reason } = entry
  const [row] = await db.transaction((tx) =>
    tx.query<FeedActivation>(
      `INSERT INTO feed_activation (at, hospital, feed, is_active, by, report_sha256, configuration_sha256, reason)
       VALUES (to_timestamp($1::float8 / 1000), $2, $3, $4::bool, $5, $6, $7, $8) RETURNING ${columns}`,
      [String(at), hospital, feed, String(isActive), by, reportSha256, configurationSha256, reason],
    ),
  )
  return row!
}

/** All entries, the newest first. */
export async function listActivations(db: Database, feed?: string): Promise<readonly FeedActivation[]> {
  return db.transaction((tx) =>
    tx.query<FeedActivation>(
      `SELECT ${columns} FROM feed_activation WHERE $1::text IS NULL OR feed = $1 ORDER BY id DESC LIMIT 1000`,
      [feed ?? null],
    ),
  )
}
