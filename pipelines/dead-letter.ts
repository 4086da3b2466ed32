import type { IgnoreReason, RecordError } from '../core/errors.js'
import type { StoredRecord } from '../log/event-log.js'
import type { DeadLetter, Envelope, RawMessage } from '../schemas/types.js'

type Stage = 'raw' | 'parse' | 'normalise' | 'sink'

/** The dead letter of a record that could not be processed; `envelope` is null where not even that could be read. */
export function deadLetter(
  stage: Stage,
  error: RecordError,
  envelope: Envelope | null,
  source: StoredRecord,
): DeadLetter {
  return {
    envelope,
    disposition: 'dead-lettered',
    stage,
    code: error.code,
    detail: error.message,
    segment: error.place.segment ?? null,
    field: error.place.field ?? null,
    ...whereFrom(source),
    payload: envelope === null ? source.value : null,
  }
}

/** The end of a message that is kept but not used. */
export function ignored(reason: IgnoreReason, detail: string, envelope: Envelope, source: StoredRecord): DeadLetter {
  return {
    envelope,
    disposition: 'ignored',
    stage: 'parse',
    code: reason,
    detail,
    segment: null,
    field: null,
    ...whereFrom(source),
    payload: null,
  }
}

const whereFrom = (source: StoredRecord): Pick<DeadLetter, 'sourceTopic' | 'sourcePartition' | 'sourceOffset'> => ({
  sourceTopic: source.topic,
  sourcePartition: source.partition,
  sourceOffset: String(source.offset),
})

/** The envelope of one event of a raw message. */
export function envelopeOf(
  raw: RawMessage,
  event: {
    readonly index: number
    readonly count: number
    readonly controlId: string | null
    readonly messageType: string | null
  },
): Envelope {
  return {
    environment: raw.environment,
    hospital: raw.hospital,
    feed: raw.feed,
    epoch: raw.epoch,
    seq: raw.seq,
    receivedAt: raw.receivedAt,
    messageId: raw.messageId,
    eventIndex: event.index,
    eventCount: event.count,
    controlId: event.controlId ?? raw.controlId,
    messageType: event.messageType,
    lane: raw.lane,
    purpose: raw.purpose,
    keyId: null,
    derivation: 0,
  }
}
