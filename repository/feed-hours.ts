import type { RawMessage } from '../schemas/types.js'
import type { Database, Transaction } from './database.js'

/** Any fixed number of ours: whoever holds it counts, another watch waits its turn. */
export const watchLock = 7_236_518

/** $1 feed, $2 epoch, $3 last position counted, $4 positions at most. */
export const countHoursSql = `WITH page AS MATERIALIZED (
  SELECT seq, received_at, lane, (extract(epoch FROM received_at)::int8 + 28800) / 60 AS minute FROM raw_message
  WHERE feed_id = $1::int4 AND epoch = $2::int4 AND seq > $3::int8 ORDER BY seq LIMIT $4::int8
), counted AS (
  INSERT INTO feed_hour AS h (messages, active_minutes, feed_id, hour)
  SELECT count(*), bit_or(1::int8 << (minute % 60)::int4), $1::int4, (minute / 60)::int4 FROM page
  WHERE lane = 'live' GROUP BY minute / 60
  ON CONFLICT (feed_id, hour) DO UPDATE SET messages = h.messages + excluded.messages,
    active_minutes = h.active_minutes | excluded.active_minutes
)
SELECT count(*) AS rows, max(seq) AS last, max(seq) FILTER (WHERE lane = 'live') AS "lastLive",
  epoch_ms(max(received_at) FILTER (WHERE lane = 'live')) AS "receivedAt" FROM page`

const positionsMax = 20_000

/** Epochs of a feed that the archive knows and that have moved on. */
const movedSql = `SELECT w.epoch, coalesce(c.seq, 0) AS seq FROM feed_watermark w
LEFT JOIN feed_hour_cursor c ON c.feed_id = w.feed_id AND c.epoch = w.epoch
WHERE w.feed_id = $1::int4 AND w.seq > coalesce(c.seq, 0) ORDER BY w.epoch`

export interface WatchedFeed {
  readonly feedId: number
  /** ms */
  readonly since: number
  /** Newest message of the live lane counted, ms. */
  readonly lastReceivedAt: number | null
}

/** Starts to watch a feed; the same row ever after. */
export async function watchFeed(db: Database, feedId: number, now: number): Promise<void> {
  await db.transaction((tx) =>
    tx.execute(
      `INSERT INTO watched_feed (since, feed_id) VALUES (to_timestamp($2::float8 / 1000), $1::int4) ON CONFLICT DO NOTHING`,
      [String(feedId), String(now)],
    ),
  )
}

export async function readWatchedFeed(db: Database, feedId: number): Promise<WatchedFeed | undefined> {
  const [row] = await db.transaction((tx) =>
    tx.query<WatchedFeed>(
      `SELECT feed_id AS "feedId", epoch_ms(since) AS since, epoch_ms(last_received_at) AS "lastReceivedAt"
       FROM watched_feed WHERE feed_id = $1::int4`,
      [String(feedId)],
    ),
  )
  return row
}

/**
 * Counts what the archive has taken in of a feed since the last call into its hours, each position once however often
 * this fails or runs. Reads the ledger by its key, writes nothing that the pipeline writes. Resolves with whether it
 * found anything. @throws RetryableError
 */
export async function countHours(db: Database, feedId: number): Promise<boolean> {
  let found = false
  const moved = await db.transaction((tx) => tx.query<{ epoch: number; seq: number }>(movedSql, [String(feedId)]))
  for (const { epoch } of moved) {
    for (;;) {
      const rows = await db.transaction((tx) => countPage(tx, feedId, epoch))
      found ||= rows > 0
      if (rows < positionsMax) break
    }
  }
  return found
}

async function countPage(tx: Transaction, feedId: number, epoch: number): Promise<number> {
  // two watches that count the same feed would count it twice
  await tx.query('SELECT pg_advisory_xact_lock($1::int4, $2::int4)::text', [String(watchLock), String(feedId)])
  const key = [String(feedId), String(epoch)]
  const [cursor] = await tx.query<{ seq: number }>(
    'SELECT seq FROM feed_hour_cursor WHERE feed_id = $1::int4 AND epoch = $2::int4',
    key,
  )
  type Page = { rows: number; last: number | null; lastLive: number | null; receivedAt: number | null }
  const after = String(cursor?.seq ?? -1)
  const [page] = await tx.query<Page>(countHoursSql, [...key, after, String(positionsMax)])
  const { rows, last, lastLive, receivedAt } = page!
  // at the end of the ledger live messages may still come in below positions of the bulk lane
  const upTo = rows < positionsMax ? lastLive : last
  if (upTo === null) return 0
  await tx.execute(
    `INSERT INTO feed_hour_cursor AS c (seq, feed_id, epoch) VALUES ($3::int8, $1::int4, $2::int4)
     ON CONFLICT (feed_id, epoch) DO UPDATE SET seq = excluded.seq`,
    [...key, String(upTo)],
  )
  if (receivedAt !== null) {
    await tx.execute(
      `UPDATE watched_feed SET last_received_at = greatest(last_received_at, to_timestamp($2::float8 / 1000))
       WHERE feed_id = $1::int4`,
      [String(feedId), String(receivedAt)],
    )
  }
  return rows
}

/** Hours of a feed from `fromHour` (hours since 1970-01-01T00:00+08:00) on that had messages, ascending. */
export async function readHours(
  db: Database,
  feedId: number,
  fromHour: number,
): Promise<readonly { readonly hour: number; readonly messages: number; readonly activeMinutes: number }[]> {
  return db.transaction((tx) =>
    tx.query(
      `SELECT hour, messages, bit_count(active_minutes::bit(64))::int4 AS "activeMinutes" FROM feed_hour
       WHERE feed_id = $1::int4 AND hour >= $2::int4 ORDER BY hour`,
      [String(feedId), String(fromHour)],
    ),
  )
}

/** A feed of this environment by name. */
export async function findFeed(
  db: Database,
  name: string,
  environment?: string,
): Promise<
  readonly { readonly id: number; readonly name: string; readonly hospital: string; readonly environment: string }[]
> {
  return db.transaction((tx) =>
    tx.query(
      `SELECT f.id, f.name, h.code AS hospital, f.environment FROM feed f JOIN hospital h ON h.id = f.hospital_id
       WHERE f.name = $1 AND ($2::text IS NULL OR f.environment = $2) ORDER BY f.id`,
      [name, environment ?? null],
    ),
  )
}

export interface LedgerPosition {
  readonly epoch: number
  readonly seq: number
  readonly controlId: string | null
  readonly messageId: string
  readonly receivedAt: number
}

/** $1 feed, $2 rows at most. The newest epoch only: an older spool sends nothing more. */
export const newestPositionsSql = `SELECT m.epoch, m.seq, m.control_id AS "controlId",
  encode(m.message_id, 'hex') AS "messageId", epoch_ms(m.received_at) AS "receivedAt"
FROM (
  SELECT * FROM raw_message WHERE feed_id = $1::int4 AND epoch = (
    SELECT epoch FROM feed_hour_cursor WHERE feed_id = $1::int4 ORDER BY epoch DESC LIMIT 1
  ) ORDER BY seq DESC LIMIT $2::int8
) m ORDER BY m.seq`

/** The newest messages of a feed, ascending; both lanes, for the numbers of a drained spool are no gap. */
export async function newestPositions(
  db: Database,
  feedId: number,
  rowsMax: number,
): Promise<readonly LedgerPosition[]> {
  return db.transaction((tx) => tx.query<LedgerPosition>(newestPositionsSql, [String(feedId), String(rowsMax)]))
}

/** What has to be known of an archived message to unpack it. */
export type ArchivedContent = Pick<
  RawMessage,
  'seq' | 'receivedAt' | 'connector' | 'content' | 'contentRef' | 'contentSize' | 'compression' | 'keyId'
>

/** $1 feed, $2 epoch, $3 positions. */
export const liveContentsSql = `SELECT seq, epoch_ms(received_at) AS "receivedAt", connector, content,
  content_ref AS "contentRef", content_size AS "contentSize", compression, key_id AS "keyId" FROM raw_message
WHERE feed_id = $1::int4 AND epoch = $2::int4 AND seq = ANY ($3::int8[]) AND lane = 'live' ORDER BY seq`

/** The archived bytes at these positions, as far as the live lane brought them. */
export async function liveContents(
  db: Database,
  feedId: number,
  epoch: number,
  positions: readonly number[],
): Promise<readonly ArchivedContent[]> {
  const values = [String(feedId), String(epoch), `{${positions.join(',')}}`]
  return db.transaction((tx) => tx.query<ArchivedContent>(liveContentsSql, values))
}
