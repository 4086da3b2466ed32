import { createHash } from 'node:crypto'
import { RecordError, type FaultPlace } from '../../core/errors.js'
import { contentHash } from '../../core/ids.js'
import { reportStatus } from '../../core/version.js'
import type { EmbeddedDocument, EncounterFacts, Observation, PatientFacts, ReportPanel } from '../../schemas/types.js'
import { messageTimeOf, recordedTime, type RecordedTime } from '../clock-rules.js'
import type { RawInput, ReceivedEvent } from '../connector.js'
import { localDate, readTime } from '../times.js'
import type { StatedRules } from './options.js'
import type {
  Stated,
  StatedDocument,
  StatedEncounter,
  StatedImagingReport,
  StatedLabReport,
  StatedOrder,
  StatedPanel,
  StatedPatient,
  StatedPerson,
  StatedResult,
  StatedTime,
  StatedVisit,
} from './stated.js'

/** The message that states something, and the rules of its feed. */
export interface StatedMessage {
  readonly input: RawInput
  readonly rules: StatedRules
  /** When the source says it made the message; the first receipt stands in for it, flagged. */
  readonly madeAt?: StatedTime
  /** What was noticed of the message as a whole. */
  readonly flags?: readonly string[]
  /** Where its faults are, for the dead letter. */
  readonly place?: FaultPlace
}

/** A laboratory, microbiology or pathology report. Pure. @throws RecordError patient-id-missing, report-number-missing */
export function labReportEvent(message: StatedMessage, report: StatedLabReport): ReceivedEvent {
  const header = reportHeader(message, report, report.panels)
  const panels: ReportPanel[] = []
  const observations: Observation[] = []
  const keys = new Map<string, number>()
  for (const panel of report.panels) {
    panels.push(panelOf(message, panel, uniqueKey(keys, panelKey(panel)), header))
    const occurrences = new Map<string, number>()
    for (const result of panel.results) {
      observations.push(observationOf(message, result, panels.length - 1, occurrences, report.documents ?? []))
    }
  }
  const { documents = [], flags = [] } = report
  const nameless = observations.some(({ code }) => code === '') ? ['item-code-missing'] : []
  return {
    domain: 'lab-report',
    body: {
      ...header.facts,
      kind: report.kind ?? 'lab',
      // A report that states no result withdraws none: it is a status alone.
      snapshot: message.rules.snapshot && observations.length > 0,
      contentHash: contentHash([
        canonical({ ...report, documents: null, flags: null, panels: null }),
        ...report.panels.map((panel) => canonical({ ...panel, results: null })),
        ...documents.map(digestOf),
      ]),
      panels,
      observations,
      documents: documents.map(documentOf),
      flags: sorted([...header.flags, ...flags, ...nameless]),
    },
  }
}

/** An examination report. Pure. @throws RecordError patient-id-missing, report-number-missing */
export function imagingReportEvent(message: StatedMessage, report: StatedImagingReport): ReceivedEvent {
  const header = reportHeader(message, report, [])
  const { documents = [], flags = [], ...stated } = report
  return {
    domain: 'imaging-report',
    body: {
      ...header.facts,
      contentHash: contentHash([canonical(stated), ...documents.map(digestOf)]),
      accessionNumber: orNull(report.accessionNumber),
      studyInstanceUid: orNull(report.studyInstanceUid),
      examCode: orNull(report.exam?.code),
      examText: orNull(report.exam?.text),
      examSystem: orNull(report.exam?.system),
      modality: orNull(report.modality),
      bodyPart: orNull(report.bodyPart),
      examinedAt: timeOf(message, report.examinedAt),
      sections: report.sections.map(({ kind, code, title, text, status }) => ({
        kind,
        code: orNull(code),
        title: orNull(title),
        text: orNull(text),
        status: orNull(status),
      })),
      documents: documents.map(documentOf),
      abnormalFlags: orNull(report.abnormalFlags),
      itemId: null,
      modalityCode: null,
      flags: sorted([...header.flags, ...flags]),
    },
  }
}

/** An order. Pure. @throws RecordError patient-id-missing, field-invalid where it has no number */
export function orderEvent(message: StatedMessage, order: StatedOrder): ReceivedEvent {
  const { recorded, messageTime, flags } = clocksOf(message, order.recordedAt)
  const number = filled(order.orderNumber) ?? filled(order.fillerOrderNumber)
  if (number === null) throw new RecordError('field-invalid', 'the order has no number', message.place)
  const { flags: own = [], ...stated } = order
  return {
    domain: 'order',
    body: {
      sourceSystem: sourceSystemOf(message, order.sourceSystem),
      orderNumber: number,
      fillerOrderNumber: filled(order.fillerOrderNumber),
      groupNumber: filled(order.groupNumber),
      kind: order.kind,
      control: order.control,
      status: orNull(order.status),
      patient: patientFacts(message, order.patient),
      encounter: encounterFacts(order.visit),
      itemCode: orNull(order.item?.code),
      itemText: orNull(order.item?.text),
      itemSystem: orNull(order.item?.system),
      itemId: null,
      priority: orNull(order.priority),
      orderedAt: timeOf(message, order.orderedAt),
      orderingPhysician: orNull(order.orderingPhysician),
      orderingDepartment: orNull(order.orderingDepartment),
      specimenCode: orNull(order.specimenCode),
      clinicalInformation: orNull(order.clinicalInformation),
      recordedAt: recorded.at,
      messageTime,
      contentHash: contentHash([canonical(stated)]),
      flags: sorted([...flags, ...own]),
    },
  }
}

/** What a hospital states of a person. Pure. @throws RecordError patient-id-missing */
export function personEvent(message: StatedMessage, person: StatedPerson): ReceivedEvent {
  const { recorded, messageTime, flags } = clocksOf(message, person.recordedAt)
  return {
    domain: 'patient',
    body: {
      action: 'state',
      patient: patientFacts(message, person.patient),
      priorId: null,
      priorAuthority: null,
      recordedAt: recorded.at,
      messageTime,
      contentHash: contentHash([canonical(person.patient)]),
      flags: sorted([...flags, ...(person.flags ?? [])]),
    },
  }
}

/** A visit. Pure. @throws RecordError patient-id-missing, field-invalid where it has no number */
export function encounterEvent(message: StatedMessage, visit: StatedEncounter): ReceivedEvent {
  const { recorded, messageTime, flags } = clocksOf(message, visit.recordedAt)
  const visitNumber = filled(visit.visitNumber)
  if (visitNumber === null) throw new RecordError('field-invalid', 'the visit has no number', message.place)
  const { flags: own = [], ...stated } = visit
  return {
    domain: 'encounter',
    body: {
      visitNumber,
      status: visit.status,
      patient: patientFacts(message, visit.patient),
      patientClass: orNull(visit.patientClass),
      department: orNull(visit.department),
      ward: orNull(visit.ward),
      bed: orNull(visit.bed),
      attendingPhysician: orNull(visit.attendingPhysician),
      admittedAt: timeOf(message, visit.admittedAt),
      dischargedAt: timeOf(message, visit.dischargedAt),
      diagnosisCode: orNull(visit.diagnosis?.code),
      diagnosisText: orNull(visit.diagnosis?.text),
      recordedAt: recorded.at,
      messageTime,
      contentHash: contentHash([canonical(stated)]),
      flags: sorted([...flags, ...own]),
    },
  }
}

/** The patient as the source states him; not stated is null. @throws RecordError patient-id-missing */
export function patientFacts({ rules, place }: StatedMessage, patient: StatedPatient): PatientFacts {
  const id = filled(patient.id)
  if (id === null) throw new RecordError('patient-id-missing', 'the patient has no number', place)
  const authority = rules.patientAuthority ?? filled(patient.authority) ?? ''
  return {
    id,
    authority,
    identifiers: [
      { value: id, type: 'MR', assigner: authority === '' ? null : authority },
      ...(patient.identifiers ?? [])
        .filter(({ value }) => value.trim() !== '')
        .map(({ value, type, assigner }) => ({ value, type: orNull(type), assigner: orNull(assigner) })),
    ],
    name: orNull(patient.name),
    sex: orNull(patient.sex),
    birthDate: orNull(patient.birthDate),
    phone: orNull(patient.phone),
    address: orNull(patient.address),
    sexCode: null,
    birthDateIso: null,
    idNumber: null,
    nameFolded: null,
    flags: [],
  }
}

function encounterFacts(visit: StatedVisit | undefined): EncounterFacts | null {
  const facts = {
    visitNumber: filled(visit?.visitNumber),
    patientClass: filled(visit?.patientClass),
    department: filled(visit?.department),
  }
  return Object.values(facts).every((fact) => fact === null) ? null : facts
}

interface Clocks {
  readonly recorded: RecordedTime
  readonly messageTime: number
  readonly flags: readonly string[]
}

function clocksOf(message: StatedMessage, recordedAt: StatedTime): Clocks {
  const { input, rules, madeAt, flags = [] } = message
  const made = messageTimeOf(orNull(madeAt), rules.zoneMinutes, input.receivedAt)
  const recorded = recordedTime(orNull(recordedAt), made.at, rules.zoneMinutes)
  return {
    recorded,
    messageTime: made.at,
    flags: [
      ...flags,
      ...(made.fromReceipt ? ['message-time-from-receipt'] : []),
      ...(recorded.flag === null ? [] : [recorded.flag]),
    ],
  }
}

type AnyReport = Omit<StatedLabReport, 'kind' | 'panels'>

function reportHeader(message: StatedMessage, report: AnyReport, panels: readonly StatedPanel[]) {
  const { rules } = message
  const reportNumber = filled(report.reportNumber)
  if (reportNumber === null) throw new RecordError('report-number-missing', 'the report has no number', message.place)
  const clocks = clocksOf(message, report.recordedAt)
  const times = panels.map(({ recordedAt }) => clocksOf(message, recordedAt ?? report.recordedAt))
  const [first = clocks, ...others] = times
  const recordedAt = others.reduce((latest, { recorded }) => Math.max(latest, recorded.at), first.recorded.at)
  return {
    clocks,
    status: report.status,
    flags: [...clocks.flags, ...times.flatMap(({ recorded: { flag } }) => (flag === null ? [] : [flag]))],
    facts: {
      sourceSystem: sourceSystemOf(message, report.sourceSystem),
      reportNumber,
      recycleScope: recycleScopeOf(message, report, panels, clocks.messageTime),
      placerOrderNumber: filled(report.placerOrderNumber),
      status: filled(report.status) ?? reportStatus(panels.map(({ status }) => filled(status))),
      recordedAt,
      messageTime: clocks.messageTime,
      patient: patientFacts(message, report.patient),
      encounter: encounterFacts(report.visit),
      orderingInstitution: orNull(report.orderingInstitution),
      collectingInstitution: orNull(report.collectingInstitution),
      performingInstitution: orNull(report.performingInstitution),
      reportingInstitution: orNull(report.reportingInstitution),
      orderingPhysician: orNull(report.orderingPhysician),
      reporter: orNull(report.reporter),
      verifier: orNull(report.verifier),
      allowMove: rules.allowMove,
    },
  }
}

const sourceSystemOf = ({ rules, input }: StatedMessage, stated: Stated): string =>
  rules.sourceSystem ?? filled(stated) ?? input.feed

function recycleScopeOf(
  message: StatedMessage,
  report: AnyReport,
  panels: readonly StatedPanel[],
  messageTime: number,
): string {
  const { reportNumberRecycles, zoneMinutes } = message.rules
  if (reportNumberRecycles === 'none') return ''
  const texts = [
    ...(report.recycleTimes ?? []),
    ...panels.map(({ collectedAt }) => collectedAt),
    ...panels.map(({ specimenReceivedAt }) => specimenReceivedAt),
  ]
  const at = texts.map((text) => timeOf(message, text)).find((time) => time !== null) ?? messageTime
  const date = localDate(at, zoneMinutes)
  return reportNumberRecycles === 'day' ? date : date.slice(0, 4)
}

/** Identity of a group within its report: its code, else its text; a group that belongs to a result names it. */
function panelKey({ item, parent }: StatedPanel): string {
  const code = filled(item?.code) ?? filled(item?.text) ?? '-'
  return parent === undefined ? code : `${code}@${parent.code}/${parent.subId}`
}

function uniqueKey(keys: Map<string, number>, key: string): string {
  const count = (keys.get(key) ?? 0) + 1
  keys.set(key, count)
  return count === 1 ? key : `${key}#${count}`
}

function panelOf(
  message: StatedMessage,
  panel: StatedPanel,
  key: string,
  { clocks, status }: { readonly clocks: Clocks; readonly status?: Stated },
): ReportPanel {
  const { parent, specimen } = panel
  return {
    key,
    code: orNull(panel.item?.code),
    text: orNull(panel.item?.text),
    system: orNull(panel.item?.system),
    specimenCode: orNull(specimen?.code),
    specimenText: orNull(specimen?.text),
    specimenId: orNull(specimen?.id),
    collectedAt: timeOf(message, panel.collectedAt),
    specimenReceivedAt: timeOf(message, panel.specimenReceivedAt),
    status: filled(panel.status) ?? filled(status),
    recordedAt: (isStated(panel.recordedAt) ? clocksOf(message, panel.recordedAt) : clocks).recorded.at,
    parentObservation: parent === undefined ? null : `${parent.code}^${parent.subId}`,
    parentOrder: null,
    notes: orNull(panel.notes),
    itemId: null,
  }
}

function observationOf(
  message: StatedMessage,
  result: StatedResult,
  panel: number,
  occurrences: Map<string, number>,
  documents: readonly StatedDocument[],
): Observation {
  const { item } = result
  const code = nameOf(item)
  const subId = orNull(result.subId) ?? ''
  const key = subId === '' ? code : `${code}\x1f${subId}`
  const occurrence = occurrences.get(key) ?? 0
  occurrences.set(key, occurrence + 1)
  const document = isStated(result.document) ? documents[result.document] : undefined
  return {
    panel,
    code,
    text: orNull(item.text),
    system: orNull(item.system),
    altCode: orNull(item.altCode),
    altText: orNull(item.altText),
    altSystem: orNull(item.altSystem),
    subId,
    occurrence,
    valueType: filled(result.valueType) ?? (document === undefined ? valueTypeOf(result.value) : 'ED'),
    value: orNull(result.value),
    valueRaw: null,
    valueCode: orNull(result.valueCode),
    valueSystem: orNull(result.valueSystem),
    unit: orNull(result.unit),
    range: orNull(result.range),
    abnormalFlags: orNull(result.abnormalFlags),
    status: filled(result.status),
    observedAt: timeOf(message, result.observedAt),
    method: orNull(result.method),
    equipment: orNull(result.equipment),
    performer: orNull(result.performer),
    notes: orNull(result.notes),
    document: result.document ?? null,
    contentHash: contentHash([canonical(result), ...(document === undefined ? [] : [digestOf(document)])]),
    unified: null,
  }
}

/** What names the item: its code, else an alternate one, else a text, so that a source of texts alone has a key. */
const nameOf = (item: StatedResult['item']): string =>
  filled(item.code) ?? filled(item.altCode) ?? filled(item.text) ?? filled(item.altText) ?? ''

const valueTypeOf = (value: Stated): string | null =>
  !isStated(value) || value === '' ? null : /^[+-]?(\d+(\.\d*)?|\.\d+)$/.test(value.trim()) ? 'NM' : 'ST'

function documentOf({ place, mediaType, encoding, bytes, title, flags = [] }: StatedDocument): EmbeddedDocument {
  return {
    segment: place,
    field: place,
    repetition: 1,
    mediaType: orNull(mediaType),
    encoding: orNull(encoding),
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    title: orNull(title),
    flags: [...flags],
  }
}

/** Where a document stands is part of what is said: its bytes stay in the message. */
const digestOf = (document: StatedDocument): string => canonical(documentOf(document))

const timeOf = ({ rules }: StatedMessage, text: StatedTime): number | null =>
  !isStated(text) || text === '' ? null : readTime(text, rules.zoneMinutes)

const isStated = <T>(value: T): value is NonNullable<T> => value !== undefined && value !== null

const orNull = (text: Stated): string | null => text ?? null

/** A text with something in it; '' and blanks name nothing. */
const filled = (text: Stated): string | null => {
  const trimmed = text?.trim() ?? ''
  return trimmed === '' ? null : trimmed
}

const sorted = (flags: readonly string[]): string[] => [...new Set(flags)].sort()

/** The same text for the same statement: members in the order of their names, those not stated left out. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part
    const stated = Object.entries(part).filter(([, member]) => isStated(member))
    return Object.fromEntries(stated.sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
