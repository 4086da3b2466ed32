// Encode and decode of a blood count with 24 results: ours against plain avsc and the Confluent library, interleaved in
// one run. `npx vite-node bench/codec.ts [rounds] [millisecondsPerCell]` prints min, median, max and ratios.
import { SchemaRegistry as ConfluentClient } from '@kafkajs/confluent-schema-registry'
import avsc, { type Type } from 'avsc'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { loadEventSchemas } from '../schemas/catalogue.js'
import { openCodec } from '../schemas/codec.js'
import { bloodCount } from '../test/schemas/sample-events.js'

const rounds = Number(process.argv[2] ?? 7)
const cellMs = Number(process.argv[3] ?? 300)

const events = Array.from({ length: 64 }, (_, index) => bloodCount(24, index + 1))
const { text } = loadEventSchemas().find(({ event }) => event === 'lab-report')!
const type: Type = avsc.Type.forSchema(JSON.parse(text) as never)
const codec = await openCodec()
const earlier: Type = avsc.Type.forSchema(withoutFlags(text) as never)

const server = createServer((_request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ schema: text }))
}).listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
const confluent = new ConfluentClient({ host: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })

const ours = events.map((event) => codec.encode('lab-report', event))
const plain = events.map((event) => type.toBuffer(event))
const wire = await Promise.all(events.map((event) => confluent.encode(1, event)))
const older = events.map((event) => earlier.toBuffer(event))
const reader: Type = avsc.Type.forSchema(withDefault(text) as never)
const resolver = reader.createResolver(earlier)
const slab = Buffer.alloc(64 * 1024)

const cells: Record<string, (index: number) => unknown> = {
  'encode  avsc into one buffer (never kept)': (index) => type.encode(events[index], slab, 5),
  'encode  avsc toBuffer': (index) => type.toBuffer(events[index]),
  'encode  ours, frame to keep': (index) => codec.encode('lab-report', events[index]!),
  'encode  confluent library': (index) => confluent.encode(1, events[index]),
  'decode  avsc fromBuffer': (index) => type.fromBuffer(plain[index]!),
  'decode  ours': (index) => codec.decode('lab-report', ours[index]!),
  'decode  confluent library': (index) => confluent.decode(wire[index]!),
  'decode  avsc, cached resolver': (index) => reader.fromBuffer(older[index]!, resolver),
}

async function perSecond(work: (index: number) => unknown, ms: number): Promise<number> {
  let done = 0
  const start = process.hrtime.bigint()
  const end = start + BigInt(ms) * 1_000_000n
  let now = start
  while (now < end) {
    for (let index = 0; index < 64; index++) {
      const result = work(index)
      if (result instanceof Promise) await result
    }
    done += 64
    now = process.hrtime.bigint()
  }
  return (done * 1e9) / Number(now - start)
}

const results = new Map<string, number[]>(Object.keys(cells).map((name) => [name, []]))
for (const work of Object.values(cells)) await perSecond(work, cellMs) // warm-up
for (let round = 0; round < rounds; round++) {
  for (const [name, work] of Object.entries(cells)) results.get(name)!.push(await perSecond(work, cellMs))
}
server.close()

const median = (name: string): number => [...results.get(name)!].sort((a, b) => a - b)[rounds >> 1]!
const thousands = (value: number): string => `${(value / 1000).toFixed(1)} k`.padStart(9)
process.stdout.write(
  `frame ${ours[0]!.length} bytes, JSON ${JSON.stringify(events[0]).length} bytes; events/s min, median, max\n`,
)
for (const [name, values] of results) {
  const base = median(
    name.startsWith('encode') ? 'encode  avsc into one buffer (never kept)' : 'decode  avsc fromBuffer',
  )
  const cellsOf = [Math.min(...values), median(name), Math.max(...values)].map(thousands).join(' ')
  process.stdout.write(`${name.padEnd(44)} ${cellsOf}   x${(median(name) / base).toFixed(2)} of avsc\n`)
}

function withoutFlags(schema: string): unknown {
  const record = JSON.parse(schema) as { fields: { name: string }[] }
  return { ...record, fields: record.fields.filter((field) => field.name !== 'allowMove') }
}

function withDefault(schema: string): unknown {
  const record = JSON.parse(schema) as { fields: { name: string }[] }
  const fields = record.fields.map((field) => (field.name === 'allowMove' ? { ...field, default: false } : field))
  return { ...record, fields }
}
