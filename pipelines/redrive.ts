import type { EventLog } from '../log/event-log.js'
import { rawTopic } from '../log/topics.js'
import type { Database } from '../repository/database.js'
import { markRedriven, redrivable, type DeadLetterFilter } from '../repository/dead-letters.js'
import type { EventCodec } from '../schemas/codec.js'

export interface RedriveOptions {
  readonly database: Database
  readonly log: EventLog
  readonly codec: EventCodec
  readonly progress?: (sent: number) => void
}

/** What was sent again, by ledger position. */
export interface Redriven {
  readonly feed: string
  readonly epoch: number
  readonly seq: number
}

/**
 * Sends the messages of matching dead letters through the pipeline again, in the bulk lane. Each letter is resolved when
 * its events are stored; one that fails again is open again with the new cause.
 */
export async function redrive(filter: DeadLetterFilter, options: RedriveOptions): Promise<readonly Redriven[]> {
  const { database, log, codec } = options
  const sent: Redriven[] = []
  for await (const { deadLetterIds, message } of redrivable(database, filter)) {
    await markRedriven(database, deadLetterIds)
    await log.append(rawTopic('bulk'), [{ key: message.feed, value: codec.encode('raw', message) }])
    sent.push({ feed: message.feed, epoch: message.epoch, seq: message.seq })
    options.progress?.(sent.length)
  }
  return sent
}
