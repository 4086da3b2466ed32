import { RecordError } from '../core/errors.js'
import type { Metrics } from '../core/telemetry.js'
import { rawTopic, type Lane } from '../log/topics.js'
import type { Archive } from '../repository/archive.js'
import type { EventCodec } from '../schemas/codec.js'
import type { RawMessage } from '../schemas/types.js'
import type { Stage } from './stage.js'

export interface ArchiveOptions {
  readonly archive: Archive
  readonly codec: EventCodec
  readonly metrics: Metrics
}

/** raw → raw_message: the evidence that outlives spool and topic, and the watermarks that say what must be there. */
export function archiveStage(lane: Lane, options: ArchiveOptions): Stage {
  return {
    name: 'archive',
    lane,
    topics: [rawTopic(lane)],
    // Nobody waits for the archive: few large transactions leave the machine to those who are waited for.
    consume: { recordsMax: 2000, lingerMs: 500 },
    async handle(records) {
      const messages: RawMessage[] = []
      for (const record of records) {
        try {
          messages.push(await options.codec.decode('raw', record.value))
        } catch (error) {
          // An unreadable frame has no place in the archive; the parse stage makes the dead letter of it.
          if (!(error instanceof RecordError)) throw error
        }
      }
      await options.archive.write(messages)
    },
  }
}
