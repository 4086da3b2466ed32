import type { Parser, ReceivedEvent } from '../connectors/connector.js'
import { RecordError } from '../core/errors.js'
import type { Metrics } from '../core/telemetry.js'
import type { EventLog, LogRecord, StoredRecord } from '../log/event-log.js'
import { deadLetterTopic, rawTopic, receivedTopic, type Lane, type Topic } from '../log/topics.js'
import type { EventCodec } from '../schemas/codec.js'
import type { RawMessage } from '../schemas/types.js'
import { unpackContent, type ContentStores } from './content.js'
import { deadLetter, envelopeOf, ignored } from './dead-letter.js'
import { keyOf } from './keys.js'
import { Outbox } from './outbox.js'
import type { Stage } from './stage.js'

export interface ParseOptions {
  readonly log: EventLog
  readonly codec: EventCodec
  readonly stores: ContentStores
  /** The parser of a feed; undefined where this role does not know it. */
  readonly parserFor: (feed: string, connector: string) => Parser | undefined
  readonly metrics: Metrics
  /** Whether a feed may write here; every one may where left out. */
  readonly isActivated?: (feed: string, hospital: string) => Promise<boolean>
}

/** raw → received: bytes become events, or a dead letter, or are ignored with a reason. */
export function parseStage(lane: Lane, options: ParseOptions): Stage {
  return {
    name: 'parse',
    lane,
    topics: [rawTopic(lane)],
    async handle(records) {
      const outbox = new Outbox()
      for (const record of records) {
        for (const [topic, out] of await parseRecord(record, options)) outbox.add(topic, out)
      }
      await outbox.flush(options.log)
    },
  }
}

async function parseRecord(record: StoredRecord, options: ParseOptions): Promise<[Topic, LogRecord][]> {
  let raw: RawMessage | undefined
  try {
    const message: RawMessage = await options.codec.decode('raw', record.value)
    raw = message
    if (message.kind === 'watermark') return []
    if (options.isActivated !== undefined && !(await options.isActivated(message.feed, message.hospital))) {
      throw new RecordError('feed-not-activated', `feed ${message.feed} of ${message.hospital}`)
    }
    return parseContent(message, await unpackContent(message, options.stores), record, options)
  } catch (error) {
    if (!(error instanceof RecordError)) throw error
    const nothing = { index: 0, count: 1, controlId: null, messageType: null }
    const envelope = raw === undefined ? null : envelopeOf(raw, nothing)
    options.metrics.deadLetters.inc({ stage: 'parse', code: error.code })
    const letter = deadLetter(raw === undefined ? 'raw' : 'parse', error, envelope, record)
    return [[deadLetterTopic, { key: record.key, value: options.codec.encode('dead-letter', letter) }]]
  }
}

function parseContent(
  raw: RawMessage,
  content: Buffer,
  record: StoredRecord,
  options: ParseOptions,
): [Topic, LogRecord][] {
  const { feed, hospital, environment, receivedAt, messageId, connector } = raw
  const parser = options.parserFor(feed, connector)
  if (parser === undefined) throw new RecordError('feed-unknown', `feed ${feed}, connector ${connector}`)
  const {
    controlId,
    messageType,
    events,
    ignored: reason,
  } = parser({ content, feed, hospital, environment, receivedAt, messageId })
  if (reason !== undefined) {
    options.metrics.ignored.inc({ reason: reason.reason })
    const envelope = envelopeOf(raw, { index: 0, count: 1, controlId, messageType })
    const letter = ignored(reason.reason, reason.detail, envelope, record)
    return [[deadLetterTopic, { key: record.key, value: options.codec.encode('dead-letter', letter) }]]
  }
  const lane = raw.lane === 'bulk' ? 'bulk' : 'live'
  return events.map((event, index) => {
    const envelope = envelopeOf(raw, { index, count: events.length, controlId, messageType })
    return [
      receivedTopic(event.domain, lane),
      { key: keyOf(hospital, event), value: encodeEvent(event, envelope, options.codec) },
    ]
  })
}

function encodeEvent(event: ReceivedEvent, envelope: ReturnType<typeof envelopeOf>, codec: EventCodec): Buffer {
  switch (event.domain) {
    case 'lab-report':
      return codec.encode('lab-report', { envelope, ...event.body })
    case 'imaging-report':
      return codec.encode('imaging-report', { envelope, ...event.body })
    case 'patient':
      return codec.encode('patient', { envelope, ...event.body })
    case 'encounter':
      return codec.encode('encounter', { envelope, ...event.body })
    case 'order':
      return codec.encode('order', { envelope, ...event.body })
  }
}
