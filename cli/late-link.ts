import { RetryableError, UsageError } from '../core/errors.js'
import type { Logger } from '../core/telemetry.js'
import type { EventLog } from '../log/event-log.js'
import { pause } from '../core/pause.js'
import type { EventCodec } from '../schemas/codec.js'

/** The way out of a process: the log, and the codec of what is written to it. */
export interface Link {
  readonly log: EventLog
  readonly codec: EventCodec
}

export interface LateLink extends Link {
  /** Resolves once the link is there, or `signal` aborts. @throws what trying again cannot mend, such as a UsageError */
  connect(signal: AbortSignal): Promise<void>
}

/**
 * A link that is opened when broker and registry can be reached, tried at least every 10 s; until then each use is a
 * RetryableError. So a receiver that starts while the line is down takes messages all the same: the spool holds them.
 */
export function lateLink(open: () => Promise<Link>, logger: Logger): LateLink {
  let opening: Promise<Link> | undefined
  let link: Link | undefined
  const there = (): Link => {
    if (link === undefined) throw new RetryableError('the event log has not been reached since this process started')
    return link
  }
  return {
    async connect(signal) {
      const stopped = new Promise<undefined>((resolve) =>
        signal.addEventListener('abort', () => resolve(undefined), { once: true }),
      )
      for (let attempt = 1; !signal.aborted; attempt++) {
        try {
          opening = open()
          // A stop does not wait for brokers that do not answer.
          link = await Promise.race([opening, stopped])
          return
        } catch (error) {
          if (!(error instanceof RetryableError)) throw error
          const waitMs = Math.min(10_000, 50 * 2 ** Math.min(attempt, 8))
          logger.warn({ attempt, waitMs, cause: error.message }, 'the event log is away: the spool holds')
          await pause(waitMs, signal)
        }
      }
    },
    codec: {
      encode: (event, value) => there().codec.encode(event, value),
      decode: (event, frame) => there().codec.decode(event, frame),
    },
    log: {
      ensureTopics: async (topics, partitions) => there().log.ensureTopics(topics, partitions),
      append: async (topic, records) => there().log.append(topic, records),
      consume: (...args) => there().log.consume(...args),
      read: (...args) => there().log.read(...args),
      positions: async (group, topics) => there().log.positions(group, topics),
      async close() {
        const opened = await opening?.catch(() => undefined)
        await opened?.log.close()
      },
    },
  }
}

/** The link of a process that reaches the province over the gateway: it has a codec, and no event log. */
export function linkless(codec: EventCodec): Link {
  const none = (): never => {
    throw new UsageError('this process reaches the province by its uplink; the event log is not here')
  }
  const log: EventLog = {
    ensureTopics: none,
    append: none,
    consume: none,
    read: none,
    positions: none,
    close: () => Promise.resolve(),
  }
  return { log, codec }
}
