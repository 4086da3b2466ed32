import type { SinkEvent } from './sink-event.js'
import { ColumnSet } from './array-column.js'
import type { Draft } from './ledger-batch.js'
import { monthFromText } from './months.js'
import { columnsOf, type Candidate, type RegisterStatements } from './registers.js'
import { mergePanels, type Panels, type ResolvedReport } from './report-rows.js'
import * as shapes from './report-statements.js'
import type { ReportStatements } from './report-statements.js'
import type { Transaction } from './transaction.js'
import { versionValues } from './versions.js'
import { unnest } from './array-column.js'
import * as patients from './write-patients.js'
import { distinctObservations, imagingValues, observationValues, type ReportItem } from './write-reports.js'

/** Locks a report by its natural key and patient; heals are rare and go one by one. */
const lockOneSql = `SELECT r.id, r.month::text AS month, r.panels FROM report r
JOIN patient p ON p.id = r.patient_id AND p.hospital_id = r.hospital_id AND p.authority = $5 AND p.patient_no = $6
WHERE r.hospital_id = $1 AND r.source_system_id = $2 AND r.report_no = $3 AND r.scope = $4
FOR UPDATE OF r`

const healImagingSql = `UPDATE imaging_report g SET unified_item_id = i.unified_item_id, modality_code = i.modality_code,
  detail = i.detail::jsonb FROM ${unnest(shapes.imagingTypes, 'i')} WHERE g.report_id = i.report_id`
const healPanelsSql = `UPDATE report r SET panels = $2::text::jsonb WHERE r.id = $1::int8`

/**
 * A new derivation of a message replaces what an older one made of the same source version; nothing else. Rows that a
 * newer message owns, and rows that are not there, are left alone. Resolves with the number of rows healed.
 */
export async function healReports(
  tx: Transaction,
  statements: ReportStatements,
  { event, domain }: SinkEvent,
  resolved: ResolvedReport,
): Promise<number> {
  if (domain !== 'lab-report' && domain !== 'imaging-report') return 0
  const [row] = await tx.query<{ id: number; month: string; panels: Panels | null }>(lockOneSql, [
    resolved.hospitalId,
    resolved.sourceSystemId,
    event.reportNumber,
    event.recycleScope,
    event.patient.authority,
    event.patient.id,
  ])
  if (row === undefined) return 0
  const draft = { id: 0 } as Draft
  const item: ReportItem = {
    report: event,
    kind: domain === 'lab-report' ? event.kind : 'imaging',
    snapshot: false,
    resolved,
    patientId: 0,
    draft,
  }
  const panels = mergePanels(row.panels, resolved.panels)
  const panelsText = panels === null ? null : JSON.stringify(panels)
  const report = new ColumnSet(shapes.healReportTypes, 1)
  const flags = event.flags.length === 0 ? null : event.flags.join(',')
  report.push([row.id, ...versionValues(resolved.version), flags, panelsText])
  const healed = await tx.query(statements.healReports, report.finish())
  if (healed.length > 0 && resolved.imagingDetail !== null) {
    const imaging = new ColumnSet(shapes.imagingTypes, 1)
    imaging.push(imagingValues(row.id, item))
    await tx.execute(healImagingSql, imaging.finish())
  }
  // The newest header may be another message's; a panel is still healed on its own.
  if (healed.length === 0 && panelsText !== null) await tx.execute(healPanelsSql, [row.id, panelsText])
  const { newest } = distinctObservations(resolved.observations)
  if (newest.length === 0) return healed.length
  const place = { id: row.id, month: monthFromText(row.month), item }
  const observations = new ColumnSet(shapes.observationTypes, newest.length)
  for (const observation of newest) observations.push(observationValues(place, observation))
  return healed.length + (await tx.execute(statements.healObservations, observations.finish()))
}

interface HealedItem {
  readonly event: SinkEvent
  readonly hospitalId: number
  readonly sourceSystemId: number | null
  readonly unifiedItemId: number | null
}

/** The same for what ADT and orders state, and for the patient any event carries. */
export async function healRegisters(
  tx: Transaction,
  { event: { event, domain }, hospitalId, sourceSystemId, unifiedItemId }: HealedItem,
  statements: { readonly patients: RegisterStatements; readonly orders: RegisterStatements },
): Promise<number> {
  const patient: Candidate =
    domain === 'patient' ? patients.statedPatient(event, hospitalId, null) : patients.carriedPatient(event, hospitalId)
  const rows = await tx.execute(statements.patients.heal, columnsOf(patients.patientSpec, [patient]))
  if (domain !== 'order' || sourceSystemId === null) return rows
  const order = patients.orderOf(event, { hospitalId, sourceSystemId, unifiedItemId }, 0, null)
  return rows + (await tx.execute(statements.orders.heal, columnsOf(patients.orderSpec, [order])))
}
