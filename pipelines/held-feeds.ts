import type { HeldBack } from '../log/raw-outlet.js'
import type { Holds } from '../log/spool.js'

/** The feeds that the province does not take just now, and why. */
export class HeldFeeds implements Holds {
  private readonly held = new Set<string>()
  private readonly problems = new Map<string, HeldBack>()
  private readonly listeners = new Set<() => void>()

  has(feed: string): boolean {
    return this.held.has(feed)
  }

  subscribe(changed: () => void): () => void {
    this.listeners.add(changed)
    return () => this.listeners.delete(changed)
  }

  hold(held: HeldBack): void {
    this.held.add(held.feed)
    this.problems.set(held.feed, held)
  }

  /** It is tried again; its problem stands until it is taken. */
  retry(feed: string): void {
    if (!this.held.delete(feed)) return
    for (const changed of this.listeners) changed()
  }

  /** Something of the feed was taken, and nothing of it refused. */
  taken(feed: string): void {
    if (!this.held.has(feed)) this.problems.delete(feed)
  }

  /** A watermark of the feed was taken: it is not refused as a whole any more. */
  watermarkTaken(feed: string): void {
    if (this.problems.get(feed)?.whole === true) this.taken(feed)
  }

  list(): readonly HeldBack[] {
    return [...this.problems.values()]
  }

  /** Nothing of the feed is taken, its watermarks included. */
  isWhole(feed: string): boolean {
    return this.held.has(feed) && this.problems.get(feed)?.whole === true
  }
}
