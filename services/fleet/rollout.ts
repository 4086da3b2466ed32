import { isForEdge } from '../../core/fleet-release.js'
import { UsageError } from '../../core/errors.js'
import type { Database } from '../../repository/database.js'
import { edgeReportsIn } from '../../repository/edge-reports.js'
import { findRelease } from '../../repository/fleet-releases.js'
import {
  addRolloutEvent,
  insertRollout,
  isRolledOut,
  lockRollout,
  lockRunning,
  moveRollout,
  rolloutEdges,
  settleEdge,
  type RolloutState,
} from '../../repository/rollouts.js'
import { decideRollout } from './decide.js'
import { edgeKey, stagesOf, type EdgeName, type RolloutPlan } from './plan.js'

/** Begins a rollout to the edges that have reported in the release's environment and that it is for. @throws UsageError */
export async function startRollout(
  db: Database,
  options: {
    readonly release: number
    readonly plan: RolloutPlan
    readonly canaries: readonly EdgeName[]
    readonly by: string
    readonly now: number
  },
): Promise<{ readonly id: number; readonly edges: number }> {
  const { release: number, canaries, by, now } = options
  return db.transaction(async (tx) => {
    const release = await findRelease(tx, number)
    if (release === undefined) throw new UsageError(`there is no release ${number}; hutong fleet releases lists them`)
    if (await isRolledOut(tx, number)) {
      throw new UsageError(`release ${number} was rolled out before: resume it, or publish it anew`)
    }
    const { environment } = release
    const all = await edgeReportsIn(tx, environment)
    const meant = all
      .filter(({ hospital, edge }) => isForEdge(release, { environment, hospital, edge }))
      .map(({ hospital, edge }) => ({ hospital, edge }))
    if (meant.length === 0) throw new UsageError('no edge that this release is for has reported yet')
    const known = new Set(meant.map(edgeKey))
    const stranger = canaries.find((edge) => !known.has(edgeKey(edge)))
    if (stranger !== undefined) {
      throw new UsageError(`${stranger.hospital}/${stranger.edge} has not reported, or the release is not for it`)
    }
    const plan = { ...options.plan, canaries: canaries.length > 0 ? canaries.length : options.plan.canaries }
    const edges = stagesOf(meant, plan, canaries, String(number))
    const detail = `release ${number}, ${edges.length} edges`
    return {
      id: await insertRollout(tx, { releaseNumber: number, environment, plan, edges, by, now, detail }),
      edges: edges.length,
    }
  })
}

const transitions = {
  pause: { from: ['running'], to: 'paused', event: 'paused' },
  resume: { from: ['paused'], to: 'running', event: 'resumed' },
  abort: { from: ['running', 'paused', 'done'], to: 'aborted', event: 'aborted' },
} as const satisfies Record<string, { from: readonly RolloutState[]; to: RolloutState; event: string }>
export type RolloutOrder = keyof typeof transitions

/** A person's order. Aborting sends the edges that have the release back to what they ran before. @throws UsageError */
export async function orderRollout(
  db: Database,
  id: number,
  order: RolloutOrder,
  { by, now }: { readonly by: string; readonly now: number },
): Promise<void> {
  const { from, to, event } = transitions[order]
  await db.transaction(async (tx) => {
    const rollout = await lockRollout<RolloutPlan>(tx, id)
    if (rollout === undefined) throw new UsageError(`there is no rollout ${id}`)
    if (!(from as readonly RolloutState[]).includes(rollout.state)) {
      throw new UsageError(`rollout ${id} is ${rollout.state}: it cannot be ${event}`)
    }
    // A stage soaks from its resumption: nobody watched meanwhile.
    await moveRollout(tx, id, {
      state: to,
      stage: rollout.stage,
      stageSince: order === 'resume' ? now : rollout.stageSince,
    })
    await addRolloutEvent(tx, id, { at: now, by, event, detail: null })
  })
}

/** Brings all running rollouts of an environment forward, each in one transaction of one instance. Their number. */
export async function advanceRollouts(db: Database, environment: string, now: number): Promise<number> {
  let after = 0
  for (let count = 0; ; count++) {
    const id = await db.transaction(async (tx) => {
      const rollout = await lockRunning<RolloutPlan>(tx, environment, after)
      if (rollout === undefined) return undefined
      const { id, stage, stageSince, plan, kind, releaseNumber } = rollout
      const targets = await rolloutEdges(tx, id)
      const { settled, next } = decideRollout(
        { plan, stage, stageSince, release: { number: releaseNumber, kind }, targets },
        now,
      )
      const note = (event: string, detail: string | null): Promise<void> =>
        addRolloutEvent(tx, id, { at: now, by: 'gateway', event, detail })
      for (const edge of settled) {
        await settleEdge(tx, id, edge, now)
        if (edge.outcome === 'failed') await note('edge-failed', `${edge.hospital}/${edge.edge}: ${edge.reason ?? ''}`)
      }
      if (next.state === 'advance') {
        await moveRollout(tx, id, { state: 'running', stage: next.stage, stageSince: now })
        await note('advanced', `stage ${next.stage}`)
      } else if (next.state === 'halt') {
        await moveRollout(tx, id, { state: 'halted', stage, stageSince: now })
        await note('halted', next.reason)
      } else if (next.state === 'done') {
        await moveRollout(tx, id, { state: 'done', stage, stageSince: now })
        await note('done', null)
      }
      return id
    })
    if (id === undefined) return count
    after = id
  }
}
