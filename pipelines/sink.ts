import { RecordError } from '../core/errors.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import { contentOf, deadLetterTopic, domains, normalizedTopic, type Lane } from '../log/topics.js'
import type { DeadLetterSink } from '../repository/dead-letters.js'
import type { EventSink } from '../repository/event-sink.js'
import type { SinkEvent } from '../repository/sink-event.js'
import type { EventCodec } from '../schemas/codec.js'
import type { DeadLetter } from '../schemas/types.js'
import { deadLetter } from './dead-letter.js'
import type { Stage } from './stage.js'

export interface SinkOptions {
  readonly events: EventSink
  readonly letters: DeadLetterSink
  /** Transactions at once: as many as the database has connections for (1 for PGlite). */
  readonly concurrency: number
  readonly codec: EventCodec
  readonly metrics: Metrics
  readonly logger: Logger
  readonly now: () => number
  /** Told of every event that ended, after its transaction: for progress and freshness figures. */
  readonly settled?: (events: readonly SettledEvent[]) => void
}

export interface SettledEvent {
  readonly feed: string
  readonly epoch: number
  readonly seq: number
  readonly disposition: string
  readonly receivedAt: number
  readonly settledAt: number
}

/**
 * normalized and dead letters → repository. One transaction a batch, receipts within it; the offset follows. Dead
 * letters have one lane: the live sink takes them.
 */
export function sinkStage(lane: Lane, options: SinkOptions): Stage {
  const topics = domains.map((domain) => normalizedTopic(domain, lane))
  return {
    name: 'sink',
    lane,
    topics: lane === 'live' ? [...topics, deadLetterTopic] : topics,
    concurrency: options.concurrency,
    consume: { recordsMax: 500, lingerMs: 50 },
    async handle(records) {
      const events: SinkEvent[] = []
      const letters: DeadLetter[] = []
      for (const record of records) {
        const content = contentOf(record.topic)
        try {
          if (content === 'dead-letter') letters.push(await options.codec.decode('dead-letter', record.value))
          else if (content !== 'raw') {
            events.push({ domain: content, event: await options.codec.decode(content, record.value) } as SinkEvent)
          }
        } catch (error) {
          if (!(error instanceof RecordError)) throw error
          letters.push(deadLetter('sink', error, null, record))
        }
      }
      const settled: SettledEvent[] = []
      if (events.length > 0) {
        const outcomes = await options.events.write(events)
        const settledAt = options.now()
        for (const { event, disposition, isRedelivery } of outcomes) {
          if (isRedelivery) continue
          const { feed, epoch, seq, receivedAt } = event.event.envelope
          options.metrics.dispositions.inc({ domain: event.domain, disposition })
          if (disposition === 'stored' && lane === 'live') {
            options.metrics.freshness.observe({ feed }, Math.max(0, settledAt - receivedAt) / 1000)
          }
          settled.push({ feed, epoch, seq, disposition, receivedAt, settledAt })
        }
      }
      if (letters.length > 0) {
        await options.letters.write(letters)
        const settledAt = options.now()
        for (const { envelope, disposition } of letters) {
          if (envelope === null) continue
          const { feed, epoch, seq, receivedAt } = envelope
          settled.push({ feed, epoch, seq, disposition, receivedAt, settledAt })
        }
      }
      options.settled?.(settled)
    },
  }
}
