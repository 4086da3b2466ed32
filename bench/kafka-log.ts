// Appending and consuming 3 KB records: ours against bare kafkajs with the same settings, and record batches in gzip,
// interleaved in one run. `HUTONG_KAFKA_BROKERS=… npx vite-node bench/kafka-log.ts [rounds] [records]`. Topics are removed.
import { randomUUID } from 'node:crypto'
import { Kafka, logLevel, Partitioners } from 'kafkajs'
import { readEnvironment } from '../core/environment.js'
import { openKafkaLog } from '../log/kafka-log.js'

const rounds = Number(process.argv[2] ?? 3)
const count = Number(process.argv[3] ?? 30_000)
const brokers = readEnvironment().kafkaBrokers
if (brokers === undefined) throw new Error('set HUTONG_KAFKA_BROKERS')

// as redundant as an ORU: repeated segments with a varying part
const line = 'OBX|1|NM|WBC^白细胞^L||5.2|10^9/L|3.5-9.5|N|||F|||20260301080000||王检验师|||\r'
const records = Array.from({ length: count }, (_, index) => {
  let text = `MSH|^~\\&|LIS|H001|||20260301080000||ORU^R01|${randomUUID()}\r`
  while (text.length < 2600)
    text += line.replace('5.2', String(Math.random() * 100)).replace('0800', String(1000 + (index % 900)))
  return { key: `h001-${index % 97}`, value: Buffer.from(text) }
})
const prefix = `bench-${randomUUID()}`
const bare = new Kafka({ brokers: [...brokers], clientId: 'bench', logLevel: logLevel.NOTHING })
const admin = bare.admin()
await admin.connect()
const producer = bare.producer({
  idempotent: true,
  maxInFlightRequests: 1,
  createPartitioner: Partitioners.DefaultPartitioner,
})
await producer.connect()
const logs = {
  none: await openKafkaLog({ brokers, prefix, clientId: 'bench' }),
  gzip: await openKafkaLog({ brokers, prefix, clientId: 'bench', compression: 'gzip' }),
}

async function rate(work: () => Promise<void>): Promise<[perSecond: number, cores: number]> {
  const [start, cpu] = [process.hrtime.bigint(), process.cpuUsage()]
  await work()
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  const { user, system } = process.cpuUsage(cpu)
  return [count / seconds, (user + system) / 1e6 / seconds]
}

async function chunks(send: (part: typeof records) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < count; at += 1200) {
    await Promise.all([0, 300, 600, 900].map((more) => send(records.slice(at + more, at + more + 300))))
  }
}

const results = new Map<string, [number, number][]>()
const measure = async (name: string, work: () => Promise<void>): Promise<void> => {
  const result = await rate(work)
  results.set(name, [...(results.get(name) ?? []), result])
}
for (let round = 0; round < rounds; round++) {
  for (const [name, log] of Object.entries(logs)) {
    const topic = `${name}-${round}`
    await log.ensureTopics([topic], 3)
    await measure(`append ours, ${name}`, () => chunks((part) => log.append(topic, part)))
    await measure(`consume ours, ${name}`, async () => {
      const stop = new AbortController()
      let seen = 0
      for await (const batch of log.consume([topic], `g-${topic}`, stop.signal)) {
        await batch.commit()
        if ((seen += batch.records.length) >= count) stop.abort()
      }
    })
  }
  await logs.none.ensureTopics([`bare-${round}`], 3)
  const topic = `${prefix}.bare-${round}`
  let last = Promise.resolve<unknown>(undefined)
  await measure('append bare kafkajs, one send at a time', () =>
    chunks((messages) => (last = last.then(() => producer.send({ topic, acks: -1, messages })))),
  )
  await measure('consume bare kafkajs', async () => {
    const consumer = bare.consumer({ groupId: `${prefix}-bare-${round}`, maxWaitTimeInMs: 200 })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    let seen = 0
    await new Promise<void>((resolve, reject) => {
      const eachBatch = async ({ batch }: { batch: { messages: readonly unknown[] } }): Promise<void> => {
        if ((seen += batch.messages.length) >= count) resolve()
      }
      consumer.run({ eachBatch }).catch(reject)
    })
    await consumer.disconnect()
  })
}
for (const [name, values] of results) {
  const sorted = values.map(([perSecond]) => Math.round(perSecond)).sort((a, b) => a - b)
  const cores = values.map(([, used]) => used).sort((a, b) => a - b)[values.length >> 1]!
  const [min, median, max] = [sorted[0], sorted[sorted.length >> 1], sorted[sorted.length - 1]]
  process.stdout.write(`${name.padEnd(42)} ${min} / ${median} / ${max} records/s, ${cores.toFixed(2)} cores\n`)
}
await producer.disconnect()
await Promise.all(Object.values(logs).map((log) => log.close()))
const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix))
await admin.deleteTopics({ topics })
const groups = (await admin.listGroups()).groups
  .map(({ groupId }) => groupId)
  .filter((group) => group.startsWith(prefix))
await admin.deleteGroups(groups).catch(() => undefined)
await admin.disconnect()
