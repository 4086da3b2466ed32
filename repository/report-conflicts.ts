import { unnest } from './array-column.js'
import { ColumnSet } from './array-column.js'
import { deadLetterRow, resolveDeadLetters, upsertDeadLetters } from './dead-letter-rows.js'
import type { Standing } from './report-standing.js'
import type { Transaction } from './transaction.js'

const idTypes = { id: 'int8' } as const
const place = `r.feed_id AS "feedId", r.epoch, r.seq, r.event_index AS "eventIndex"`

export const enterConflictSql = `UPDATE receipt r SET disposition = 'dead-lettered', reason = 'report-key-conflict', stage = 'sink'
FROM ${unnest(idTypes, 'i')}
WHERE r.target_id = i.id AND r.target = 'report' AND r.disposition IN ('stored', 'superseded')
RETURNING ${place}, epoch_ms(r.received_at) AS "receivedAt"`

export const leaveConflictSql = `UPDATE receipt r SET disposition = CASE WHEN r.rows > 0 THEN 'stored' ELSE 'superseded' END,
  reason = CASE WHEN r.rows > 0 THEN NULL ELSE 'older' END, stage = NULL
FROM ${unnest(idTypes, 'i')}
WHERE r.target_id = i.id AND r.target = 'report' AND r.disposition = 'dead-lettered' AND r.reason = 'report-key-conflict'
RETURNING ${place}`

interface Place {
  readonly feedId: number
  readonly epoch: number
  readonly seq: number
  readonly eventIndex: number
}

export const conflictDetail = 'OBR-3: this report number already belongs to another patient of this hospital'

/** Events of a report that lost its key become dead letters, those of one that gained it are so no longer. */
export async function settleConflicts(
  tx: Transaction,
  standings: ReadonlyMap<number, { readonly before: Standing | null; readonly now: Standing }>,
): Promise<void> {
  const entering = new ColumnSet(idTypes, 4)
  const leaving = new ColumnSet(idTypes, 4)
  for (const [id, { before, now }] of standings) {
    if (before === null || before === now) continue
    if (now === 'conflict') entering.push([id])
    else if (before === 'conflict') leaving.push([id])
  }
  if (entering.length > 0) {
    const rows = await tx.query<Place & { readonly receivedAt: number }>(enterConflictSql, entering.finish())
    await upsertDeadLetters(tx, await withMessages(tx, rows))
  }
  if (leaving.length > 0) await resolveDeadLetters(tx, await tx.query<Place>(leaveConflictSql, leaving.finish()))
}

const placeTypes = { feed_id: 'int4', epoch: 'int4', seq: 'int8' } as const
const readMessagesSql = `SELECT DISTINCT m.feed_id AS "feedId", m.epoch, m.seq, m.control_id AS "controlId",
  encode(m.message_id, 'hex') AS "messageId"
FROM ${unnest(placeTypes, 'i')} JOIN raw_message m ON m.feed_id = i.feed_id AND m.epoch = i.epoch AND m.seq = i.seq`

/** The archive knows what the receipts do not: control and message id. */
async function withMessages(
  tx: Transaction,
  rows: readonly (Place & { readonly receivedAt: number })[],
): Promise<readonly ReturnType<typeof deadLetterRow>[]> {
  const set = new ColumnSet(placeTypes, rows.length)
  for (const { feedId, epoch, seq } of rows) set.push([feedId, epoch, seq])
  const messages = new Map<string, { readonly controlId: string | null; readonly messageId: string }>()
  if (rows.length > 0) {
    type Message = Place & { readonly controlId: string | null; readonly messageId: string }
    for (const message of await tx.query<Message>(readMessagesSql, set.finish())) {
      messages.set(`${message.feedId} ${message.epoch} ${message.seq}`, message)
    }
  }
  return rows.map((row) => {
    const message = messages.get(`${row.feedId} ${row.epoch} ${row.seq}`)
    const facts = { stage: 'sink', code: 'report-key-conflict', detail: conflictDetail, segment: 'OBR', field: 'OBR-3' }
    return deadLetterRow({ controlId: null, messageId: '', ...message, ...row }, row.feedId, facts)
  })
}
