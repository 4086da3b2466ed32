import { unnest, unnestOrdered, type ColumnType } from './array-column.js'
import { sameSource, versionSelection, versionTypes, type Guard } from './versions.js'

/** What a report's header states; replaced as a whole by a newer version. `flags` is bound as comma-separated text. */
export const headerTypes = {
  status: 'text',
  placer_order_number: 'text',
  visit_number: 'text',
  patient_class: 'text',
  department: 'text',
  ordering_institution: 'text',
  collecting_institution: 'text',
  performing_institution: 'text',
  reporting_institution: 'text',
  ordering_physician: 'text',
  reporter: 'text',
  verifier: 'text',
  flags: 'text',
} as const satisfies Record<string, ColumnType>

export const reportKeyTypes = {
  hospital_id: 'int4',
  source_system_id: 'int4',
  report_no: 'text',
  scope: 'text',
} as const satisfies Record<string, ColumnType>

/** What every event of a report raises or lowers, whether its header wins or not. `panels` is bound as JSON text. */
export const commutativeTypes = {
  first_recorded_at: 'timestamptz',
  first_message_time: 'timestamptz',
  snapshot_recorded_at: 'timestamptz',
  snapshot_message_time: 'timestamptz',
  allow_move: 'bool',
  panels: 'text',
} as const satisfies Record<string, ColumnType>

export const freshReportTypes = {
  id: 'int8',
  owner: 'int8',
  patient_id: 'int8',
  month: 'date',
  kind: 'text',
  standing: 'text',
  ...reportKeyTypes,
  ...versionTypes,
  ...commutativeTypes,
  ...headerTypes,
} as const satisfies Record<string, ColumnType>

export const standingReportTypes = {
  id: 'int8',
  owner: 'int8',
  ...versionTypes,
  ...headerTypes,
} as const satisfies Record<string, ColumnType>

export const imagingTypes = {
  report_id: 'int8',
  examined_at: 'timestamptz',
  unified_item_id: 'int4',
  modality_code: 'text',
  accession_number: 'text',
  study_instance_uid: 'text',
  detail: 'text',
} as const satisfies Record<string, ColumnType>

export const documentTypes = {
  report_id: 'int8',
  size: 'int8',
  ordinal: 'int2',
  repetition: 'int2',
  sha256: 'bytea',
  segment: 'text',
  field: 'text',
  media_type: 'text',
  encoding: 'text',
  title: 'text',
  flags: 'text',
} as const satisfies Record<string, ColumnType>

export const historyReportTypes = {
  report_id: 'int8',
  owner: 'int8',
  ...versionTypes,
  ...headerTypes,
  detail: 'text',
} as const satisfies Record<string, ColumnType>

export const observationKeyTypes = {
  report_id: 'int8',
  panel_id: 'int4',
  local_code_id: 'int4',
  sub_id: 'text',
  occurrence: 'int2',
  month: 'date',
} as const satisfies Record<string, ColumnType>

/** Differ between derivations of one source version. */
const derivedTypes = {
  result_form_id: 'int4',
  unified_item_id: 'int4',
  number: 'text',
  number_high: 'text',
  comparator: 'text',
  qualitative: 'text',
  abnormal: 'text',
  flags: 'text',
} as const satisfies Record<string, ColumnType>

export const observationTypes = {
  ...observationKeyTypes,
  owner: 'int8',
  ...versionTypes,
  ...derivedTypes,
  status: 'text',
  value: 'text',
  abnormal_flags: 'text',
  value_raw: 'text',
  value_code: 'text',
  extra: 'text',
  seen_recorded_at: 'timestamptz',
  seen_message_time: 'timestamptz',
} as const satisfies Record<string, ColumnType>

/** Index in a row of `observationTypes` at which each column stands. */
export const observationIndex = Object.fromEntries(
  Object.keys(observationTypes).map((name, index) => [name, index]),
) as Record<keyof typeof observationTypes, number>

/** How a bound column becomes the column's type. */
function bound(column: string): string {
  if (column === 'flags') return `string_to_array(i.flags, ',')`
  if (column === 'panels' || column === 'extra' || column === 'detail') return `i.${column}::jsonb`
  if (column === 'number' || column === 'number_high') return `i.${column}::numeric`
  return `i.${column}`
}

const list = (types: object): string => Object.keys(types).join(', ')
const boundList = (types: object): string => Object.keys(types).map(bound).join(', ')
const assignments = (columns: readonly string[], from: (column: string) => string): string =>
  columns.map((column) => `${column} = ${from(column)}`).join(', ')
const onKey = (types: object, a: string, b: string): string =>
  Object.keys(types)
    .map((column) => `${a}.${column} = ${b}.${column}`)
    .join(' AND ')

const reportRead = `r.id, r.owner, r.patient_id, p.authority, p.patient_no, r.standing, r.month::text AS month, ${versionSelection('r')},
  epoch_ms(r.first_recorded_at) AS first_recorded_at, epoch_ms(r.first_message_time) AS first_message_time,
  epoch_ms(r.snapshot_recorded_at) AS snapshot_recorded_at, epoch_ms(r.snapshot_message_time) AS snapshot_message_time,
  r.allow_move, r.panels`

/**
 * The reports of each key, keys in the order given. LATERAL and OFFSET leave the planner one way, by the key's index:
 * without statistics it takes `standing = 'current'` for rare and would read all of them for every batch.
 */
const reportsOfKeys = (selection: string, condition: string, fence: string): string =>
  `SELECT i.ord, ${selection} FROM ${unnestOrdered(reportKeyTypes, 'i')}
CROSS JOIN LATERAL (SELECT * FROM report r WHERE ${onKey(reportKeyTypes, 'r', 'i')} AND ${condition} ${fence}) r`

/** Locks the standing report of each key. Whoever holds it holds all reports of the key. */
const lockReports = reportsOfKeys('r.id', `r.standing = 'current'`, 'FOR UPDATE')

/** Reads what is there after the locks are held: also what others committed while we waited. */
const readReports = [`r.standing = 'current'`, `r.standing <> 'current'`]
  .map((standing) => `${reportsOfKeys(reportRead, standing, 'OFFSET 0')} LEFT JOIN patient p ON p.id = r.patient_id`)
  .join('\nUNION ALL ')

/** A key another transaction inserted first is left out: the caller then starts over. */
const insertReports = `INSERT INTO report (${list(freshReportTypes)})
SELECT ${boundList(freshReportTypes)} FROM ${unnest(freshReportTypes, 'i')} ON CONFLICT DO NOTHING`

const historyHeader = ['report_id', 'owner', ...Object.keys(versionTypes), ...Object.keys(headerTypes), 'detail'].join(
  ', ',
)
const intoReportHistory = `ON CONFLICT (report_id, finality, recorded_at, message_time, status_rank, content_hash)
DO UPDATE SET derivation = excluded.derivation, detail = excluded.detail, flags = excluded.flags
WHERE excluded.derivation > h.derivation`
const standingSelection = Object.keys({ ...versionTypes, ...headerTypes })
  .map((column) => `r.${column}`)
  .join(', ')

const intoObservationHistory = `ON CONFLICT (report_id, panel_id, local_code_id, sub_id, occurrence,
  finality, recorded_at, message_time, status_rank, content_hash, month)
DO UPDATE SET ${assignments(['derivation', ...Object.keys(derivedTypes)], (column) => `excluded.${column}`)}
WHERE excluded.derivation > h.derivation`

const seenNewer = (incoming: string): string =>
  `(${incoming}.seen_recorded_at IS NOT NULL AND (o.seen_recorded_at IS NULL OR
    (${incoming}.seen_recorded_at, ${incoming}.seen_message_time) > (o.seen_recorded_at, o.seen_message_time)))`
const seen = (column: string): string =>
  `CASE WHEN ${seenNewer('excluded')} THEN excluded.${column} ELSE o.${column} END`

const observationHistoryColumns = Object.keys(observationTypes).filter((column) => !column.startsWith('seen_'))
const observationContent = Object.keys(observationTypes).filter(
  (column) => !(column in observationKeyTypes) && !column.startsWith('seen_'),
)

/** The statements of the report sink, as they ship. Keys of one statement are distinct: the rounds see to that. */
export interface ReportStatements {
  readonly lockReports: string
  readonly readReports: string
  readonly insertReports: string
  readonly displaceReports: string
  readonly updateReports: string
  readonly insertReportHistory: string
  readonly updateCommutative: string
  readonly transferReports: string
  readonly setStanding: string
  readonly upsertImaging: string
  readonly deleteDocuments: string
  readonly insertDocuments: string
  readonly insertObservations: string
  readonly readObservations: string
  readonly displaceObservations: string
  readonly upsertObservations: string
  readonly insertObservationHistory: string
  readonly raiseSeen: string
  readonly transferObservations: string
  readonly healObservations: string
  readonly healReports: string
}

export const ownerTypes = { id: 'int8', owner: 'int8' } as const
export const standingTypes = { id: 'int8', standing: 'text' } as const
export const seenTypes = {
  ...observationKeyTypes,
  seen_recorded_at: 'timestamptz',
  seen_message_time: 'timestamptz',
} as const
export const observationOwnerTypes = { ...observationKeyTypes, owner: 'int8' } as const
export const versionedKeyTypes = { ...observationKeyTypes, ...versionTypes } as const
export const changedReportTypes = { id: 'int8', ...commutativeTypes } as const
export const healReportTypes = { id: 'int8', ...versionTypes, flags: 'text', panels: 'text' } as const

export function reportStatements(guard: Guard): ReportStatements {
  return {
    lockReports,
    readReports,
    insertReports,
    displaceReports: `INSERT INTO report_history AS h (${historyHeader})
SELECT r.id, r.owner, ${standingSelection}, g.detail
FROM ${unnest(standingReportTypes, 'i')} JOIN report r ON r.id = i.id LEFT JOIN imaging_report g ON g.report_id = r.id
WHERE ${guard('i', 'r')} AND NOT ${sameSource('i', 'r')} ${intoReportHistory}`,
    updateReports: `UPDATE report r SET ${assignments(Object.keys(standingReportTypes).slice(1), bound)}
FROM ${unnest(standingReportTypes, 'i')} WHERE r.id = i.id AND ${guard('i', 'r')} RETURNING r.id`,
    insertReportHistory: `INSERT INTO report_history AS h (${list(historyReportTypes)})
SELECT ${boundList(historyReportTypes)} FROM ${unnest(historyReportTypes, 'i')} ${intoReportHistory}`,
    updateCommutative: `UPDATE report r SET ${assignments(Object.keys(commutativeTypes), bound)}
FROM ${unnest(changedReportTypes, 'i')} WHERE r.id = i.id`,
    transferReports: `UPDATE report r SET owner = i.owner FROM ${unnest(ownerTypes, 'i')} WHERE r.id = i.id`,
    setStanding: `UPDATE report r SET standing = i.standing FROM ${unnest(standingTypes, 'i')} WHERE r.id = i.id`,
    upsertImaging: `INSERT INTO imaging_report (${list(imagingTypes)})
SELECT ${boundList(imagingTypes)} FROM ${unnest(imagingTypes, 'i')}
ON CONFLICT (report_id) DO UPDATE SET ${assignments(Object.keys(imagingTypes).slice(1), (column) => `excluded.${column}`)}`,
    deleteDocuments: `DELETE FROM report_document d USING ${unnest({ id: 'int8' }, 'i')} WHERE d.report_id = i.id`,
    insertDocuments: `INSERT INTO report_document (${list(documentTypes)})
SELECT ${boundList(documentTypes)} FROM ${unnest(documentTypes, 'i')}`,
    insertObservations: `INSERT INTO observation (${list(observationTypes)})
SELECT ${boundList(observationTypes)} FROM ${unnest(observationTypes, 'i')}`,
    readObservations: `SELECT i.ord, o.owner, ${versionSelection('o')}
FROM ${unnestOrdered(observationKeyTypes, 'i')} JOIN observation o ON ${onKey(observationKeyTypes, 'o', 'i')}`,
    displaceObservations: `INSERT INTO observation_history AS h (${observationHistoryColumns.join(', ')})
SELECT ${observationHistoryColumns.map((column) => `o.${column}`).join(', ')}
FROM ${unnest(versionedKeyTypes, 'i')} JOIN observation o ON ${onKey(observationKeyTypes, 'o', 'i')}
WHERE ${guard('i', 'o')} AND NOT ${sameSource('i', 'o')} ${intoObservationHistory}`,
    upsertObservations: `INSERT INTO observation AS o (${list(observationTypes)})
SELECT ${boundList(observationTypes)} FROM ${unnest(observationTypes, 'i')}
ON CONFLICT (${list(observationKeyTypes)}) DO UPDATE SET ${assignments(observationContent, (column) => `excluded.${column}`)},
  seen_recorded_at = ${seen('seen_recorded_at')}, seen_message_time = ${seen('seen_message_time')}
WHERE ${guard('excluded', 'o')}
RETURNING o.report_id, o.panel_id, o.local_code_id, o.sub_id, o.occurrence`,
    insertObservationHistory: `INSERT INTO observation_history AS h (${observationHistoryColumns.join(', ')})
SELECT ${observationHistoryColumns.map(bound).join(', ')} FROM ${unnest(observationTypes, 'i')} ${intoObservationHistory}`,
    raiseSeen: `UPDATE observation o SET seen_recorded_at = i.seen_recorded_at, seen_message_time = i.seen_message_time
FROM ${unnest(seenTypes, 'i')} WHERE ${onKey(observationKeyTypes, 'o', 'i')} AND ${seenNewer('i')}`,
    transferObservations: `UPDATE observation o SET owner = i.owner
FROM ${unnest(observationOwnerTypes, 'i')} WHERE ${onKey(observationKeyTypes, 'o', 'i')}`,
    healObservations: `UPDATE observation o SET ${assignments(['derivation', ...Object.keys(derivedTypes)], bound)}
FROM ${unnest(observationTypes, 'i')}
WHERE ${onKey(observationKeyTypes, 'o', 'i')} AND ${sameSource('i', 'o')} AND o.derivation < i.derivation`,
    healReports: `UPDATE report r SET derivation = i.derivation, flags = string_to_array(i.flags, ','), panels = i.panels::jsonb
FROM ${unnest(healReportTypes, 'i')}
WHERE r.id = i.id AND ${sameSource('i', 'r')} AND r.derivation < i.derivation RETURNING r.id`,
  }
}
