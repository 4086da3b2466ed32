// Generated from schemas/avro by `npm run schemas`. Do not edit.

/** A document inside the message: its place and digest; the bytes stay in the archived message. */
export interface EmbeddedDocument {
  /** Segment with ordinal, for example OBX[3] */
  segment: string
  /** Field, for example OBX-5 */
  field: string
  /** From 1 */
  repetition: number
  /** ED.2/ED.3 as MIME type where known */
  mediaType: string | null
  /** ED.4, for example Base64 */
  encoding: string | null
  /** Decoded bytes */
  size: number
  /** Of the decoded bytes */
  sha256: string
  /** Text of OBX-3 */
  title: string | null
  /** What was noticed, for example base64-invalid */
  flags: string[]
}

/** The visit a message belongs to. */
export interface EncounterFacts {
  /** PV1-19 */
  visitNumber: string | null
  /** PV1-2 as sent (HL7 table 0004) */
  patientClass: string | null
  /** PV1-3 or PV1-10 as sent */
  department: string | null
}

/** Where an event comes from; the same on every replay. */
export interface Envelope {
  /** production or test; part of feed, topic prefix and database */
  environment: string
  /** Institution code, from the credential or the feed configuration, never from the content */
  hospital: string
  /** Name of the configured sender */
  feed: string
  /** Life of the spool that numbered the message, from 1 */
  epoch: number
  /** Dense number of the message within (feed, epoch), from 1 */
  seq: number
  /** First receipt, ms since 1970-01-01T00:00:00Z */
  receivedAt: number
  /** SHA-256 of feed and bytes, lower-case hex */
  messageId: string
  /** Index of the event within its message, from 0 */
  eventIndex: number
  /** Number of events of the message */
  eventCount: number
  /** MSH-10 or its like: an attribute, never a key */
  controlId: string | null
  /** MSH-9 as type^trigger, or its like */
  messageType: string | null
  /** live or bulk */
  lane: string
  /** ledger (counted by receipts), redrive (counted again after a dead letter) or heal (a derivation: writes no receipt) */
  purpose: string
  /** Key that encrypts the payload, null where it is not encrypted */
  keyId: string | null
  /** Release number of parser, configuration, normaliser and catalogue; 0 before normalising */
  derivation: number
}

/** One identifier of a person (HL7 v2 CX). */
export interface Identifier {
  /** Assigning authority, CX.4 */
  assigner: string | null
  /** Identifier type, CX.5 (HL7 table 0203) */
  type: string | null
  /** CX.1 as sent */
  value: string
}

/** One result (HL7 v2 OBX), verbatim. */
export interface Observation {
  /** Index into panels */
  panel: number
  /** OBX-3.1 */
  code: string
  /** OBX-3.2 */
  text: string | null
  /** OBX-3.3 */
  system: string | null
  /** OBX-3.4 */
  altCode: string | null
  /** OBX-3.5 */
  altText: string | null
  /** OBX-3.6 */
  altSystem: string | null
  /** OBX-4, empty where absent */
  subId: string
  /** Tells apart results equal in panel, code and OBX-4, from 0 in message order */
  occurrence: number
  /** OBX-2 */
  valueType: string | null
  /** OBX-5 for reading: escapes resolved, repetitions on lines */
  value: string | null
  /** OBX-5 as it stands, where that differs */
  valueRaw: string | null
  /** OBX-5.1 of a coded value */
  valueCode: string | null
  /** OBX-5.3 of a coded value */
  valueSystem: string | null
  /** OBX-6.1 (or .2) as sent */
  unit: string | null
  /** OBX-7 as sent */
  range: string | null
  /** OBX-8 as sent */
  abnormalFlags: string | null
  /** OBX-11 as sent (HL7 table 0085) */
  status: string | null
  /** OBX-14, ms */
  observedAt: number | null
  /** OBX-17 as sent */
  method: string | null
  /** OBX-18 as sent */
  equipment: string | null
  /** OBX-23 or OBX-15 as sent */
  performer: string | null
  /** NTE under the result */
  notes: string | null
  /** Index into documents */
  document: number | null
  /** First 52 bits of SHA-256 over the verbatim content: last link of the source version */
  contentHash: number
  /** Null before normalising */
  unified: UnifiedObservation | null
}

/** A patient as one hospital states it: verbatim, with the normalised reading beside it. */
export interface PatientFacts {
  /** Hospital patient number as sent */
  id: string
  /** Assigning authority of the number, empty where none is stated */
  authority: string
  /** All identifiers stated, the patient number among them */
  identifiers: Identifier[]
  /** As sent */
  name: string | null
  /** As sent (PID-8) */
  sex: string | null
  /** As sent (PID-7) */
  birthDate: string | null
  /** As sent (PID-13) */
  phone: string | null
  /** As sent (PID-11) */
  address: string | null
  /** GB/T 2261.1: 0 unknown, 1 male, 2 female, 9 unstated; null before normalising or unreadable */
  sexCode: string | null
  /** YYYY, YYYY-MM or YYYY-MM-DD; a date, never a time */
  birthDateIso: string | null
  /** Valid 18-digit citizen ID number (GB 11643-1999) after folding, else null */
  idNumber: string | null
  /** Name after folding full-width forms, spaces and middle dots, for comparing */
  nameFolded: string | null
  /** What was noticed while normalising */
  flags: string[]
}

/** One ordered group of a report (HL7 v2 OBR). */
export interface ReportPanel {
  /** Identity of the group within its report: OBR-4 code, with #n for a repeat */
  key: string
  /** OBR-4.1 */
  code: string | null
  /** OBR-4.2 */
  text: string | null
  /** OBR-4.3 */
  system: string | null
  /** SPM-4.1 or OBR-15.1 */
  specimenCode: string | null
  /** SPM-4.2 or OBR-15.1.2 */
  specimenText: string | null
  /** SPM-2 or barcode */
  specimenId: string | null
  /** OBR-7, ms */
  collectedAt: number | null
  /** OBR-14, ms */
  specimenReceivedAt: number | null
  /** OBR-25 as sent (HL7 table 0123) */
  status: string | null
  /** OBR-22, ms, after the clock rules of docs/newer.md */
  recordedAt: number
  /** OBR-26 as sent: the result this group belongs to (microbiology) */
  parentObservation: string | null
  /** OBR-29 as sent */
  parentOrder: string | null
  /** NTE under the group */
  notes: string | null
  /** Unified item of the panel; null before normalising or unmapped */
  itemId: string | null
}

/** One part of an imaging report. */
export interface ReportSection {
  /** findings, impression, recommendation, technique, history or other */
  kind: string
  /** OBX-3.1 */
  code: string | null
  /** OBX-3.2 */
  title: string | null
  /** Text of the part, line breaks as \n */
  text: string | null
  /** OBX-11 as sent */
  status: string | null
}

/** What an observation means in the unified catalogue; its verbatim form stands beside it. */
export interface UnifiedObservation {
  /** Unified item code, null where the local code is unmapped */
  itemId: string | null
  /** numeric, coded, text, titre, range, semi-quantitative, susceptibility, organism, document or empty */
  kind: string
  /** Decimal in the unit given here */
  number: string | null
  /** Upper end where the value itself is a range, or the denominator of a titre 1:n */
  numberHigh: string | null
  /** < <= > >= or ~ */
  comparator: string | null
  /** UCUM, case-sensitive */
  unit: string | null
  /** Reference range in the same unit */
  rangeLow: string | null
  /** Reference range in the same unit */
  rangeHigh: string | null
  /** Reference range that is not an interval */
  rangeText: string | null
  /** POS, NEG, WEAK, INDETERMINATE, or +, ++ … as count; S, I, R, SDD, NS for susceptibility */
  qualitative: string | null
  /** L H LL HH N A AA < > as HL7 table 0078 */
  abnormal: string | null
  /** unmapped-code, unmapped-unit, ambiguous-unit, implausible, not-numeric … each a work item */
  flags: string[]
}

/** The end of a message, or of one event of it, that was not stored: why, and where it comes from. */
export interface DeadLetter {
  /** Null where the record itself could not be read */
  envelope: Envelope | null
  /** dead-lettered or ignored */
  disposition: string
  /** raw, parse, normalise or sink */
  stage: string
  /** Of the closed list in docs/errors.md, or the reason it was ignored */
  code: string
  /** One sentence: what was found and where */
  detail: string
  /** Segment with ordinal */
  segment: string | null
  /** Field */
  field: string | null
  /** Topic the record stood on */
  sourceTopic: string | null
  /** -1 where it stood on none */
  sourcePartition: number
  /** Offset as decimal text */
  sourceOffset: string
  /** The record, where it could not be read */
  payload: Buffer | null
}

/** A visit begins, changes, ends or is cancelled (HL7 v2 ADT). */
export interface EncounterEvent {
  /** Where it comes from */
  envelope: Envelope
  /** PV1-19, or the fallback the feed lists */
  visitNumber: string
  /** registered, admitted, discharged, cancelled or discharge-cancelled */
  status: string
  /** Whose visit */
  patient: PatientFacts
  /** PV1-2 as sent (HL7 table 0004) */
  patientClass: string | null
  /** PV1-3.1 as sent */
  department: string | null
  /** PV1-3 as sent */
  ward: string | null
  /** PV1-3.3 as sent */
  bed: string | null
  /** PV1-7 name as sent */
  attendingPhysician: string | null
  /** PV1-44, ms */
  admittedAt: number | null
  /** PV1-45, ms */
  dischargedAt: number | null
  /** DG1-3.1 as sent */
  diagnosisCode: string | null
  /** DG1-3.2 or DG1-4 as sent */
  diagnosisText: string | null
  /** EVN-6 or EVN-2, ms, after the clock rules */
  recordedAt: number
  /** MSH-7, ms, after the clock rules */
  messageTime: number
  /** First 52 bits of SHA-256 over the verbatim content */
  contentHash: number
  /** What was noticed while reading */
  flags: string[]
}

/** An examination report (CT, MR, DX, CR, US, ECG …): text and where the study is; never pixels. */
export interface ImagingReport {
  /** Where it comes from */
  envelope: Envelope
  /** System within the hospital (MSH-3 or the feed configuration) */
  sourceSystem: string
  /** Filler order number (OBR-3) or the fallback the feed lists */
  reportNumber: string
  /** Empty, YYYYMMDD or YYYY: the span within which the report number is unique */
  recycleScope: string
  /** OBR-2 or ORC-2 */
  placerOrderNumber: string | null
  /** Status of the report as sent (OBR-25) */
  status: string | null
  /** OBR-22, ms, after the clock rules of docs/newer.md */
  recordedAt: number
  /** MSH-7, ms, after the clock rules of docs/newer.md */
  messageTime: number
  /** First 52 bits of SHA-256 over the verbatim header content */
  contentHash: number
  /** Whose it is */
  patient: PatientFacts
  /** In which visit */
  encounter: EncounterFacts | null
  /** As sent */
  orderingInstitution: string | null
  /** As sent */
  collectingInstitution: string | null
  /** As sent */
  performingInstitution: string | null
  /** As sent */
  reportingInstitution: string | null
  /** OBR-18, ZDS or IPC-1 */
  accessionNumber: string | null
  /** ZDS-1, IPC-3 or OBX */
  studyInstanceUid: string | null
  /** OBR-4.1 */
  examCode: string | null
  /** OBR-4.2 */
  examText: string | null
  /** OBR-4.3 */
  examSystem: string | null
  /** OBR-24 or as sent; DX or CR, never DR */
  modality: string | null
  /** OBR-15 or as sent */
  bodyPart: string | null
  /** OBR-7, ms */
  examinedAt: number | null
  /** OBR-16 name as sent */
  orderingPhysician: string | null
  /** OBR-32 or OBR-35 name as sent */
  reporter: string | null
  /** OBR-33 name as sent */
  verifier: string | null
  /** Parts of the report in message order */
  sections: ReportSection[]
  /** Embedded documents */
  documents: EmbeddedDocument[]
  /** OBX-8 as sent */
  abnormalFlags: string | null
  /** Unified item; null before normalising or unmapped */
  itemId: string | null
  /** DICOM modality (PS3.3 C.7.3.1.1.1) after normalising */
  modalityCode: string | null
  /** The feed lets a report move to another patient */
  allowMove: boolean
  /** What was noticed while reading, for example charset-header-lies or message-time-from-receipt */
  flags: string[]
}

/** A laboratory report: received (unified parts null) or normalised. */
export interface LabReport {
  /** Where it comes from */
  envelope: Envelope
  /** System within the hospital (MSH-3 or the feed configuration) */
  sourceSystem: string
  /** Filler order number (OBR-3) or the fallback the feed lists */
  reportNumber: string
  /** Empty, YYYYMMDD or YYYY: the span within which the report number is unique */
  recycleScope: string
  /** OBR-2 or ORC-2 */
  placerOrderNumber: string | null
  /** lab, microbiology or pathology */
  kind: string
  /** True where the feed declares that a final message states the whole report */
  snapshot: boolean
  /** Status of the report as sent (OBR-25) */
  status: string | null
  /** OBR-22, ms, after the clock rules of docs/newer.md */
  recordedAt: number
  /** MSH-7, ms, after the clock rules of docs/newer.md */
  messageTime: number
  /** First 52 bits of SHA-256 over the verbatim header content */
  contentHash: number
  /** Whose it is */
  patient: PatientFacts
  /** In which visit */
  encounter: EncounterFacts | null
  /** As sent */
  orderingInstitution: string | null
  /** As sent */
  collectingInstitution: string | null
  /** As sent */
  performingInstitution: string | null
  /** As sent */
  reportingInstitution: string | null
  /** OBR-16 name as sent */
  orderingPhysician: string | null
  /** OBR-32 name as sent */
  reporter: string | null
  /** OBR-33 or OBX-16 name as sent */
  verifier: string | null
  /** Order groups */
  panels: ReportPanel[]
  /** Results in message order */
  observations: Observation[]
  /** Embedded documents */
  documents: EmbeddedDocument[]
  /** The feed lets a report move to another patient */
  allowMove: boolean
  /** What was noticed while reading, for example charset-header-lies or message-time-from-receipt */
  flags: string[]
}

/** An order is placed, changed or cancelled (HL7 v2 ORM^O01, OML^O21, OMG^O19). */
export interface OrderEvent {
  /** Where it comes from */
  envelope: Envelope
  /** System within the hospital */
  sourceSystem: string
  /** Placer order number (ORC-2/OBR-2), else filler (ORC-3/OBR-3) */
  orderNumber: string
  /** ORC-3 or OBR-3 */
  fillerOrderNumber: string | null
  /** ORC-4 */
  groupNumber: string | null
  /** lab, imaging or other */
  kind: string
  /** ORC-1 as sent (HL7 table 0119) */
  control: string
  /** ORC-5 as sent (HL7 table 0038) */
  status: string | null
  /** For whom */
  patient: PatientFacts
  /** In which visit */
  encounter: EncounterFacts | null
  /** OBR-4.1 */
  itemCode: string | null
  /** OBR-4.2 */
  itemText: string | null
  /** OBR-4.3 */
  itemSystem: string | null
  /** Unified item; null before normalising or unmapped */
  itemId: string | null
  /** ORC-7.6 or OBR-27.6 */
  priority: string | null
  /** ORC-9, ms */
  orderedAt: number | null
  /** ORC-12 or OBR-16 name as sent */
  orderingPhysician: string | null
  /** ORC-17 or as sent */
  orderingDepartment: string | null
  /** SPM-4.1 or OBR-15.1 */
  specimenCode: string | null
  /** OBR-13 as sent */
  clinicalInformation: string | null
  /** ORC-9, ms, after the clock rules */
  recordedAt: number
  /** MSH-7, ms, after the clock rules */
  messageTime: number
  /** First 52 bits of SHA-256 over the verbatim content */
  contentHash: number
  /** What was noticed while reading */
  flags: string[]
}

/** A hospital states, changes or merges a patient (HL7 v2 ADT). */
export interface PatientEvent {
  /** Where it comes from */
  envelope: Envelope
  /** state (A01 A03 A04 A08 A11 A13 A28 A31) or merge (A40) */
  action: string
  /** The patient; for a merge the survivor */
  patient: PatientFacts
  /** MRG-1.1: the number that is given up */
  priorId: string | null
  /** MRG-1.4 */
  priorAuthority: string | null
  /** EVN-6 or EVN-2, ms, after the clock rules */
  recordedAt: number
  /** MSH-7, ms, after the clock rules */
  messageTime: number
  /** First 52 bits of SHA-256 over the verbatim content */
  contentHash: number
  /** What was noticed while reading */
  flags: string[]
}

/** The bytes of one message as they arrived, or the watermark of a spool. */
export interface RawMessage {
  /** message, or watermark: everything up to seq has been accepted */
  kind: string
  /** production or test */
  environment: string
  /** Institution code, from the credential or the feed configuration */
  hospital: string
  /** Name of the configured sender */
  feed: string
  /** Life of the spool, from 1 */
  epoch: number
  /** Dense number within (feed, epoch), from 1 */
  seq: number
  /** First receipt, ms */
  receivedAt: number
  /** SHA-256 of feed and bytes, lower-case hex; empty for a watermark */
  messageId: string
  /** Source protocol, for example hl7v2-mllp */
  connector: string
  /** live or bulk */
  lane: string
  /** ledger, redrive or heal */
  purpose: string
  /** Control ID as read before the acknowledgement */
  controlId: string | null
  /** File name or its like: where the message was found */
  sourceName: string | null
  /** Index of the message in its file, from 1; 0 where there is none */
  sourceIndex: number
  /** Key that encrypts the content */
  keyId: string | null
  /** none or gzip */
  compression: string
  /** The bytes, compressed and encrypted as stated; null where contentRef is set */
  content: Buffer | null
  /** sha256:<hex> of a larger content in the object store */
  contentRef: string | null
  /** Size of the bytes as they arrived */
  contentSize: number
}
