import type { EmbeddedDocument, Observation, ReportPanel } from '../../schemas/types.js'
import type { ReceivedEvent } from '../connector.js'
import { documentsOf } from './documents.js'
import type { FieldText } from './field-text.js'
import { itemCode, notesText, observation, observerOf } from './observations.js'
import type { ResultLine } from './order-groups.js'
import { timeOf, type Reading } from './reading.js'
import type { ReportGroup, ReportOrder } from './report-groups.js'
import { headerHash, reportFlags, reportHeader } from './report-header.js'
import { specimenOf } from './specimen.js'

/** A laboratory, microbiology or pathology report. @throws RecordError segment-missing, patient-id-missing */
export function labReport(reading: Reading, report: ReportGroup): ReceivedEvent {
  const header = reportHeader(reading, report)
  const panels: ReportPanel[] = []
  const observations: Observation[] = []
  const documents: EmbeddedDocument[] = []
  const flags: string[] = []
  const keys = new Map<string, number>()
  let verifier = header.verifier

  const addResults = (lines: readonly ResultLine[], panel: number): void => {
    const occurrences = new Map<string, number>()
    for (const line of lines) {
      const found = documentsOf(reading.text, line)
      const document = found.length === 0 ? null : documents.push(...found) - found.length
      const result = observation(reading, line, panel, occurrences, document)
      if (result.code === '') flags.push('obx-3-empty')
      verifier ??= observerOf(reading, line)
      observations.push(result)
    }
  }

  if (report.unordered.length > 0) {
    panels.push(emptyPanel(header.recordedAt))
    addResults(report.unordered, 0)
  }
  for (const order of report.orders) {
    panels.push(panelOf(reading, order, uniqueKey(keys, panelKey(reading, order))))
    addResults(order.group.results, panels.length - 1)
  }
  return {
    domain: 'lab-report',
    body: {
      ...header,
      verifier,
      kind: report.kind,
      // A group that states no result withdraws none: it is a status alone.
      snapshot: reading.rules.snapshot && observations.length > 0,
      contentHash: headerHash(reading.text, report, false),
      panels,
      observations,
      documents,
      flags: reportFlags(reading, report, flags),
    },
  }
}

/**
 * Identity of an order group within its report: the OBR-4 code (else alternate code, else text); where OBR-26 names the
 * result it belongs to (susceptibilities of an organism), `@` and that result's code and sub-id, so that it is the same
 * in whatever order and company the groups arrive.
 */
export function panelKey(reading: Reading, order: ReportOrder): string {
  const { text } = reading
  const { obr } = order.group
  if (obr === null) return ''
  const code = itemCode(text, text.first(text.raw(obr, 4)))
  const parent = text.raw(obr, 26)
  if (parent === '' || parent === '""') return code
  const parentCode = text.read(text.subcomponent(text.component(parent, 1), 1)) ?? ''
  const parentSubId = text.read(text.component(parent, 2)) ?? ''
  return `${code}@${parentCode}/${parentSubId}`
}

function uniqueKey(keys: Map<string, number>, key: string): string {
  const count = (keys.get(key) ?? 0) + 1
  keys.set(key, count)
  return count === 1 ? key : `${key}#${count}`
}

function panelOf(reading: Reading, order: ReportOrder, key: string): ReportPanel {
  const { text } = reading
  const { obr } = order.group
  const specimen = specimenOf(reading, order.group)
  return {
    key,
    code: text.stated(obr, 4, 1),
    text: text.stated(obr, 4, 2),
    system: text.stated(obr, 4, 3),
    specimenCode: specimen.code,
    specimenText: specimen.text,
    specimenId: specimen.id,
    collectedAt: timeOf(reading, text.stated(obr, 7)) ?? specimen.collectedAt,
    specimenReceivedAt: timeOf(reading, text.stated(obr, 14)) ?? specimen.receivedAt,
    status: order.status,
    recordedAt: order.recorded.at,
    parentObservation: parentLink(text, text.raw(obr, 26)),
    parentOrder: parentLink(text, text.raw(obr, 29)),
    notes: notesText(text, order.group.notes),
    itemId: null,
  }
}

/** A link as sent, in the usual delimiters, for who follows it no longer knows those of the message. */
function parentLink(text: FieldText, raw: string): string | null {
  const { component, subcomponent } = text.separators
  if ((component === '^' || component === '') && (subcomponent === '&' || subcomponent === '')) return text.read(raw)
  const part = (one: string): string => (subcomponent === '' ? one : one.split(subcomponent).join('&'))
  return text.read(component === '' ? part(raw) : raw.split(component).map(part).join('^'))
}

/** The panel of results that stand under no order group. */
function emptyPanel(recordedAt: number): ReportPanel {
  return {
    key: '-',
    code: null,
    text: null,
    system: null,
    specimenCode: null,
    specimenText: null,
    specimenId: null,
    collectedAt: null,
    specimenReceivedAt: null,
    status: null,
    recordedAt,
    parentObservation: null,
    parentOrder: null,
    notes: null,
    itemId: null,
  }
}
