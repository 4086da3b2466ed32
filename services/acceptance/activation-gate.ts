import { RetryableError } from '../../core/errors.js'
import type { Database } from '../../repository/database.js'
import { readActiveFeeds } from '../../repository/feed-activation.js'

/** Whether messages of a feed may become rows of production now. */
export type ActivationGate = (feed: string, hospital: string) => Promise<boolean>

/**
 * A gate over the activation record, read again once it is older than `maxAgeMs` (default 15 s). While the repository is
 * away what was read last goes on counting; before anything was read nobody passes: @throws RetryableError
 */
export function openActivationGate(db: Database, now: () => number, maxAgeMs = 15_000): ActivationGate {
  let active: ReadonlySet<string> | undefined
  let readAt = Number.NEGATIVE_INFINITY
  const read = async (): Promise<ReadonlySet<string>> => {
    if (active !== undefined && Math.abs(now() - readAt) < maxAgeMs) return active
    try {
      active = new Set((await readActiveFeeds(db)).map(({ feed, hospital }) => keyOf(feed, hospital)))
    } catch (error) {
      if (active === undefined || !(error instanceof RetryableError)) throw error
    }
    readAt = now()
    return active
  }
  return async (feed, hospital) => (await read()).has(keyOf(feed, hospital))
}

const keyOf = (feed: string, hospital: string): string => `${hospital}\x1f${feed}`
