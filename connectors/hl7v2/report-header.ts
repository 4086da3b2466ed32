import { contentHash } from '../../core/ids.js'
import { reportStatus } from '../../core/version.js'
import type { EncounterFacts, PatientFacts } from '../../schemas/types.js'
import type { FieldText } from './field-text.js'
import { interpreterName, staffName } from './names.js'
import type { OrderGroup } from './order-groups.js'
import { encounterFacts, patientFacts } from './patient.js'
import type { Reading } from './reading.js'
import { firstOf, institution, type ReportGroup } from './report-groups.js'

/** What laboratory and imaging reports have in common. */
export interface ReportHeader {
  readonly sourceSystem: string
  readonly reportNumber: string
  readonly recycleScope: string
  readonly placerOrderNumber: string | null
  readonly status: string | null
  readonly recordedAt: number
  readonly messageTime: number
  readonly patient: PatientFacts
  readonly encounter: EncounterFacts | null
  readonly orderingInstitution: string | null
  readonly collectingInstitution: string | null
  readonly performingInstitution: string | null
  readonly reportingInstitution: string | null
  readonly orderingPhysician: string | null
  readonly reporter: string | null
  readonly verifier: string | null
  readonly allowMove: boolean
}

/** @throws RecordError segment-missing, patient-id-missing */
export function reportHeader(reading: Reading, report: ReportGroup): ReportHeader {
  const { text, rules } = reading
  const { orders, patient } = report
  const groups = orders.map((order) => order.group)
  const { institutionsFrom } = rules
  return {
    sourceSystem: reading.sourceSystem,
    reportNumber: report.reportNumber,
    recycleScope: report.recycleScope,
    placerOrderNumber: firstOf(groups, ({ obr, orc }) => text.stated(obr, 2) ?? text.stated(orc, 2)),
    status: reportStatus(orders.map((order) => order.status)),
    recordedAt: orders.reduce((latest, { recorded }) => Math.max(latest, recorded.at), orders[0]?.recorded.at ?? 0),
    messageTime: reading.messageTime,
    patient: patientFacts(reading, patient),
    encounter: encounterFacts(reading, patient),
    orderingInstitution: institution(reading, report, institutionsFrom.ordering),
    collectingInstitution: institution(reading, report, institutionsFrom.collecting),
    performingInstitution: institution(reading, report, institutionsFrom.performing),
    reportingInstitution: institution(reading, report, institutionsFrom.reporting),
    orderingPhysician: firstOf(groups, ({ obr, orc }) => staff(reading, obr, 16) ?? staff(reading, orc, 12)),
    reporter: firstOf(groups, ({ obr }) => interpreter(reading, obr, 32)),
    verifier: firstOf(groups, ({ obr }) => interpreter(reading, obr, 33)),
    allowMove: rules.allowMove,
  }
}

type MaybeSegment = OrderGroup['obr']

function staff(reading: Reading, segment: MaybeSegment, field: number): string | null {
  return staffName(reading.text, reading.text.first(reading.text.raw(segment, field)))
}

export function interpreter(reading: Reading, segment: MaybeSegment, field: number): string | null {
  return interpreterName(reading.text, reading.text.first(reading.text.raw(segment, field)))
}

/** What the message as a whole, its clocks and its numbers made noticeable; sorted, each once. */
export function reportFlags(reading: Reading, report: ReportGroup, more: readonly string[]): string[] {
  const flags = new Set([...reading.flags, ...more])
  if (report.numberFromFallback) flags.add('report-number-fallback')
  if (report.unordered.length > 0) flags.add('results-without-order')
  for (const { recorded } of report.orders) if (recorded.flag !== null) flags.add(recorded.flag)
  return flags.size === 0 ? [] : [...flags].sort()
}

/** Over the segments a report's header is read from, without their set ids (field 1). */
export function headerHash(text: FieldText, report: ReportGroup, results: boolean): number {
  const parts: string[] = []
  const { patient } = report
  if (patient.pid !== null) parts.push(text.from(patient.pid, 2))
  if (patient.pv1 !== null) parts.push(text.from(patient.pv1, 2))
  for (const { group } of report.orders) {
    if (group.orc !== null) parts.push(text.from(group.orc, 1))
    if (group.obr !== null) parts.push(text.from(group.obr, 2))
    for (const segment of [...group.specimens, ...group.notes]) parts.push(text.from(segment, 2))
    if (!results) continue
    for (const segment of group.others) parts.push(segment.name, text.from(segment, 1))
    for (const line of group.results) {
      parts.push(text.from(line.obx, 2))
      for (const note of line.notes) parts.push(text.from(note, 2))
    }
  }
  return contentHash(parts)
}
