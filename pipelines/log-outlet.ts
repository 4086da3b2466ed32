import type { EventLog } from '../log/event-log.js'
import type { RawOutlet } from '../log/raw-outlet.js'
import { rawTopic } from '../log/topics.js'
import type { EventCodec } from '../schemas/codec.js'
import { rawContentBytesMax } from './content.js'
import { Outbox } from './outbox.js'

/** Raw messages straight to the topics `raw` and `raw.bulk`, keyed by feed. */
export function logOutlet(log: EventLog, codec: Pick<EventCodec, 'encode'>): RawOutlet {
  return {
    contentBytesMax: rawContentBytesMax,
    async send(messages) {
      const outbox = new Outbox()
      for (const message of messages) {
        const value = codec.encode('raw', message)
        outbox.add(rawTopic(message.lane === 'bulk' ? 'bulk' : 'live'), { key: message.feed, value })
      }
      await outbox.flush(log)
    },
  }
}
