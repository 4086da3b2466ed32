import type { RawMessage } from '../schemas/types.js'

/** Where spooled messages go: the event log itself, or the gateway of the province. */
export interface RawOutlet {
  /** A larger content goes to the object store first, and a reference to it here, bytes. */
  readonly contentBytesMax: number
  /**
   * Messages and watermarks are durable in the province when it resolves; those of one feed and lane keep their order.
   * @throws RetryableError where they may not all be: send them again, after retryAfterMs where it says so
   */
  send(messages: readonly RawMessage[], signal: AbortSignal): Promise<void>
}
