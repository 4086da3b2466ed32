import { contentHash } from '../core/ids.js'
import type { Version } from '../core/version.js'
import { compareVersions } from '../core/version.js'
import type { EncounterEvent, OrderEvent, PatientEvent, PatientFacts } from '../schemas/types.js'
import { ColumnSet, unnest, unnestOrdered, type ColumnType, type ColumnValue } from './array-column.js'
import type { Draft, LedgerBatch } from './ledger-batch.js'
import {
  columnsOf,
  newestByKey,
  writeRegister,
  type Candidate,
  type RegisterSpec,
  type RegisterStatements,
} from './registers.js'
import type { Transaction } from './transaction.js'
import { versionOfRow, versionSelection, type VersionRow } from './versions.js'

/** A patient number of one hospital. */
export interface PatientKey {
  readonly hospitalId: number
  readonly authority: string
  readonly id: string
}

export const patientName = (key: PatientKey): string => [key.hospitalId, key.authority, key.id].join('\x1f')

const patientKeyTypes = { hospital_id: 'int4', authority: 'text', patient_no: 'text' } as const satisfies Record<
  string,
  ColumnType
>

export const patientSpec: RegisterSpec = {
  table: 'patient',
  target: 'patient',
  targetColumn: 'id',
  key: patientKeyTypes,
  content: {
    name: 'text',
    sex: 'text',
    birth_date: 'text',
    phone: 'text',
    address: 'text',
    sex_code: 'text',
    birth_date_iso: 'text',
    id_number: 'text',
    name_folded: 'text',
    flags: 'text',
  },
  finality: 'source_class',
  remembersReplaced: true,
  derived: ['sex_code', 'birth_date_iso', 'id_number', 'name_folded', 'flags'],
}

export const mergeSpec: RegisterSpec = {
  table: 'patient_merge',
  target: null,
  targetColumn: 'survivor_id',
  key: { hospital_id: 'int4', prior_authority: 'text', prior_no: 'text' },
  content: { survivor_id: 'int8', survivor_authority: 'text', survivor_no: 'text' },
  finality: 'finality',
  derived: [],
}

export const encounterSpec: RegisterSpec = {
  table: 'encounter',
  target: 'encounter',
  targetColumn: 'id',
  key: { hospital_id: 'int4', visit_number: 'text' },
  content: {
    patient_id: 'int8',
    admitted_at: 'timestamptz',
    discharged_at: 'timestamptz',
    status: 'text',
    patient_class: 'text',
    department: 'text',
    ward: 'text',
    bed: 'text',
    attending_physician: 'text',
    diagnosis_code: 'text',
    diagnosis_text: 'text',
    flags: 'text',
  },
  finality: 'finality',
  derived: ['flags'],
}

export const orderSpec: RegisterSpec = {
  table: 'medical_order',
  target: 'medical_order',
  targetColumn: 'id',
  key: { hospital_id: 'int4', source_system_id: 'int4', order_number: 'text' },
  content: {
    patient_id: 'int8',
    ordered_at: 'timestamptz',
    unified_item_id: 'int4',
    kind: 'text',
    control: 'text',
    status: 'text',
    filler_order_number: 'text',
    group_number: 'text',
    visit_number: 'text',
    patient_class: 'text',
    department: 'text',
    item_code: 'text',
    item_text: 'text',
    item_system: 'text',
    priority: 'text',
    ordering_physician: 'text',
    ordering_department: 'text',
    specimen_code: 'text',
    clinical_information: 'text',
    flags: 'text',
  },
  finality: 'finality',
  derived: ['unified_item_id', 'flags'],
}

interface PatientCandidate extends Candidate {
  readonly facts: PatientFacts
}

const flagText = (flags: readonly string[]): string | null => (flags.length === 0 ? null : flags.join(','))

function patientContent(facts: PatientFacts): ColumnValue[] {
  return [
    facts.name,
    facts.sex,
    facts.birthDate,
    facts.phone,
    facts.address,
    facts.sexCode,
    facts.birthDateIso,
    facts.idNumber,
    facts.nameFolded,
    flagText(facts.flags),
  ]
}

/** What ADT states of a patient outranks whatever results carry, however late those are. */
export function statedPatient(event: PatientEvent, hospitalId: number, draft: Draft | null): PatientCandidate {
  const { patient: facts } = event
  const version: Version = {
    finality: 1,
    recordedAt: event.recordedAt,
    messageTime: event.messageTime,
    statusRank: 0,
    contentHash: event.contentHash,
    derivation: event.envelope.derivation,
  }
  return { key: [hospitalId, facts.authority, facts.id], version, content: patientContent(facts), draft, facts }
}

/** What a result, an order or a visit carries of its patient: by the time of the message. */
export function carriedPatient(
  event: {
    readonly patient: PatientFacts
    readonly messageTime: number
    readonly envelope: { readonly derivation: number }
  },
  hospitalId: number,
): PatientCandidate {
  const { patient: facts } = event
  const version: Version = {
    finality: 0,
    recordedAt: event.messageTime,
    messageTime: event.messageTime,
    statusRank: 0,
    contentHash: factsHash(facts),
    derivation: event.envelope.derivation,
  }
  return { key: [hospitalId, facts.authority, facts.id], version, content: patientContent(facts), draft: null, facts }
}

function factsHash(facts: PatientFacts): number {
  const parts = [facts.name, facts.sex, facts.birthDate, facts.phone, facts.address].map((text) => text ?? '\x1e')
  for (const { assigner, type, value } of facts.identifiers) parts.push(assigner ?? '\x1e', type ?? '\x1e', value)
  return contentHash([parts.join('\x1f')])
}

export function mergeOf(event: PatientEvent, hospitalId: number, survivorId: number, draft: Draft): Candidate {
  const version: Version = {
    finality: 1,
    recordedAt: event.recordedAt,
    messageTime: event.messageTime,
    statusRank: 0,
    contentHash: event.contentHash,
    derivation: event.envelope.derivation,
  }
  const key = [hospitalId, event.priorAuthority ?? '', event.priorId ?? '']
  return { key, version, content: [survivorId, event.patient.authority, event.patient.id], draft }
}

const encounterRanks: Readonly<Record<string, number>> = { discharged: 1, cancelled: 2, 'discharge-cancelled': 2 }

export function encounterOf(
  event: EncounterEvent,
  hospitalId: number,
  patientId: number,
  draft: Draft | null,
): Candidate {
  const version: Version = {
    finality: 1,
    recordedAt: event.recordedAt,
    messageTime: event.messageTime,
    statusRank: encounterRanks[event.status] ?? 0,
    contentHash: event.contentHash,
    derivation: event.envelope.derivation,
  }
  const content = [
    patientId,
    event.admittedAt,
    event.dischargedAt,
    event.status,
    event.patientClass,
    event.department,
    event.ward,
    event.bed,
    event.attendingPhysician,
    event.diagnosisCode,
    event.diagnosisText,
    flagText(event.flags),
  ]
  return { key: [hospitalId, event.visitNumber], version, content, draft }
}

/** HL7 table 0119: NW new; CA cancel, DC discontinue, OC and OD the filler's; anything else changes what stands. */
const orderRanks: Readonly<Record<string, number>> = { NW: 0, CA: 2, DC: 2, OC: 2, OD: 2 }

export function orderOf(
  event: OrderEvent,
  ids: { readonly hospitalId: number; readonly sourceSystemId: number; readonly unifiedItemId: number | null },
  patientId: number,
  draft: Draft | null,
): Candidate {
  const version: Version = {
    finality: 1,
    recordedAt: event.recordedAt,
    messageTime: event.messageTime,
    statusRank: orderRanks[event.control] ?? 1,
    contentHash: event.contentHash,
    derivation: event.envelope.derivation,
  }
  const content = [
    patientId,
    event.orderedAt,
    ids.unifiedItemId,
    event.kind,
    event.control,
    event.status,
    event.fillerOrderNumber,
    event.groupNumber,
    event.encounter?.visitNumber ?? null,
    event.encounter?.patientClass ?? null,
    event.encounter?.department ?? null,
    event.itemCode,
    event.itemText,
    event.itemSystem,
    event.priority,
    event.orderingPhysician,
    event.orderingDepartment,
    event.specimenCode,
    event.clinicalInformation,
    flagText(event.flags),
  ]
  return { key: [ids.hospitalId, ids.sourceSystemId, event.orderNumber], version, content, draft }
}

export const readPatientsSql = `SELECT i.ord, t.id,
  ${versionSelection('t').replace('t.finality', 't.source_class AS finality')}
FROM ${unnestOrdered(patientKeyTypes, 'i')}
JOIN patient t ON t.hospital_id = i.hospital_id AND t.authority = i.authority AND t.patient_no = i.patient_no`

export const readSuppressedSql = `SELECT i.ord FROM ${unnestOrdered(
  { hospital_code: 'text', authority: 'text', patient_no: 'text' },
  'i',
)} JOIN suppression s ON s.hospital_code = i.hospital_code AND s.authority = i.authority AND s.patient_no = i.patient_no`

const identifierTypes = {
  patient_id: 'int8',
  ordinal: 'int2',
  assigner: 'text',
  type: 'text',
  value: 'text',
} as const satisfies Record<string, ColumnType>
const identifierNames = Object.keys(identifierTypes).join(', ')
export const deleteIdentifiersSql = `DELETE FROM patient_identifier t USING ${unnest({ id: 'int8' }, 'i')} WHERE t.patient_id = i.id`
export const insertIdentifiersSql = `INSERT INTO patient_identifier (${identifierNames})
SELECT ${identifierNames} FROM ${unnest(identifierTypes, 'i')}`

/** Patients ADT states: registers with owners, their identifiers with them. */
export async function writeStatedPatients(
  tx: Transaction,
  statements: RegisterStatements,
  candidates: readonly PatientCandidate[],
  ledger: LedgerBatch,
): Promise<ReadonlyMap<string, number>> {
  const { ids, winners } = await writeRegister(tx, patientSpec, statements, candidates, ledger)
  await replaceIdentifiers(tx, winners)
  return ids
}

/** Ids of the patients carried; those unknown or older than what is carried are written. */
export async function writeCarriedPatients(
  tx: Transaction,
  statements: RegisterStatements,
  candidates: readonly PatientCandidate[],
): Promise<ReadonlyMap<string, number>> {
  const ids = new Map<string, number>()
  if (candidates.length === 0) return ids
  const best = newestByKey(candidates)
  const standing = await readPatients(tx, best)
  const write = best.filter((candidate, index) => {
    const row = standing.get(index)
    if (row !== undefined) ids.set(nameOf(candidate), row.id)
    return row === undefined || compareVersions(candidate.version, versionOfRow(row)) > 0
  })
  if (write.length === 0) return ids
  const byName = new Map(write.map((candidate) => [nameOf(candidate), candidate]))
  const rows = await tx.query<{
    id: number
    replaced_hash: number | null
    hospital_id: number
    authority: string
    patient_no: string
  }>(statements.upsert, columnsOf(patientSpec, write))
  const changed: { id: number; candidate: PatientCandidate; isNew: boolean }[] = []
  for (const row of rows) {
    const name = [row.hospital_id, row.authority, row.patient_no].join('\x1f')
    const candidate = byName.get(name)!
    ids.set(name, row.id)
    byName.delete(name)
    if (row.replaced_hash !== candidate.version.contentHash) {
      changed.push({ id: row.id, candidate, isNew: row.replaced_hash === null })
    }
  }
  await replaceIdentifiers(tx, changed)
  // Another transaction was first with the same patient: its row is there now, and newer.
  const others = [...byName].filter(([name]) => !ids.has(name)).map(([, candidate]) => candidate)
  if (others.length > 0) {
    for (const [index, { id }] of await readPatients(tx, others)) ids.set(nameOf(others[index]!), id)
  }
  return ids
}

const nameOf = (candidate: Candidate): string => candidate.key.join('\x1f')

async function readPatients(
  tx: Transaction,
  candidates: readonly Candidate[],
): Promise<ReadonlyMap<number, VersionRow & { readonly id: number }>> {
  const keys = new ColumnSet(patientKeyTypes, candidates.length)
  for (const { key } of candidates) keys.push(key)
  const rows = await tx.query<VersionRow & { readonly id: number; readonly ord: number }>(
    readPatientsSql,
    keys.finish(),
  )
  return new Map(rows.map((row) => [row.ord - 1, row]))
}

/** The row is locked by the statement that just won it, so nobody else replaces the same identifiers. */
async function replaceIdentifiers(
  tx: Transaction,
  patients: readonly { readonly id: number; readonly candidate: PatientCandidate; readonly isNew?: boolean }[],
): Promise<void> {
  if (patients.length === 0) return
  const ids = new ColumnSet({ id: 'int8' }, patients.length)
  const set = new ColumnSet(identifierTypes, patients.length * 2)
  for (const { id, candidate, isNew } of patients) {
    if (isNew !== true) ids.push([id])
    candidate.facts.identifiers.forEach(({ assigner, type, value }, ordinal) =>
      set.push([id, ordinal, assigner, type, value]),
    )
  }
  if (ids.length > 0) await tx.execute(deleteIdentifiersSql, ids.finish())
  if (set.length > 0) await tx.execute(insertIdentifiersSql, set.finish())
}

/** Indexes of the keys given that belong to erased persons. */
export async function readSuppressed(
  tx: Transaction,
  keys: readonly { readonly hospital: string; readonly authority: string; readonly id: string }[],
): Promise<ReadonlySet<number>> {
  const [any] = await tx.query<{ any: boolean }>('SELECT EXISTS (SELECT FROM suppression) AS any')
  if (any?.any !== true) return new Set()
  const set = new ColumnSet({ hospital_code: 'text', authority: 'text', patient_no: 'text' }, keys.length)
  for (const { hospital, authority, id } of keys) set.push([hospital, authority, id])
  const rows = await tx.query<{ ord: number }>(readSuppressedSql, set.finish())
  return new Set(rows.map(({ ord }) => ord - 1))
}
