import { RecordError } from '../../core/errors.js'
import { recordedTime, type RecordedTime } from '../clock-rules.js'
import type { FieldPath, ReportKind } from './feed-rules.js'
import type { Segment } from './message.js'
import type { OrderGroup, PatientGroup } from './order-groups.js'
import { readPath, timeOf, type Reading } from './reading.js'
import { statedKind, strongerKind } from './report-kind.js'
import { localDate } from '../times.js'

/** The order groups of one patient in a message that bear one report number. */
export interface ReportGroup {
  readonly patient: PatientGroup
  readonly reportNumber: string
  readonly recycleScope: string
  /** The number stands in none of the feed's first choice of fields. */
  readonly numberFromFallback: boolean
  kind: ReportKind
  readonly orders: ReportOrder[]
  /** OBX that stand under no OBR; they go with the patient's first report. */
  unordered: PatientGroup['unordered']
}

export interface ReportOrder {
  readonly group: OrderGroup
  readonly status: string | null
  readonly recorded: RecordedTime
}

/**
 * The reports of one patient in a message, those without any content left out. An order group belongs to the report its
 * own fields name, so that the grouping is the same in whatever messages the groups arrive (decision 0062).
 * @throws RecordError segment-missing, report-number-missing
 */
export function reportGroups(reading: Reading, patient: PatientGroup): ReportGroup[] {
  return allReports(reading, patient).filter(hasContent)
}

function allReports(reading: Reading, patient: PatientGroup): ReportGroup[] {
  const reports = new Map<string, ReportGroup>()
  const application = reading.text.stated(reading.msh, 3) ?? ''
  for (const group of patient.orders) {
    if (group.obr === null && group.results.length === 0) continue
    const number = reportNumberOf(reading, patient, group)
    const recycleScope = recycleScopeOf(reading, group)
    const kind = statedKind(reading.rules, reading.text, application, group) ?? 'lab'
    const status = reading.text.stated(group.obr, 25)
    const { messageTime, rules } = reading
    const recorded = recordedTime(reading.text.stated(group.obr, 22), messageTime, rules.zoneMinutes)
    const order: ReportOrder = { group, status, recorded }
    const key = `${number.text}\x1f${recycleScope}`
    const report = reports.get(key)
    if (report !== undefined) {
      report.orders.push(order)
      report.kind = strongerKind(report.kind, kind)
      continue
    }
    reports.set(key, {
      patient,
      reportNumber: number.text,
      recycleScope,
      numberFromFallback: number.fallback,
      kind,
      orders: [order],
      unordered: [],
    })
  }
  const [first] = reports.values()
  if (first !== undefined) first.unordered = patient.unordered
  else if (patient.unordered.length > 0) {
    throw new RecordError('segment-missing', 'results (OBX) stand under no order group (OBR)', {
      segment: 'OBR',
      field: 'OBR-3',
    })
  }
  return [...reports.values()]
}

/** Results, notes, or at least a stated status: an OBR alone with none of them is a placeholder. */
function hasContent(report: ReportGroup): boolean {
  return (
    report.unordered.length > 0 ||
    report.orders.some(({ group, status }) => group.results.length > 0 || group.notes.length > 0 || status !== null)
  )
}

/** The first of the feed's report number fields that is filled. @throws RecordError report-number-missing */
function reportNumberOf(
  reading: Reading,
  patient: PatientGroup,
  group: OrderGroup,
): { readonly text: string; readonly fallback: boolean } {
  const segmentOf = segmentsOf(reading, patient, group)
  const choices = reading.rules.reportNumberFrom
  for (const [index, joined] of choices.entries()) {
    const parts = joined.map((path) => readPath(reading, path, segmentOf))
    if (parts.every((part) => part !== null)) return { text: parts.join('+'), fallback: index > 0 }
  }
  const fields = choices.map((joined) => joined.map((path) => path.text).join('+')).join(', ')
  throw new RecordError('report-number-missing', `${fields} are all empty`, {
    ...(group.obr ?? group.orc)?.place(),
    field: choices[0]?.[0]?.text ?? 'OBR-3',
  })
}

/** The segments of an order group by name; of the first result where OBX is asked for. */
export function segmentsOf(
  reading: Reading,
  patient: PatientGroup,
  group: OrderGroup,
): (name: string) => Segment | null {
  return (name) => {
    switch (name) {
      case 'MSH':
        return reading.msh
      case 'PID':
        return patient.pid
      case 'PV1':
        return patient.pv1
      case 'ORC':
        return group.orc
      case 'OBR':
        return group.obr
      case 'OBX':
        return group.results[0]?.obx ?? null
      default:
        return [...group.others, ...group.specimens, ...patient.others].find((segment) => segment.name === name) ?? null
    }
  }
}

/** '' or the day or year of OBR-7, else OBR-14, else MSH-7, in the feed's zone. */
function recycleScopeOf(reading: Reading, group: OrderGroup): string {
  const { text, rules } = reading
  if (rules.reportNumberRecycles === 'none') return ''
  const at = timeOf(reading, text.of(group.obr, 7)) ?? timeOf(reading, text.of(group.obr, 14)) ?? reading.messageTime
  const date = localDate(at, rules.zoneMinutes)
  return rules.reportNumberRecycles === 'day' ? date : date.slice(0, 4)
}

/** First stated of a report's groups. */
export function firstOf<T, R>(items: readonly T[], read: (item: T) => R | null): R | null {
  for (const item of items) {
    const found = read(item)
    if (found !== null) return found
  }
  return null
}

/** One of the report's four institutions, as sent. */
export function institution(reading: Reading, report: ReportGroup, fields: readonly FieldPath[]): string | null {
  if (fields.length === 0) return null
  return firstOf(report.orders, ({ group }) => {
    const segmentOf = segmentsOf(reading, report.patient, group)
    return firstOf(fields, (path) => readPath(reading, path, segmentOf))
  })
}
