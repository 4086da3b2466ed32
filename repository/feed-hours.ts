import { historyEpochsFrom } from '../core/ids.js'
import type { RawMessage } from '../schemas/types.js'
import type { Database, Transaction, Value } from './database.js'
import { lookUpByIndex } from './event-sink.js'

/** Any fixed number of ours: whoever holds it counts, another watch waits its turn. */
export const watchLock = 7_236_518

/** $1 feeds, $2 their epochs, as pairs; $3 positions of each at most. One row a pair that the ledger holds more of. */
export const countHoursSql = `WITH wanted AS MATERIALIZED (
  SELECT w.feed_id, w.epoch, coalesce(c.seq, -1) AS after FROM unnest($1::int4[], $2::int4[]) AS w (feed_id, epoch)
  LEFT JOIN feed_hour_cursor c ON c.feed_id = w.feed_id AND c.epoch = w.epoch
), page AS MATERIALIZED (
  SELECT w.feed_id, w.epoch, m.* FROM wanted w CROSS JOIN LATERAL (
    SELECT seq, received_at, lane, (extract(epoch FROM received_at)::int8 + 28800) / 60 AS minute FROM raw_message
    WHERE feed_id = w.feed_id AND epoch = w.epoch AND seq > w.after ORDER BY seq LIMIT $3::int8
  ) m
), counted AS (
  INSERT INTO feed_hour AS h (messages, active_minutes, feed_id, hour)
  SELECT count(*), bit_or(1::int8 << (minute % 60)::int4), feed_id, (minute / 60)::int4 FROM page
  WHERE lane = 'live' GROUP BY feed_id, minute / 60 ORDER BY 3, 4
  ON CONFLICT (feed_id, hour) DO UPDATE SET messages = h.messages + excluded.messages,
    active_minutes = h.active_minutes | excluded.active_minutes
), read AS MATERIALIZED (
  SELECT feed_id, epoch, count(*) AS rows, max(received_at) FILTER (WHERE lane = 'live') AS received_at,
    -- at the end of the ledger live messages may still come in below positions of the bulk lane
    CASE WHEN count(*) < $3::int8 THEN max(seq) FILTER (WHERE lane = 'live') ELSE max(seq) END AS up_to
  FROM page GROUP BY feed_id, epoch
), moved AS (
  INSERT INTO feed_hour_cursor AS c (seq, feed_id, epoch)
  SELECT up_to, feed_id, epoch FROM read WHERE up_to IS NOT NULL ORDER BY feed_id, epoch
  ON CONFLICT (feed_id, epoch) DO UPDATE SET seq = excluded.seq
), heard AS (
  UPDATE watched_feed f SET last_received_at = greatest(f.last_received_at, r.received_at)
  FROM (SELECT feed_id, max(received_at) AS received_at FROM read GROUP BY feed_id) r
  WHERE f.feed_id = r.feed_id AND r.received_at IS NOT NULL
)
SELECT feed_id AS "feedId", epoch, rows FROM read WHERE up_to IS NOT NULL`

const positionsMax = 20_000
/** Positions that one statement counts at most. */
const positionsPerStatement = 200_000

/** Epochs that the archive knows and that have moved on. History says nothing of how the sender lives now. */
const movedSql = `SELECT w.feed_id AS "feedId", w.epoch, w.seq - coalesce(c.seq, 0) AS positions FROM feed_watermark w
LEFT JOIN feed_hour_cursor c ON c.feed_id = w.feed_id AND c.epoch = w.epoch
WHERE w.feed_id = ANY ($1::int4[]) AND w.epoch < ${historyEpochsFrom} AND w.seq > coalesce(c.seq, 0)
ORDER BY w.feed_id, w.epoch`

export interface WatchedFeed {
  readonly feedId: number
  /** ms */
  readonly since: number
  /** Newest message of the live lane counted, ms. */
  readonly lastReceivedAt: number | null
}

const listOf = (ids: readonly number[]): string => `{${ids.join(',')}}`

/** Starts to watch feeds; the same rows ever after. */
export async function watchFeeds(db: Database, feedIds: readonly number[], now: number): Promise<void> {
  await db.transaction((tx) =>
    tx.execute(
      `INSERT INTO watched_feed (since, feed_id) SELECT to_timestamp($2::float8 / 1000), f FROM unnest($1::int4[]) f
       ORDER BY f ON CONFLICT DO NOTHING`,
      [listOf(feedIds), String(now)],
    ),
  )
}

export async function readWatchedFeeds(db: Database, feedIds: readonly number[]): Promise<readonly WatchedFeed[]> {
  return db.transaction((tx) =>
    tx.query<WatchedFeed>(
      `SELECT feed_id AS "feedId", epoch_ms(since) AS since, epoch_ms(last_received_at) AS "lastReceivedAt"
       FROM watched_feed WHERE feed_id = ANY ($1::int4[])`,
      [listOf(feedIds)],
    ),
  )
}

interface Moved {
  readonly feedId: number
  readonly epoch: number
  readonly positions: number
}

/**
 * Counts what the archive has taken in of these feeds since the last call into their hours, each position once however
 * often this fails or runs, in as many statements for all of them as for one. Reads the ledger by its key, writes nothing
 * that the pipeline writes. Resolves with the feeds it found anything of. @throws RetryableError
 */
export async function countHours(db: Database, feedIds: readonly number[]): Promise<ReadonlySet<number>> {
  const found = new Set<number>()
  let left = await db.transaction((tx) => tx.query<Moved>(movedSql, [listOf(feedIds)]))
  while (left.length > 0) {
    const batch = firstOf(left)
    const counted = await db.transaction((tx) => countPages(tx, batch))
    for (const { feedId } of counted) found.add(feedId)
    const full = new Set(
      counted.flatMap(({ feedId, epoch, rows }) => (rows < positionsMax ? [] : `${feedId} ${epoch}`)),
    )
    left = [...left.slice(batch.length), ...batch.filter(({ feedId, epoch }) => full.has(`${feedId} ${epoch}`))]
  }
  return found
}

/** As many as one statement should count, at least one. */
function firstOf(moved: readonly Moved[]): readonly Moved[] {
  let positions = 0
  const end = moved.findIndex((one) => {
    positions += Math.min(positionsMax, one.positions)
    return positions > positionsPerStatement
  })
  return end < 0 ? moved : moved.slice(0, Math.max(1, end))
}

async function countPages(
  tx: Transaction,
  batch: readonly Moved[],
): Promise<readonly (Omit<Moved, 'positions'> & { readonly rows: number })[]> {
  // two watches that count the same feed would count it twice
  await tx.query('SELECT pg_advisory_xact_lock($1::int4, 0)::text', [String(watchLock)])
  return byIndex(tx, countHoursSql, [
    listOf(batch.map(({ feedId }) => feedId)),
    listOf(batch.map(({ epoch }) => epoch)),
    String(positionsMax),
  ])
}

/** Nothing is known of how many rows a feed has where nobody has analysed: a plan that reads all would read years. */
async function byIndex<R>(tx: Transaction, sql: string, values: readonly Value[]): Promise<R[]> {
  await tx.script(lookUpByIndex)
  return tx.query<R>(sql, values)
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

/** An hour of one of several feeds; as `readHours` else. */
export interface FeedHour {
  readonly feedId: number
  readonly hour: number
  readonly messages: number
  readonly activeMinutes: number
}

const feedHourColumns = `feed_id AS "feedId", hour, messages, bit_count(active_minutes::bit(64))::int4 AS "activeMinutes"`

/** $1 feeds, $2 from this hour on all, $3 from this hour on those of $4 days and the first of all. */
export const readFeedHoursSql = `SELECT ${feedHourColumns} FROM feed_hour
WHERE feed_id = ANY ($1::int4[]) AND hour >= $3::int4 AND (hour >= $2::int4 OR hour / 24 = ANY ($4::int4[]))
UNION ALL
SELECT first.* FROM unnest($1::int4[]) f CROSS JOIN LATERAL (
  SELECT ${feedHourColumns} FROM feed_hour WHERE feed_id = f AND hour >= $3::int4 ORDER BY hour LIMIT 1
) first`

/**
 * Hours of feeds that had messages, by feed: all from `fromHour` on, and of these days (numbered as hours / 24) from
 * `daysFromHour` on; the first hour from there on as well, which may stand twice.
 */
export async function readFeedHours(
  db: Database,
  feedIds: readonly number[],
  wanted: { readonly fromHour: number; readonly daysFromHour?: number; readonly days?: readonly number[] },
): Promise<ReadonlyMap<number, readonly FeedHour[]>> {
  const { fromHour, daysFromHour = fromHour, days = [] } = wanted
  const values = [listOf(feedIds), String(fromHour), String(daysFromHour), listOf(days)]
  const rows = await db.transaction((tx) => byIndex<FeedHour>(tx, readFeedHoursSql, values))
  return grouped(rows)
}

function grouped<R extends { readonly feedId: number }>(rows: readonly R[]): ReadonlyMap<number, readonly R[]> {
  const byFeed = new Map<number, R[]>()
  for (const row of rows) {
    const list = byFeed.get(row.feedId)
    if (list === undefined) byFeed.set(row.feedId, [row])
    else list.push(row)
  }
  return byFeed
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

/** $1 feeds, $2 rows of each at most. The newest epoch only: an older spool sends nothing more. */
export const newestPositionsSql = `SELECT f AS "feedId", m.epoch, m.seq, m.control_id AS "controlId",
  encode(m.message_id, 'hex') AS "messageId", epoch_ms(m.received_at) AS "receivedAt"
FROM unnest($1::int4[]) f CROSS JOIN LATERAL (
  SELECT epoch, seq, control_id, message_id, received_at FROM raw_message WHERE feed_id = f AND epoch = (
    SELECT epoch FROM feed_hour_cursor WHERE feed_id = f ORDER BY epoch DESC LIMIT 1
  ) ORDER BY seq DESC LIMIT $2::int8
) m ORDER BY f, m.seq`

/** The newest messages of feeds, by feed, ascending; both lanes, for the numbers of a drained spool are no gap. */
export async function newestPositions(
  db: Database,
  feedIds: readonly number[],
  rowsMax: number,
): Promise<ReadonlyMap<number, readonly LedgerPosition[]>> {
  type Row = LedgerPosition & { readonly feedId: number }
  return grouped(await db.transaction((tx) => byIndex<Row>(tx, newestPositionsSql, [listOf(feedIds), String(rowsMax)])))
}

/** What has to be known of an archived message to unpack it. */
export type ArchivedContent = Pick<
  RawMessage,
  'seq' | 'receivedAt' | 'connector' | 'content' | 'contentRef' | 'contentSize' | 'compression' | 'keyId'
>

/** A place in the ledger. */
export interface LedgerPlace {
  readonly feedId: number
  readonly epoch: number
  readonly seq: number
}

/** $1 feeds, $2 epochs, $3 positions, as triples. */
export const liveContentsSql = `SELECT w.feed_id AS "feedId", m.* FROM
unnest($1::int4[], $2::int4[], $3::int8[]) AS w (feed_id, epoch, seq) CROSS JOIN LATERAL (
  SELECT seq, epoch_ms(received_at) AS "receivedAt", connector, content, content_ref AS "contentRef",
    content_size AS "contentSize", compression, key_id AS "keyId" FROM raw_message
  WHERE feed_id = w.feed_id AND epoch = w.epoch AND seq = w.seq AND lane = 'live' OFFSET 0
) m ORDER BY w.feed_id, m.seq`

/** The archived bytes at these places, by feed, as far as the live lane brought them. */
export async function liveContents(
  db: Database,
  places: readonly LedgerPlace[],
): Promise<ReadonlyMap<number, readonly ArchivedContent[]>> {
  const column = (name: keyof LedgerPlace): string => listOf(places.map((place) => place[name]))
  const values = [column('feedId'), column('epoch'), column('seq')]
  type Row = ArchivedContent & { readonly feedId: number }
  return grouped(await db.transaction((tx) => byIndex<Row>(tx, liveContentsSql, values)))
}
