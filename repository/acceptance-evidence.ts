import type { RawMessage } from '../schemas/types.js'
import type { Database, Transaction } from './database.js'
import { monthOf, monthText } from './months.js'

/** What became of one event of a message. */
export interface EvidenceReceipt {
  readonly disposition: 'stored' | 'superseded' | 'dead-lettered' | 'ignored'
  readonly reason: string | null
  readonly eventCount: number
  /** Table and id of the row the event is about. */
  readonly target: string | null
  readonly targetId: number | null
}

/** An archived message with its receipts. */
export interface EvidenceMessage extends Pick<
  RawMessage,
  | 'epoch'
  | 'seq'
  | 'receivedAt'
  | 'lane'
  | 'connector'
  | 'messageId'
  | 'content'
  | 'contentRef'
  | 'contentSize'
  | 'compression'
  | 'keyId'
> {
  /** When it reached the archive, ms by the clock of the database; null where that was not recorded yet. */
  readonly archivedAt: number | null
  readonly receipts: readonly EvidenceReceipt[]
}

/** $1 feed, $2 and $3 months: epochs of the archive, each found by one look at the key. */
const epochsSql = `WITH RECURSIVE known (epoch) AS (
  SELECT min(epoch) FROM raw_message WHERE feed_id = $1::int4 AND month BETWEEN $2::date AND $3::date
  UNION ALL
  SELECT (SELECT min(m.epoch) FROM raw_message m
    WHERE m.feed_id = $1::int4 AND m.epoch > known.epoch AND m.month BETWEEN $2::date AND $3::date)
  FROM known WHERE known.epoch IS NOT NULL
) SELECT epoch FROM known WHERE epoch IS NOT NULL ORDER BY epoch`

/** $1 feed, $2 and $3 bounds of receipt as ms, $4 and $5 months, $6 epoch, $7 last number read, $8 rows at most. */
const messagesSql = `SELECT m.epoch, m.seq, epoch_ms(m.received_at) AS "receivedAt",
  epoch_ms(m.archived_at) AS "archivedAt", m.lane, m.connector,
  encode(m.message_id, 'hex') AS "messageId", m.content, m.content_ref AS "contentRef", m.content_size AS "contentSize",
  m.compression, m.key_id AS "keyId",
  (SELECT coalesce(json_agg(json_build_object('disposition', r.disposition, 'reason', r.reason,
     'eventCount', r.event_count, 'target', r.target, 'targetId', r.target_id) ORDER BY r.event_index), '[]')::text
   FROM receipt r WHERE r.feed_id = m.feed_id AND r.epoch = m.epoch AND r.seq = m.seq) AS receipts
FROM raw_message m
WHERE m.feed_id = $1::int4 AND m.received_at >= to_timestamp($2::float8 / 1000)
  AND m.received_at < to_timestamp($3::float8 / 1000) AND m.month BETWEEN $4::date AND $5::date
  AND m.epoch = $6::int4 AND m.seq > $7::int8
ORDER BY m.seq LIMIT $8::int8`

const pageRows = 500

/** Epochs of a feed with messages in the months of a period (ms), ascending. */
export async function evidenceEpochs(
  db: Database,
  feedId: number,
  from: number,
  to: number,
): Promise<readonly number[]> {
  const values = [String(feedId), monthText(monthOf(from)), monthText(monthOf(to))]
  const rows = await db.transaction((tx) => tx.query<{ readonly epoch: number }>(epochsSql, values))
  return rows.map(({ epoch }) => epoch)
}

/** What the archive holds of an epoch in a period (ms, the end excluded) behind a number, ascending, page by page. */
export async function* evidenceMessages(
  db: Database,
  feedId: number,
  period: { readonly from: number; readonly to: number },
  place: { readonly epoch: number; readonly after: number },
): AsyncGenerator<EvidenceMessage> {
  const { from, to } = period
  let { after } = place
  for (;;) {
    const page = await db.transaction((tx) =>
      tx.query<Omit<EvidenceMessage, 'receipts'> & { readonly receipts: string }>(messagesSql, [
        String(feedId),
        String(from),
        String(to),
        monthText(monthOf(from)),
        monthText(monthOf(to)),
        String(place.epoch),
        String(after),
        String(pageRows),
      ]),
    )
    for (const message of page) {
      yield { ...message, receipts: JSON.parse(message.receipts) as readonly EvidenceReceipt[] }
    }
    const last = page.at(-1)
    if (last === undefined || page.length < pageRows) return
    after = last.seq
  }
}

export interface EvidenceDeadLetters {
  readonly code: string
  readonly state: string
  readonly count: number
  /** Of some of them. */
  readonly messageIds: readonly string[]
}

/** Dead letters of a feed in a period, by code and state. */
export async function evidenceDeadLetters(
  db: Database,
  feedId: number,
  from: number,
  to: number,
): Promise<readonly EvidenceDeadLetters[]> {
  type Row = Omit<EvidenceDeadLetters, 'messageIds'> & { readonly ids: string | null }
  const rows = await db.transaction((tx) =>
    tx.query<Row>(
      `SELECT code, state, count(*) AS count,
         array_to_string((array_agg(encode(message_id, 'hex') ORDER BY id) FILTER (WHERE message_id IS NOT NULL))[1:5], ',') AS ids
       FROM dead_letter WHERE feed_id = $1::int4 AND received_at >= to_timestamp($2::float8 / 1000)
         AND received_at < to_timestamp($3::float8 / 1000) GROUP BY code, state ORDER BY code, state`,
      [String(feedId), String(from), String(to)],
    ),
  )
  return rows.map(({ ids, ...row }) => ({ ...row, messageIds: ids === null || ids === '' ? [] : ids.split(',') }))
}

/** How reports stand: whether an earlier version was displaced, and whether something in them is withdrawn. */
export interface ReportStanding {
  readonly id: number
  readonly isRevised: boolean
  readonly isWithdrawn: boolean
}

export async function evidenceReports(db: Database, ids: readonly number[]): Promise<readonly ReportStanding[]> {
  const standings: ReportStanding[] = []
  for (let start = 0; start < ids.length; start += pageRows) {
    standings.push(...(await db.transaction((tx) => readStandings(tx, ids.slice(start, start + pageRows)))))
  }
  return standings
}

/** Status rank 2 of the final kinds is W, D or X (docs/newer.md). */
const readStandings = (tx: Transaction, ids: readonly number[]): Promise<readonly ReportStanding[]> =>
  tx.query<ReportStanding>(
    `SELECT r.id,
       EXISTS (SELECT FROM report_history h WHERE h.report_id = r.id)
         OR EXISTS (SELECT FROM observation_history h WHERE h.report_id = r.id AND h.month = r.month) AS "isRevised",
       (r.finality = 1 AND r.status_rank = 2)
         OR EXISTS (SELECT FROM observation o WHERE o.report_id = r.id AND o.month = r.month AND o.finality = 1
           AND o.status_rank = 2) AS "isWithdrawn"
     FROM report r WHERE r.id = ANY ($1::int8[])`,
    [`{${ids.join(',')}}`],
  )
