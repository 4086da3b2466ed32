import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { rowCounts } from '../../repository/dump-rows.js'
import { eventSink, type EventSink } from '../../repository/event-sink.js'
import { empty, engines, type TestDatabase } from './databases.js'
import * as make from './events.js'

describe.each(engines)('event sink on $name', ({ open }) => {
  let at: TestDatabase
  let sink: EventSink
  beforeAll(async () => {
    at = await open()
    sink = eventSink(at.db, { clock: { now: () => make.morning } })
  })
  afterAll(() => at.drop())
  beforeEach(() => empty(at.db))

  test('a report is stored with its results, its patient and its receipt', async () => {
    const [outcome] = await sink.write([
      make.lab(make.labReport({ observations: [make.observation(), make.observation({ code: 'RBC', value: '4.1' })] })),
    ])
    expect(outcome).toMatchObject({ disposition: 'stored', reason: null, rows: 3, isRedelivery: false })
    expect(await rowCounts(at.db)).toMatchObject({ patient: 1, report: 1, observation: 2, receipt: 1, dead_letter: 0 })
  })
})
