import { statusOrder, type Version } from '../core/version.js'
import type { EmbeddedDocument, ImagingReport, LabReport, Observation, ReportPanel } from '../schemas/types.js'
import type { ColumnValue } from './array-column.js'
import type { Dictionaries } from './dictionaries.js'
import { versionOf } from './versions.js'

/** What a panel states, as it stands in `report.panels` under its key; null fields are left out. */
export interface PanelFacts {
  readonly recordedAt: number
  readonly messageTime: number
  readonly derivation: number
  readonly status?: string
  readonly [fact: string]: string | number | undefined
}

export type Panels = Readonly<Record<string, PanelFacts>>

/** One observation with the ids of its dictionary entries; `report_id`, `month` and `owner` come later. */
export interface ObservationRow {
  readonly panelId: number
  readonly localCodeId: number
  readonly resultFormId: number
  readonly unifiedItemId: number | null
  readonly version: Version
  readonly observation: Observation
  readonly extra: string | null
}

/** A report with everything resolved but its patient and its row. */
export interface ResolvedReport {
  readonly hospitalId: number
  readonly sourceSystemId: number
  readonly version: Version
  /** JSON by panel key; null for imaging. */
  readonly panels: Panels | null
  readonly observations: readonly ObservationRow[]
  /** Imaging only. */
  readonly imagingItemId: number | null
  readonly imagingDetail: string | null
}

const text = (value: string | null): string | undefined => value ?? undefined
const flagText = (flags: readonly string[]): string | null => (flags.length === 0 ? null : flags.join(','))

/** Everything a report needs from the dictionaries; undefined while an id is missing. */
export function resolveLabReport(report: LabReport, dictionaries: Dictionaries): ResolvedReport | undefined {
  const { envelope } = report
  const hospitalId = dictionaries.hospital(envelope.hospital)
  const sourceSystemId =
    hospitalId === undefined ? undefined : dictionaries.sourceSystem(hospitalId, report.sourceSystem)
  if (hospitalId === undefined || sourceSystemId === undefined) return undefined
  const panelIds = report.panels.map(({ key }) => dictionaries.panel(hospitalId, key))
  const observations: ObservationRow[] = []
  let isComplete = panelIds.every((id) => id !== undefined)
  for (const observation of report.observations) {
    const row = resolveObservation(report, observation, panelIds[observation.panel], sourceSystemId, dictionaries)
    if (row === undefined) isComplete = false
    else observations.push(row)
  }
  if (!isComplete) return undefined
  return {
    hospitalId,
    sourceSystemId,
    version: versionOf(report.status, report, envelope.derivation),
    panels: Object.fromEntries(report.panels.map((panel) => [panel.key, panelFacts(panel, report)])),
    observations,
    imagingItemId: null,
    imagingDetail: null,
  }
}

function resolveObservation(
  report: LabReport,
  observation: Observation,
  panelId: number | undefined,
  sourceSystemId: number,
  dictionaries: Dictionaries,
): ObservationRow | undefined {
  const { unified } = observation
  const localCodeId = dictionaries.localCode(sourceSystemId, observation.system, observation.code)
  const itemId = unified?.itemId ?? null
  const unifiedItemId = itemId === null ? null : dictionaries.unifiedItem(itemId)
  if (localCodeId === undefined || unifiedItemId === undefined) return undefined
  const resultFormId = dictionaries.resultForm({
    localCodeId,
    unifiedItemId,
    text: observation.text,
    altCode: observation.altCode,
    altText: observation.altText,
    altSystem: observation.altSystem,
    valueType: observation.valueType,
    unit: observation.unit,
    range: observation.range,
    kind: unified?.kind ?? null,
    ucum: unified?.unit ?? null,
    rangeLow: unified?.rangeLow ?? null,
    rangeHigh: unified?.rangeHigh ?? null,
    rangeText: unified?.rangeText ?? null,
  })
  if (resultFormId === undefined || panelId === undefined) return undefined
  const panel = report.panels[observation.panel]!
  const stated = {
    recordedAt: panel.recordedAt,
    messageTime: report.messageTime,
    contentHash: observation.contentHash,
  }
  // An empty OBX-11 takes the status of its group (OBR-25), as many analysers leave it out.
  const version = versionOf(observation.status ?? panel.status, stated, report.envelope.derivation)
  const extra = extraOf(observation, report.documents)
  return { panelId, localCodeId, resultFormId, unifiedItemId, version, observation, extra }
}

/** Everything an imaging report needs from the dictionaries; undefined while an id is missing. */
export function resolveImagingReport(report: ImagingReport, dictionaries: Dictionaries): ResolvedReport | undefined {
  const { envelope } = report
  const hospitalId = dictionaries.hospital(envelope.hospital)
  const sourceSystemId =
    hospitalId === undefined ? undefined : dictionaries.sourceSystem(hospitalId, report.sourceSystem)
  const imagingItemId = report.itemId === null ? null : dictionaries.unifiedItem(report.itemId)
  if (hospitalId === undefined || sourceSystemId === undefined || imagingItemId === undefined) return undefined
  return {
    hospitalId,
    sourceSystemId,
    version: versionOf(report.status, report, envelope.derivation),
    panels: null,
    observations: [],
    imagingItemId,
    imagingDetail: imagingDetail(report),
  }
}

/** The rare parts of an observation; null where it has none. */
function extraOf(observation: Observation, documents: readonly EmbeddedDocument[]): string | null {
  const { valueSystem, observedAt, method, equipment, performer, notes, document } = observation
  if (
    valueSystem === null &&
    observedAt === null &&
    method === null &&
    equipment === null &&
    performer === null &&
    notes === null &&
    document === null
  ) {
    return null
  }
  return JSON.stringify({
    valueSystem: text(valueSystem),
    observedAt: observedAt ?? undefined,
    method: text(method),
    equipment: text(equipment),
    performer: text(performer),
    notes: text(notes),
    document: document === null ? undefined : documents[document],
  })
}

function panelFacts(panel: ReportPanel, report: LabReport): PanelFacts {
  const facts = {
    recordedAt: panel.recordedAt,
    messageTime: report.messageTime,
    derivation: report.envelope.derivation,
    code: text(panel.code),
    text: text(panel.text),
    system: text(panel.system),
    specimenCode: text(panel.specimenCode),
    specimenText: text(panel.specimenText),
    specimenId: text(panel.specimenId),
    collectedAt: panel.collectedAt ?? undefined,
    specimenReceivedAt: panel.specimenReceivedAt ?? undefined,
    parentObservation: text(panel.parentObservation),
    parentOrder: text(panel.parentOrder),
    notes: text(panel.notes),
    itemId: text(panel.itemId),
  }
  return panel.status === null ? facts : { ...facts, status: panel.status }
}

/** Of each panel the newest statement; what only one side has stays. Commutative and idempotent. */
export function mergePanels(standing: Panels | null, incoming: Panels | null): Panels | null {
  if (standing === null || incoming === null) return standing ?? incoming
  const merged = new Map(Object.entries(standing))
  for (const [key, facts] of Object.entries(incoming)) {
    const stands = merged.get(key)
    if (stands === undefined || comparePanels(facts, stands) > 0) merged.set(key, facts)
  }
  return Object.fromEntries(merged)
}

/** Whether merging would change anything. */
export function addsToPanels(standing: Panels | null, incoming: Panels | null): boolean {
  if (incoming === null) return false
  if (standing === null) return true
  return Object.entries(incoming).some(
    ([key, facts]) => !Object.hasOwn(standing, key) || comparePanels(facts, standing[key]!) > 0,
  )
}

function comparePanels(a: PanelFacts, b: PanelFacts): number {
  const left = statusOrder(a.status ?? null)
  const right = statusOrder(b.status ?? null)
  return (
    left.finality - right.finality ||
    a.recordedAt - b.recordedAt ||
    a.messageTime - b.messageTime ||
    left.statusRank - right.statusRank ||
    compareText(sourceText(a), sourceText(b)) ||
    a.derivation - b.derivation ||
    compareText(a['itemId'] as string | undefined, b['itemId'] as string | undefined)
  )
}

/** Canonical: JSON read back from the database has another order of keys, and none for what is undefined. */
function sourceText(facts: PanelFacts): string {
  const names = Object.keys(facts).filter(
    (name) => name !== 'itemId' && name !== 'derivation' && facts[name] !== undefined,
  )
  return JSON.stringify(names.sort().map((name) => [name, facts[name]]))
}

function compareText(a = '', b = ''): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Everything an imaging report states beyond the header, verbatim. */
function imagingDetail(report: ImagingReport): string {
  return JSON.stringify({
    accessionNumber: text(report.accessionNumber),
    studyInstanceUid: text(report.studyInstanceUid),
    examCode: text(report.examCode),
    examText: text(report.examText),
    examSystem: text(report.examSystem),
    modality: text(report.modality),
    modalityCode: text(report.modalityCode),
    bodyPart: text(report.bodyPart),
    examinedAt: report.examinedAt ?? undefined,
    abnormalFlags: text(report.abnormalFlags),
    itemId: text(report.itemId),
    sections: report.sections,
    documents: report.documents,
  })
}

/** Values of `headerTypes`. */
export function headerValues(report: LabReport | ImagingReport): ColumnValue[] {
  return [
    report.status,
    report.placerOrderNumber,
    report.encounter?.visitNumber ?? null,
    report.encounter?.patientClass ?? null,
    report.encounter?.department ?? null,
    report.orderingInstitution,
    report.collectingInstitution,
    report.performingInstitution,
    report.reportingInstitution,
    report.orderingPhysician,
    report.reporter,
    report.verifier,
    flagText(report.flags),
  ]
}
