import { contentHash, messageId } from '../../core/ids.js'
import type {
  EncounterEvent,
  Envelope,
  ImagingReport,
  LabReport,
  Observation,
  OrderEvent,
  PatientEvent,
  PatientFacts,
  RawMessage,
  ReportPanel,
} from '../../schemas/types.js'
import type { SinkEvent } from '../../repository/sink-event.js'

export const minute = 60_000
export const hour = 60 * minute
export const day = 24 * hour
/** A Tuesday morning in the hospital. */
export const morning = Date.parse('2026-03-10T08:00:00+08:00')

export function envelope(part: Partial<Envelope> = {}): Envelope {
  const feed = part.feed ?? 'lis-a'
  const seq = part.seq ?? 1
  return {
    environment: 'production',
    hospital: 'H001',
    feed,
    epoch: 1,
    seq,
    receivedAt: morning + seq * 1000,
    messageId: messageId(feed, Buffer.from(`message ${part.epoch ?? 1}/${seq}`)),
    eventIndex: 0,
    eventCount: 1,
    controlId: `C${seq}`,
    messageType: 'ORU^R01',
    lane: 'live',
    purpose: 'ledger',
    keyId: null,
    derivation: 1,
    ...part,
  }
}

export function patient(part: Partial<PatientFacts> = {}): PatientFacts {
  const id = part.id ?? 'P0001'
  return {
    id,
    authority: '',
    identifiers: [{ assigner: null, type: 'PI', value: id }],
    name: '测试甲',
    sex: 'M',
    birthDate: '19800101',
    phone: null,
    address: null,
    sexCode: '1',
    birthDateIso: '1980-01-01',
    idNumber: null,
    nameFolded: '测试甲',
    flags: [],
    ...part,
  }
}

export function panel(part: Partial<ReportPanel> = {}): ReportPanel {
  const code = part.code ?? 'XCG'
  return {
    key: code,
    code,
    text: '血常规',
    system: 'L',
    specimenCode: 'BLD',
    specimenText: '全血',
    specimenId: null,
    collectedAt: morning - hour,
    specimenReceivedAt: null,
    status: 'F',
    recordedAt: morning,
    parentObservation: null,
    parentOrder: null,
    notes: null,
    itemId: null,
    ...part,
  }
}

export function observation(part: Partial<Observation> = {}): Observation {
  const facts: Omit<Observation, 'contentHash'> = {
    panel: 0,
    code: 'WBC',
    text: '白细胞计数',
    system: 'L',
    altCode: null,
    altText: null,
    altSystem: null,
    subId: '',
    occurrence: 0,
    valueType: 'NM',
    value: '5.6',
    valueRaw: null,
    valueCode: null,
    valueSystem: null,
    unit: '10^9/L',
    range: '3.5-9.5',
    abnormalFlags: null,
    status: 'F',
    observedAt: null,
    method: null,
    equipment: null,
    performer: null,
    notes: null,
    document: null,
    unified: {
      itemId: 'LAB-WBC',
      kind: 'numeric',
      number: '5.6',
      numberHigh: null,
      comparator: null,
      unit: '10*9/L',
      rangeLow: '3.5',
      rangeHigh: '9.5',
      rangeText: null,
      qualitative: null,
      abnormal: 'N',
      flags: [],
    },
    ...part,
  }
  const verbatim = { ...facts, unified: null }
  return { ...facts, contentHash: part.contentHash ?? contentHash([JSON.stringify(verbatim)]) }
}

export function labReport(part: Partial<LabReport> = {}): LabReport {
  const facts: Omit<LabReport, 'contentHash'> = {
    envelope: envelope(),
    sourceSystem: 'LIS',
    reportNumber: 'R0001',
    recycleScope: '',
    placerOrderNumber: null,
    kind: 'lab',
    snapshot: false,
    status: 'F',
    recordedAt: morning,
    messageTime: morning + minute,
    patient: patient(),
    encounter: null,
    orderingInstitution: null,
    collectingInstitution: null,
    performingInstitution: null,
    reportingInstitution: null,
    orderingPhysician: '王医生',
    reporter: null,
    verifier: null,
    panels: [panel()],
    observations: [observation()],
    documents: [],
    allowMove: false,
    flags: [],
    ...part,
  }
  const hash = contentHash([
    facts.reportNumber,
    facts.status ?? '',
    facts.orderingPhysician ?? '',
    facts.verifier ?? '',
  ])
  return { ...facts, contentHash: part.contentHash ?? hash }
}

export function imagingReport(part: Partial<ImagingReport> = {}): ImagingReport {
  return {
    envelope: envelope({ feed: 'ris-a' }),
    sourceSystem: 'RIS',
    reportNumber: 'CT0001',
    recycleScope: '',
    placerOrderNumber: null,
    status: 'F',
    recordedAt: morning,
    messageTime: morning + minute,
    contentHash: contentHash([part.reportNumber ?? 'CT0001', part.status ?? 'F', JSON.stringify(part.sections ?? [])]),
    patient: patient(),
    encounter: null,
    orderingInstitution: null,
    collectingInstitution: null,
    performingInstitution: null,
    reportingInstitution: null,
    accessionNumber: 'A1',
    studyInstanceUid: '1.2.3',
    examCode: 'CT01',
    examText: '胸部CT平扫',
    examSystem: 'L',
    modality: 'CT',
    bodyPart: '胸部',
    examinedAt: morning,
    orderingPhysician: null,
    reporter: '李医生',
    verifier: null,
    sections: [{ kind: 'findings', code: null, title: '影像所见', text: '双肺纹理清晰。', status: 'F' }],
    documents: [],
    abnormalFlags: null,
    itemId: 'IMG-CT-CHEST',
    modalityCode: 'CT',
    allowMove: false,
    flags: [],
    ...part,
  }
}

export function patientEvent(part: Partial<PatientEvent> = {}): PatientEvent {
  const facts = part.patient ?? patient()
  return {
    envelope: envelope({ feed: 'his-a', messageType: 'ADT^A08' }),
    action: 'state',
    patient: facts,
    priorId: null,
    priorAuthority: null,
    recordedAt: morning,
    messageTime: morning,
    contentHash: contentHash([JSON.stringify(facts), part.action ?? 'state', part.priorId ?? '']),
    flags: [],
    ...part,
  }
}

export function encounterEvent(part: Partial<EncounterEvent> = {}): EncounterEvent {
  return {
    envelope: envelope({ feed: 'his-a', messageType: 'ADT^A01' }),
    visitNumber: 'V0001',
    status: 'admitted',
    patient: patient(),
    patientClass: 'I',
    department: '内科',
    ward: null,
    bed: null,
    attendingPhysician: null,
    admittedAt: morning,
    dischargedAt: null,
    diagnosisCode: null,
    diagnosisText: null,
    recordedAt: morning,
    messageTime: morning,
    contentHash: contentHash([part.visitNumber ?? 'V0001', part.status ?? 'admitted']),
    flags: [],
    ...part,
  }
}

export function orderEvent(part: Partial<OrderEvent> = {}): OrderEvent {
  return {
    envelope: envelope({ feed: 'his-a', messageType: 'ORM^O01' }),
    sourceSystem: 'HIS',
    orderNumber: 'O0001',
    fillerOrderNumber: null,
    groupNumber: null,
    kind: 'lab',
    control: 'NW',
    status: null,
    patient: patient(),
    encounter: null,
    itemCode: 'XCG',
    itemText: '血常规',
    itemSystem: 'L',
    itemId: null,
    priority: 'R',
    orderedAt: morning,
    orderingPhysician: null,
    orderingDepartment: null,
    specimenCode: null,
    clinicalInformation: null,
    recordedAt: morning,
    messageTime: morning,
    contentHash: contentHash([part.orderNumber ?? 'O0001', part.control ?? 'NW']),
    flags: [],
    ...part,
  }
}

export const lab = (event: LabReport): SinkEvent => ({ domain: 'lab-report', event })
export const imaging = (event: ImagingReport): SinkEvent => ({ domain: 'imaging-report', event })
export const adt = (event: PatientEvent): SinkEvent => ({ domain: 'patient', event })
export const visit = (event: EncounterEvent): SinkEvent => ({ domain: 'encounter', event })
export const order = (event: OrderEvent): SinkEvent => ({ domain: 'order', event })

/** The archived bytes of an event's message. */
export function raw(of: Envelope, part: Partial<RawMessage> = {}): RawMessage {
  const content = Buffer.from(`MSH|^~\\&|${of.feed}|${of.seq}\r`)
  return {
    kind: 'message',
    environment: of.environment,
    hospital: of.hospital,
    feed: of.feed,
    epoch: of.epoch,
    seq: of.seq,
    receivedAt: of.receivedAt,
    messageId: of.messageId,
    connector: 'hl7v2-mllp',
    lane: of.lane,
    purpose: of.purpose,
    controlId: of.controlId,
    sourceName: null,
    sourceIndex: 0,
    keyId: null,
    compression: 'none',
    content,
    contentRef: null,
    contentSize: content.length,
    ...part,
  }
}
