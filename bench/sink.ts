// The sink on the shipped schema and indexes, with rows already there and hospitals interleaved, against COPY into the
// same tables and against the same rows upserted one by one; interleaved in one run.
// `HUTONG_DATABASE_URL=… npx vite-node bench/sink.ts [reports per cell] [rounds] [million observations before]`
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { contentHash, messageId } from '../core/ids.js'
import { openDatabase } from '../repository/database.js'
import { eventSink } from '../repository/event-sink.js'
import { migrate } from '../repository/migrate.js'
import { createPartitions } from '../repository/partitions.js'
import { monthOf } from '../repository/months.js'
import type { SinkEvent } from '../repository/sink-event.js'
import type { LabReport, Observation } from '../schemas/types.js'
import { createDatabase } from '../test/repository/databases.js'
import * as make from '../test/repository/events.js'

const url = process.env['HUTONG_DATABASE_URL']
if (url === undefined) throw new Error('this benchmark needs HUTONG_DATABASE_URL')
const reportsPerCell = Number(process.argv[2] ?? 30_000)
const rounds = Number(process.argv[3] ?? 3)
const millionsBefore = Number(process.argv[4] ?? 5)
const batchSize = Number(process.argv[5] ?? 500)
const lanes = Number(process.argv[6] ?? 2)
const codes = ['WBC', 'RBC', 'HGB', 'HCT', 'MCV', 'MCH', 'MCHC', 'PLT', 'RDW', 'MPV']
const hospitals = 200
const now = Date.parse('2026-03-10T08:00:00+08:00')
const plain = make.observation()
const whole = make.labReport()

let copied = 500_000_000
let single = 900_000_000

const created = await createDatabase(url)
const db = await openDatabase({ url: created.url, poolMax: lanes })
const client = new pg.Client({ connectionString: created.url })
await client.connect()
try {
  await migrate(db)
  await createPartitions(db, monthOf(now) - 3, monthOf(now) + 1)
  await bench()
} finally {
  await client.end()
  await db.close()
  await created.drop()
}

async function bench(): Promise<void> {
  const beforeMs = performance.now()
  await fill(millionsBefore * 1_000_000)
  say(`${millionsBefore} M observations there after ${Math.round(performance.now() - beforeMs)} ms; ${await sizes()}`)
  const sinks = Array.from({ length: lanes }, () => eventSink(db, { clock: { now: () => now } }))
  const cells: Record<string, number[]> = {
    sink: [],
    'sink, 10 % resent, 5 % corrected': [],
    copy: [],
    'row by row': [],
  }
  let seq = 0
  const take = (count: number): SinkEvent[] => Array.from({ length: count }, () => report(++seq))
  await sinks[0]!.write(take(200)) // dictionaries, plans
  for (let round = 0; round < rounds; round++) {
    for (const name of ['sink', 'sink, 10 % resent, 5 % corrected'] as const) {
      const events =
        name === 'sink' ? take(reportsPerCell) : disturbed(take(Math.round(reportsPerCell / 1.15)), () => ++seq)
      const batches: SinkEvent[][] = []
      for (let start = 0; start < events.length; start += batchSize)
        batches.push(events.slice(start, start + batchSize))
      await client.query('CHECKPOINT')
      const cpu = process.cpuUsage()
      const start = performance.now()
      await Promise.all(
        sinks.map(async (sink) => {
          for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) await sink.write(batch)
        }),
      )
      const elapsedMs = performance.now() - start
      const used = process.cpuUsage(cpu)
      cells[name]!.push((events.length / elapsedMs) * 1000)
      say(
        `  ${name}: ${Math.round((events.length / elapsedMs) * 1000)} reports/s, node ${Math.round((used.user + used.system) / 10 / elapsedMs)} % of a core`,
      )
    }
    await client.query('CHECKPOINT')
    cells['copy']!.push(await copy(reportsPerCell))
    cells['row by row']!.push(await rowByRow(Math.round(reportsPerCell / 30)))
  }
  const base = median(cells['copy']!)
  for (const [name, values] of Object.entries(cells)) {
    const shown = [Math.min(...values), median(values), Math.max(...values)].map((value) =>
      `${Math.round(value)}`.padStart(7),
    )
    say(
      `${name.padEnd(36)} reports/s min/median/max ${shown.join(' ')}   x${(median(values) / base).toFixed(2)} of COPY`,
    )
  }
  say(await sizes())
}

function report(seq: number): SinkEvent {
  const hospital = `H${String(seq % hospitals).padStart(4, '0')}`
  const envelope = make.envelope({
    hospital,
    feed: `lis-${hospital}`,
    seq,
    receivedAt: now + seq,
    messageId: messageId(hospital, Buffer.from(`${seq}`)),
  })
  const recordedAt = now - 3_600_000 + seq
  const observations = codes.map((code, index): Observation => {
    const value = `${((seq * 7 + index * 13) % 900) / 10}`
    const unified = {
      ...plain.unified!,
      itemId: `LAB-${code}`,
      number: value,
      abnormal: (seq + index) % 9 === 0 ? 'H' : 'N',
    }
    return {
      ...plain,
      code,
      text: `项目${code}`,
      value,
      unified,
      abnormalFlags: unified.abnormal,
      contentHash: (seq * 16 + index) * 1_048_573,
    }
  })
  const patientNo = `P${(seq * 7919) % 400_000}`
  const event: LabReport = {
    ...whole,
    envelope,
    reportNumber: `2026031000${seq}`,
    recordedAt,
    messageTime: recordedAt + 60_000,
    patient: make.patient({ id: patientNo, identifiers: [{ assigner: hospital, type: 'PI', value: patientNo }] }),
    panels: [make.panel({ recordedAt })],
    observations,
    contentHash: contentHash([`${seq}`]),
  }
  return make.lab(event)
}

/** The same events with copies and corrections of some of them near by. */
function disturbed(events: readonly SinkEvent[], nextSeq: () => number): SinkEvent[] {
  const all: SinkEvent[] = []
  for (const [index, sinkEvent] of events.entries()) {
    all.push(sinkEvent)
    const earlier = events[index - 700]
    if (earlier === undefined) continue
    const event = earlier.event as LabReport
    const envelope = { ...event.envelope, seq: nextSeq() }
    if (index % 10 === 0) all.push(make.lab({ ...event, envelope }))
    if (index % 20 === 5) {
      const observations = event.observations.map((one, at) =>
        at < 2 ? { ...one, status: 'C', contentHash: one.contentHash + 1 } : one,
      )
      all.push(
        make.lab({
          ...event,
          envelope,
          recordedAt: event.recordedAt + 60_000,
          panels: [make.panel({ recordedAt: event.recordedAt + 60_000 })],
          observations,
        }),
      )
    }
  }
  return all
}

/** Rows of earlier months and of this one, made by the server. */
async function fill(observations: number): Promise<void> {
  const reports = Math.round(observations / codes.length)
  await client.query(`INSERT INTO patient (recorded_at, message_time, content_hash, derivation, hospital_id, source_class,
      status_rank, authority, patient_no, name)
    SELECT now(), now(), g, 1, 1 + g % ${hospitals}, 0, 0, '', 'P' || g, '姓名' FROM generate_series(1, ${Math.max(1, Math.round(reports / 2))}) g`)
  await client.query(`INSERT INTO report (id, owner, patient_id, recorded_at, message_time, content_hash, derivation,
      first_recorded_at, first_message_time, month, hospital_id, source_system_id, finality, status_rank, allow_move,
      standing, kind, report_no, scope, status, ordering_physician, panels)
    SELECT g, g, 1 + g % 200000, t, t, g, 1, t, t, date_trunc('month', t)::date, 1 + g % ${hospitals}, 1 + g % ${hospitals}, 1, 0, false,
      'current', 'lab', '2025' || g, '', 'F', '王医生', '{"XCG": {"code": "XCG", "text": "血常规", "recordedAt": 1773100800000}}'
    FROM (SELECT g, to_timestamp(${now / 1000} - (${reports} - g) * (80 * 86400.0 / ${reports})) AS t FROM generate_series(1, ${reports}) g) x`)
  await client.query(`INSERT INTO observation (report_id, owner, recorded_at, message_time, content_hash, derivation, month,
      panel_id, local_code_id, result_form_id, unified_item_id, occurrence, finality, status_rank, sub_id, status, value,
      number, abnormal_flags, abnormal)
    SELECT id, owner, recorded_at, message_time, id * 16 + i, 1, month, hospital_id, hospital_id * 10 + i, hospital_id * 10 + i,
      i, 0, 1, 0, '', 'F', (id % 900)::text, id % 900, 'N', 'N' FROM report, generate_series(0, 9) i`)
  await client.query(
    "INSERT INTO receipt (id, seq, received_at, derivation, target_id, feed_id, epoch, month, target_month, event_index, event_count, rows, disposition, target) SELECT id, id, recorded_at, 1, id, hospital_id, 1, month, month, 0, 1, 11, 'stored', 'report' FROM report",
  )
  await client.query(`SELECT setval('report_number', 100000001), setval('receipt_number', 1)`)
  await client.query('ANALYZE')
}

/** COPY of ready-made text into the same four tables, all of it in one transaction: no reading, no guard, no ledger. */
async function copy(reports: number): Promise<number> {
  const first = copied
  copied += reports
  const time = new Date(now).toISOString()
  const of = (id: number): number => 1 + (id % hospitals)
  const tables: readonly (readonly [string, string[]])[] = [
    [
      'patient (id, recorded_at, message_time, content_hash, derivation, hospital_id, source_class, status_rank, authority, patient_no, name, name_folded)',
      [],
    ],
    [
      'report (id, owner, patient_id, recorded_at, message_time, content_hash, derivation, first_recorded_at, first_message_time, month, hospital_id, source_system_id, finality, status_rank, allow_move, standing, kind, report_no, scope, status, ordering_physician, panels)',
      [],
    ],
    [
      'observation (report_id, owner, recorded_at, message_time, content_hash, derivation, month, panel_id, local_code_id, result_form_id, unified_item_id, occurrence, finality, status_rank, sub_id, status, value, number, abnormal_flags, abnormal)',
      [],
    ],
    [
      'receipt (id, seq, received_at, derivation, target_id, feed_id, epoch, month, target_month, event_index, event_count, rows, disposition, target)',
      [],
    ],
  ]
  const [patients, reportsRows, observations, receipts] = tables.map(([, lines]) => lines) as [
    string[],
    string[],
    string[],
    string[],
  ]
  for (let id = first; id < first + reports; id++) {
    patients.push(`${id}\t${time}\t${time}\t${id}\t1\t${of(id)}\t0\t0\t\tC${id}\t测试甲\t测试甲\n`)
    reportsRows.push(
      `${id}\t${id}\t${id}\t${time}\t${time}\t${id}\t1\t${time}\t${time}\t2026-03-01\t${of(id)}\t${of(id)}\t1\t0\tf\tcurrent\tlab\tC${id}\t\tF\t王医生\t{"XCG": {"code": "XCG", "text": "血常规", "recordedAt": 1773100800000}}\n`,
    )
    for (let i = 0; i < codes.length; i++)
      observations.push(
        `${id}\t${id}\t${time}\t${time}\t${id * 16 + i}\t1\t2026-03-01\t${of(id)}\t${of(id) * 10 + i}\t${of(id) * 10 + i}\t${i}\t0\t1\t0\t\tF\t${(id + i) % 90}.5\t${(id + i) % 90}.5\tN\tN\n`,
      )
    receipts.push(`${id}\t${id}\t${time}\t1\t${id}\t${of(id)}\t1\t2026-03-01\t2026-03-01\t0\t1\t11\tstored\treport\n`)
  }
  const start = performance.now()
  await client.query('BEGIN')
  for (const [columns, lines] of tables) {
    const chunks: Buffer[] = []
    for (let at = 0; at < lines.length; at += 2000) chunks.push(Buffer.from(lines.slice(at, at + 2000).join('')))
    await pipeline(Readable.from(chunks), client.query(copyFrom(`COPY ${columns} FROM STDIN`)))
  }
  await client.query('COMMIT')
  return (reports / (performance.now() - start)) * 1000
}

/** What a naive sink does: each row its own guarded upsert, a report a transaction; prepared statements. */
async function rowByRow(reports: number): Promise<number> {
  const time = new Date(now).toISOString()
  const start = performance.now()
  for (let count = 0; count < reports; count++) {
    const id = single++
    const hospital = 1 + (id % hospitals)
    await client.query('BEGIN')
    await client.query({
      name: 'patient',
      text: `INSERT INTO patient (id, recorded_at, message_time, content_hash, derivation, hospital_id, source_class, status_rank, authority, patient_no, name)
        VALUES ($1, $2, $2, $1, 1, $3, 0, 0, '', $4, '测试甲') ON CONFLICT (hospital_id, authority, patient_no) DO UPDATE SET name = excluded.name
        WHERE excluded.recorded_at > patient.recorded_at`,
      values: [id, time, hospital, `S${id}`],
    })
    await client.query({
      name: 'report',
      text: `INSERT INTO report (id, owner, patient_id, recorded_at, message_time, content_hash, derivation, first_recorded_at, first_message_time, month, hospital_id, source_system_id, finality, status_rank, allow_move, standing, kind, report_no, scope, status, ordering_physician)
        VALUES ($1, $1, $1, $2, $2, $1, 1, $2, $2, '2026-03-01', $3, $3, 1, 0, false, 'current', 'lab', $4, '', 'F', '王医生')
        ON CONFLICT (hospital_id, source_system_id, report_no, scope) WHERE standing = 'current' DO UPDATE SET status = excluded.status
        WHERE excluded.recorded_at > report.recorded_at`,
      values: [id, time, hospital, `S${id}`],
    })
    for (let i = 0; i < codes.length; i++) {
      await client.query({
        name: 'observation',
        text: `INSERT INTO observation AS o (report_id, owner, recorded_at, message_time, content_hash, derivation, month, panel_id, local_code_id, result_form_id, unified_item_id, occurrence, finality, status_rank, sub_id, status, value, number)
          VALUES ($1, $1, $2, $2, $3, 1, '2026-03-01', $4, $5, $5, $6, 0, 1, 0, '', 'F', $7, $8)
          ON CONFLICT (report_id, panel_id, local_code_id, sub_id, occurrence, month) DO UPDATE SET value = excluded.value
          WHERE excluded.recorded_at > o.recorded_at`,
        values: [id, time, id * 16 + i, hospital, hospital * 10 + i, i, '5.5', 5.5],
      })
    }
    await client.query('COMMIT')
  }
  return (reports / (performance.now() - start)) * 1000
}

async function sizes(): Promise<string> {
  const { rows } = await client.query<{ name: string; bytes: string; rows: string }>(`SELECT name,
    sum(pg_total_relation_size(relid)) AS bytes FROM (
      SELECT relid, split_part(inhparent::regclass::text, '.', 1) AS name FROM pg_inherits JOIN pg_stat_user_tables ON relid = inhrelid
      UNION ALL SELECT relid, relname FROM pg_stat_user_tables WHERE relname IN ('report', 'patient')) x GROUP BY name`)
  const counts = await client.query<{ o: string; r: string }>(
    'SELECT (SELECT count(*) FROM observation) o, (SELECT count(*) FROM report) r',
  )
  const { o, r } = counts.rows[0]!
  const by = new Map(rows.map((row) => [row.name, Number(row.bytes)]))
  const each = (name: string, count: string): string =>
    `${name} ${Math.round((by.get(name) ?? 0) / Number(count))} B a row`
  return `${each('observation', o)} (${o}), ${each('report', r)}, ${each('receipt', r)}, with indexes`
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
