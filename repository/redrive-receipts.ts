import type { Envelope } from '../schemas/types.js'
import { ColumnSet, unnest, type ColumnType } from './array-column.js'
import { resolveDeadLetters } from './dead-letter-rows.js'
import { monthDays, monthOf } from './months.js'
import type { Transaction } from './transaction.js'

const types = {
  feed_id: 'int4',
  epoch: 'int4',
  seq: 'int8',
  month: 'date',
  event_count: 'int4',
} as const satisfies Record<string, ColumnType>

const isOfMessage = 'r.feed_id = i.feed_id AND r.epoch = i.epoch AND r.seq = i.seq AND r.month = i.month'
export const dropReceiptsSql = `DELETE FROM receipt r USING ${unnest(types, 'i')}
WHERE ${isOfMessage} AND r.event_index >= i.event_count AND r.disposition IN ('dead-lettered', 'ignored')
RETURNING r.feed_id AS "feedId", r.epoch, r.seq, r.event_index AS "eventIndex"`
export const recountReceiptsSql = `UPDATE receipt r SET event_count = i.event_count FROM ${unnest(types, 'i')}
WHERE ${isOfMessage} AND r.event_count <> i.event_count`

/** A redriven message may come to other events than before: what it no longer comes to is closed. */
export async function prepareRedrive(
  tx: Transaction,
  events: readonly { readonly envelope: Envelope; readonly feedId: number }[],
): Promise<void> {
  const messages = new Map<string, (typeof events)[number]>()
  for (const event of events) {
    const { purpose, epoch, seq } = event.envelope
    if (purpose === 'redrive') messages.set(`${event.feedId} ${epoch} ${seq}`, event)
  }
  if (messages.size === 0) return
  const bind = (): Buffer[] => {
    const set = new ColumnSet(types, messages.size)
    for (const { envelope, feedId } of messages.values()) {
      set.push([feedId, envelope.epoch, envelope.seq, monthDays(monthOf(envelope.receivedAt)), envelope.eventCount])
    }
    return set.finish()
  }
  const dropped = await tx.query<{ feedId: number; epoch: number; seq: number; eventIndex: number }>(
    dropReceiptsSql,
    bind(),
  )
  await resolveDeadLetters(tx, dropped)
  await tx.execute(recountReceiptsSql, bind())
}
