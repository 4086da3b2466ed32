import type { Envelope } from '../schemas/types.js'
import { ColumnSet, unnest, type ColumnType } from './array-column.js'
import type { Transaction } from './transaction.js'

const types = {
  seq: 'int8',
  received_at: 'timestamptz',
  feed_id: 'int4',
  epoch: 'int4',
  event_index: 'int4',
  stage: 'text',
  code: 'text',
  detail: 'text',
  segment: 'text',
  field: 'text',
  source_topic: 'text',
  source_partition: 'int4',
  source_offset: 'text',
  control_id: 'text',
  message_id: 'bytea',
  payload: 'bytea',
} as const satisfies Record<string, ColumnType>
const names = Object.keys(types)

/** One row of `dead_letter`, in the order of its columns. */
export type DeadLetterRow = readonly (number | string | Buffer | null)[]

export interface DeadLetterFacts {
  readonly stage: string
  readonly code: string
  readonly detail: string
  readonly segment?: string | null
  readonly field?: string | null
  readonly sourceTopic?: string | null
  readonly sourcePartition?: number
  readonly sourceOffset?: string
  readonly payload?: Buffer | null
}

/** What a dead letter keeps of an envelope. */
export type DeadLetterEnvelope = Pick<
  Envelope,
  'epoch' | 'seq' | 'eventIndex' | 'receivedAt' | 'controlId' | 'messageId'
>

/** Without an envelope the place on the topic identifies it. */
export function deadLetterRow(
  envelope: DeadLetterEnvelope | null,
  feedId: number | null,
  facts: DeadLetterFacts,
): DeadLetterRow {
  return [
    envelope?.seq ?? null,
    envelope?.receivedAt ?? null,
    feedId,
    envelope?.epoch ?? null,
    envelope?.eventIndex ?? null,
    facts.stage,
    facts.code,
    facts.detail,
    facts.segment ?? null,
    facts.field ?? null,
    facts.sourceTopic ?? null,
    facts.sourcePartition ?? -1,
    facts.sourceOffset ?? '',
    envelope?.controlId ?? null,
    envelope === null ? null : Buffer.from(envelope.messageId, 'hex'),
    facts.payload ?? null,
  ]
}

const upsert = (target: string, where: string): string => `INSERT INTO dead_letter (${names.join(', ')}, state)
SELECT ${names.join(', ')}, 'open' FROM ${unnest(types, 'i')} WHERE i.seq ${where}
ON CONFLICT (${target}) WHERE seq ${where} DO UPDATE SET state = 'open', changed_at = now(), stage = excluded.stage,
  code = excluded.code, detail = excluded.detail, segment = excluded.segment, field = excluded.field,
  source_topic = excluded.source_topic, source_partition = excluded.source_partition,
  source_offset = excluded.source_offset, payload = excluded.payload`

export const upsertEventDeadLettersSql = upsert('feed_id, epoch, seq, event_index', 'IS NOT NULL')
export const upsertFrameDeadLettersSql = upsert('source_topic, source_partition, source_offset', 'IS NULL')

/** Opens the dead letters given; one that exists for the same event or frame is brought up to date. */
export async function upsertDeadLetters(tx: Transaction, rows: readonly DeadLetterRow[]): Promise<void> {
  const byIdentity = new Map(rows.map((row) => [identity(row), row]))
  for (const [sql, hasSeq] of [
    [upsertEventDeadLettersSql, true],
    [upsertFrameDeadLettersSql, false],
  ] as const) {
    const set = new ColumnSet(types, 16)
    for (const row of byIdentity.values()) if ((row[0] !== null) === hasSeq) set.push(row)
    if (set.length > 0) await tx.execute(sql, set.finish())
  }
}

const identity = (row: DeadLetterRow): string =>
  row[0] === null ? `f ${row[10]} ${row[11]} ${row[12]}` : `e ${row[2]} ${row[3]} ${row[0]} ${row[4]}`

const eventTypes = { feed_id: 'int4', epoch: 'int4', seq: 'int8', event_index: 'int4' } as const

export const resolveDeadLettersSql = `UPDATE dead_letter d SET state = 'resolved', changed_at = now()
FROM ${unnest(eventTypes, 'i')}
WHERE d.feed_id = i.feed_id AND d.epoch = i.epoch AND d.seq = i.seq AND d.event_index = i.event_index
  AND d.state <> 'resolved'`

/** The events have been stored after all. */
export async function resolveDeadLetters(
  tx: Transaction,
  events: readonly {
    readonly feedId: number
    readonly epoch: number
    readonly seq: number
    readonly eventIndex: number
  }[],
): Promise<void> {
  if (events.length === 0) return
  const set = new ColumnSet(eventTypes, events.length)
  for (const { feedId, epoch, seq, eventIndex } of events) set.push([feedId, epoch, seq, eventIndex])
  await tx.execute(resolveDeadLettersSql, set.finish())
}
