// The load of bench/whole-path.ts, in a process of its own: hospitals that send blood counts (24 results, about 3 KB),
// over MLLP to the receive role, or (`raw`) as records on the topic `raw`, past receiver and spool. The parent sets the
// rate by messages; totals go back four times a second.
import { bloodCounts } from '../cli/demo/templates.js'
import type { HospitalCode } from '../cli/demo/hospitals.js'
import { contentOf, Journal } from '../cli/demo/journal.js'
import { sendOverMllp } from '../cli/demo/mllp-simulator.js'
import { Pacer } from '../cli/demo/pacer.js'
import { messageId } from '../core/ids.js'
import { openKafkaLog } from '../log/kafka-log.js'
import { rawTopic } from '../log/topics.js'
import { openCodec } from '../schemas/codec.js'
import type { RawMessage } from '../schemas/types.js'

/** A sender of the load: its feed, which hospital it plays, and where it sends (MLLP). */
export interface LoadFeed {
  readonly feed: string
  readonly hospital: HospitalCode
  readonly port: number
  readonly seed: number
}

export interface LoadOrder {
  readonly by: 'mllp' | 'raw'
  readonly feeds: readonly LoadFeed[]
  readonly connections: number
  readonly inFlight: number
  /** For `raw`. */
  readonly brokers: readonly string[]
  readonly prefix: string
  readonly registryUrl: string
  readonly topics: readonly { topic: string; event: string }[]
}

export interface LoadReport {
  readonly acknowledged: number
  readonly refused: number
  readonly attempts: number
}

const stop = new AbortController()
let ratePerSecond = 0

process.on('message', (message: LoadOrder | { rate: number } | 'stop') => {
  if (message === 'stop') stop.abort()
  else if ('rate' in message) ratePerSecond = message.rate
  else void run(message)
})
// the parent is gone
process.on('disconnect', () => process.exit(0))
process.send!('ready')

async function run(order: LoadOrder): Promise<void> {
  const journals = order.feeds.map(() => new Journal({ entries: false }))
  const counts = { acknowledged: 0, refused: 0, attempts: 0 }
  const report = (): void => {
    if (order.by === 'mllp') {
      const totals = journals.map((journal) => journal.totals())
      for (const name of ['acknowledged', 'refused', 'attempts'] as const) {
        counts[name] = totals.reduce((sum, total) => sum + total[name], 0)
      }
    }
    process.send?.(counts satisfies LoadReport)
  }
  const timer = setInterval(report, 250)
  try {
    if (order.by === 'raw') await append(order, counts)
    else {
      await Promise.all(
        order.feeds.map(({ hospital, seed, port }, index) =>
          sendOverMllp(
            {
              host: '127.0.0.1',
              port,
              messages: bloodCounts({ hospital, seed }),
              journal: journals[index]!,
              connections: order.connections,
              inFlight: order.inFlight,
              rate: () => ratePerSecond / order.feeds.length,
            },
            stop.signal,
          ),
        ),
      )
    }
  } finally {
    clearInterval(timer)
    report()
  }
  process.disconnect()
}

/** What the receive role's forwarder would append: messages of each feed in order, with its watermark. */
async function append(order: LoadOrder, counts: { acknowledged: number; attempts: number }): Promise<void> {
  const { brokers, prefix, registryUrl: registry, topics } = order
  const log = await openKafkaLog({ brokers, prefix, clientId: 'bench' })
  const codec = await openCodec({ registryUrl: registry, prefix, topics: topics as never })
  const feeds = order.feeds.map((feed) => ({
    ...feed,
    seq: 0,
    messages: bloodCounts(feed),
    pacer: new Pacer(() => ratePerSecond / order.feeds.length),
  }))
  try {
    while (!stop.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      const records = feeds.flatMap((sender) => {
        const values: RawMessage[] = []
        while (values.length < 500 && sender.pacer.allow()) {
          const { value: message } = sender.messages.next()
          const content = contentOf(message)
          values.push({ ...header(sender), kind: 'message', seq: ++sender.seq, content, contentSize: content.length })
          values[values.length - 1]!.messageId = messageId(sender.feed, content)
        }
        if (values.length > 0 && sender.seq % 8 === 0) values.push({ ...header(sender), kind: 'watermark' })
        return values.map((value) => ({ key: sender.feed, value: codec.encode('raw', value), kind: value.kind }))
      })
      if (records.length === 0) continue
      await log.append(rawTopic('live'), records)
      counts.attempts += records.length
      counts.acknowledged += records.filter(({ kind }) => kind === 'message').length
    }
  } finally {
    await log.close()
  }
}

function header({ feed, hospital, seq }: LoadFeed & { seq: number }): RawMessage {
  return {
    kind: 'watermark',
    environment: 'test',
    hospital,
    feed,
    epoch: 1,
    seq,
    receivedAt: Date.now(),
    messageId: '',
    connector: 'hl7v2-mllp',
    lane: 'live',
    purpose: 'ledger',
    controlId: null,
    sourceName: null,
    sourceIndex: 0,
    content: null,
    contentRef: null,
    contentSize: 0,
    compression: 'none',
    keyId: null,
  }
}
