import type { EdgeReport } from '../../core/fleet-report.js'

/** What is wrong with an edge, the worst first. */
const kinds = [
  'not-accepting',
  'not-heard-of',
  'not-ready',
  'feed-not-listening',
  'uplink-refused',
  'rolled-back',
  'refused',
  'certificate-ends',
  'disk-low',
  'spool-old',
  'clock-wrong',
] as const
export type Trouble = (typeof kinds)[number]

const limits = { silentMs: 300_000, certificateMs: 14 * 86_400_000, diskShare: 0.1, spoolSeconds: 900, skewMs: 60_000 }

/** What the last report of an edge says is wrong; a larger weight is worse. Pure. */
export function troubleOf(
  report: EdgeReport,
  reportedAt: number,
  now: number,
): { readonly found: readonly Trouble[]; readonly weight: number } {
  const { spool, disk, certificateUntil, clockSkewMs, outcomes } = report
  const last = outcomes[0]?.outcome
  const is: Record<Trouble, boolean> = {
    'not-accepting': spool?.accepting === false,
    'not-heard-of': now - reportedAt > limits.silentMs,
    'not-ready': !report.ready,
    'feed-not-listening': report.feeds.some(({ listening }) => !listening),
    'uplink-refused': report.uplinkAccepted === false,
    'rolled-back': last === 'rolled-back',
    refused: last === 'refused',
    'certificate-ends': certificateUntil !== null && certificateUntil - now < limits.certificateMs,
    'disk-low': disk !== null && disk.freeBytes < disk.totalBytes * limits.diskShare,
    'spool-old': (spool?.oldestSeconds ?? 0) > limits.spoolSeconds,
    'clock-wrong': clockSkewMs !== null && Math.abs(clockSkewMs) > limits.skewMs,
  }
  const found = kinds.filter((kind) => is[kind])
  return { found, weight: found.reduce((sum, kind) => sum + 2 ** (kinds.length - kinds.indexOf(kind)), 0) }
}
