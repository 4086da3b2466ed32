import type { Clock } from '../core/clock.js'
import { systemClock } from '../core/clock.js'
import type { DeadLetter, Envelope, RawMessage } from '../schemas/types.js'
import { ColumnSet, unnest, type ColumnType } from './array-column.js'
import type { Database, Transaction, Value } from './database.js'
import { deadLetterRow, resolveDeadLetters, upsertDeadLetters, type DeadLetterRow } from './dead-letter-rows.js'
import { Dictionaries } from './dictionaries.js'
import { readReceipts, receiptNames, receiptTypes } from './ledger-batch.js'
import { monthDays, monthOf } from './months.js'
import { NumberBlock } from './number-block.js'
import { PartitionKeeper } from './partitions.js'
import { queries } from './queries.js'
import { prepareRedrive } from './redrive-receipts.js'

/** Takes in what earlier stages could not use: dead letters and ignores, with their receipts. */
export interface DeadLetterSink {
  /** Any repetition leaves the same rows. @throws RetryableError */
  write(letters: readonly DeadLetter[]): Promise<void>
}

/** A later failure of a dead letter replaces it; what has been stored meanwhile stays stored. */
const insertReceiptsSql = `INSERT INTO receipt AS r (${receiptNames}) SELECT ${receiptNames}
FROM ${unnest(receiptTypes, 'i')}
ON CONFLICT (feed_id, epoch, seq, event_index, month) DO UPDATE SET disposition = excluded.disposition,
  reason = excluded.reason, stage = excluded.stage, event_count = excluded.event_count, derivation = excluded.derivation
WHERE r.disposition IN ('dead-lettered', 'ignored')
RETURNING r.feed_id, r.epoch, r.seq, r.event_index`

const receiptIdsPerMonth = 2 ** 40

export function deadLetterSink(db: Database, clock: Clock = systemClock): DeadLetterSink {
  const dictionaries = new Dictionaries(db)
  const partitions = new PartitionKeeper(db, () => clock.now())
  const numbers = new NumberBlock('receipt_number')
  const feedIdOf = (envelope: Envelope): number | undefined => {
    const hospitalId = dictionaries.hospital(envelope.hospital)
    return hospitalId === undefined ? undefined : dictionaries.feed(envelope.feed, hospitalId, envelope.environment)
  }
  return {
    async write(all) {
      const letters = all.map(cleaned)
      const enveloped = letters.filter((letter): letter is EnvelopedLetter => letter.envelope !== null)
      while (!enveloped.every(({ envelope }) => feedIdOf(envelope) !== undefined)) await dictionaries.resolve()
      await partitions.ensure(
        enveloped.map(({ envelope }) => monthOf(envelope.receivedAt)),
        ['receipt'],
      )
      await db.transaction(async (tx) => {
        const placed = enveloped.map((letter) => ({
          letter,
          envelope: letter.envelope,
          feedId: feedIdOf(letter.envelope)!,
        }))
        await prepareRedrive(tx, placed)
        const open = await writeReceipts(tx, placed, numbers)
        const rows = open
          .filter(({ letter }) => letter.disposition === 'dead-lettered')
          .map(({ letter, feedId }) => deadLetterRow(letter.envelope, feedId, letter))
        const frames = letters
          .filter(({ envelope }) => envelope === null)
          .map((letter) => deadLetterRow(null, null, letter))
        await upsertDeadLetters(tx, [...rows, ...frames] satisfies DeadLetterRow[])
        await resolveDeadLetters(
          tx,
          open
            .filter(({ letter }) => letter.disposition === 'ignored')
            .map(({ envelope, feedId }) => ({ ...envelope, feedId })),
        )
      })
    },
  }
}

type EnvelopedLetter = DeadLetter & { readonly envelope: Envelope }

interface PlacedLetter {
  readonly letter: EnvelopedLetter
  readonly envelope: Envelope
  readonly feedId: number
}

/** A sentence may quote a message that holds NUL. */
function cleaned(letter: DeadLetter): DeadLetter {
  const clean = (text: string): string => text.replaceAll('\0', '\u2400')
  const { envelope, detail, segment, field } = letter
  return {
    ...letter,
    detail: clean(detail),
    segment: segment === null ? null : clean(segment),
    field: field === null ? null : clean(field),
    envelope:
      envelope === null || envelope.controlId === null
        ? envelope
        : { ...envelope, controlId: clean(envelope.controlId) },
  }
}

/** Resolves with the letters whose receipt now says so: not those whose event has been stored. */
async function writeReceipts(
  tx: Transaction,
  letters: readonly PlacedLetter[],
  numbers: NumberBlock,
): Promise<readonly PlacedLetter[]> {
  const nameOf = (feedId: number, place: { epoch: number; seq: number; event: number }): string =>
    `${feedId} ${place.epoch} ${place.seq} ${place.event}`
  const byPlace = new Map(
    letters.map((letter) => {
      const { epoch, seq, eventIndex } = letter.envelope
      return [nameOf(letter.feedId, { epoch, seq, event: eventIndex }), letter]
    }),
  )
  const distinct = [...byPlace.values()]
  if (distinct.length === 0) return []
  const existing = await readReceipts(tx, distinct)
  const set = new ColumnSet(receiptTypes, distinct.length)
  for (const [index, { letter, envelope, feedId }] of distinct.entries()) {
    const month = monthOf(envelope.receivedAt)
    set.push([
      existing.get(index)?.id ?? month * receiptIdsPerMonth + (await numbers.next(tx)),
      feedId,
      envelope.epoch,
      envelope.seq,
      envelope.eventIndex,
      monthDays(month),
      envelope.receivedAt,
      envelope.derivation,
      null,
      null,
      envelope.eventCount,
      0,
      letter.disposition,
      letter.code,
      letter.stage,
      null,
    ])
  }
  type Written = {
    readonly feed_id: number
    readonly epoch: number
    readonly seq: number
    readonly event_index: number
  }
  const written = await tx.query<Written>(insertReceiptsSql, set.finish())
  return written.map((row) =>
    byPlace.get(nameOf(row.feed_id, { epoch: row.epoch, seq: row.seq, event: row.event_index }))!,
  )
}

export interface DeadLetterFilter {
  readonly code?: string
  readonly feed?: string
  readonly stage?: string
  readonly state?: 'open' | 'redriven' | 'resolved'
  readonly controlId?: string
  /** ms since 1970-01-01T00:00:00Z, of the message's receipt; both included */
  readonly receivedFrom?: number
  readonly receivedTo?: number
  readonly id?: number
  readonly limit?: number
  /** Only letters with a greater id: the next page. */
  readonly afterId?: number
}

export interface DeadLetterSummary {
  readonly id: number
  readonly state: string
  readonly stage: string
  readonly code: string
  readonly feed: string | null
  readonly epoch: number | null
  readonly seq: number | null
  readonly eventIndex: number | null
  readonly controlId: string | null
  readonly segment: string | null
  readonly field: string | null
  readonly receivedAt: number | null
  readonly sourceTopic: string | null
  readonly sourcePartition: number
  readonly sourceOffset: string
}

/** With the sentence that may quote the message: for the eyes of whoever mends it, never for a log. */
export interface DeadLetterDetail extends DeadLetterSummary {
  readonly detail: string
  readonly messageId: string | null
  readonly payload: Buffer | null
}

export interface DeadLetterCause {
  readonly code: string
  readonly stage: string
  readonly feed: string | null
  readonly state: string
  readonly count: number
  readonly oldest: number | null
  readonly newest: number | null
}

const summaryColumns = {
  id: 'd.id',
  state: 'd.state',
  stage: 'd.stage',
  code: 'd.code',
  feed: 'f.name',
  epoch: 'd.epoch',
  seq: 'd.seq',
  eventIndex: 'd.event_index',
  controlId: 'd.control_id',
  segment: 'd.segment',
  field: 'd.field',
  sourceTopic: 'd.source_topic',
  sourcePartition: 'd.source_partition',
  sourceOffset: 'd.source_offset',
} as const

function filtered(filter: DeadLetterFilter) {
  const query = queries('dead_letter as d').leftJoin('feed as f', 'f.id', 'd.feed_id')
  if (filter.id !== undefined) void query.where('d.id', filter.id)
  if (filter.code !== undefined) void query.where('d.code', filter.code)
  if (filter.stage !== undefined) void query.where('d.stage', filter.stage)
  if (filter.state !== undefined) void query.where('d.state', filter.state)
  if (filter.feed !== undefined) void query.where('f.name', filter.feed)
  if (filter.controlId !== undefined) void query.where('d.control_id', filter.controlId)
  if (filter.receivedFrom !== undefined) {
    void query.where('d.received_at', '>=', new Date(filter.receivedFrom).toISOString())
  }
  if (filter.receivedTo !== undefined)
    void query.where('d.received_at', '<=', new Date(filter.receivedTo).toISOString())
  if (filter.afterId !== undefined) void query.where('d.id', '>', filter.afterId)
  return query
}

/** Dead letters grouped by cause and feed, the most frequent first. */
export async function deadLettersByCause(
  db: Database,
  filter: DeadLetterFilter = {},
): Promise<readonly DeadLetterCause[]> {
  const query = filtered(filter)
    .select({ code: 'd.code', stage: 'd.stage', feed: 'f.name', state: 'd.state' })
    .select(
      queries.raw('count(*) as count'),
      queries.raw('epoch_ms(min(d.received_at)) as oldest'),
      queries.raw('epoch_ms(max(d.received_at)) as newest'),
    )
    .groupBy('d.code', 'd.stage', 'f.name', 'd.state')
    .orderBy([{ column: 'count', order: 'desc' }, 'code', 'feed'])
  return run(db, query)
}

/** Dead letters by id, ascending; no text that may quote a message. */
export async function listDeadLetters(
  db: Database,
  filter: DeadLetterFilter = {},
): Promise<readonly DeadLetterSummary[]> {
  const query = filtered(filter)
    .select(summaryColumns)
    .select(queries.raw('epoch_ms(d.received_at) as "receivedAt"'))
    .orderBy('d.id')
    .limit(filter.limit ?? 100)
  return run(db, query)
}

/** One dead letter with everything kept of it; undefined where there is none. */
export async function showDeadLetter(db: Database, id: number): Promise<DeadLetterDetail | undefined> {
  const query = filtered({ id })
    .select({ ...summaryColumns, detail: 'd.detail', payload: 'd.payload' })
    .select(
      queries.raw('epoch_ms(d.received_at) as "receivedAt"'),
      queries.raw(`encode(d.message_id, 'hex') as "messageId"`),
    )
  const [letter] = await run<DeadLetterDetail>(db, query)
  return letter
}

async function run<R>(db: Database, query: ReturnType<typeof filtered>): Promise<readonly R[]> {
  const { sql, bindings } = query.toSQL().toNative()
  return db.transaction((tx) => tx.query<R>(sql, bindings as readonly Value[]))
}

/** A message to be sent through the pipeline again, with the dead letters it left. */
export interface Redrivable {
  readonly deadLetterIds: readonly number[]
  readonly message: RawMessage
}

/**
 * Messages whose dead letters match and whose bytes are archived, in ledger order, read a page at a time; purpose is
 * `redrive`, lane `bulk`. Open letters unless the filter names another state.
 */
export async function* redrivable(db: Database, filter: DeadLetterFilter = {}): AsyncIterable<Redrivable> {
  const pageMax = 20
  let after: { readonly feed_id: number; readonly epoch: number; readonly seq: number } | undefined
  for (;;) {
    const query = filtered({ state: 'open', ...filter })
      .join('raw_message as m', (join) =>
        join
          .on('m.feed_id', 'd.feed_id')
          .on('m.epoch', 'd.epoch')
          .on('m.seq', 'd.seq')
          .on('m.received_at', 'd.received_at'),
      )
      .join('hospital as h', 'h.id', 'f.hospital_id')
      .select('m.feed_id', 'm.epoch', 'm.seq', 'm.connector', 'm.compression', 'm.content')
      .select({
        feed: 'f.name',
        environment: 'f.environment',
        hospital: 'h.code',
        controlId: 'm.control_id',
        sourceName: 'm.source_name',
        sourceIndex: 'm.source_index',
        keyId: 'm.key_id',
        contentRef: 'm.content_ref',
        contentSize: 'm.content_size',
      })
      .select(
        queries.raw(`encode(m.message_id, 'hex') as "messageId"`),
        queries.raw('epoch_ms(m.received_at) as "receivedAt"'),
        queries.raw("array_to_string(array_agg(d.id order by d.id), ',') as ids"),
      )
      .groupBy('m.feed_id', 'm.epoch', 'm.seq', 'm.month', 'f.id', 'h.id')
      .orderBy(['m.feed_id', 'm.epoch', 'm.seq'])
      .limit(filter.limit ?? pageMax)
    if (after !== undefined) {
      void query.whereRaw('(m.feed_id, m.epoch, m.seq) > (?, ?, ?)', [after.feed_id, after.epoch, after.seq])
    }
    type Row = Omit<RawMessage, 'kind' | 'lane' | 'purpose'> & { readonly feed_id: number; readonly ids: string }
    const rows = await run<Row>(db, query as ReturnType<typeof filtered>)
    for (const { ids, ...row } of rows) {
      const { feed_id, ...message } = row
      after = { feed_id, epoch: row.epoch, seq: row.seq }
      yield {
        deadLetterIds: ids.split(',').map(Number),
        message: { ...message, kind: 'message', lane: 'bulk', purpose: 'redrive' },
      }
    }
    if (filter.limit !== undefined || rows.length < pageMax) return
  }
}

const idTypes = { id: 'int8' } as const satisfies Record<string, ColumnType>

/** The letters have been sent again: they are resolved when their events are stored, and open again when not. */
export async function markRedriven(db: Database, ids: readonly number[]): Promise<void> {
  const set = new ColumnSet(idTypes, ids.length)
  for (const id of ids) set.push([id])
  const sql = `UPDATE dead_letter d SET state = 'redriven', changed_at = now()
FROM ${unnest(idTypes, 'i')} WHERE d.id = i.id AND d.state = 'open'`
  await db.transaction((tx) => tx.execute(sql, set.finish()))
}
