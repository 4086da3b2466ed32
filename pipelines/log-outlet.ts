import type { EventLog, LogRecord } from '../log/event-log.js'
import type { RawOutlet } from '../log/raw-outlet.js'
import { rawTopic, type Topic } from '../log/topics.js'
import type { EventCodec } from '../schemas/codec.js'
import { rawContentBytesMax } from './content.js'

/** Raw messages straight to the topics `raw` and `raw.bulk`, keyed by feed. */
export function logOutlet(log: Pick<EventLog, 'append'>, codec: Pick<EventCodec, 'encode'>): RawOutlet {
  return {
    contentBytesMax: rawContentBytesMax,
    async send(messages) {
      const byTopic = new Map<Topic, LogRecord[]>()
      for (const message of messages) {
        const topic = rawTopic(message.lane === 'bulk' ? 'bulk' : 'live')
        const record = { key: message.feed, value: codec.encode('raw', message) }
        const records = byTopic.get(topic)
        if (records === undefined) byTopic.set(topic, [record])
        else records.push(record)
      }
      for (const [topic, records] of byTopic) await log.append(topic, records)
    },
  }
}
