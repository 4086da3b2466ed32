import type { RunHealth } from './supervise/health.js'

/** What the feeds of this process do. */
export interface FeedStates {
  listens(feed: string): void
  accepted(feed: string, at: number): void
  all(): RunHealth['feeds']
}

export function feedStates(feeds: readonly string[]): FeedStates {
  const states = new Map(feeds.map((name) => [name, { name, listening: false, lastAcceptedAt: null as number | null }]))
  return {
    listens(feed) {
      const state = states.get(feed)
      if (state !== undefined) state.listening = true
    },
    accepted(feed, at) {
      const state = states.get(feed)
      if (state !== undefined) state.lastAcceptedAt = at
    },
    all: () => [...states.values()],
  }
}
