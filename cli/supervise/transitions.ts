import type { OutcomeCode, ReleaseOutcome } from '../../core/fleet-report.js'
import type { ReleaseManifest } from '../../core/fleet-release.js'
import type { CandidateRelease, Change, FleetState } from './state.js'

/** Changes of the supervisor's state. Pure; each result is written whole before anything follows from it. */

const outcomesKept = 10
const failedKept = 50

function withOutcome(state: FleetState, outcome: ReleaseOutcome): FleetState {
  const others = state.outcomes.filter(({ number }) => number !== outcome.number)
  return { ...state, outcomes: [outcome, ...others].slice(0, outcomesKept) }
}

const withFailed = (state: FleetState, number: number): FleetState => ({
  ...state,
  failed: [...state.failed.filter((one) => one !== number), number].slice(-failedKept),
})

/** Not taken. What may succeed later (`again`) is not held against the release. */
export function refused(
  state: FleetState,
  number: number,
  code: OutcomeCode,
  at: number,
  { again = false }: { readonly again?: boolean } = {},
): FleetState {
  const noted = withOutcome(state, { number, outcome: 'refused', code, at })
  return again ? noted : withFailed(noted, number)
}

export const trialBegun = (state: FleetState, release: CandidateRelease, before: Change['before']): FleetState => ({
  ...state,
  change: { phase: 'trial', release, starts: 0, before },
})

export const trialStarted = (state: FleetState, change: Change): FleetState => ({
  ...state,
  change: { ...change, starts: change.starts + 1 },
})

/** The trial failed, or was called off: what ran before runs again. */
export function rolledBack(state: FleetState, { release }: Change, code: OutcomeCode, at: number): FleetState {
  const { number } = release
  return withFailed(withOutcome({ ...state, change: null }, { number, outcome: 'rolled-back', code, at }), number)
}

/** A configuration is kept with this one write; a package when current.json has followed (`settled`). */
export const keeping = (state: FleetState, change: Change): FleetState => ({
  ...state,
  change: { ...change, phase: 'keeping' },
})

/** The change that was decided is over. */
export function settled(state: FleetState, { release, phase }: Change, at: number): FleetState {
  const { number } = release
  if (phase === 'returning') {
    const back: FleetState =
      release.kind === 'package'
        ? { ...state, package: state.previousPackage, previousPackage: null }
        : { ...state, configuration: state.previousConfiguration, previousConfiguration: null }
    const noted = withOutcome({ ...back, change: null }, { number, outcome: 'rolled-back', code: 'ordered', at })
    return withFailed(noted, number)
  }
  const highest = { ...state.highest, [release.kind]: Math.max(number, state.highest[release.kind]) }
  const kept: FleetState =
    release.kind === 'package'
      ? { ...state, package: { number, version: release.version }, previousPackage: state.package }
      : {
          ...state,
          configuration: { number, sha256: release.sha256 },
          previousConfiguration: state.configuration,
        }
  return withOutcome({ ...kept, highest, change: null }, { number, outcome: 'switched', code: null, at })
}

/** The province takes back what was kept here: back to what ran before it. */
export const returning = (state: FleetState, release: CandidateRelease): FleetState => ({
  ...state,
  change: { phase: 'returning', release, starts: 0, before: { uplinkAccepted: null, feeds: [] } },
})

/** What to do about a release that the gateway names. */
export function wanted(
  state: FleetState,
  { kind, number }: Pick<ReleaseManifest, 'kind' | 'number'>,
): 'nothing' | 'take' | 'older-than-known' {
  const current = kind === 'package' ? state.package : state.configuration
  if (current?.number === number || state.failed.includes(number) || state.change !== null) return 'nothing'
  return number > state.highest[kind] ? 'take' : 'older-than-known'
}
