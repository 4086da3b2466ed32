import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { EdgeReport } from '../../../core/fleet-report.js'
import { openDatabase, type Database } from '../../../repository/database.js'
import { offeredObject, takeReport } from '../../../repository/edge-reports.js'
import { addRelease } from '../../../repository/fleet-releases.js'
import { rolloutEdges, rolloutEvents, type RolloutEdgeRow } from '../../../repository/rollouts.js'
import { reachOf, type RolloutPlan } from '../../../services/fleet/plan.js'
import { advanceRollouts, orderRollout, startRollout } from '../../../services/fleet/rollout.js'
import { engines, type TestDatabase } from '../../repository/databases.js'
import { reportOf } from './reports.js'

const plan: RolloutPlan = { canaries: 2, shares: [0.1, 0.5, 1], soakSeconds: 60, failuresMax: 1, awaySeconds: 3600 }
const environment = 'test'
const start = Date.UTC(2026, 0, 5)

describe.each(engines)('rollouts on $name', ({ open }) => {
  let database: TestDatabase
  /** Two gateways: where the engine takes two pools, each has its own. */
  let instances: readonly Database[]

  beforeAll(async () => {
    database = await open()
    const second = database.url === undefined ? database.db : await openDatabase({ url: database.url })
    instances = [database.db, second]
  }, 120_000)
  beforeEach(() =>
    database.db.transaction((tx) =>
      tx.script('TRUNCATE rollout_event, rollout_edge, rollout, fleet_release, edge_report RESTART IDENTITY'),
    ),
  )
  afterAll(async () => {
    if (instances[1] !== database.db) await instances[1]?.close()
    await database.drop()
  })

  const publish = async (kind: 'package' | 'configuration' = 'package', version = '1.1.0'): Promise<number> => {
    const more = { hospital: kind === 'package' ? null : 'H900', edge: null }
    const { number } = await addRelease(
      database.db,
      (number) => {
        const fixed = { format: 1, kind, sha256: 'ab'.repeat(32), bytes: 10, version, environment, number } as const
        const manifest = { ...fixed, ...more }
        return { manifest, signed: { manifest: JSON.stringify(manifest), signature: { keyId: 'k', signature: 's' } } }
      },
      { by: 'tester', now: start },
    )
    return number
  }
  const tell = (db: Database, hospital: string, report: Partial<EdgeReport>, now: number) =>
    takeReport(db, { environment, hospital, edge: 'e' }, reportOf(report), now)
  const rows = (id: number): Promise<RolloutEdgeRow[]> => database.db.transaction((tx) => rolloutEdges(tx, id))
  const history = async (id: number): Promise<string[]> =>
    (await database.db.transaction((tx) => rolloutEvents(tx, id))).map(
      ({ event, detail }) => `${event} ${detail ?? ''}`,
    )
  const begin = async (hospitals: readonly string[]): Promise<{ id: number; number: number }> => {
    for (const hospital of hospitals) await tell(database.db, hospital, {}, start)
    const number = await publish()
    const { id } = await startRollout(database.db, { release: number, plan, canaries: [], by: 'tester', now: start })
    return { id, number }
  }
  const took = (number: number): Partial<EdgeReport> => ({
    version: '1.1.0',
    packageNumber: number,
    outcomes: [{ number, outcome: 'switched', code: null, at: start }],
  })

  test(
    'two gateways take reports and advance at once: each stage once, within its share',
    { timeout: 300_000 },
    async () => {
      const hospitals = Array.from({ length: 30 }, (_, index) => `H${index}`)
      const { id, number } = await begin(hospitals)
      const given = new Set<string>()
      const reached: number[] = []
      for (let now = start, round = 0; round < 14; round++, now += 40_000) {
        const answers = await Promise.all([
          ...hospitals.map(async (hospital, index) => {
            const orders = await tell(
              instances[(index + round) % 2]!,
              hospital,
              given.has(hospital) ? took(number) : {},
              now,
            )
            if (orders.package !== null) given.add(hospital)
          }),
          ...[0, 1, 0, 1].map((which) => advanceRollouts(instances[which]!, environment, now)),
        ])
        expect(answers.length).toBe(34)
        const stage = Number(
          /stage (\d)/.exec((await history(id)).filter((one) => one.startsWith('advanced')).at(-1) ?? '')?.[1] ?? 0,
        )
        const offered = (await rows(id)).filter(({ offeredAt }) => offeredAt !== null).length
        reached.push(offered)
        expect(offered).toBeLessThanOrEqual(reachOf(plan, stage, hospitals.length))
      }
      expect(reached.at(-1)).toBe(30)
      expect(reached).toEqual(expect.arrayContaining([2, 3, 15, 30]))
      expect(await history(id)).toEqual([
        `started release ${number}, 30 edges`,
        ...['advanced stage 1', 'advanced stage 2', 'advanced stage 3', 'done '],
      ])
    },
  )

  test('two gateways that see the same failures write each once and halt once', { timeout: 120_000 }, async () => {
    const hospitals = ['H1', 'H2', 'H3', 'H4']
    const { id, number } = await begin(hospitals)
    const back = { number, outcome: 'rolled-back', code: 'crash-loop', at: start } as const
    for (const hospital of hospitals) await tell(database.db, hospital, {}, start)
    for (const hospital of hospitals) {
      const { offeredAt } = (await rows(id)).find((row) => row.hospital === hospital)!
      if (offeredAt !== null) await tell(database.db, hospital, { outcomes: [back] }, start + 1000)
    }
    await Promise.all([0, 1, 0, 1].map((which) => advanceRollouts(instances[which]!, environment, start + 2000)))
    const events = await history(id)
    expect(events.filter((event) => event.startsWith('edge-failed'))).toHaveLength(2)
    expect(new Set(events).size).toBe(events.length)
    expect(events.filter((event) => event.startsWith('halted'))).toHaveLength(1)
  })

  test('an edge that first reports later is of the last stage, and counts', { timeout: 120_000 }, async () => {
    const { id } = await begin(['H1', 'H2', 'H3'])
    expect((await tell(database.db, 'H900', {}, start + 1000)).package).toBeNull()
    // again, by two gateways at once: it has joined once
    await Promise.all(instances.map((db) => tell(db, 'H900', {}, start + 2000)))
    expect((await rows(id)).find(({ hospital }) => hospital === 'H900')).toMatchObject({ stage: 3, offeredAt: null })
    expect((await history(id)).filter((event) => event.startsWith('edge-joined'))).toEqual(['edge-joined H900/e'])
    await orderRollout(database.db, id, 'abort', { by: 'tester', now: start + 3000 })
    expect((await tell(database.db, 'H901', {}, start + 4000)).package).toBeNull()
    expect(await rows(id)).toHaveLength(4)
  })

  test(
    'an edge that first reports after the end gets the newest release of each kind',
    { timeout: 120_000 },
    async () => {
      const { number } = await begin(['H1'])
      const finish = async (release: number): Promise<void> => {
        await tell(database.db, 'H1', {}, start)
        await tell(database.db, 'H1', took(release), start + 1000)
        await advanceRollouts(database.db, environment, start + 100_000)
      }
      await finish(number)
      const newer = await publish('package', '1.2.0')
      await startRollout(database.db, { release: newer, plan, canaries: [], by: 'tester', now: start })
      await finish(newer)
      const orders = await tell(database.db, 'H900', {}, start + 200_000)
      expect(JSON.parse(orders.package!.manifest)).toMatchObject({ number: newer, version: '1.2.0' })
      const fetched = await offeredObject(database.db, { environment, hospital: 'H900', edge: 'e' }, 'ab'.repeat(32))
      expect(fetched).toMatchObject({ bytes: 10 })
      // What came with the machine is not replaced by the same, nor by something older.
      for (const version of ['1.2.0', '1.3.0', '2.0.0-rc.1']) {
        expect((await tell(database.db, `H-${version}`, { version }, start + 200_000)).package).toBeNull()
      }
    },
  )

  test('a configuration of another hospital is not joined', { timeout: 120_000 }, async () => {
    await tell(database.db, 'H900', {}, start)
    const number = await publish('configuration', 'first')
    const { id } = await startRollout(database.db, { release: number, plan, canaries: [], by: 'tester', now: start })
    await tell(database.db, 'H901', {}, start)
    expect(await rows(id)).toHaveLength(1)
    await takeReport(database.db, { environment, hospital: 'H900', edge: 'second' }, reportOf({}), start)
    expect(await rows(id)).toHaveLength(2)
  })
})
