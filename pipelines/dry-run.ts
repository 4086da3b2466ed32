import type { Catalogue } from '../catalogue/catalogue.js'
import type { Parser, ReceivedEvent } from '../connectors/connector.js'
import { RecordError, type FaultPlace, type IgnoreReason, type RecordErrorCode } from '../core/errors.js'
import { messageId } from '../core/ids.js'
import type { SinkEvent } from '../repository/sink-event.js'
import type { Envelope } from '../schemas/types.js'
import { normaliserFor } from './normalise/normaliser.js'

/** What one message comes to, without a log or a repository. */
export interface DryRun {
  readonly events: readonly SinkEvent[]
  readonly deadLetters: readonly {
    readonly code: RecordErrorCode
    readonly message: string
    readonly place: FaultPlace
  }[]
  readonly ignored: IgnoreReason | null
}

export interface DryRunOptions {
  readonly parser: Parser
  readonly catalogue: Catalogue
  readonly feed: string
  readonly hospital: string
  readonly environment: string
  /** First receipt, ms. */
  readonly receivedAt: number
  /** Number within the feed, from 1. */
  readonly seq: number
}

/** Parses and normalises one message with the very functions of the live path. Pure. */
export function dryRun(content: Buffer, options: DryRunOptions): DryRun {
  const { feed, hospital, environment, receivedAt, seq } = options
  const id = messageId(feed, content)
  const events: SinkEvent[] = []
  const deadLetters: DryRun['deadLetters'][number][] = []
  const dead = (error: unknown): void => {
    if (!(error instanceof RecordError)) throw error
    deadLetters.push({ code: error.code, message: error.message, place: error.place })
  }
  try {
    const parsed = options.parser({ content, feed, hospital, environment, receivedAt, messageId: id })
    if (parsed.ignored !== undefined) return { events, deadLetters, ignored: parsed.ignored.reason }
    const { controlId, messageType } = parsed
    for (const [eventIndex, event] of parsed.events.entries()) {
      const eventCount = parsed.events.length
      const envelope: Envelope = {
        ...{ environment, hospital, feed, epoch: 1, seq, receivedAt, messageId: id, eventIndex, eventCount },
        ...{ controlId, messageType, lane: 'live', purpose: 'ledger', keyId: null, derivation: 0 },
      }
      try {
        events.push(normalised(event, envelope, options.catalogue))
      } catch (error) {
        dead(error)
      }
    }
  } catch (error) {
    dead(error)
  }
  return { events, deadLetters, ignored: null }
}

function normalised(event: ReceivedEvent, envelope: Envelope, catalogue: Catalogue): SinkEvent {
  const normalise = normaliserFor(event.domain) as (value: unknown, catalogue: Catalogue, derivation: number) => unknown
  return { domain: event.domain, event: normalise({ envelope, ...event.body }, catalogue, 1) } as SinkEvent
}
