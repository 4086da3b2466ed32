import type { Database } from './database.js'

const version = (alias: string, first = 'finality'): string =>
  `'v=' || concat_ws('/', ${alias}.${first}, epoch_ms(${alias}.recorded_at), epoch_ms(${alias}.message_time),
    ${alias}.status_rank, ${alias}.content_hash, ${alias}.derivation)`

/** Columns of `alias` as JSON without those that say nothing of the facts. */
const facts = (alias: string, without: readonly string[]): string =>
  `to_jsonb(${alias}) - ARRAY[${without.map((name) => `'${name}'`).join(', ')}]`

const hiddenVersion = ['recorded_at', 'message_time', 'content_hash', 'derivation', 'finality', 'status_rank']
const hidden = ['id', 'owner', 'month', 'hospital_id', 'source_system_id', 'patient_id', 'report_id', ...hiddenVersion]
const hiddenObservation = [
  ...hidden,
  'panel_id',
  'local_code_id',
  'result_form_id',
  'unified_item_id',
  'seen_recorded_at',
]
const hiddenSeen = [...hiddenObservation, 'seen_message_time']

const patientName = `concat_ws('|', h.code, p.authority, p.patient_no)`
const carriedBy = `concat_ws('|', p.authority, p.patient_no)`
const reportName = `concat_ws('|', h.code, s.code, r.report_no, r.scope, p.authority, p.patient_no)`
const reportJoins = `JOIN hospital h ON h.id = r.hospital_id JOIN source_system s ON s.id = r.source_system_id
  LEFT JOIN patient p ON p.id = r.patient_id`
const formFacts = `to_jsonb(f) - ARRAY['id', 'local_code_id', 'unified_item_id', 'digest']`
const resultName = [reportName, 'g.key', 'c.system', 'c.code', 'o.sub_id', 'o.occurrence'].join(', ')
const resultJoins = `JOIN report r ON r.id = o.report_id ${reportJoins} JOIN panel g ON g.id = o.panel_id
  JOIN local_code c ON c.id = o.local_code_id JOIN result_form f ON f.id = o.result_form_id
  LEFT JOIN unified_item u ON u.id = o.unified_item_id`
const identifiers = `(SELECT jsonb_agg(jsonb_build_array(x.assigner, x.type, x.value) ORDER BY x.ordinal)
  FROM patient_identifier x WHERE x.patient_id = p.id)`

interface Selection {
  readonly columns: readonly string[]
  readonly from: string
}

const selections: Readonly<Record<string, Selection>> = {
  patient: {
    columns: [
      patientName,
      version('p', 'source_class'),
      facts('p', [...hidden, 'source_class', 'replaced_hash']),
      identifiers,
    ],
    from: 'patient p JOIN hospital h ON h.id = p.hospital_id',
  },
  merge: {
    columns: [
      `concat_ws('|', h.code, m.prior_authority, m.prior_no)`,
      version('m'),
      'm.survivor_authority',
      'm.survivor_no',
    ],
    from: 'patient_merge m JOIN hospital h ON h.id = m.hospital_id',
  },
  encounter: {
    columns: ['h.code', 'e.visit_number', version('e'), carriedBy, facts('e', hidden)],
    from: 'encounter e JOIN hospital h ON h.id = e.hospital_id LEFT JOIN patient p ON p.id = e.patient_id',
  },
  order: {
    columns: [
      'h.code',
      's.code',
      'e.order_number',
      version('e'),
      'u.item_id',
      carriedBy,
      facts('e', [...hidden, 'unified_item_id']),
    ],
    from: `medical_order e JOIN hospital h ON h.id = e.hospital_id JOIN source_system s ON s.id = e.source_system_id
      LEFT JOIN patient p ON p.id = e.patient_id LEFT JOIN unified_item u ON u.id = e.unified_item_id`,
  },
  report: {
    columns: [reportName, version('r'), facts('r', hidden)],
    from: `report r ${reportJoins}`,
  },
  imaging: {
    columns: [reportName, 'u.item_id', facts('i', ['report_id', 'unified_item_id'])],
    from: `imaging_report i JOIN report r ON r.id = i.report_id ${reportJoins}
      LEFT JOIN unified_item u ON u.id = i.unified_item_id`,
  },
  document: {
    columns: [reportName, facts('d', ['report_id'])],
    from: `report_document d JOIN report r ON r.id = d.report_id ${reportJoins}`,
  },
  'report-history': {
    columns: [reportName, version('o'), facts('o', hidden)],
    from: `report_history o JOIN report r ON r.id = o.report_id ${reportJoins}`,
  },
  observation: {
    columns: [
      resultName,
      version('o'),
      'epoch_ms(o.seen_recorded_at)',
      'epoch_ms(o.seen_message_time)',
      'u.item_id',
      facts('o', hiddenSeen),
      formFacts,
    ],
    from: `observation o ${resultJoins}`,
  },
  'observation-history': {
    columns: [resultName, version('o'), 'u.item_id', facts('o', hiddenObservation), formFacts],
    from: `observation_history o ${resultJoins}`,
  },
}

/**
 * Every row of facts as one line by natural keys, sorted by code unit: without surrogate ids, months, owners and places
 * in the ledger. Two repositories that hold the same facts give the same lines. For tests and small repositories: all
 * lines are held in memory. Contains patient data.
 */
export async function dumpRows(db: Database): Promise<readonly string[]> {
  const lines: string[] = []
  for (const [kind, { columns, from }] of Object.entries(selections)) {
    const sql = `SELECT jsonb_build_array(${columns.join(', ')})::text AS line FROM ${from}`
    const rows = await db.transaction(async (tx) => {
      await tx.script(`SET LOCAL TimeZone = 'UTC'`)
      return tx.query<{ line: string }>(sql)
    })
    for (const { line } of rows) lines.push(`${kind} ${line}`)
  }
  return lines.sort()
}

/** Rows of each table of facts and of the ledger. */
export async function rowCounts(db: Database): Promise<Readonly<Record<string, number>>> {
  const tables = [
    ...['patient', 'patient_merge', 'encounter', 'medical_order', 'report', 'imaging_report', 'report_document'],
    ...['observation', 'report_history', 'observation_history', 'receipt', 'raw_message', 'dead_letter', 'work_item'],
  ]
  const sql = tables.map((table) => `SELECT '${table}' AS name, count(*) AS rows FROM ${table}`).join(' UNION ALL ')
  const rows = await db.transaction((tx) => tx.query<{ name: string; rows: number }>(sql))
  return Object.fromEntries(rows.map(({ name, rows: count }) => [name, count]))
}
