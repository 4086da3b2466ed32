// What a stage costs by itself, one thread, the log and the database left out: frame in, frames out, 24 results a message.
// `npx vite-node bench/stages.ts [rounds] [messages a round]` prints CPU µs a message (collection of garbage
// included) as min, median, max: decoding and encoding of Avro included, which is how the role spends its time. Profile with `node --cpu-prof` in front of vite-node.
import { bloodCounts } from '../cli/demo/templates.js'
import { demoHospitals, demoMappingFiles } from '../cli/demo/hospitals.js'
import { contentOf } from '../cli/demo/journal.js'
import { loadCatalogue } from '../catalogue/catalogue.js'
import { hl7v2Parser } from '../connectors/hl7v2/to-events.js'
import { messageId } from '../core/ids.js'
import { Metrics } from '../core/telemetry.js'
import type { EventLog, LogRecord, StoredRecord } from '../log/event-log.js'
import type { ContentStores } from '../pipelines/content.js'
import { normaliseStage } from '../pipelines/normalise.js'
import { parseStage } from '../pipelines/parse.js'
import type { Stage } from '../pipelines/stage.js'
import { openCodec } from '../schemas/codec.js'

const rounds = Number(process.argv[2] ?? 5)
const count = Number(process.argv[3] ?? 6000)
const batchSize = 500

const codec = await openCodec()
const metrics = new Metrics()
let appended: LogRecord[] = []
let appendedTopic = ''
const log = {
  append(topic: string, records: readonly LogRecord[]) {
    appendedTopic = topic
    appended.push(...records)
    return Promise.resolve()
  },
} as unknown as EventLog

const stored = (topic: string, records: readonly LogRecord[]): StoredRecord[] =>
  records.map((record, index) => ({ ...record, topic, partition: 0, offset: BigInt(index), appendedAt: 0 }))

async function run(stage: Stage, records: readonly StoredRecord[]): Promise<number> {
  appended = []
  const start = process.cpuUsage()
  for (let at = 0; at < records.length; at += batchSize) {
    await stage.handle(records.slice(at, at + batchSize))
  }
  const { user, system } = process.cpuUsage(start)
  const microseconds = (user + system) / records.length
  if (appended.length !== records.length) throw new Error(`${appended.length} events of ${records.length} messages`)
  return microseconds
}

const parsers = new Map(demoHospitals.map(({ code, parseSettings }) => [code as string, hl7v2Parser(parseSettings)]))
const stores: ContentStores = { objects: undefined as never, cipher: () => undefined }
const catalogue = loadCatalogue({ mappingFiles: demoMappingFiles() })
const parse = parseStage('live', { log, codec, stores, metrics, parserFor: (feed) => parsers.get(feed) })
const normalise = normaliseStage('live', { log, codec, metrics, release: () => ({ catalogue, derivation: 1 }) })

process.stdout.write(
  `node ${process.version}, ${rounds} rounds of ${count} messages, CPU µs a message: min / median / max\n`,
)
for (const { code, dialectEn } of demoHospitals) {
  const messages = bloodCounts({ hospital: code, seed: 7 })
  const raw = stored(
    'raw',
    Array.from({ length: count }, (_, index) => {
      const content = contentOf(messages.next().value)
      const value = codec.encode('raw', {
        kind: 'message',
        environment: 'test',
        hospital: code,
        feed: code,
        epoch: 1,
        seq: index + 1,
        receivedAt: 1_770_000_000_000,
        messageId: messageId(code, content),
        connector: 'hl7v2-mllp',
        lane: 'live',
        purpose: 'ledger',
        controlId: null,
        sourceName: null,
        sourceIndex: 0,
        content,
        contentRef: null,
        contentSize: content.length,
        compression: 'none',
        keyId: null,
      })
      return { key: code, value }
    }),
  )
  const costs = { parse: [] as number[], normalise: [] as number[] }
  const bytes = { raw: 0, received: 0, normalised: 0 }
  const mean = (records: readonly LogRecord[]): number =>
    Math.round(records.reduce((sum, { value }) => sum + value.length, 0) / records.length)
  for (let round = -1; round < rounds; round++) {
    const parsing = await run(parse, raw)
    const received = stored(appendedTopic, appended)
    const normalising = await run(normalise, received)
    Object.assign(bytes, { raw: mean(raw), received: mean(received), normalised: mean(appended) })
    if (round < 0) continue
    costs.parse.push(parsing)
    costs.normalise.push(normalising)
  }
  const show = (values: number[]): string => {
    values.sort((a, b) => a - b)
    return [values[0], values[values.length >> 1], values.at(-1)].map((value) => value!.toFixed(0)).join(' / ')
  }
  const { raw: rawBytes, received, normalised } = bytes
  process.stdout.write(
    `parse, ${code} (${dialectEn}) ${show(costs.parse)}  ${rawBytes} to ${received} bytes\n` +
      `normalise, ${code} ${show(costs.normalise)}  ${received} to ${normalised} bytes\n`,
  )
}
