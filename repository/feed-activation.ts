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

/** Messages of a feed that wait for its activation, and the receipt of the first, ms; undefined where none does. */
export async function messagesWaiting(
  db: Database,
  feedId: number,
): Promise<{ readonly messages: number; readonly since: number } | undefined> {
  const [row] = await db.transaction((tx) =>
    tx.query<{ messages: number; since: number | null }>(
      `SELECT count(*) AS messages, epoch_ms(min(received_at)) AS since FROM dead_letter
       WHERE code = 'feed-not-activated' AND feed_id = $1::int4 AND state = 'open'`,
      [String(feedId)],
    ),
  )
  return row === undefined || row.since === null ? undefined : { messages: row.messages, since: row.since }
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
