import { RetryableError } from '../core/errors.js'
import type { LedgerPosition } from '../core/ids.js'
import type { RawMessage } from '../schemas/types.js'

/** Where spooled messages go: the event log itself, or the gateway of the province. */
export interface RawOutlet {
  /** A larger content goes to the object store first, and a reference to it here, bytes. */
  readonly contentBytesMax: number
  /**
   * Messages and watermarks are durable in the province when it resolves; those of one feed and lane keep their order.
   * @throws HeldBackError where all are but those of some feeds; RetryableError where they may not all be: send them
   * again, after retryAfterMs where it says so
   */
  send(messages: readonly RawMessage[], signal: AbortSignal): Promise<void>
}

/** One feed's messages from this number on are not taken until somebody has changed something. */
export interface HeldBack extends LedgerPosition {
  /** Its watermarks are not taken either. */
  readonly whole: boolean
  readonly code: string
  /** What was found and what to do. */
  readonly sentence: string
  readonly retryAfterMs: number
}

/** All was taken but what stands here, one entry for each feed. */
export class HeldBackError extends RetryableError {
  constructor(readonly held: readonly HeldBack[]) {
    super(held.map(({ feed, sentence }) => `${feed}: ${sentence}`).join('; '))
  }
}
