import type { DueNotice } from '../../repository/alerts.js'

/** A way to tell people. */
export interface Channel {
  /** The other side takes a message no sooner than this after the one before, ms. */
  readonly spacingMs: number
  /**
   * Tells one message's worth of the notices, from the first. Resolves once the other side has taken it, with how many
   * it told. @throws ChannelFault
   */
  send(notices: readonly DueNotice[], signal: AbortSignal): Promise<number>
}

/** The other side took nothing. The message says what to do and holds no secret, no address and no text of the other side. */
export class ChannelFault extends Error {
  override readonly name = 'ChannelFault'
  constructor(
    message: string,
    options?: ErrorOptions & {
      /** The other side wants to be left alone for this long. */
      readonly waitMs?: number | undefined
    },
  ) {
    super(message, options)
    this.waitMs = options?.waitMs
  }
  readonly waitMs: number | undefined
}
