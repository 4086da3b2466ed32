import type { Catalogue } from '../catalogue/catalogue.js'
import { RecordError } from '../core/errors.js'
import type { Metrics } from '../core/telemetry.js'
import type { EventLog } from '../log/event-log.js'
import { contentOf, deadLetterTopic, domains, normalizedTopic, receivedTopic, type Lane } from '../log/topics.js'
import type { EventCodec } from '../schemas/codec.js'
import { deadLetter } from './dead-letter.js'
import { normaliserFor } from './normalise/normaliser.js'
import { Outbox } from './outbox.js'
import type { Stage } from './stage.js'

export interface NormaliseOptions {
  readonly log: EventLog
  readonly codec: EventCodec
  readonly metrics: Metrics
  /** The catalogue in force and the release number it is part of; read once a batch, so that a swap falls between batches. */
  readonly release: () => { readonly catalogue: Catalogue; readonly derivation: number }
}

/** received → normalized: local codes and units become unified items; what has no mapping goes on verbatim and marked. */
export function normaliseStage(lane: Lane, options: NormaliseOptions): Stage {
  return {
    name: 'normalise',
    lane,
    topics: domains.map((domain) => receivedTopic(domain, lane)),
    async handle(records) {
      const outbox = new Outbox()
      const { catalogue, derivation } = options.release()
      for (const record of records) {
        const domain = contentOf(record.topic)
        if (domain === 'raw' || domain === 'dead-letter') throw new Error(`normalise reads no ${record.topic}`)
        const normalise = normaliserFor(domain)
        let event
        try {
          event = await options.codec.decode(domain, record.value)
          const value = options.codec.encode(domain, normalise(event, catalogue, derivation))
          outbox.add(normalizedTopic(domain, lane), { key: record.key, value })
        } catch (error) {
          if (!(error instanceof RecordError)) throw error
          options.metrics.deadLetters.inc({ stage: 'normalise', code: error.code })
          const letter = deadLetter('normalise', error, event?.envelope ?? null, record)
          outbox.add(deadLetterTopic, { key: record.key, value: options.codec.encode('dead-letter', letter) })
        }
      }
      await outbox.flush(options.log)
    },
  }
}
