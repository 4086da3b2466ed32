import type { Database } from '../../../repository/database.js'
import { Dictionaries } from '../../../repository/dictionaries.js'
import { watchFeeds } from '../../../repository/feed-hours.js'
import { hourOf } from '../../../services/watch/calendar.js'

export interface NamedFeed {
  readonly name: string
  readonly hospital: string
  readonly configurationSha256: string
}

/** Feeds of hospitals H001, H002 …, two each. */
export const namedFeeds = (count: number): readonly NamedFeed[] =>
  Array.from({ length: count }, (_, index) => {
    const hospital = `H${String(Math.floor(index / 2) + 1).padStart(3, '0')}`
    const name = `${index % 2 === 0 ? 'lis' : 'his'}-${hospital.toLowerCase()}`
    return { hospital, name, configurationSha256: name }
  })

/**
 * Feeds as they are after `days` of an even habit: 50 active minutes an hour from 08:00 to 20:00 (+08:00) up to `now`,
 * when the newest message came. Resolves with their ids, in order.
 */
export async function seedHabits(
  db: Database,
  feeds: readonly NamedFeed[],
  { days, now, environment = 'test' }: { readonly days: number; readonly now: number; readonly environment?: string },
): Promise<readonly number[]> {
  const dictionaries = new Dictionaries(db)
  const ids = (): readonly (number | undefined)[] =>
    feeds.map(({ name, hospital }) => {
      const hospitalId = dictionaries.hospital(hospital)
      return hospitalId === undefined ? undefined : dictionaries.feed(name, hospitalId, environment)
    })
  while (ids().includes(undefined)) await dictionaries.resolve()
  const feedIds = ids() as readonly number[]
  await watchFeeds(db, feedIds, now - days * 86_400_000)
  // some feeds at a time: one statement of a year of all would be held in memory whole
  for (let first = 0; first < feedIds.length; first += 100) {
    const list = `{${feedIds.slice(first, first + 100).join(',')}}`
    await db.transaction(async (tx) => {
      await tx.execute(
        `INSERT INTO feed_hour (messages, active_minutes, feed_id, hour)
         SELECT 120, (1::int8 << 50) - 1, f, h FROM unnest($1::int4[]) f
         CROSS JOIN generate_series($2::int4, $3::int4) h WHERE h % 24 BETWEEN 8 AND 19`,
        [list, String(hourOf(now) - days * 24), String(hourOf(now) - 1)],
      )
      await tx.execute(
        'UPDATE watched_feed SET last_received_at = to_timestamp($2::float8 / 1000) WHERE feed_id = ANY ($1::int4[])',
        [list, String(now)],
      )
    })
  }
  return feedIds
}

/** `count` messages of each feed as the archive keeps them, one every `stepMs` up to `until`, numbered on from `after`. */
export async function seedMessages(
  db: Database,
  feedIds: readonly number[],
  {
    after,
    count,
    until,
    stepMs,
  }: { readonly after: number; readonly count: number; readonly until: number; readonly stepMs: number },
): Promise<void> {
  const values = [`{${feedIds.join(',')}}`, String(after + 1), String(after + count), String(until), String(stepMs)]
  await db.transaction(async (tx) => {
    await tx.execute(
      `INSERT INTO raw_message (seq, received_at, content_size, feed_id, epoch, month, source_index, message_id,
         control_id, connector, lane, compression, content)
       SELECT s, t.at, length(c.content), f, 1, date_trunc('month', t.local)::date, 0, sha256(c.content),
         'SYN' || s, 'hl7v2-mllp', 'live', 'none', c.content
       FROM unnest($1::int4[]) f CROSS JOIN generate_series($2::int8, $3::int8) s
       CROSS JOIN LATERAL (SELECT to_timestamp(($4::float8 - ($3::int8 - s) * $5::float8) / 1000) AS at) i
       CROSS JOIN LATERAL (SELECT i.at, (i.at AT TIME ZONE 'UTC') + interval '8 hours' AS local) t
       CROSS JOIN LATERAL (SELECT convert_to('MSH|^~\\&|LIS|H|HUTONG|PROV|' || to_char(t.local, 'YYYYMMDDHH24MISS')
         || '||ORU^R01|SYN' || s || '|P|2.4' || chr(13) || 'PID|1||F' || f || chr(13), 'UTF8') AS content) c`,
      values,
    )
    await tx.execute(
      `INSERT INTO feed_watermark (seq, stated_at, feed_id, epoch)
       SELECT $3::int8, to_timestamp($4::float8 / 1000), f, 1 FROM unnest($1::int4[]) f
       WHERE $2::int8 <= $3::int8 AND $5::float8 >= 0
       ON CONFLICT (feed_id, epoch) DO UPDATE SET seq = excluded.seq, stated_at = excluded.stated_at`,
      values,
    )
  })
}

export interface CountedDatabase extends Database {
  /** Statements since the last call. */
  take(): number
}

/** The same database, with its statements counted. */
export function countStatements(db: Database): CountedDatabase {
  let statements = 0
  return {
    kind: db.kind,
    close: () => db.close(),
    transaction: (work) =>
      db.transaction((tx) =>
        work({
          query: (sql, values) => {
            statements++
            return tx.query(sql, values)
          },
          execute: (sql, values) => {
            statements++
            return tx.execute(sql, values)
          },
          script: (sql) => {
            statements++
            return tx.script(sql)
          },
        }),
      ),
    take: () => {
      const taken = statements
      statements = 0
      return taken
    },
  }
}
