import { pause } from '../core/pause.js'

/** The bulk lane waits for a moment in which the live lane rests, at most this long: it always goes on. */
const waitMaxMs = 500
const lookEveryMs = 5
/** Live traffic flows where the live lane worked within this time, ms. */
const flowsForMs = 1000
const restMaxMs = 10_000

/** Whether a batch of the bulk lane begins now: when no live stage of the process works, or it has waited long enough. Pure. */
export const mayBegin = (liveWorking: number, waitedMs: number): boolean => liveWorking === 0 || waitedMs >= waitMaxMs

/** How long the bulk lane rests after a batch that took `busyMs`, so that it is busy for `share` of the time at most. Pure. */
export const restAfter = (busyMs: number, share: number): number => Math.min(restMaxMs, busyMs / share - busyMs)

/** Who works in the live lane of one process, and the turns of the bulk lane between. */
export class LiveFirst {
  private working = 0
  private workedAt = Number.NEGATIVE_INFINITY

  /** `now`: ms of any monotonic clock. */
  constructor(
    private readonly now: () => number = () => performance.now(),
    private readonly wait: (ms: number, signal: AbortSignal) => Promise<void> = pause,
  ) {}

  /** A worker of a live stage has something to do. */
  began(): void {
    this.working++
  }

  ended(): void {
    this.working--
    this.workedAt = this.now()
  }

  /** Resolves after the rest that a batch of the bulk lane owes to live traffic; at once where none flows. */
  async rest(busyMs: number, share: number, signal: AbortSignal): Promise<void> {
    if (this.working === 0 && this.now() - this.workedAt > flowsForMs) return
    await this.wait(restAfter(busyMs, share), signal)
  }

  /** Resolves when a batch of the bulk lane may begin, or `signal` aborts. */
  async turn(signal: AbortSignal): Promise<void> {
    const since = this.now()
    while (!signal.aborted && !mayBegin(this.working, this.now() - since)) await this.wait(lookEveryMs, signal)
  }
}
