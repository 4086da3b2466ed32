import { foldInPlace } from './characters.js'

export interface PatternHit {
  readonly start: number
  readonly end: number
  readonly kind: 'number' | 'mail' | 'uid'
}

const patterns: readonly (readonly [PatternHit['kind'], RegExp])[] = [
  ['mail', /[A-Z0-9._%+-]+@[A-Z0-9-]+(?:\.[A-Z0-9-]+)+/g],
  // Citizen ID number, right or wrong, and the 15-digit form with a plausible date.
  ['number', /(?<![0-9])[1-9]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dX](?![0-9])/g],
  ['number', /(?<![0-9])[1-8]\d{5}\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}(?![0-9])/g],
  ['number', /(?<![0-9.])1[3-9]\d{9}(?![0-9.])/g],
  ['number', /(?<![0-9])0\d{2,3}-\d{7,8}(?![0-9])/g],
]
const uid = /(?<![0-9.])[0-2](?:\.(?:0|[1-9]\d*)){4,}(?![0-9.])/g

/** What shows by its form alone that it is somebody's, wherever it stands: ID and mobile numbers, mail addresses, UIDs. */
export function findPatterns(text: string): PatternHit[] {
  const folded = foldInPlace(text)
  const hits: PatternHit[] = []
  const add = (kind: PatternHit['kind'], start: number, end: number): void => {
    if (!hits.some((hit) => hit.start < end && start < hit.end)) hits.push({ kind, start, end })
  }
  for (const [kind, pattern] of patterns) {
    for (const match of folded.matchAll(pattern)) add(kind, match.index, match.index + match[0].length)
  }
  for (const match of folded.matchAll(uid)) {
    if (match[0].length >= 16) add('uid', match.index, match.index + match[0].length)
  }
  return hits
}
