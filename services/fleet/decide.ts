import type { ReleaseKind } from '../../core/fleet-release.js'
import { judgeEdge, type RolloutTarget } from './judge-edge.js'
import type { EdgeName, RolloutPlan } from './plan.js'

export interface StagedTarget extends RolloutTarget, EdgeName {
  readonly stage: number
  readonly outcome: 'pending' | 'healthy' | 'failed'
}

export interface RolloutStanding {
  readonly plan: RolloutPlan
  readonly stage: number
  /** ms */
  readonly stageSince: number
  readonly release: { readonly number: number; readonly kind: ReleaseKind }
  readonly targets: readonly StagedTarget[]
}

export interface RolloutDecision {
  /** Edges whose outcome became known. */
  readonly settled: readonly (EdgeName & { readonly outcome: 'healthy' | 'failed'; readonly reason: string | null })[]
  readonly next:
    | { readonly state: 'stay' }
    | { readonly state: 'advance'; readonly stage: number }
    | { readonly state: 'halt'; readonly reason: string }
    | { readonly state: 'done' }
}

/**
 * What becomes of a running rollout. A failure always counts before an advance; an edge once healthy can still fail while the
 * rollout runs. A stage is left when it has lasted the soak time, nobody that is heard of is undecided, and enough are
 * healthy: all canaries, half of any other stage. Pure.
 */
export function decideRollout(
  { plan, stage, stageSince, release, targets }: RolloutStanding,
  now: number,
): RolloutDecision {
  const judged = targets
    .filter((target) => target.stage <= stage)
    .map((target) => ({
      target,
      verdict: target.outcome === 'failed' ? failedBefore : judgeEdge(target, release, plan, now),
    }))
  const settled = judged.flatMap(({ target: { hospital, edge, outcome }, verdict }) =>
    (verdict.state === 'healthy' || verdict.state === 'failed') && verdict.state !== outcome
      ? [{ hospital, edge, outcome: verdict.state, reason: verdict.state === 'failed' ? verdict.reason : null }]
      : [],
  )
  const failures = judged.filter(({ verdict }) => verdict.state === 'failed').length
  if (failures > plan.failuresMax) {
    return { settled, next: { state: 'halt', reason: `${failures} failed, at most ${plan.failuresMax} may` } }
  }
  const here = judged.filter(({ target }) => target.stage === stage)
  const healthy = here.filter(
    ({ verdict, target }) => verdict.state === 'healthy' || target.outcome === 'healthy',
  ).length
  const needed = stage === 0 ? here.length : Math.ceil(here.length / 2)
  const isOver =
    now - stageSince >= plan.soakSeconds * 1000 &&
    here.every(({ verdict }) => verdict.state !== 'pending') &&
    healthy + (stage === 0 ? here.filter(({ verdict }) => verdict.state === 'failed').length : 0) >= needed &&
    (healthy > 0 || here.length === 0)
  if (!isOver) return { settled, next: { state: 'stay' } }
  // A stage without edges would only soak.
  const following = targets.map((target) => target.stage).filter((other) => other > stage)
  if (following.length === 0) return { settled, next: { state: 'done' } }
  return { settled, next: { state: 'advance', stage: Math.min(...following) } }
}

const failedBefore = { state: 'failed', reason: 'before' } as const
