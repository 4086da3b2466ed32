import { describe, expect, test } from 'vitest'
import type { RawInput, ReceivedEvent } from '../../connectors/connector.js'
import { statedRules, type StatedOptions } from '../../connectors/stated/options.js'
import type { StatedLabReport } from '../../connectors/stated/stated.js'
import {
  encounterEvent,
  imagingReportEvent,
  labReportEvent,
  orderEvent,
  personEvent,
  type StatedMessage,
} from '../../connectors/stated/to-events.js'

const receivedAt = Date.parse('2026-03-05T02:00:00Z')
const input: RawInput = {
  content: Buffer.alloc(0),
  feed: 'h001-lis',
  hospital: 'H001',
  environment: 'test',
  receivedAt,
  messageId: '0'.repeat(64),
}
const message = (options: StatedOptions = {}, more: Partial<StatedMessage> = {}): StatedMessage => ({
  ...{ input, rules: statedRules(options), madeAt: '2026-03-05 09:30:00' },
  ...more,
})
const report: StatedLabReport = {
  reportNumber: ' L2603050001 ',
  status: 'F',
  recordedAt: '2026-03-05 09:20:00',
  patient: { id: 'P0001', name: '欧阳明珠', identifiers: [{ value: '11010119900307002X', type: 'SS' }] },
  panels: [
    {
      item: { code: 'BIO', text: '生化全套' },
      collectedAt: '2026-03-04 23:50',
      results: [
        { item: { code: 'K', text: '钾' }, value: '3.9', unit: 'mmol/L', range: '3.5-5.3' },
        { item: { text: '乙肝表面抗原' }, value: '弱阳性' },
        { item: { code: 'K' }, value: null },
      ],
    },
  ],
}

type Body<D extends ReceivedEvent['domain']> = Extract<ReceivedEvent, { domain: D }>['body']
const lab = (one: StatedLabReport, at = message()): Body<'lab-report'> => {
  const event = labReportEvent(at, one)
  if (event.domain !== 'lab-report') throw new Error(event.domain)
  return event.body
}

describe('what a source states', () => {
  test('becomes a report with times in the zone of the feed', () => {
    const body = lab(report)
    expect(body).toMatchObject({
      reportNumber: 'L2603050001',
      sourceSystem: 'h001-lis',
      recycleScope: '',
      status: 'F',
      recordedAt: Date.parse('2026-03-05T01:20:00Z'),
      messageTime: Date.parse('2026-03-05T01:30:00Z'),
      flags: [],
      patient: { id: 'P0001', authority: '', name: '欧阳明珠' },
    })
    expect(body.patient.identifiers.map(({ value, type }) => [value, type])).toEqual([
      ['P0001', 'MR'],
      ['11010119900307002X', 'SS'],
    ])
    expect(body.panels).toMatchObject([{ key: 'BIO', collectedAt: Date.parse('2026-03-04T15:50:00Z'), status: 'F' }])
    expect(body.observations).toMatchObject([
      { code: 'K', occurrence: 0, valueType: 'NM', value: '3.9' },
      { code: '乙肝表面抗原', occurrence: 0, valueType: 'ST', value: '弱阳性' },
      { code: 'K', occurrence: 1, valueType: null, value: null },
    ])
  })

  test('carries the same hash however its members are ordered, and another where one text differs', () => {
    const turned = Object.fromEntries(Object.entries(report).reverse()) as unknown as StatedLabReport
    expect(lab(turned)).toEqual(lab(report))
    expect(lab({ ...report, placerOrderNumber: null }).contentHash).toBe(lab(report).contentHash)
    expect(lab({ ...report, verifier: '王审' }).contentHash).not.toBe(lab(report).contentHash)
    const [panel] = report.panels
    const changed = lab({ ...report, panels: [{ ...panel!, results: [{ ...panel!.results[0]!, value: '4.0' }] }] })
    expect(changed.observations[0]!.contentHash).not.toBe(lab(report).observations[0]!.contentHash)
    expect(changed.contentHash, 'the header says the same').toBe(lab(report).contentHash)
  })

  test('keeps the clock rules of docs/newer.md', () => {
    expect(lab(report, message({}, { madeAt: null }))).toMatchObject({
      messageTime: receivedAt,
      flags: ['message-time-from-receipt'],
    })
    expect(lab({ ...report, recordedAt: '2027-01-01 00:00' })).toMatchObject({
      recordedAt: Date.parse('2026-03-05T01:30:00Z'),
      flags: ['recorded-at-future'],
    })
    expect(lab({ ...report, recordedAt: '上午' }).flags).toEqual(['recorded-at-unreadable'])
    const [panel] = report.panels
    const later = lab({ ...report, panels: [panel!, { ...panel!, recordedAt: '2026-03-05 09:25' }] })
    expect(later.panels.map(({ key, recordedAt }) => [key, new Date(recordedAt).toISOString()])).toEqual([
      ['BIO', '2026-03-05T01:20:00.000Z'],
      ['BIO#2', '2026-03-05T01:25:00.000Z'],
    ])
    expect(later.recordedAt).toBe(later.panels[1]!.recordedAt)
  })

  test('heeds the feed: system, authority, recycled numbers, snapshots', () => {
    const options: StatedOptions = {
      ...{ sourceSystem: 'LIS', patientAuthority: '门诊', reportNumberRecycles: 'day', updates: 'snapshot' },
      allowMove: true,
    }
    const body = lab({ ...report, sourceSystem: 'X' }, message(options))
    expect(body).toMatchObject({ sourceSystem: 'LIS', recycleScope: '20260304', snapshot: true, allowMove: true })
    expect(body.patient).toMatchObject({ authority: '门诊' })
    expect(lab({ ...report, panels: [] }, message(options)).snapshot, 'a status alone withdraws nothing').toBe(false)
  })

  test('names what is missing, with the place', () => {
    const at = message({}, { place: { segment: 'row 7' } })
    const thrown = (code: string) => expect.objectContaining({ code, place: { segment: 'row 7' } }) as Error
    expect(() => labReportEvent(at, { ...report, reportNumber: ' ' })).toThrow(thrown('report-number-missing'))
    expect(() => labReportEvent(at, { ...report, patient: { id: '' } })).toThrow(thrown('patient-id-missing'))
    const order = { orderNumber: '', kind: 'lab', control: 'NW', patient: { id: 'P1' } } as const
    expect(() => orderEvent(at, order)).toThrow(thrown('field-invalid'))
    const visit = { visitNumber: null, status: 'admitted', patient: { id: 'P1' } } as const
    expect(() => encounterEvent(at, visit)).toThrow(thrown('field-invalid'))
    expect(lab({ ...report, panels: [{ results: [{ item: {}, value: '1' }] }] }).flags).toEqual(['item-code-missing'])
  })

  test('documents are digested, and where they stand is part of what is said', () => {
    const documents = [{ place: '附件', mediaType: 'application/pdf', bytes: Buffer.from('%PDF-1.7') }]
    const results = [{ item: { code: 'PDF' }, document: 0 }]
    const body = lab({ ...report, documents, panels: [{ results }] })
    expect(body.documents).toMatchObject([{ segment: '附件', size: 8, mediaType: 'application/pdf' }])
    expect(body.observations).toMatchObject([{ valueType: 'ED', document: 0 }])
    const moved = lab({ ...report, documents: [{ ...documents[0]!, place: '别处' }], panels: [{ results }] })
    expect(moved.observations[0]!.contentHash).not.toBe(body.observations[0]!.contentHash)
  })

  test('examinations, orders, persons and visits have their events', () => {
    const patient = { id: 'P0001' }
    const exam = imagingReportEvent(message(), {
      ...{ reportNumber: 'E1', patient, modality: 'CT', exam: { text: '胸部CT' }, examinedAt: '2026-03-05 08:00' },
      sections: [{ kind: 'impression', text: '未见异常' }],
    })
    expect(exam).toMatchObject({
      domain: 'imaging-report',
      body: { modality: 'CT', sections: [{ kind: 'impression' }] },
    })
    const order = orderEvent(message(), { orderNumber: 'O1', kind: 'lab', control: 'NW', patient })
    expect(order).toMatchObject({ domain: 'order', body: { orderNumber: 'O1', encounter: null } })
    expect(personEvent(message(), { patient })).toMatchObject({ domain: 'patient', body: { action: 'state' } })
    const visit = { visitNumber: 'V1', status: 'admitted', patient, diagnosis: { code: 'J18.9' } } as const
    expect(encounterEvent(message(), visit)).toMatchObject({ domain: 'encounter', body: { diagnosisCode: 'J18.9' } })
  })
})
