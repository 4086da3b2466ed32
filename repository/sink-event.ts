import { RecordError } from '../core/errors.js'
import type { EncounterEvent, Envelope, ImagingReport, LabReport, OrderEvent, PatientEvent } from '../schemas/types.js'

/** A normalised event as the sink takes it. */
export type SinkEvent =
  | { readonly domain: 'lab-report'; readonly event: LabReport }
  | { readonly domain: 'imaging-report'; readonly event: ImagingReport }
  | { readonly domain: 'patient'; readonly event: PatientEvent }
  | { readonly domain: 'encounter'; readonly event: EncounterEvent }
  | { readonly domain: 'order'; readonly event: OrderEvent }

export type Disposition = 'stored' | 'superseded' | 'dead-lettered' | 'ignored'

/** What became of one event; `isRedelivery` where its receipt had been written before. */
export interface Outcome {
  readonly event: SinkEvent
  readonly disposition: Disposition
  readonly reason: string | null
  /** Rows it owns after this transaction. */
  readonly rows: number
  readonly isRedelivery: boolean
}

/** No key may reach the limit of a B-tree entry (2,704 bytes for all its columns together). */
export const keyBytesMax = 500
const earliestMs = Date.parse('0001-01-02T00:00:00Z')
const latestMs = Date.parse('9999-12-30T00:00:00Z')
const int2Max = 32_767

/** What the tables cannot hold. @throws RecordError field-invalid */
export function checkEvent({ domain, event }: SinkEvent): void {
  checkEnvelope(event.envelope)
  checkKey(event.patient.id, 'PID', 'PID-3.1')
  checkKey(event.patient.authority, 'PID', 'PID-3.4')
  checkTime(event.recordedAt, domain === 'patient' || domain === 'encounter' ? 'EVN-2' : 'OBR-22')
  checkTime(event.messageTime, 'MSH-7')
  checkHash(event.contentHash)
  switch (domain) {
    case 'lab-report':
      checkReport(event)
      event.panels.forEach((panel, index) => {
        checkKey(panel.key, `OBR[${index + 1}]`, 'OBR-4.1')
        checkTime(panel.recordedAt, 'OBR-22')
        checkKey(panel.itemId, `OBR[${index + 1}]`, 'OBR-4.1')
      })
      event.observations.forEach((observation, index) => {
        const segment = `OBX[${index + 1}]`
        checkKey(observation.code, segment, 'OBX-3.1')
        checkKey(observation.system, segment, 'OBX-3.3')
        checkKey(observation.subId, segment, 'OBX-4')
        checkHash(observation.contentHash)
        if (observation.occurrence > int2Max)
          throw invalid(segment, 'OBX-4', 'repeats more often than can be told apart')
        if (event.panels[observation.panel] === undefined) throw invalid(segment, 'OBX-1', 'belongs to no order group')
        checkKey(observation.unified?.itemId ?? null, segment, 'OBX-3.1')
      })
      return
    case 'imaging-report':
      checkReport(event)
      checkKey(event.itemId, 'OBR', 'OBR-4.1')
      return
    case 'patient':
      checkKey(event.priorId, 'MRG', 'MRG-1.1')
      checkKey(event.priorAuthority, 'MRG', 'MRG-1.4')
      if (event.action === 'merge' && (event.priorId ?? '') === '') {
        throw new RecordError('merge-incomplete', 'MRG-1 names no prior patient', { segment: 'MRG', field: 'MRG-1' })
      }
      return
    case 'encounter':
      checkKey(event.visitNumber, 'PV1', 'PV1-19')
      return
    case 'order':
      checkKey(event.sourceSystem, 'MSH', 'MSH-3')
      checkKey(event.orderNumber, 'ORC', 'ORC-2')
      checkKey(event.itemId, 'OBR', 'OBR-4.1')
  }
}

function checkReport(report: LabReport | ImagingReport): void {
  checkKey(report.sourceSystem, 'MSH', 'MSH-3')
  checkKey(report.reportNumber, 'OBR', 'OBR-3')
  checkKey(report.recycleScope, 'OBR', 'OBR-7')
  if (report.documents.length > int2Max) throw invalid('OBX', 'OBX-5', 'more documents than can be numbered')
}

function checkEnvelope(envelope: Envelope): void {
  checkKey(envelope.hospital, 'MSH', 'MSH-4')
  checkKey(envelope.feed, 'MSH', 'MSH-3')
  checkTime(envelope.receivedAt, 'MSH-7')
}

function checkKey(text: string | null, segment: string, field: string): void {
  // At most three bytes a UTF-16 unit.
  if (text === null || text.length * 3 <= keyBytesMax) return
  const bytes = Buffer.byteLength(text)
  if (bytes > keyBytesMax)
    throw invalid(segment, field, `${bytes} bytes are too long for a key (at most ${keyBytesMax})`)
}

function checkTime(ms: number, field: string): void {
  if (!(ms >= earliestMs && ms <= latestMs)) {
    throw invalid(field.split('-')[0]!, field, 'the time lies outside the years 1 to 9999')
  }
}

function checkHash(hash: number): void {
  if (!Number.isSafeInteger(hash)) throw new RecordError('field-invalid', 'the content hash is not a whole number')
}

const invalid = (segment: string, field: string, detail: string): RecordError =>
  new RecordError('field-invalid', detail, { segment, field })

/** What PostgreSQL cannot store in text: NUL, and halves of surrogate pairs. */
const unstorable = /\0|\p{Cs}/u
const unstorableAll = /\0|\p{Cs}/gu
export const replacedFlag = 'unstorable-characters-replaced'

/**
 * NUL becomes U+2400, half a surrogate pair U+FFFD, and the event is flagged; the bytes stay as they are in the
 * archive. The same event object where nothing had to be replaced.
 */
export function storable(sinkEvent: SinkEvent): SinkEvent {
  let replaced = false
  const clean = (value: unknown): unknown => {
    if (typeof value === 'string') {
      if (!unstorable.test(value)) return value
      replaced = true
      return value.replace(unstorableAll, (found) => (found === '\0' ? '\u2400' : '\ufffd'))
    }
    if (Array.isArray(value)) return value.map(clean)
    if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) return value
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, clean(part)]))
  }
  const event = clean(sinkEvent.event) as SinkEvent['event']
  if (!replaced) return sinkEvent
  return { ...sinkEvent, event: { ...event, flags: [...event.flags, replacedFlag] } } as SinkEvent
}

/** The normaliser and parser flags a message whose MSH-7 is missing or lies ahead with this. */
const timeFromReceipt = 'message-time-from-receipt'

export const takesTimeFromReceipt = (event: SinkEvent['event']): boolean => event.flags.includes(timeFromReceipt)

/** The event as it would be had the same bytes been received first at `firstMs`: their later copies do not look newer. */
export function withFirstReceipt(sinkEvent: SinkEvent, firstMs: number): SinkEvent {
  const { event } = sinkEvent
  const taken = event.envelope.receivedAt
  if (taken === firstMs) return sinkEvent
  const first = (ms: number): number => (ms === taken ? firstMs : ms)
  const times = { recordedAt: first(event.recordedAt), messageTime: first(event.messageTime) }
  if (sinkEvent.domain !== 'lab-report') return { ...sinkEvent, event: { ...event, ...times } } as SinkEvent
  const panels = sinkEvent.event.panels.map((panel) => ({ ...panel, recordedAt: first(panel.recordedAt) }))
  return { domain: 'lab-report', event: { ...sinkEvent.event, ...times, panels } }
}
