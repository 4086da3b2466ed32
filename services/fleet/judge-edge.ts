import type { EdgeReport } from '../../core/fleet-report.js'
import type { ReleaseKind } from '../../core/fleet-release.js'
import type { RolloutPlan } from './plan.js'

/** What is known of one edge of a rollout. Times are ms of the gateway's clock. */
export interface RolloutTarget {
  readonly offeredAt: number | null
  /** The last report before the release was offered, and the last one of all. */
  readonly baseline: EdgeReport | null
  readonly report: EdgeReport | null
  readonly reportedAt: number | null
  /** Alerts of silence opened of this hospital's feeds since it was offered. */
  readonly silences: number
}

export type EdgeVerdict =
  | { readonly state: 'pending' }
  /** Not heard of, or it cannot take the release just now: not waited for. */
  | { readonly state: 'away' }
  | { readonly state: 'healthy' }
  | { readonly state: 'failed'; readonly reason: string }

/** An edge may be behind by so much before its spool counts as growing. */
const spoolSlack = { messages: 1000, seconds: 900 }

/** How an edge takes a release, from its reports alone. Pure. */
export function judgeEdge(
  { offeredAt, baseline, report, reportedAt, silences }: RolloutTarget,
  release: { readonly number: number; readonly kind: ReleaseKind },
  plan: Pick<RolloutPlan, 'soakSeconds' | 'awaySeconds'>,
  now: number,
): EdgeVerdict {
  const silentMs = reportedAt === null ? Infinity : now - reportedAt
  const isAway = silentMs > plan.awaySeconds * 1000
  if (offeredAt === null || report === null || reportedAt === null) return { state: isAway ? 'away' : 'pending' }
  const outcome = report.outcomes.find(({ number }) => number === release.number)
  const runs = (release.kind === 'package' ? report.packageNumber : report.configurationNumber) === release.number
  if (!runs && outcome !== undefined && outcome.outcome !== 'switched') {
    if (outcome.code === 'disk-full') return { state: 'away' }
    return { state: 'failed', reason: `${outcome.outcome} ${outcome.code ?? ''}`.trim() }
  }
  // It was last heard of with the release in its hands.
  if (isAway) return runs || report.trial === release.number ? { state: 'failed', reason: 'lost' } : { state: 'away' }
  if (!runs || report.trial === release.number || outcome === undefined) return { state: 'pending' }
  const fault = faultOf(report, baseline, silences)
  // The gateway's clock: when the edge says it switched, its clock may be anywhere.
  const ranMs = now - Math.max(offeredAt, outcome.at - (report.clockSkewMs ?? 0))
  if (ranMs < plan.soakSeconds * 1000) return { state: 'pending' }
  return fault === undefined ? { state: 'healthy' } : { state: 'failed', reason: fault }
}

function faultOf(report: EdgeReport, baseline: EdgeReport | null, silences: number): string | undefined {
  if (!report.ready) return 'not-ready'
  const listened = new Set(baseline?.feeds.filter(({ listening }) => listening).map(({ name }) => name))
  if (report.feeds.some(({ name, listening }) => !listening && listened.has(name))) return 'feeds-not-listening'
  if (report.uplinkAccepted === false && baseline?.uplinkAccepted !== false) return 'uplink-refused'
  const before = baseline?.spool ?? { messages: 0, oldestSeconds: 0 }
  const spool = report.spool
  if (
    spool !== null &&
    spool.messages > before.messages * 2 + spoolSlack.messages &&
    spool.oldestSeconds > before.oldestSeconds + spoolSlack.seconds
  ) {
    return 'spool-growing'
  }
  return silences > 0 ? 'silence' : undefined
}
