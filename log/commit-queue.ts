import { RetryableError } from '../core/errors.js'
import type { Position } from './event-log.js'

interface Asked {
  readonly position: Position
  readonly signal: AbortSignal
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Joins commits that are asked for while another is under way: the next request carries all of them. */
export class CommitQueue {
  private asked: Asked[] = []
  private running: Promise<void> | undefined

  /** `send` is never called again before it has settled. */
  constructor(private readonly send: (positions: readonly Position[]) => Promise<void>) {}

  /**
   * Durable when it resolves. `signal` aborts when the partition is taken away: a commit not yet sent is then withdrawn,
   * for the partition may be another member's. @throws RetryableError and whatever `send` throws
   */
  commit(position: Position, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.asked.push({ position, signal, resolve, reject })
      this.running ??= this.run().finally(() => (this.running = undefined))
    })
  }

  private async run(): Promise<void> {
    // everything that is committed in this turn of the event loop goes together
    await Promise.resolve()
    while (this.asked.length > 0) {
      const together = this.asked
      this.asked = []
      const ours = together.filter(({ signal }) => !signal.aborted)
      for (const { position, reject } of together.filter(({ signal }) => signal.aborted)) {
        const { topic, partition } = position
        reject(new RetryableError(`${topic}/${partition} was taken away: its records come again`))
      }
      if (ours.length === 0) continue
      try {
        await this.send(ours.map(({ position }) => position))
        for (const one of ours) one.resolve()
      } catch (error) {
        for (const one of ours) one.reject(error)
      }
    }
  }
}
