import type { FaultPlace } from '../core/errors.js'
import type { Envelope } from '../schemas/types.js'
import { ColumnSet, unnest, unnestOrdered, type ColumnType } from './array-column.js'
import { deadLetterRow, upsertDeadLetters, type DeadLetterRow } from './dead-letter-rows.js'
import { monthDays, monthOf } from './months.js'
import type { Disposition } from './sink-event.js'
import type { Transaction } from './transaction.js'

const receiptIdsPerMonth = 2 ** 40
export type Target = 'report' | 'patient' | 'encounter' | 'medical_order'

/** The receipt an event will have at the end of its transaction. */
export interface Draft {
  readonly id: number
  readonly envelope: Envelope
  readonly feedId: number
  /** Set where a dead-lettered receipt is replaced. */
  readonly replaces: boolean
  /** Rows owned before this transaction (redrive of an event whose rows are kept in conflict). */
  rows: number
  /** It met exactly its own source version. */
  isDuplicate: boolean
  /** Set where the event ends otherwise than by its rows. */
  ending?: {
    readonly disposition: 'dead-lettered' | 'ignored'
    readonly reason: string
    readonly detail: string
    readonly place?: FaultPlace
  }
  target: Target | null
  targetId: number | null
  /** Months since 1970-01. */
  targetMonth: number | null
}

export interface ExistingReceipt {
  readonly id: number
  readonly disposition: Disposition
  readonly reason: string | null
  readonly stage: string | null
  readonly rows: number
}

/** A place in the ledger that orders events of equal version: the lowest keeps the row. */
export interface PlaceInLedger {
  readonly feed: string
  readonly epoch: number
  readonly seq: number
  readonly eventIndex: number
}

export function comparePlaces(a: PlaceInLedger, b: PlaceInLedger): number {
  return (
    (a.feed < b.feed ? -1 : a.feed > b.feed ? 1 : 0) ||
    a.epoch - b.epoch ||
    a.seq - b.seq ||
    a.eventIndex - b.eventIndex
  )
}

const keyTypes = {
  feed_id: 'int4',
  epoch: 'int4',
  seq: 'int8',
  event_index: 'int4',
  month: 'date',
} as const satisfies Record<string, ColumnType>

export const readReceiptsSql = `SELECT i.ord, r.id, r.disposition, r.reason, r.stage, r.rows
FROM ${unnestOrdered(keyTypes, 'i')}
JOIN receipt r ON r.feed_id = i.feed_id AND r.epoch = i.epoch AND r.seq = i.seq AND r.event_index = i.event_index
  AND r.month = i.month`

/** Receipts that exist already, by index of the events given. */
export async function readReceipts(
  tx: Transaction,
  events: readonly { readonly envelope: Envelope; readonly feedId: number }[],
): Promise<ReadonlyMap<number, ExistingReceipt>> {
  const keys = new ColumnSet(keyTypes, events.length)
  for (const { envelope, feedId } of events) keys.push(receiptKey(envelope, feedId))
  const rows = await tx.query<ExistingReceipt & { readonly ord: number }>(readReceiptsSql, keys.finish())
  return new Map(rows.map((row) => [row.ord - 1, row]))
}

const receiptKey = (envelope: Envelope, feedId: number): number[] => [
  feedId,
  envelope.epoch,
  envelope.seq,
  envelope.eventIndex,
  monthDays(monthOf(envelope.receivedAt)),
]

export const receiptTypes = {
  id: 'int8',
  ...keyTypes,
  received_at: 'timestamptz',
  derivation: 'int8',
  target_id: 'int8',
  target_month: 'date',
  event_count: 'int4',
  rows: 'int4',
  disposition: 'text',
  reason: 'text',
  stage: 'text',
  target: 'text',
} as const satisfies Record<string, ColumnType>
export const receiptNames = Object.keys(receiptTypes).join(', ')

/** A receipt that another process wrote meanwhile is not written again: the caller then starts over. */
export const insertReceiptsSql = `INSERT INTO receipt (${receiptNames})
SELECT ${receiptNames} FROM ${unnest(receiptTypes, 'i')} ON CONFLICT DO NOTHING`

/** A dead-lettered or ignored receipt gives way to what has now become of its event. */
export const replaceReceiptsSql = `UPDATE receipt r SET derivation = i.derivation, target_id = i.target_id,
  target_month = i.target_month, target = i.target, event_count = i.event_count, rows = i.rows,
  disposition = i.disposition, reason = i.reason, stage = i.stage
FROM ${unnest(receiptTypes, 'i')}
WHERE r.feed_id = i.feed_id AND r.epoch = i.epoch AND r.seq = i.seq AND r.event_index = i.event_index
  AND r.month = i.month AND r.id = i.id`

const changeTypes = { id: 'int8', target_id: 'int8', month: 'date', rows: 'int4' } as const satisfies Record<
  string,
  ColumnType
>

/** A loser owns fewer rows; without any it is superseded. A dead-lettered receipt stays so, its count follows. */
export const changeOwnersSql = `UPDATE receipt r SET rows = r.rows + i.rows,
  disposition = CASE r.disposition WHEN 'stored' THEN CASE WHEN r.rows + i.rows > 0 THEN 'stored' ELSE 'superseded' END
    ELSE r.disposition END,
  reason = CASE WHEN r.disposition = 'stored' AND r.rows + i.rows <= 0 THEN 'older' ELSE r.reason END
FROM ${unnest(changeTypes, 'i')}
WHERE r.target_id = i.target_id AND r.id = i.id AND r.month = i.month`

const placeTypes = { id: 'int8', target_id: 'int8', month: 'date' } as const satisfies Record<string, ColumnType>
export const readPlacesSql = `SELECT r.id, f.name AS feed, r.epoch, r.seq, r.event_index AS "eventIndex"
FROM ${unnest(placeTypes, 'i')}
JOIN receipt r ON r.target_id = i.target_id AND r.id = i.id AND r.month = i.month
JOIN feed f ON f.id = r.feed_id`

const monthOfReceipt = (id: number): number => Math.floor(id / receiptIdsPerMonth)

/** The receipts of one transaction: what its events own, and what others lost to them. */
export class LedgerBatch {
  private readonly drafts = new Map<number, Draft>()
  private readonly changes = new Map<number, { rows: number; readonly targetId: number }>()

  get all(): Iterable<Draft> {
    return this.drafts.values()
  }

  /** `number` is unique; it becomes part of the receipt's id unless an existing receipt is replaced. */
  draft(envelope: Envelope, feedId: number, number: number, existing: ExistingReceipt | undefined): Draft {
    const draft: Draft = {
      id: existing?.id ?? monthOf(envelope.receivedAt) * receiptIdsPerMonth + number,
      envelope,
      feedId,
      replaces: existing !== undefined,
      rows: existing?.rows ?? 0,
      isDuplicate: false,
      target: null,
      targetId: null,
      targetMonth: null,
    }
    this.drafts.set(draft.id, draft)
    return draft
  }

  /** The owner of `rows` rows of a target now has that many more (or, below 0, fewer). */
  change(owner: number, targetId: number, rows: number): void {
    const draft = this.drafts.get(owner)
    if (draft !== undefined) {
      draft.rows += rows
      return
    }
    const change = this.changes.get(owner)
    if (change === undefined) this.changes.set(owner, { rows, targetId })
    else change.rows += rows
  }

  /** Places of owners, this batch's among them. */
  async places(
    tx: Transaction,
    owners: readonly { readonly owner: number; readonly targetId: number }[],
  ): Promise<ReadonlyMap<number, PlaceInLedger>> {
    const places = new Map<number, PlaceInLedger>()
    const elsewhere = new Map<number, number>()
    for (const { owner, targetId } of owners) {
      const draft = this.drafts.get(owner)
      if (draft !== undefined) places.set(owner, draft.envelope)
      else elsewhere.set(owner, targetId)
    }
    if (elsewhere.size === 0) return places
    const set = new ColumnSet(placeTypes, elsewhere.size)
    for (const [owner, targetId] of elsewhere) set.push([owner, targetId, monthDays(monthOfReceipt(owner))])
    for (const { id, ...place } of await tx.query<PlaceInLedger & { id: number }>(readPlacesSql, set.finish())) {
      places.set(id, place)
    }
    return places
  }

  /** Writes the receipts and what goes with them. Resolves with false when another process was first: start over. */
  async write(tx: Transaction): Promise<boolean> {
    const fresh = new ColumnSet(receiptTypes, this.drafts.size)
    const replaced = new ColumnSet(receiptTypes, 8)
    const deadLetters: DeadLetterRow[] = []
    for (const draft of this.drafts.values()) {
      ;(draft.replaces ? replaced : fresh).push(receiptValues(draft))
      if (draft.ending?.disposition === 'dead-lettered') deadLetters.push(sinkDeadLetter(draft))
    }
    if (fresh.length > 0 && (await tx.execute(insertReceiptsSql, fresh.finish())) < fresh.length) return false
    if (replaced.length > 0) await tx.execute(replaceReceiptsSql, replaced.finish())
    if (this.changes.size > 0) {
      const set = new ColumnSet(changeTypes, this.changes.size)
      for (const [owner, { rows, targetId }] of this.changes) {
        if (rows !== 0) set.push([owner, targetId, monthDays(monthOfReceipt(owner)), rows])
      }
      if (set.length > 0) await tx.execute(changeOwnersSql, set.finish())
    }
    if (deadLetters.length > 0) await upsertDeadLetters(tx, deadLetters)
    return true
  }
}

export function dispositionOf(draft: Draft): { readonly disposition: Disposition; readonly reason: string | null } {
  if (draft.ending !== undefined) return draft.ending
  if (draft.rows > 0) return { disposition: 'stored', reason: null }
  return { disposition: 'superseded', reason: draft.isDuplicate ? 'duplicate' : 'older' }
}

function receiptValues(draft: Draft): (number | string | null)[] {
  const { envelope } = draft
  const { disposition, reason } = dispositionOf(draft)
  return [
    draft.id,
    ...receiptKey(envelope, draft.feedId),
    envelope.receivedAt,
    envelope.derivation,
    draft.targetId,
    draft.targetMonth === null ? null : monthDays(draft.targetMonth),
    envelope.eventCount,
    draft.rows,
    disposition,
    reason,
    draft.ending === undefined ? null : 'sink',
    draft.target,
  ]
}

function sinkDeadLetter(draft: Draft): DeadLetterRow {
  const { reason, detail, place } = draft.ending!
  return deadLetterRow(draft.envelope, draft.feedId, { stage: 'sink', code: reason, detail, ...place })
}
