import type { OutcomeCode } from '../../core/fleet-report.js'

/** What is seen of a release on trial. */
export interface TrialView {
  readonly elapsedMs: number
  readonly probationMs: number
  /** Starts of the trial that a stop of the machine or of the supervisor cut off count too. */
  readonly starts: number
  /** Ends of the program within the trial. */
  readonly crashes: number
  /** Undefined while the program does not answer. */
  readonly health:
    | { readonly ready: boolean; readonly listening: readonly string[]; readonly uplinkAccepted: boolean | null }
    | undefined
  /** Feeds of the configuration on trial. */
  readonly feeds: readonly string[]
  readonly before: { readonly uplinkAccepted: boolean | null; readonly feeds: readonly string[] }
  /** Whether the gateway took a report by the uplink on trial since it began. */
  readonly reported: boolean
  /** Where it did not: whether it takes one by the uplink before. Undefined: not asked. */
  readonly reportedByFormer: boolean | undefined
}

export type TrialVerdict =
  | { readonly state: 'wait' }
  | { readonly state: 'ask-former-uplink' }
  | { readonly state: 'keep' }
  | { readonly state: 'roll-back'; readonly code: OutcomeCode }

const crashesMax = 2
const startsMax = 3

/**
 * Whether a release stays. A gateway that is away is no fault of it: the trial waits then, for only where the uplink before
 * works and the one on trial does not is the release to blame. Pure.
 */
export function judgeTrial(view: TrialView): TrialVerdict {
  const { health, before } = view
  if (view.crashes > crashesMax || view.starts > startsMax) return { state: 'roll-back', code: 'crash-loop' }
  if (view.elapsedMs < view.probationMs) return { state: 'wait' }
  // One answer that is late is no verdict: as long again is given.
  if (health?.ready !== true) {
    if (view.elapsedMs < 2 * view.probationMs) return { state: 'wait' }
    return { state: 'roll-back', code: view.crashes > 0 ? 'crash-loop' : 'not-ready' }
  }
  const needed = view.feeds.filter((feed) => before.feeds.includes(feed) || before.feeds.length === 0)
  if (needed.some((feed) => !health.listening.includes(feed)))
    return { state: 'roll-back', code: 'feeds-not-listening' }
  if (health.uplinkAccepted === false && before.uplinkAccepted === true && view.reported) {
    return { state: 'roll-back', code: 'uplink-refused' }
  }
  if (view.reported) return { state: 'keep' }
  if (view.reportedByFormer === undefined) return { state: 'ask-former-uplink' }
  return view.reportedByFormer ? { state: 'roll-back', code: 'uplink-refused' } : { state: 'wait' }
}
