import { RetryableError } from '../../core/errors.js'
import type { Logger } from '../../core/telemetry.js'
import { pause } from '../../core/pause.js'
import { settleNotices, takeNotices, type DueNotice, type NoticeOutcome } from '../../repository/alerts.js'
import type { Database } from '../../repository/database.js'
import type { Channel } from './channels.js'

const leaseMs = 120_000
const noticesMax = 15
const firstRetryMs = 15_000
const retryMsMax = 30 * 60_000
const giveUpMs = 24 * 3_600_000

export interface DeliverOptions {
  readonly db: Database
  readonly name: string
  readonly channel: Channel
  readonly environment: string
  readonly now: () => number
  readonly logger: Logger
}

/** What follows a failed attempt: doubling waits up to half an hour, a day in all. Pure. */
export function afterFailure(
  notice: Pick<DueNotice, 'attempt' | 'createdAt'>,
  now: number,
  failure: string,
): NoticeOutcome {
  if (now - notice.createdAt >= giveUpMs) return { state: 'given-up', failure }
  const waitMs = Math.min(retryMsMax, firstRetryMs * 2 ** Math.min(notice.attempt - 1, 12))
  return { state: 'retry', retryAt: now + waitMs, failure }
}

/** Tells a channel what is due, several notices in one message. Resolves with how many it took; failures are kept with them. */
export async function deliverDue(options: DeliverOptions, signal: AbortSignal): Promise<number> {
  const { db, name, channel, environment, now, logger } = options
  const due = await takeNotices(db, { channel: name, environment, now: now(), leaseMs, limit: noticesMax })
  if (due.length === 0) return 0
  try {
    await channel.send(due, signal)
  } catch (error) {
    if (signal.aborted) return due.length
    const failure = (error as Error).message
    logger.warn(
      { event: 'alert-notice-failed', channel: name, notices: due.length, failure },
      'a channel took no notice',
    )
    for (const notice of due) await settleNotices(db, [notice.noticeId], afterFailure(notice, now(), failure), now())
    return due.length
  }
  await settleNotices(
    db,
    due.map(({ noticeId }) => noticeId),
    { state: 'delivered' },
    now(),
  )
  return due.length
}

/** Delivers on one channel until `signal` aborts; each channel runs this for itself, so none waits for another. */
export async function deliver(options: DeliverOptions, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    let taken = 0
    try {
      taken = await deliverDue(options, signal)
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      options.logger.warn({ channel: options.name, cause: error.message }, 'trying again')
    }
    if (taken < noticesMax) await pause(everyMs, signal)
  }
}
