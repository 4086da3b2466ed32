import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { EdgeReport } from '../../../core/fleet-report.js'
import { decideRollout, type StagedTarget } from '../../../services/fleet/decide.js'
import { judgeEdge } from '../../../services/fleet/judge-edge.js'
import { reachOf, stagesOf, type RolloutPlan } from '../../../services/fleet/plan.js'
import { reportOf } from './reports.js'

const release = { number: 7, kind: 'package' as const }
const plan: RolloutPlan = { canaries: 2, shares: [0.1, 0.5, 1], soakSeconds: 600, failuresMax: 1, awaySeconds: 300 }
const switched = { number: 7, outcome: 'switched', code: null, at: 0 } as const
const runs: Partial<EdgeReport> = { packageNumber: 7, outcomes: [switched] }

describe('one edge', () => {
  const now = 10_000_000
  const judge = (report: Partial<EdgeReport>, more: object = {}): ReturnType<typeof judgeEdge> =>
    judgeEdge(
      {
        ...{ offeredAt: 0, baseline: reportOf({}), report: reportOf(report), reportedAt: now, silences: 0 },
        ...more,
      },
      release,
      plan,
      now,
    )
  test('is healthy when it ran the release well for the soak time', () => {
    expect(judge(runs)).toEqual({ state: 'healthy' })
    expect(judge({ ...runs, outcomes: [{ ...switched, at: now - 1000 }] })).toEqual({ state: 'pending' })
    expect(judge({ ...runs, trial: 7 })).toEqual({ state: 'pending' })
  })
  test('fails by what it reports, and by being lost with the release in its hands', () => {
    const back = { number: 7, outcome: 'rolled-back', code: 'crash-loop', at: 0 } as const
    expect(judge({ outcomes: [back] })).toEqual({ state: 'failed', reason: 'rolled-back crash-loop' })
    expect(judge({ ...runs, ready: false })).toMatchObject({ reason: 'not-ready' })
    expect(judge({ ...runs, uplinkAccepted: false })).toMatchObject({ reason: 'uplink-refused' })
    const feeds = [{ name: 'lis', listening: false, lastAcceptedAt: null }]
    expect(judge({ ...runs, feeds })).toMatchObject({ reason: 'feeds-not-listening' })
    const spool = { messages: 5000, bytes: 1, oldestSeconds: 2000, accepting: true }
    expect(judge({ ...runs, spool })).toMatchObject({ reason: 'spool-growing' })
    expect(judge(runs, { silences: 1 })).toMatchObject({ reason: 'silence' })
    expect(judge({ packageNumber: 7, trial: 7 }, { reportedAt: now - 400_000 })).toMatchObject({ reason: 'lost' })
    expect(judge({}, { reportedAt: now - 400_000 })).toEqual({ state: 'away' })
  })
  test('whose disk is full says nothing of the release', () => {
    expect(judge({ outcomes: [{ number: 7, outcome: 'refused', code: 'disk-full', at: 0 }] })).toEqual({
      state: 'away',
    })
  })
})

test('named canaries are the first stage, and the stages never reach beyond their share', () => {
  const edges = Array.from({ length: 300 }, (_, index) => ({ hospital: `H${index}`, edge: 'front-1' }))
  const staged = stagesOf(edges, plan, [edges[250]!, edges[17]!], 'seed')
  expect(
    staged
      .filter(({ stage }) => stage === 0)
      .map(({ hospital }) => hospital)
      .sort(),
  ).toEqual(['H17', 'H250'])
  for (const stage of [0, 1, 2, 3]) {
    expect(staged.filter((edge) => edge.stage <= stage)).toHaveLength([2, 30, 150, 300][stage]!)
  }
})

test('of 1 to 300 edges every stage has one that is new, or is left out; the last has all', () => {
  const share = fc.integer({ min: 1, max: 99 }).map((percent) => percent / 100)
  const shares = fc.array(share, { maxLength: 5 }).map((some) => [...some.sort((a, b) => a - b), 1])
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 5 }), shares, (count, canaries, rising) => {
      const own: RolloutPlan = { ...plan, canaries, shares: rising, soakSeconds: 0 }
      const edges = Array.from({ length: count }, (_, index) => ({ hospital: `H${index}`, edge: 'e' }))
      const targets = stagesOf(edges, own, [], 'seed').map((edge) => ({
        ...{ ...edge, outcome: 'healthy', silences: 0, offeredAt: 0, reportedAt: 0 },
        ...{ baseline: reportOf({}), report: reportOf(runs) },
      })) as StagedTarget[]
      expect(targets).toHaveLength(count)
      let reached = 0
      for (let stage = 0, visits = 0; ; visits++) {
        expect(visits).toBeLessThanOrEqual(rising.length)
        const now = targets.filter((target) => target.stage <= stage).length
        expect(now).toBeGreaterThan(reached)
        // less than one edge beyond its share
        if (stage > 0) expect(now).toBeLessThan(Math.max(canaries, (rising[stage - 1] ?? 1) * count) + 1)
        reached = now
        const { next } = decideRollout({ plan: own, stage, stageSince: 0, release, targets }, 0)
        if (next.state === 'done') break
        if (next.state !== 'advance') return expect(next.state).toBe('advance')
        stage = next.stage
      }
      expect(reached).toBe(count)
    }),
    { numRuns: 300 },
  )
})

test('ten percent of 25 are three edges, a share that is exact is not rounded', () => {
  expect([0, 1, 2, 3].map((stage) => reachOf(plan, stage, 25))).toEqual([2, 3, 13, 25])
  expect([0, 1, 2, 3].map((stage) => reachOf(plan, stage, 3))).toEqual([2, 2, 2, 3])
  expect(reachOf({ canaries: 1, shares: [0.07, 1] }, 1, 100)).toBe(7)
})

/** An edge of a simulated fleet. */
interface Behaviour {
  /** Minutes for which it is off after the start. */
  readonly offUntil: number
  readonly isBad: boolean
  /** Takes minutes to fetch and try. */
  readonly slow: number
}

function simulate(behaviours: readonly Behaviour[], seed: string): { state: string; reached: number; stage: number } {
  const edges = behaviours.map((_, index) => ({ hospital: `H${index}`, edge: 'e', index }))
  const live = stagesOf(edges, plan, [], seed).map((edge) => ({
    ...edge,
    target: {
      ...{ hospital: edge.hospital, edge: 'e', stage: edge.stage, outcome: 'pending', silences: 0 },
    } as StagedTarget,
    offeredAt: null as number | null,
    reportedAt: null as number | null,
    report: null as EdgeReport | null,
    outcome: 'pending' as StagedTarget['outcome'],
  }))
  let stage = 0
  let stageSince = 0
  for (let minute = 0; minute < 3000; minute += 20) {
    const now = minute * 60_000
    for (const edge of live) {
      const { offUntil, isBad, slow } = behaviours[edge.index]!
      if (minute < offUntil) continue
      if (edge.offeredAt === null && edge.stage <= stage) edge.offeredAt = now
      const ranFor = edge.offeredAt === null ? -1 : (now - edge.offeredAt) / 60_000 - slow
      const at = now
      const back = { number: 7, outcome: 'rolled-back', code: 'not-ready', at } as const
      edge.report = reportOf(ranFor < 0 ? {} : isBad ? { outcomes: [back] } : runs)
      edge.reportedAt = now
    }
    const targets = live.map(({ target, offeredAt, reportedAt, report, outcome }) => ({
      ...target,
      ...{ offeredAt, reportedAt, report, outcome, baseline: reportOf({}) },
    }))
    const { settled, next } = decideRollout({ plan, stage, stageSince, release, targets }, now)
    for (const one of settled) live.find(({ hospital }) => hospital === one.hospital)!.outcome = one.outcome
    const reached = live.filter(({ offeredAt }) => offeredAt !== null).length
    expect(reached).toBeLessThanOrEqual(reachOf(plan, stage, behaviours.length))
    if (next.state === 'halt' || next.state === 'done') return { state: next.state, reached, stage }
    if (next.state === 'advance') {
      stage = next.stage
      stageSince = now
    }
  }
  return { state: 'running', reached: live.filter(({ offeredAt }) => offeredAt !== null).length, stage }
}

const behaviour = (isBad: fc.Arbitrary<boolean>): fc.Arbitrary<Behaviour> =>
  fc.record({
    offUntil: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 3 * 1440 })),
    slow: fc.integer({ min: 0, max: 60 }),
    isBad,
  })

describe('a fleet of 300', () => {
  test('of which a bad release never reaches more than its canaries', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(
        fc.array(behaviour(fc.constant(true)), { minLength: 300, maxLength: 300 }),
        fc.string(),
        (all, seed) => {
          const { state, reached, stage } = simulate(all, seed)
          expect(['halt', 'running']).toContain(state)
          expect(stage).toBe(0)
          expect(reached).toBeLessThanOrEqual(2)
        },
      ),
      { numRuns: 5 },
    )
  })
  test('with some bad edges halts within the share of its stage, or ends', { timeout: 120_000 }, () => {
    const isBad = fc.integer({ min: 0, max: 99 }).map((percent) => percent < 3)
    fc.assert(
      fc.property(fc.array(behaviour(isBad), { minLength: 300, maxLength: 300 }), fc.string(), (all, seed) => {
        const { state, reached, stage } = simulate(all, seed)
        if (state === 'done') expect(all.filter((one) => one.isBad && one.offUntil === 0).length).toBeLessThanOrEqual(1)
        else expect(reached).toBeLessThanOrEqual(reachOf(plan, stage, 300))
      }),
      { numRuns: 5 },
    )
  })
  test('with edges off for days is done for all others', { timeout: 120_000 }, () => {
    const all = Array.from({ length: 300 }, (_, index) => ({
      offUntil: index % 10 === 9 ? 9000 : 0,
      slow: 5,
      isBad: false,
    }))
    const outcome = simulate(all, 'steady')
    // A canary that is off holds everything: that is what canaries are for.
    const canaryOff = stagesOf(
      all.map((_, index) => ({ hospital: `H${index}`, edge: 'e', index })),
      plan,
      [],
      'steady',
    ).some(({ stage, index }) => stage === 0 && index % 10 === 9)
    expect(outcome.state).toBe(canaryOff ? 'running' : 'done')
  })
})
