import { createHash } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'

/** How a release is rolled out. */
export const rolloutPlan = Type.Object(
  {
    /** Edges of the first stage. */
    canaries: Type.Integer({ minimum: 1 }),
    /** Shares of all edges that the following stages reach, rising to 1. */
    shares: Type.Array(Type.Number({ exclusiveMinimum: 0, maximum: 1 }), { minItems: 1, maxItems: 10 }),
    /** A stage lasts at least so long, and an edge must have run the release healthily for so long. */
    soakSeconds: Type.Integer({ minimum: 0 }),
    /** One more failure than this, and the rollout halts. */
    failuresMax: Type.Integer({ minimum: 0 }),
    /** An edge that is not heard of for so long is away: it is not waited for. */
    awaySeconds: Type.Integer({ minimum: 1 }),
  },
  { additionalProperties: false },
)
export type RolloutPlan = Static<typeof rolloutPlan>

export const defaultPlan: RolloutPlan = {
  canaries: 2,
  shares: [0.1, 0.5, 1],
  soakSeconds: 1800,
  failuresMax: 1,
  awaySeconds: 900,
}

export interface EdgeName {
  readonly hospital: string
  readonly edge: string
}

export const edgeKey = ({ hospital, edge }: EdgeName): string => `${hospital} ${edge}`

/**
 * How many edges the stages up to and with `stage` may reach (0: the canaries). A share of an edge counts as one: 10 % of
 * 25 edges are three. A stage whose share the stages before it reach already is empty, and left out.
 */
export function reachOf(plan: Pick<RolloutPlan, 'canaries' | 'shares'>, stage: number, edges: number): number {
  const canaries = Math.min(plan.canaries, edges)
  if (stage === 0) return canaries
  // 0.07 * 100 is a little more than 7.
  return Math.max(canaries, Math.ceil((plan.shares[stage - 1] ?? 1) * edges - 1e-9))
}

/**
 * The stage of every edge: those named are canaries first, the others follow in an order that only `seed` decides, so that
 * the same hospitals are not always the first. Pure.
 */
export function stagesOf<E extends EdgeName>(
  edges: readonly E[],
  plan: Pick<RolloutPlan, 'canaries' | 'shares'>,
  named: readonly EdgeName[],
  seed: string,
): readonly (E & { readonly stage: number })[] {
  const first = new Set(named.map(edgeKey))
  const rank = (edge: E): string =>
    `${first.has(edgeKey(edge)) ? 0 : 1}${createHash('sha256')
      .update(`${seed} ${edgeKey(edge)}`)
      .digest('hex')}`
  const ordered = edges
    .map((edge) => ({ edge, rank: rank(edge) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ edge }) => edge)
  const last = plan.shares.length
  return ordered.map((edge, index) => {
    let stage = 0
    while (stage < last && index >= reachOf(plan, stage, edges.length)) stage++
    return { ...edge, stage }
  })
}
