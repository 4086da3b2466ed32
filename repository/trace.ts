import type { Database, Transaction } from './database.js'

/** One message with everything it came to. */
export interface TracedMessage {
  readonly hospital: string
  readonly feed: string
  readonly epoch: number
  readonly seq: number
  readonly controlId: string | null
  readonly messageId: string | null
  /** ms since 1970-01-01T00:00:00Z */
  readonly receivedAt: number | null
  readonly connector: string | null
  readonly lane: string | null
  readonly sourceName: string | null
  readonly contentSize: number | null
  readonly events: readonly TracedEvent[]
  readonly deadLetterIds: readonly number[]
}

export interface TracedEvent {
  readonly eventIndex: number
  readonly eventCount: number
  readonly disposition: string
  readonly reason: string | null
  readonly stage: string | null
  readonly rows: number
  readonly derivation: number
  /** Reference of the row the event is about, `report:123`; null where there is none. */
  readonly target: string | null
}

export interface TracedRow {
  /** `report:123`, `observation:123/<panel>/<code>/<sub id>/<occurrence>`, `patient:5`, `encounter:7`, `order:9` */
  readonly reference: string
  /** The row that stands, or a version that does not. */
  readonly isCurrent: boolean
  /** `feed/epoch/seq.event`, the event that owns the row; null where none does. */
  readonly owner: string | null
  readonly version: string
  /** Masked unless asked otherwise: no value, no name, numbers cut. */
  readonly facts: Readonly<Record<string, unknown>>
}

export interface Trace {
  readonly messages: readonly TracedMessage[]
  readonly rows: readonly TracedRow[]
}

export interface TraceOptions {
  /** Show patient data as stored. */
  readonly reveal?: boolean
  /** Messages and rows of each kind at most (default 200). */
  readonly limit?: number
}

interface Place {
  readonly feed_id: number
  readonly epoch: number
  readonly seq: number
}

type Target = readonly [table: string, id: number]

const references = /^(report|observation|patient|encounter|order|medical_order):(\d{1,15})(?:\/.*)?$/

/**
 * Every hop of a message, from its bytes to the rows that stand and those that stood: by control id, report number or
 * row reference. Empty where nothing is found.
 */
export async function trace(db: Database, text: string, options: TraceOptions = {}): Promise<Trace> {
  const limit = options.limit ?? 200
  return db.transaction(async (tx) => {
    const reference = references.exec(text)
    const targets: Target[] = reference === null ? [] : [[tableOf(reference[1]!), Number(reference[2])]]
    const places = new Map<string, Place>()
    const addPlaces = (found: readonly Place[]): void => {
      for (const place of found) places.set(`${place.feed_id} ${place.epoch} ${place.seq}`, place)
    }
    if (reference === null) {
      const ids = await tx.query<{ id: number }>(
        'SELECT id FROM report WHERE left(report_no, 200) = left($1, 200) AND report_no = $1 ORDER BY id LIMIT $2',
        [text, limit],
      )
      targets.push(...ids.map(({ id }): Target => ['report', id]))
      addPlaces(
        await tx.query<Place>(
          `SELECT feed_id, epoch, seq FROM raw_message WHERE left(control_id, 200) = left($1, 200) AND control_id = $1
           ORDER BY received_at LIMIT $2`,
          [text, limit],
        ),
      )
    }
    for (const [table, id] of targets) {
      addPlaces(
        await tx.query<Place>(
          `SELECT DISTINCT feed_id, epoch, seq FROM receipt WHERE target_id = $1 AND target = $2
           ORDER BY feed_id, epoch, seq LIMIT $3`,
          [id, table, limit],
        ),
      )
    }
    const messages: TracedMessage[] = []
    for (const place of places.values()) messages.push(await readMessage(tx, place))
    const known = new Map(targets.map((target) => [target.join(':'), target]))
    for (const { events } of messages) {
      for (const { target } of events) {
        const [table, id] = target?.split(':') ?? []
        if (table !== undefined && id !== undefined) known.set(`${table}:${id}`, [table, Number(id)])
      }
    }
    const rows: TracedRow[] = []
    for (const [table, id] of known.values()) rows.push(...(await readRows(tx, table, id, limit)))
    const only = reference?.[1] === 'observation' && text.includes('/') ? text : undefined
    const kept =
      only === undefined
        ? rows
        : rows.filter((row) => !row.reference.startsWith('observation:') || row.reference === only)
    return { messages, rows: options.reveal === true ? kept : kept.map(masked) }
  })
}

const tableOf = (name: string): string =>
  name === 'observation' ? 'report' : name === 'order' ? 'medical_order' : name

async function readMessage(tx: Transaction, { feed_id, epoch, seq }: Place): Promise<TracedMessage> {
  const key = [feed_id, epoch, seq]
  type Header = Pick<TracedMessage, 'hospital' | 'feed'>
  const [header] = await tx.query<Header>(
    'SELECT h.code AS hospital, f.name AS feed FROM feed f JOIN hospital h ON h.id = f.hospital_id WHERE f.id = $1',
    [feed_id],
  )
  type Archived = Omit<TracedMessage, 'hospital' | 'feed' | 'events' | 'deadLetterIds'>
  const [archived] = await tx.query<Archived>(
    `SELECT control_id AS "controlId", encode(message_id, 'hex') AS "messageId", epoch_ms(received_at) AS "receivedAt",
       connector, lane, source_name AS "sourceName", content_size AS "contentSize"
     FROM raw_message WHERE feed_id = $1 AND epoch = $2 AND seq = $3`,
    key,
  )
  const events = await tx.query<TracedEvent>(
    `SELECT event_index AS "eventIndex", event_count AS "eventCount", disposition, reason, stage, rows, derivation,
       target || ':' || target_id AS target
     FROM receipt WHERE feed_id = $1 AND epoch = $2 AND seq = $3 ORDER BY event_index`,
    key,
  )
  const letters = await tx.query<{ id: number }>(
    'SELECT id FROM dead_letter WHERE feed_id = $1 AND epoch = $2 AND seq = $3 ORDER BY id',
    key,
  )
  const missing = { controlId: null, messageId: null, receivedAt: null, connector: null, lane: null, sourceName: null }
  const stored = archived ?? { ...missing, contentSize: null }
  return { ...header!, epoch, seq, ...stored, events, deadLetterIds: letters.map(({ id }) => id) }
}

const version = (alias: string, first = 'finality'): string =>
  `concat_ws('/', ${alias}.${first}, ${alias}.recorded_at AT TIME ZONE 'UTC', ${alias}.message_time AT TIME ZONE 'UTC',
    ${alias}.status_rank, ${alias}.content_hash, ${alias}.derivation)`

const ownerOf = (alias: string): string => `(SELECT concat(f.name, '/', o.epoch, '/', o.seq, '.', o.event_index)
  FROM receipt o JOIN feed f ON f.id = o.feed_id WHERE o.target_id = x.target_id AND o.id = ${alias}.owner LIMIT 1)`

const observationRows = (table: string, isCurrent: boolean): string => `
SELECT 'observation:' || concat_ws('/', t.report_id, p.key, c.code, t.sub_id, t.occurrence) AS reference, ${isCurrent} AS "isCurrent",
  ${ownerOf('t')} AS owner, ${version('t')} AS version,
  to_jsonb(t) || jsonb_build_object('code', c.code, 'text', f.text, 'unit', f.unit, 'range', f.range, 'item', u.item_id) AS facts
FROM (SELECT $1::int8 AS target_id) x JOIN ${table} t ON t.report_id = x.target_id
JOIN panel p ON p.id = t.panel_id JOIN local_code c ON c.id = t.local_code_id JOIN result_form f ON f.id = t.result_form_id
LEFT JOIN unified_item u ON u.id = t.unified_item_id`

const reportRows = `
SELECT 'report:' || t.id AS reference, true AS "isCurrent", ${ownerOf('t')} AS owner, ${version('t')} AS version,
  to_jsonb(t) || jsonb_build_object('detail', g.detail) AS facts
FROM (SELECT $1::int8 AS target_id) x JOIN report t ON t.id = x.target_id LEFT JOIN imaging_report g ON g.report_id = t.id
UNION ALL
SELECT 'report:' || t.report_id, false, ${ownerOf('t')}, ${version('t')}, to_jsonb(t)
FROM (SELECT $1::int8 AS target_id) x JOIN report_history t ON t.report_id = x.target_id`

const plainRows = (table: string, name: string): string => `
SELECT '${name}:' || t.id AS reference, true AS "isCurrent", ${ownerOf('t')} AS owner,
  ${version('t', table === 'patient' ? 'source_class' : 'finality')} AS version, to_jsonb(t) AS facts
FROM (SELECT $1::int8 AS target_id) x JOIN ${table} t ON t.id = x.target_id`

const rowsSql: Readonly<Record<string, string>> = {
  report: [reportRows, observationRows('observation', true), observationRows('observation_history', false)].join(
    ' UNION ALL ',
  ),
  patient: plainRows('patient', 'patient'),
  encounter: plainRows('encounter', 'encounter'),
  medical_order: plainRows('medical_order', 'order'),
}

async function readRows(tx: Transaction, table: string, id: number, limit: number): Promise<readonly TracedRow[]> {
  const sql = rowsSql[table]
  if (sql === undefined) return []
  return tx.query<TracedRow>(`SELECT * FROM (${sql}) y ORDER BY reference, "isCurrent" DESC, version LIMIT $2`, [
    id,
    limit,
  ])
}

/** What tells who did what to a row without telling about the patient. */
const shown = new Set([
  ...['status', 'standing', 'kind', 'month', 'code', 'unit', 'item', 'scope', 'report_no', 'occurrence', 'sub_id'],
  ...['recorded_at', 'message_time', 'derivation', 'flags', 'source_class', 'control', 'order_number'],
])

function masked(row: TracedRow): TracedRow {
  const facts = Object.entries(row.facts).map(([name, value]): [string, unknown] => [
    name,
    value === null || shown.has(name) ? value : '•••',
  ])
  return { ...row, facts: Object.fromEntries(facts) }
}
