import { pause } from '../core/pause.js'

/** The bulk lane waits for a moment in which the live lane rests, at most this long: it always goes on. */
const waitMaxMs = 500
const lookEveryMs = 5

/** Whether a batch of the bulk lane begins now: when no live stage of the process works, or it has waited long enough. Pure. */
export const mayBegin = (liveWorking: number, waitedMs: number): boolean => liveWorking === 0 || waitedMs >= waitMaxMs

/** Who works in the live lane of one process, and the turns of the bulk lane between. */
export class LiveFirst {
  private working = 0

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
  }

  /** Resolves when a batch of the bulk lane may begin, or `signal` aborts. */
  async turn(signal: AbortSignal): Promise<void> {
    const since = this.now()
    while (!signal.aborted && !mayBegin(this.working, this.now() - since)) await this.wait(lookEveryMs, signal)
  }
}
