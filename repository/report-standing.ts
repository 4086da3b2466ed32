import { compareVersions, type Version } from '../core/version.js'

/** Which of the patients that claim one report key has it: that one is `current`, the others are kept aside. */
export type Standing = 'current' | 'conflict' | 'moved'

/** What one patient's row of a report key brings forward. */
export interface Claim {
  readonly id: number
  /** Stable across the order of arrival. */
  readonly patient: { readonly authority: string; readonly id: string }
  readonly standing: Standing
  readonly version: Version
  /** The lowest version any of its events had. */
  readonly first: { readonly recordedAt: number; readonly messageTime: number }
  /** One of its events came from a feed that lets reports move. */
  readonly allowMove: boolean
}

/**
 * Pure: without moving, the patient with the earliest first version keeps the key and the others are in conflict; with
 * moving, the newest version's patient has it and the others have been moved away. Equal: the lower patient number.
 */
export function decideStandings(claims: readonly Claim[]): ReadonlyMap<number, Standing> {
  const moves = claims.some(({ allowMove }) => allowMove)
  const [winner] = [...claims].sort(
    (a, b) => (moves ? compareVersions(b.version, a.version) : compareFirst(a, b)) || byPatient(a, b),
  )
  return new Map(claims.map(({ id }) => [id, id === winner?.id ? 'current' : moves ? 'moved' : 'conflict']))
}

const compareFirst = (a: Claim, b: Claim): number =>
  a.first.recordedAt - b.first.recordedAt || a.first.messageTime - b.first.messageTime

function byPatient(a: Claim, b: Claim): number {
  return compareText(a.patient.id, b.patient.id) || compareText(a.patient.authority, b.patient.authority)
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
