import type { Clock } from '../core/clock.js'
import { systemClock } from '../core/clock.js'
import type { RawMessage } from '../schemas/types.js'
import { ColumnSet, unnest, type ColumnType } from './array-column.js'
import type { Database, Transaction } from './database.js'
import { Dictionaries } from './dictionaries.js'
import { monthDays, monthOf } from './months.js'
import { PartitionKeeper } from './partitions.js'

const messageTypes = {
  seq: 'int8',
  received_at: 'timestamptz',
  content_size: 'int8',
  feed_id: 'int4',
  epoch: 'int4',
  month: 'date',
  source_index: 'int4',
  message_id: 'bytea',
  control_id: 'text',
  connector: 'text',
  lane: 'text',
  source_name: 'text',
  key_id: 'text',
  compression: 'text',
  content_ref: 'text',
  content: 'bytea',
} as const satisfies Record<string, ColumnType>
const messageNames = Object.keys(messageTypes).join(', ')

/** Sorted by key, so that two archivers never wait for each other in a circle. */
export const insertMessagesSql = `INSERT INTO raw_message (${messageNames})
SELECT ${messageNames} FROM ${unnest(messageTypes, 'i')} ON CONFLICT DO NOTHING`

const watermarkTypes = {
  seq: 'int8',
  stated_at: 'timestamptz',
  feed_id: 'int4',
  epoch: 'int4',
} as const satisfies Record<string, ColumnType>
export const raiseWatermarksSql = `INSERT INTO feed_watermark AS w (seq, stated_at, feed_id, epoch)
SELECT seq, stated_at, feed_id, epoch FROM ${unnest(watermarkTypes, 'i')}
ON CONFLICT (feed_id, epoch) DO UPDATE SET seq = excluded.seq, stated_at = excluded.stated_at WHERE excluded.seq > w.seq`

const statementBytesMax = 8 * 1024 * 1024

/** Keeps the bytes of every message as they stood in `raw`, and the watermarks between them. */
export interface Archive {
  /** Any repetition leaves the same rows. @throws RetryableError */
  write(records: readonly RawMessage[]): Promise<void>
}

export function openArchive(db: Database, clock: Clock = systemClock): Archive {
  const dictionaries = new Dictionaries(db)
  const partitions = new PartitionKeeper(db, () => clock.now())
  const idsOf = async (records: readonly RawMessage[]): Promise<readonly number[]> => {
    for (;;) {
      const ids = records.map(({ hospital, feed, environment }) => {
        const hospitalId = dictionaries.hospital(hospital)
        return hospitalId === undefined ? undefined : dictionaries.feed(feed, hospitalId, environment)
      })
      if (ids.every((id) => id !== undefined)) return ids
      await dictionaries.resolve()
    }
  }
  return {
    async write(records) {
      const feedIds = await idsOf(records)
      const placed = records
        .map((record, index) => ({ record: cleaned(record), feedId: feedIds[index]! }))
        .sort(byPlace)
      const messages = placed.filter(({ record }) => record.kind === 'message')
      const watermarks = placed.filter(({ record }) => record.kind === 'watermark')
      await partitions.ensure(
        messages.map(({ record }) => monthOf(record.receivedAt)),
        ['raw_message'],
      )
      await db.transaction(async (tx) => {
        for (const part of cutByBytes(messages)) await insertMessages(tx, part)
        await raiseWatermarks(tx, watermarks)
      })
    },
  }
}

interface Placed {
  readonly record: RawMessage
  readonly feedId: number
}

const byPlace = (a: Placed, b: Placed): number =>
  a.feedId - b.feedId || a.record.epoch - b.record.epoch || a.record.seq - b.record.seq

/** Names a sender gave may hold NUL, which text cannot; the bytes beside them are untouched. */
function cleaned(record: RawMessage): RawMessage {
  const clean = (text: string | null): string | null => text?.replaceAll('\0', '\u2400') ?? null
  return { ...record, controlId: clean(record.controlId), sourceName: clean(record.sourceName) }
}

function* cutByBytes(messages: readonly Placed[]): Iterable<readonly Placed[]> {
  let part: Placed[] = []
  let bytes = 0
  for (const message of messages) {
    part.push(message)
    bytes += message.record.content?.length ?? 0
    if (bytes < statementBytesMax) continue
    yield part
    part = []
    bytes = 0
  }
  if (part.length > 0) yield part
}

async function insertMessages(tx: Transaction, messages: readonly Placed[]): Promise<void> {
  const set = new ColumnSet(messageTypes, messages.length)
  for (const { record, feedId } of messages) {
    set.push([
      record.seq,
      record.receivedAt,
      record.contentSize,
      feedId,
      record.epoch,
      monthDays(monthOf(record.receivedAt)),
      record.sourceIndex,
      Buffer.from(record.messageId, 'hex'),
      record.controlId,
      record.connector,
      record.lane,
      record.sourceName,
      record.keyId,
      record.compression,
      record.contentRef,
      record.content,
    ])
  }
  await tx.execute(insertMessagesSql, set.finish())
}

async function raiseWatermarks(tx: Transaction, watermarks: readonly Placed[]): Promise<void> {
  const highest = new Map(watermarks.map((mark) => [`${mark.feedId} ${mark.record.epoch}`, mark]))
  if (highest.size === 0) return
  const set = new ColumnSet(watermarkTypes, highest.size)
  for (const { record, feedId } of highest.values()) set.push([record.seq, record.receivedAt, feedId, record.epoch])
  await tx.execute(raiseWatermarksSql, set.finish())
}
