import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DeadLetter, Envelope } from '../../schemas/types.js'
import { openArchive, type Archive } from '../../repository/archive.js'
import {
  deadLettersByCause,
  deadLetterSink,
  listDeadLetters,
  markRedriven,
  redrivable,
  showDeadLetter,
  type DeadLetterSink,
} from '../../repository/dead-letters.js'
import { rowCounts } from '../../repository/dump-rows.js'
import { eventSink, type EventSink } from '../../repository/event-sink.js'
import { reconcile, unsettled, type Reconciliation } from '../../repository/reconcile.js'
import type { SinkEvent } from '../../repository/sink-event.js'
import { trace } from '../../repository/trace.js'
import { empty, engines, type TestDatabase } from './databases.js'
import * as make from './events.js'

const clock = { now: () => make.morning }
const later = make.morning + make.day

function letter(envelope: Envelope | null, part: Partial<DeadLetter> = {}): DeadLetter {
  return {
    envelope,
    disposition: 'dead-lettered',
    stage: 'parse',
    code: 'segment-missing',
    detail: 'no OBR segment',
    segment: 'OBR',
    field: null,
    sourceTopic: 'raw',
    sourcePartition: 0,
    sourceOffset: String(envelope?.seq ?? 77),
    payload: null,
    ...part,
  }
}

describe.each(engines)('ledger on $name', ({ open }) => {
  let at: TestDatabase
  let sink: EventSink
  let letters: DeadLetterSink
  let archive: Archive
  beforeAll(async () => {
    at = await open()
    sink = eventSink(at.db, { clock })
    letters = deadLetterSink(at.db, clock)
    archive = openArchive(at.db, clock)
  })
  afterAll(() => at.drop())
  beforeEach(() => empty(at.db))

  const mark = (seq: number, feed = 'lis-a'): Promise<void> =>
    archive.write([make.raw(make.envelope({ feed, seq }), { kind: 'watermark', messageId: '', content: null })])
  const tamper = (sql: string): Promise<number> => at.db.transaction((tx) => tx.execute(sql))
  const check = (part: { day?: string; feed?: string; now?: number } = {}): Promise<Reconciliation> =>
    reconcile(at.db, { now: later, ...part })

  /** Six messages: two stored, one superseded by a third, one dead-lettered, one ignored, one with two events. */
  async function fill(): Promise<void> {
    const envelopes = [1, 2, 3, 4, 5, 6].map((seq) => make.envelope({ seq }))
    await archive.write(envelopes.map((envelope) => make.raw(envelope)))
    await mark(6)
    const two = { eventCount: 2 }
    const events: SinkEvent[] = [
      make.lab(
        make.labReport({
          envelope: envelopes[0]!,
          observations: [make.observation(), make.observation({ code: 'RBC' })],
        }),
      ),
      make.lab(make.labReport({ envelope: envelopes[1]!, reportNumber: 'R2' })),
      make.lab(
        make.labReport({
          envelope: envelopes[2]!,
          reportNumber: 'R2',
          status: 'C',
          recordedAt: make.morning + make.hour,
          panels: [make.panel({ recordedAt: make.morning + make.hour })],
        }),
      ),
      make.adt(make.patientEvent({ envelope: { ...envelopes[5]!, ...two } })),
      make.visit(make.encounterEvent({ envelope: { ...envelopes[5]!, ...two, eventIndex: 1 } })),
    ]
    await sink.write(events)
    await letters.write([
      letter(envelopes[3]!),
      letter(envelopes[4]!, { disposition: 'ignored', code: 'message-type-not-used', stage: 'parse' }),
    ])
  }

  test('conservation: received = stored + superseded + dead-lettered + ignored + in flight', async () => {
    await fill()
    await mark(8)
    await archive.write([make.raw(make.envelope({ seq: 8 }))])
    const { days, balanced, discrepancies } = await check({ now: make.morning + 10_000 })
    expect(discrepancies).toEqual([])
    expect(balanced).toBe(true)
    expect(days).toEqual([
      {
        feed: 'lis-a',
        hospital: 'H001',
        environment: 'production',
        day: '2026-03-10',
        received: 8,
        stored: 3,
        superseded: 1,
        deadLettered: 1,
        ignored: 1,
        inFlight: 2,
        balanced: true,
      },
    ])
    expect(await unsettled(at.db, 'lis-a', 1, 1, 8)).toBe(2)
    const after = await check()
    expect(after.balanced).toBe(false)
    expect(after.discrepancies.map(({ kind, seq, controlId }) => [kind, seq, controlId])).toEqual([
      ['message-missing', 7, null],
      ['receipt-missing', 8, 'C8'],
    ])
    expect(after.days[0]).toMatchObject({ received: 8, inFlight: 2, balanced: false })
  })

  const tampering: readonly (readonly [what: string, sql: string, kind: string, seq: number])[] = [
    [
      'one observation',
      `DELETE FROM observation WHERE local_code_id = (SELECT id FROM local_code WHERE code = 'RBC')`,
      'row-missing',
      1,
    ],
    ['one report', `DELETE FROM report WHERE report_no = 'R2'`, 'row-missing', 3],
    ['a patient', 'DELETE FROM patient', 'row-missing', 6],
    ['a visit', 'DELETE FROM encounter', 'row-missing', 6],
    ['an archived message', 'DELETE FROM raw_message WHERE seq = 2', 'raw-missing', 2],
    ['a dead letter', 'DELETE FROM dead_letter', 'dead-letter-missing', 4],
    ['a receipt', 'DELETE FROM receipt WHERE seq = 5', 'receipt-missing', 5],
    ['one of two receipts', 'DELETE FROM receipt WHERE seq = 6 AND event_index = 1', 'receipt-missing', 6],
    [
      'every trace of a message',
      'DELETE FROM receipt WHERE seq = 2; DELETE FROM raw_message WHERE seq = 2',
      'message-missing',
      2,
    ],
    [
      'the last message',
      'DELETE FROM receipt WHERE seq = 6; DELETE FROM raw_message WHERE seq = 6',
      'message-missing',
      6,
    ],
    [
      'the first message',
      'DELETE FROM receipt WHERE seq = 1; DELETE FROM raw_message WHERE seq = 1',
      'message-missing',
      1,
    ],
    ['a row nobody owns', `UPDATE observation SET owner = 1`, 'row-missing', 1],
  ]
  test.each(tampering)('deleting %s is named', async (_, sql, kind, seq) => {
    await fill()
    expect((await check()).balanced).toBe(true)
    for (const statement of sql.split('; ')) expect(await tamper(statement)).toBeGreaterThan(0)
    for (const day of [undefined, '2026-03-10']) {
      const { balanced, discrepancies, days } = await check(day === undefined ? {} : { day })
      expect(balanced).toBe(false)
      expect(discrepancies.map((found) => [found.kind, found.seq])).toContainEqual([kind, seq])
      expect(days[0]).toMatchObject({ balanced: false })
    }
    expect((await check({ day: '2026-03-09' })).balanced).toBe(true)
    expect((await check({ feed: 'another' })).days).toEqual([])
  })

  test('a feed of which nothing arrived but its watermark is named', async () => {
    await mark(2, 'lis-b')
    const { discrepancies, days } = await check()
    expect(discrepancies.map(({ kind, feed, seq }) => [kind, feed, seq])).toEqual([
      ['message-missing', 'lis-b', 1],
      ['message-missing', 'lis-b', 2],
    ])
    expect(days[0]).toMatchObject({ feed: 'lis-b', received: 2, inFlight: 2 })
  })

  test('redelivery changes nothing and says so', async () => {
    const events = [make.lab(make.labReport({ envelope: make.envelope({ seq: 1 }) }))]
    const [first] = await sink.write(events)
    const before = await rowCounts(at.db)
    const [again, inBatch] = await sink.write([...events, ...events])
    expect(first).toMatchObject({ disposition: 'stored', rows: 2, isRedelivery: false })
    expect(again).toMatchObject({ disposition: 'stored', rows: 2, isRedelivery: true })
    expect(inBatch).toMatchObject({ isRedelivery: true })
    expect(await rowCounts(at.db)).toEqual(before)
  })

  test('an event loses what a newer one wins, to the row', async () => {
    const first = make.lab(
      make.labReport({
        envelope: make.envelope({ seq: 1 }),
        observations: [make.observation(), make.observation({ code: 'RBC' })],
      }),
    )
    const recordedAt = make.morning + make.hour
    const second = make.lab(
      make.labReport({
        envelope: make.envelope({ seq: 2 }),
        recordedAt,
        status: 'C',
        panels: [make.panel({ recordedAt })],
        observations: [make.observation({ value: '6' })],
      }),
    )
    await sink.write([first])
    expect((await sink.write([second]))[0]).toMatchObject({ rows: 2 })
    const receipts = await at.db.transaction((tx) =>
      tx.query('SELECT seq, rows, disposition FROM receipt ORDER BY seq'),
    )
    expect(receipts).toEqual([
      { seq: 1, rows: 1, disposition: 'stored' },
      { seq: 2, rows: 2, disposition: 'stored' },
    ])
    expect(await rowCounts(at.db)).toMatchObject({ observation: 2, observation_history: 1, report_history: 1 })
  })

  test('a duplicate is superseded as such; the first in the ledger keeps the rows', async () => {
    const [, early] = [2, 1].map((seq) => make.lab(make.labReport({ envelope: make.envelope({ seq }) })))
    await sink.write([make.lab(make.labReport({ envelope: make.envelope({ seq: 2 }) }))])
    expect((await sink.write([early!]))[0]).toMatchObject({ disposition: 'stored', rows: 2 })
    const late = make.lab(make.labReport({ envelope: make.envelope({ seq: 3 }) }))
    expect((await sink.write([late]))[0]).toMatchObject({ disposition: 'superseded', reason: 'duplicate', rows: 0 })
    const rows = await at.db.transaction((tx) => tx.query('SELECT seq, rows, disposition FROM receipt ORDER BY seq'))
    expect(rows).toEqual([
      { seq: 1, rows: 2, disposition: 'stored' },
      { seq: 2, rows: 0, disposition: 'superseded' },
      { seq: 3, rows: 0, disposition: 'superseded' },
    ])
  })

  test('a row the database refuses becomes a dead letter of its own; the rest of the batch is stored', async () => {
    const events = Array.from({ length: 20 }, (_, index) => {
      const bad = index === 13
      const unified = { ...make.observation().unified!, number: bad ? 'twelve' : '12' }
      return make.lab(
        make.labReport({
          envelope: make.envelope({ seq: index + 1 }),
          reportNumber: `R${index}`,
          observations: [make.observation({ unified })],
        }),
      )
    })
    const outcomes = await sink.write(events)
    expect(outcomes.filter(({ disposition }) => disposition === 'stored')).toHaveLength(19)
    expect(outcomes[13]).toMatchObject({ disposition: 'dead-lettered', reason: 'row-refused', rows: 0 })
    const [found] = await listDeadLetters(at.db)
    expect(found).toMatchObject({ code: 'row-refused', seq: 14, stage: 'sink', state: 'open', controlId: 'C14' })
    expect((await showDeadLetter(at.db, found!.id))?.detail).toContain('22P02')
    expect(await rowCounts(at.db)).toMatchObject({ report: 19, receipt: 20 })
  })

  test('a key too long for an index is refused by field, before the database is asked', async () => {
    const [outcome] = await sink.write([make.lab(make.labReport({ reportNumber: '长'.repeat(4000) }))])
    expect(outcome).toMatchObject({ disposition: 'dead-lettered', reason: 'field-invalid' })
    const [found] = await listDeadLetters(at.db, { code: 'field-invalid', feed: 'lis-a', state: 'open' })
    expect(found).toMatchObject({ segment: 'OBR', field: 'OBR-3' })
  })

  test('NUL and half a surrogate pair are replaced and flagged, wherever they stand', async () => {
    const [outcome] = await sink.write([
      make.lab(
        make.labReport({
          reportNumber: 'R\u0000001',
          panels: [make.panel({ notes: 'a\0b' })],
          observations: [make.observation({ value: 'x\0y\ud800', text: 'n\0', notes: '\0' })],
        }),
      ),
    ])
    expect(outcome).toMatchObject({ disposition: 'stored', rows: 2 })
    const [row] = await at.db.transaction((tx) =>
      tx.query(
        `SELECT r.report_no, r.flags, o.value, o.extra, r.panels -> 'XCG' ->> 'notes' AS notes FROM report r JOIN observation o ON o.report_id = r.id`,
      ),
    )
    expect(row).toEqual({
      report_no: 'R\u2400001',
      flags: ['unstorable-characters-replaced'],
      value: 'x\u2400y\ufffd',
      extra: { notes: '\u2400' },
      notes: 'a\u2400b',
    })
  })

  test('the same bytes without a time of their own never look newer', async () => {
    const copy = (seq: number): SinkEvent => {
      const envelope = make.envelope({ seq, receivedAt: make.morning + seq * make.hour, messageId: 'ab'.repeat(32) })
      const time = envelope.receivedAt
      return make.lab(
        make.labReport({
          envelope,
          recordedAt: time,
          messageTime: time,
          flags: ['message-time-from-receipt'],
          panels: [make.panel({ recordedAt: time })],
        }),
      )
    }
    await sink.write([copy(1)])
    expect((await sink.write([copy(2)]))[0]).toMatchObject({ disposition: 'superseded', reason: 'duplicate' })
    expect(await rowCounts(at.db)).toMatchObject({ observation_history: 0, report_history: 0 })
  })

  test('an erased person is counted and kept nowhere', async () => {
    await tamper(`INSERT INTO suppression VALUES ('H001', '', 'P0001')`)
    expect((await sink.write([make.lab(make.labReport())]))[0]).toMatchObject({
      disposition: 'ignored',
      reason: 'suppressed',
    })
    expect(await rowCounts(at.db)).toMatchObject({ patient: 0, report: 0, receipt: 1 })
  })

  test('redrive: the dead letter is resolved when its event is stored', async () => {
    const envelope = make.envelope({ seq: 1 })
    await archive.write([make.raw(envelope)])
    await letters.write([letter(envelope)])
    const found: number[] = []
    for await (const { deadLetterIds, message } of redrivable(at.db, { code: 'segment-missing' })) {
      found.push(...deadLetterIds)
      expect(message).toMatchObject({
        purpose: 'redrive',
        seq: 1,
        feed: 'lis-a',
        messageId: envelope.messageId,
        receivedAt: envelope.receivedAt,
      })
      expect(message.content?.toString()).toContain('MSH')
    }
    expect(found).toHaveLength(1)
    await markRedriven(at.db, found)
    expect(await listDeadLetters(at.db, { state: 'redriven' })).toHaveLength(1)
    const redriven = { ...envelope, purpose: 'redrive', eventCount: 2 }
    const outcomes = await sink.write([
      make.lab(make.labReport({ envelope: redriven })),
      make.lab(make.labReport({ envelope: { ...redriven, eventIndex: 1 }, reportNumber: 'R2' })),
    ])
    expect(outcomes.map(({ disposition }) => disposition)).toEqual(['stored', 'stored'])
    expect(await listDeadLetters(at.db, { state: 'resolved' })).toHaveLength(1)
    // The dead letter may come once more from the topic: what is stored stays stored.
    await letters.write([letter(envelope)])
    expect(await listDeadLetters(at.db, { state: 'open' })).toHaveLength(0)
    await mark(1)
    expect(await check()).toMatchObject({ balanced: true, days: [{ received: 1, stored: 1, deadLettered: 0 }] })
  })

  test('a redriven message that comes to fewer events leaves no receipt behind', async () => {
    const envelope = make.envelope({ seq: 1, eventCount: 3 })
    await archive.write([make.raw(envelope)])
    await sink.write([make.lab(make.labReport({ envelope }))])
    await letters.write([1, 2].map((eventIndex) => letter({ ...envelope, eventIndex }, { stage: 'normalise' })))
    expect((await check()).days).toMatchObject([{ deadLettered: 1 }])
    await sink.write([make.lab(make.labReport({ envelope: { ...envelope, eventCount: 1, purpose: 'redrive' } }))])
    expect(await check()).toMatchObject({ balanced: true, days: [{ received: 1, stored: 1 }] })
  })

  test('a report number two patients claim: the later patient waits in the dead letters, until moving is allowed', async () => {
    const of = (seq: number, id: string, minutes: number): SinkEvent =>
      make.lab(
        make.labReport({
          envelope: make.envelope({ seq }),
          patient: make.patient({ id }),
          recordedAt: make.morning + minutes * make.minute,
        }),
      )
    await archive.write([1, 2].map((seq) => make.raw(make.envelope({ seq }))))
    await sink.write([of(1, 'P1', 10)])
    expect((await sink.write([of(2, 'P2', 20)]))[0]).toMatchObject({
      disposition: 'dead-lettered',
      reason: 'report-key-conflict',
    })
    const visible = (): Promise<unknown[]> =>
      at.db.transaction((tx) =>
        tx.query('SELECT p.patient_no FROM current_report r JOIN patient p ON p.id = r.patient_id'),
      )
    expect(await visible()).toEqual([{ patient_no: 'P1' }])
    expect(await listDeadLetters(at.db, { code: 'report-key-conflict', state: 'open' })).toHaveLength(1)
    const again = of(2, 'P2', 20)
    const moved = { ...again.event, allowMove: true, envelope: { ...again.event.envelope, purpose: 'redrive' } }
    expect((await sink.write([{ ...again, event: moved } as SinkEvent]))[0]).toMatchObject({
      disposition: 'stored',
      rows: 2,
    })
    expect(await visible()).toEqual([{ patient_no: 'P2' }])
    expect(await listDeadLetters(at.db, { state: 'resolved' })).toHaveLength(1)
    await mark(2)
    expect(await check()).toMatchObject({ balanced: true, days: [{ stored: 2, deadLettered: 0 }] })
  })

  test('healing replaces what an older release made of the same message, and nothing else', async () => {
    const derive = (derivation: number, number: string, purpose: string, value = '5.6'): SinkEvent => {
      const unified = { ...make.observation().unified!, number }
      return make.lab(
        make.labReport({
          envelope: make.envelope({ seq: 1, derivation, purpose }),
          observations: [make.observation({ unified, value })],
        }),
      )
    }
    expect((await sink.write([derive(2, '1', 'heal')]))[0]).toMatchObject({ disposition: 'ignored', reason: 'heal' })
    await sink.write([derive(1, '1', 'ledger')])
    const numbers = (): Promise<unknown[]> =>
      at.db.transaction((tx) => tx.query('SELECT number, value, derivation FROM observation'))
    expect((await sink.write([derive(2, '2', 'heal')]))[0]).toMatchObject({ disposition: 'stored', rows: 2 })
    expect(await numbers()).toEqual([{ number: '2', value: '5.6', derivation: 2 }])
    await sink.write([derive(1, '1', 'heal')])
    await sink.write([derive(3, '3', 'heal', '9.9')])
    expect(await numbers()).toEqual([{ number: '2', value: '5.6', derivation: 2 }])
    expect(await rowCounts(at.db)).toMatchObject({ receipt: 1, observation_history: 0 })
    await archive.write([make.raw(make.envelope({ seq: 1 }))])
    expect((await check()).balanced).toBe(true)
  })

  test('work items are counted once an event, however often it is delivered', async () => {
    const unified = { ...make.observation().unified!, itemId: null, flags: ['unmapped-code', 'unmapped-unit'] }
    const event = make.lab(
      make.labReport({
        observations: [make.observation({ unified }), make.observation({ unified, subId: '2' })],
        flags: ['charset-header-lies'],
      }),
    )
    await sink.write([event])
    await sink.write([event])
    const items = await at.db.transaction((tx) =>
      tx.query('SELECT kind, subject, count, sample FROM work_item ORDER BY kind'),
    )
    expect(items).toEqual([
      { kind: 'charset-header-lies', subject: 'lis-a', count: 1, sample: 'lis-a/1/1' },
      { kind: 'unmapped-code', subject: 'LIS|L|WBC', count: 1, sample: 'lis-a/1/1' },
      { kind: 'unmapped-unit', subject: 'LIS|L|WBC|10^9/L', count: 1, sample: 'lis-a/1/1' },
    ])
  })

  test('unreadable frames are kept once, by their place on the topic', async () => {
    const frame = letter(null, { stage: 'raw', code: 'frame-unreadable', payload: Buffer.from([0, 1, 2]) })
    await letters.write([frame, frame])
    await letters.write([frame])
    const [found, ...others] = await listDeadLetters(at.db)
    expect(others).toEqual([])
    expect((await showDeadLetter(at.db, found!.id))?.payload).toEqual(Buffer.from([0, 1, 2]))
    expect(await deadLettersByCause(at.db)).toMatchObject([
      { code: 'frame-unreadable', stage: 'raw', feed: null, count: 1 },
    ])
  })

  test('trace follows a message from its bytes to its rows and back, without showing the patient', async () => {
    await fill()
    const byControl = await trace(at.db, 'C2')
    expect(byControl.messages).toMatchObject([
      {
        feed: 'lis-a',
        seq: 2,
        controlId: 'C2',
        connector: 'hl7v2-mllp',
        events: [{ disposition: 'superseded', rows: 0 }],
      },
    ])
    expect(byControl.rows.map(({ isCurrent, owner }) => [isCurrent, owner])).toContainEqual([true, 'lis-a/1/3.0'])
    expect(byControl.rows.map(({ isCurrent, owner }) => [isCurrent, owner])).toContainEqual([false, 'lis-a/1/2.0'])
    expect(JSON.stringify(byControl)).not.toContain('5.6')
    const byNumber = await trace(at.db, 'R2')
    expect(byNumber.messages.map(({ seq }) => seq)).toEqual([2, 3])
    const reference = byNumber.rows.find((row) => row.reference.startsWith('observation:'))!.reference
    const byRow = await trace(at.db, reference, { reveal: true })
    expect(byRow.messages.map(({ seq }) => seq)).toEqual([2, 3])
    expect(JSON.stringify(byRow)).toContain('5.6')
    expect((await trace(at.db, 'C4')).messages).toMatchObject([
      {
        seq: 4,
        events: [{ disposition: 'dead-lettered', reason: 'segment-missing' }],
        deadLetterIds: [expect.any(Number)],
      },
    ])
    expect(await trace(at.db, 'nothing')).toEqual({ messages: [], rows: [] })
  })
})
