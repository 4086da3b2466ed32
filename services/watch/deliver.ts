import { RetryableError } from '../../core/errors.js'
import type { Logger } from '../../core/telemetry.js'
import { pause } from '../../core/pause.js'
import { settleFailed, settleTold, takeNotices, type DueNotice } from '../../repository/alerts.js'
import type { Database } from '../../repository/database.js'
import { ChannelFault, type Channel } from './channel.js'

/** Longer than any channel takes for a message. */
const leaseMs = 120_000
const noticesMax = 1000
const firstRetryMs = 15_000
const retryMsMax = 5 * 60_000
const giveUpMs = 24 * 3_600_000

export interface DeliverOptions {
  readonly db: Database
  readonly name: string
  readonly channel: Channel
  readonly environment: string
  readonly now: () => number
  readonly logger: Logger
}

/** When a channel is tried again after a failure and what is given up, a day after it was due first. */
export interface AfterFailure {
  readonly retryAt: number
  readonly retried: readonly number[]
  readonly givenUp: readonly number[]
}

/** What follows a failed message: doubling waits up to five minutes, or what the other side asks for where that is longer. Pure. */
export function afterFailure(
  notices: readonly Pick<DueNotice, 'noticeId' | 'attempt' | 'createdAt'>[],
  now: number,
  askedMs = 0,
): AfterFailure {
  const attempt = Math.max(1, ...notices.map((notice) => notice.attempt))
  const waitMs = Math.max(askedMs, Math.min(retryMsMax, firstRetryMs * 2 ** Math.min(attempt - 1, 12)))
  const isOver = ({ createdAt }: { createdAt: number }): boolean => now - createdAt >= giveUpMs
  return {
    retryAt: now + waitMs,
    retried: notices.filter((notice) => !isOver(notice)).map(({ noticeId }) => noticeId),
    givenUp: notices.filter(isOver).map(({ noticeId }) => noticeId),
  }
}

/**
 * Tells a channel one message of what is due. Resolves with how many notices it took; failures are kept with them. However
 * many deliverers a channel has, one message is under way at a time, and none while the channel is left alone.
 */
export async function deliverDue(options: DeliverOptions, signal: AbortSignal): Promise<number> {
  const { db, name, channel, environment, now, logger } = options
  const place = { channel: name, environment }
  const due = await takeNotices(db, { ...place, now: now(), leaseMs, limit: noticesMax })
  if (due.length === 0) return 0
  let told: number
  try {
    told = await channel.send(due, signal)
  } catch (error) {
    if (signal.aborted) return due.length
    if (!(error instanceof ChannelFault)) throw error
    const failure = error.message
    const after = afterFailure(due, now(), error.waitMs)
    logger.warn(
      { event: 'alert-notice-failed', channel: name, notices: due.length, failure, givenUp: after.givenUp.length },
      'a channel took no notice',
    )
    await settleFailed(db, { ...after, failure, now: now() })
    return due.length
  }
  const ids = due.map(({ noticeId }) => noticeId)
  const at = now()
  await settleTold(db, {
    ...place,
    told: ids.slice(0, told),
    rest: ids.slice(told),
    now: at,
    next: at + channel.spacingMs,
  })
  return told
}

/** Delivers on one channel until `signal` aborts; each channel runs this for itself, so none waits for another. */
export async function deliver(options: DeliverOptions, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await deliverDue(options, signal)
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      options.logger.warn({ channel: options.name, cause: error.message }, 'trying again')
    }
    await pause(Math.max(everyMs, options.channel.spacingMs), signal)
  }
}
