import { ColumnSet, unnest, type ColumnType } from './array-column.js'
import type { Draft } from './ledger-batch.js'
import type { SinkEvent } from './sink-event.js'
import type { Transaction } from './transaction.js'

/** Something a person has to look at, counted once an event. */
export interface WorkItem {
  readonly kind: string
  readonly hospitalId: number
  readonly subject: string
  readonly seenAt: number
  readonly sample: string
}

const types = {
  kind: 'text',
  hospital_id: 'int4',
  subject: 'text',
  count: 'int8',
  first_seen: 'timestamptz',
  last_seen: 'timestamptz',
  sample: 'text',
} as const satisfies Record<string, ColumnType>
const names = Object.keys(types).join(', ')

export const upsertWorkItemsSql = `INSERT INTO work_item AS w (${names})
SELECT ${names} FROM ${unnest(types, 'i')}
ON CONFLICT (kind, hospital_id, subject) DO UPDATE SET count = w.count + excluded.count,
  first_seen = LEAST(w.first_seen, excluded.first_seen), last_seen = GREATEST(w.last_seen, excluded.last_seen),
  sample = CASE WHEN excluded.first_seen < w.first_seen THEN excluded.sample ELSE w.sample END`

/** Parts of a subject are cut at this length: a key, not a document. */
const partMax = 120
const cut = (text: string): string => (text.length <= partMax ? text : `${text.slice(0, partMax)}…`)

/**
 * What normalising and writing noticed about one event: its flags by feed, the flags of its results by local code
 * (`source system|coding system|code`, with the unit where the unit is at fault).
 */
export function workItemsOf(
  sinkEvent: SinkEvent,
  hospitalId: number,
  draft: Draft,
  isTie: boolean,
): readonly WorkItem[] {
  const { envelope, flags } = sinkEvent.event
  const found = new Map<string, WorkItem>()
  const sample = `${envelope.feed}/${envelope.epoch}/${envelope.seq}`
  const add = (kind: string, subject: string): void => {
    found.set(`${kind}\x1f${subject}`, { kind: cut(kind), hospitalId, subject, seenAt: envelope.receivedAt, sample })
  }
  for (const flag of flags) add(flag, envelope.feed)
  if (isTie) add('version-tie', envelope.feed)
  if (draft.ending?.reason === 'report-key-conflict') add('report-key-conflict', envelope.feed)
  if (sinkEvent.domain === 'lab-report') {
    for (const { unified, code, system, unit } of sinkEvent.event.observations) {
      if (unified === null) continue
      for (const flag of unified.flags) {
        const item = `${cut(sinkEvent.event.sourceSystem)}|${cut(system ?? '')}|${cut(code)}`
        add(flag, flag.endsWith('-unit') ? `${item}|${cut(unit ?? '')}` : item)
      }
    }
  }
  return [...found.values()]
}

/** Adds the items to their counts; keys sorted, for all lanes count the same popular ones. */
export async function countWorkItems(tx: Transaction, items: readonly WorkItem[]): Promise<void> {
  if (items.length === 0) return
  const byKey = new Map<string, WorkItem & { count: number; firstSeen: number; lastSeen: number }>()
  for (const item of items) {
    const key = [item.kind, item.hospitalId, item.subject].join('\x1f')
    const sum = byKey.get(key)
    if (sum === undefined) byKey.set(key, { ...item, count: 1, firstSeen: item.seenAt, lastSeen: item.seenAt })
    else {
      sum.count++
      sum.firstSeen = Math.min(sum.firstSeen, item.seenAt)
      sum.lastSeen = Math.max(sum.lastSeen, item.seenAt)
    }
  }
  const set = new ColumnSet(types, byKey.size)
  for (const key of [...byKey.keys()].sort()) {
    const { kind, hospitalId, subject, count, firstSeen, lastSeen, sample } = byKey.get(key)!
    set.push([kind, hospitalId, subject, count, firstSeen, lastSeen, sample])
  }
  await tx.execute(upsertWorkItemsSql, set.finish())
}
