import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compareVersions } from '../../core/version.js'
import { openDatabase, type Database } from '../../repository/database.js'
import { dumpRows } from '../../repository/dump-rows.js'
import { eventSink, type EventSink } from '../../repository/event-sink.js'
import type { SinkEvent } from '../../repository/sink-event.js'
import { newer, versionOf, type Guard } from '../../repository/versions.js'
import { empty, engines, type TestDatabase } from './databases.js'
import { labHistory, shortHistories, type History } from './histories.js'
import * as make from './events.js'

const clock = { now: () => make.morning }
let hospitals = 0
/** Every arrangement is written as a hospital of its own, so that thousands share one database. */
const newHospital = (): string => `ARR${String(++hospitals).padStart(6, '0')}`

/** What an arrangement left: its rows, and what became of its messages. */
async function results(db: Database): Promise<ReadonlyMap<string, readonly string[]>> {
  const byHospital = new Map<string, string[]>()
  const add = (line: string): void => {
    const hospital = /ARR\d{6}/.exec(line)?.[0] ?? 'none'
    const lines = byHospital.get(hospital) ?? []
    lines.push(line.replaceAll(hospital, 'H'))
    byHospital.set(hospital, lines)
  }
  for (const line of await dumpRows(db)) add(line)
  const receipts = await db.transaction((tx) =>
    tx.query<{
      line: string
    }>(`SELECT concat_ws(' ', 'receipt', h.code, f.name, r.epoch, r.seq, r.event_index, r.disposition,
      r.rows, CASE WHEN r.disposition = 'dead-lettered' THEN r.reason END, (SELECT d.state FROM dead_letter d
        WHERE d.feed_id = r.feed_id AND d.seq = r.seq AND d.epoch = r.epoch AND d.state <> 'resolved')) AS line
      FROM receipt r JOIN feed f ON f.id = r.feed_id JOIN hospital h ON h.id = f.hospital_id`),
  )
  for (const { line } of receipts) add(line)
  for (const lines of byHospital.values()) lines.sort()
  return byHospital
}

function permutations<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length <= 1) return [items]
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]))
}

/** Writes arrangements side by side: the nth events of all of them together. */
async function writeSideBySide(sink: EventSink, arrangements: readonly (readonly SinkEvent[])[]): Promise<void> {
  const longest = Math.max(...arrangements.map(({ length }) => length))
  for (let step = 0; step < longest; step++) {
    const events = arrangements.flatMap((arrangement) => arrangement.slice(step, step + 1))
    for (let from = 0; from < events.length; from += 500) await sink.write(events.slice(from, from + 500))
  }
}

/** Groups of arrangements that left different things; one group when order does not matter. */
function different(all: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const distinct = new Map([...all.values()].map((lines) => [lines.join('\n'), lines]))
  return [...distinct.values()]
}

async function tryAllOrders(
  at: TestDatabase,
  history: History,
  guard?: Guard,
): Promise<readonly (readonly string[])[]> {
  await empty(at.db)
  const sink = eventSink(at.db, { clock, ...(guard !== undefined && { guard }) })
  const count = history('none').length
  const orders = permutations([...Array(count).keys()])
  // Each order twice over: once as it is, once with every event delivered again at the end.
  const arrangements = orders.flatMap((order) => [order, [...order, ...order]])
  await writeSideBySide(
    sink,
    arrangements.map((order) => {
      const events = history(newHospital())
      return order.map((index) => events[index]!)
    }),
  )
  return different(await results(at.db))
}

describe.each(engines)('order of arrival on $name', ({ name, open }) => {
  let at: TestDatabase
  beforeAll(async () => {
    at = await open()
  })
  afterAll(() => at.drop())

  test.each(Object.entries(shortHistories))('every order of: %s', async (_, history) => {
    const left = await tryAllOrders(at, history)
    expect(left[0]!.length).toBeGreaterThan(0)
    expect(left.slice(0, 2)).toEqual(left.slice(0, 1))
  })

  test('random histories in random order, repeated, in random batches', async () => {
    await empty(at.db)
    const seed = Number(process.env['HUTONG_SEED'] ?? Date.now() % 1_000_000)
    console.log(`random histories on ${name}: HUTONG_SEED=${seed}`)
    const sink = eventSink(at.db, { clock })
    const histories = fc.sample(fc.array(statement, { minLength: 2, maxLength: 7 }), { numRuns: 100, seed })
    const random = randomNumbers(seed)
    const hospitalsOf = histories.map(() => [newHospital(), newHospital(), newHospital(), newHospital()])
    const inOrder = histories.map((history, index) => labHistory(...history)(hospitalsOf[index]![0]!))
    await writeSideBySide(sink, inOrder)
    // The others are thrown together, so that batches hold several events of a key and of many keys.
    for (const arrangement of [1, 2, 3]) {
      const events = histories.flatMap((history, index) => {
        const once = labHistory(...history)(hospitalsOf[index]![arrangement]!)
        return [...once, ...once.slice(0, draw(random) % once.length)]
      })
      for (const batch of cut(shuffle(events, random), random, 80)) await sink.write(batch)
    }
    const all = await results(at.db)
    for (const [index, [reference, ...others]] of hospitalsOf.entries()) {
      for (const other of others) expect(all.get(other), JSON.stringify(histories[index])).toEqual(all.get(reference!))
    }
  })

  test('what stands is what compareVersions calls newest', async () => {
    await empty(at.db)
    const sink = eventSink(at.db, { clock })
    const histories = fc.sample(fc.array(statement, { minLength: 2, maxLength: 6 }), { numRuns: 60, seed: 7 })
    const expected = new Map<string, number>()
    const arrangements = histories.map((statements) => {
      const hospital = newHospital()
      const events = labHistory(...statements.map((one) => ({ ...one, patient: 'P1', number: 'R1', panels: ['XCG'] })))(
        hospital,
      )
      const versions = events.flatMap(({ event }) => {
        if (!('observations' in event)) return []
        return event.observations
          .filter(({ code }) => code === 'WBC')
          .map((one) => versionOf(one.status, { ...event, ...one, recordedAt: event.recordedAt }, 1))
      })
      const newest = versions.sort(compareVersions).at(-1)
      if (newest !== undefined) expected.set(hospital, newest.contentHash)
      return events
    })
    await writeSideBySide(sink, arrangements)
    const rows = await at.db.transaction((tx) =>
      tx.query<{ code: string; content_hash: number }>(`SELECT h.code, o.content_hash FROM observation o
        JOIN report r ON r.id = o.report_id JOIN hospital h ON h.id = r.hospital_id
        JOIN local_code c ON c.id = o.local_code_id WHERE c.code = 'WBC'`),
    )
    expect(expected.size).toBeGreaterThan(40)
    expect(new Map(rows.map((row) => [row.code, row.content_hash]))).toEqual(expected)
  })

  const rankMatters = labHistory(
    { status: 'W', recorded: 0, value: '1' },
    { status: 'F', recorded: 0, value: '2' },
    { status: 'F', recorded: 0, value: '3' },
    { status: 'F', recorded: 0, value: '4' },
  )
  const sentLater = labHistory(
    { status: 'F', recorded: 10, message: 20, value: '1' },
    { status: 'F', recorded: 5, message: 30, value: '2' },
  )
  const lateCopy = shortHistories['a preliminary stamped later than the final, a correction stamped earlier']!
  const brokenGuards: readonly (readonly [what: string, guard: Guard, history: History])[] = [
    ['no guard', () => 'true', shortHistories['final, withdrawn and final again']!],
    ['older wins', (incoming, standing) => newer(standing, incoming), lateCopy],
    ['finality forgotten', without('finality'), lateCopy],
    ['recorded time forgotten', without('recorded_at'), sentLater],
    ['status rank forgotten', without('status_rank'), rankMatters],
    ['content forgotten', without('content_hash'), shortHistories['ties that only the content tells apart']!],
    ['derivation forgotten', without('derivation'), shortHistories['derivations of one message and its successor']!],
  ]
  test.each(brokenGuards)('notices a broken guard: %s', async (_, guard, history) => {
    const broken = await tryAllOrders(at, history, guard)
    const right = await tryAllOrders(at, history)
    expect(right).toHaveLength(1)
    expect(broken).not.toEqual(right)
  })
})

/** The shipped comparison without one of its columns. */
function without(column: string): Guard {
  return (incoming, standing) =>
    newer(incoming, standing).replaceAll(new RegExp(`\\w+\\.${column}, |, \\w+\\.${column}(?=\\))`, 'g'), '')
}

const statement = fc.record(
  {
    status: fc.constantFrom('P', 'F', 'F', 'C', 'W', 'D'),
    recorded: fc.constantFrom(0, 1, 2, 3, 40 * 24 * 60),
    message: fc.constantFrom(1, 2, 3),
    value: fc.constantFrom('1', '2'),
    items: fc.dictionary(fc.constantFrom('WBC', 'RBC', 'PLT'), fc.constantFrom('P', 'F', 'C', 'W', 'D', 'X'), {
      minKeys: 1,
    }),
    snapshot: fc.boolean(),
    patient: fc.constantFrom('P1', 'P1', 'P1', 'P2', 'P3'),
    allowMove: fc.constantFrom(false, false, false, true),
    derivation: fc.constantFrom(1, 1, 2),
    number: fc.constantFrom('R1', 'R1', 'R2'),
    panels: fc.constantFrom(['XCG'], ['CRP'], ['XCG', 'CRP']),
  },
  { requiredKeys: ['status', 'recorded', 'message', 'value', 'items'] },
)

const randomNumbers = (seed: number): Iterator<number> =>
  fc.sample(fc.infiniteStream(fc.nat()), { numRuns: 1, seed })[0]!

const draw = (random: Iterator<number>): number => random.next().value as number

function shuffle<T>(items: readonly T[], random: Iterator<number>): readonly T[] {
  const shuffled = [...items]
  for (let index = shuffled.length - 1; index > 0; index--) {
    const other = draw(random) % (index + 1)
    ;[shuffled[index], shuffled[other]] = [shuffled[other]!, shuffled[index]!]
  }
  return shuffled
}

function cut<T>(items: readonly T[], random: Iterator<number>, sizeMax = 5): readonly (readonly T[])[] {
  const batches: T[][] = []
  for (let from = 0; from < items.length;) {
    const size = 1 + (draw(random) % sizeMax)
    batches.push(items.slice(from, from + size))
    from += size
  }
  return batches
}

describe.each(engines.filter(({ name }) => name === 'postgresql'))('two lanes at once on $name', ({ open }) => {
  let at: TestDatabase
  let other: Database
  beforeAll(async () => {
    at = await open()
    other = await openDatabase({ url: at.url! })
  })
  afterAll(async () => {
    await other.close()
    await at.drop()
  })

  test('live and bulk commute, whatever overlaps', async () => {
    const seed = Number(process.env['HUTONG_SEED'] ?? Date.now() % 1_000_000)
    console.log(`two lanes: HUTONG_SEED=${seed}`)
    const random = randomNumbers(seed)
    const histories = [
      ...Object.values(shortHistories),
      ...fc
        .sample(fc.array(statement, { minLength: 3, maxLength: 7 }), { numRuns: 60, seed })
        .map((all) => labHistory(...all)),
    ]
    const sequential = new Map<number, string>()
    const concurrent = new Map<number, string>()
    const live: SinkEvent[] = []
    const bulk: SinkEvent[] = []
    const single = eventSink(at.db, { clock })
    for (const [index, history] of histories.entries()) {
      const reference = newHospital()
      sequential.set(index, reference)
      for (const event of history(reference)) await single.write([event])
      const hospital = newHospital()
      concurrent.set(index, hospital)
      for (const event of history(hospital)) {
        const lanes = draw(random) % 3
        if (lanes !== 1) live.push(event)
        if (lanes !== 0) bulk.push(event)
      }
    }
    const lanes = [live, bulk].map((events) => cut(shuffle(events, random), random))
    const sinks = [single, eventSink(other, { clock })]
    await Promise.all(
      lanes.map(async (batches, lane) => {
        for (const batch of batches) await sinks[lane]!.write(batch)
      }),
    )
    const all = await results(at.db)
    for (const [index, reference] of sequential) {
      expect(all.get(concurrent.get(index)!), `history ${index}`).toEqual(all.get(reference))
    }
  }, 180_000)
})
