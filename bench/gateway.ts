// One gateway process with all edges of a province: 1,500 connections over mutual TLS, each with a certificate of its own,
// that send a blood count now and then, and a share of busy ones that send batches back to back. The load comes from a
// process of its own. Messages go to Kafka (HUTONG_KAFKA_BROKERS) or, where that is not set, to an embedded log: both
// durable before the answer. Printed: blood counts/s, answer times of the light edges, CPU and memory of the gateway.
// Needs openssl and about 4,000 open files (ulimit -n).
//   npx vite-node bench/gateway.ts [--edges 1500] [--busy 40] [--batch 50] [--every 20] [--seconds 20] [--rounds 3]
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { batchRoute } from '../api/gateway/batches.js'
import { startGateway } from '../api/gateway/gateway-server.js'
import { readEnvironment } from '../core/environment.js'
import { messageId } from '../core/ids.js'
import { createLogger, Metrics } from '../core/telemetry.js'
import { openEmbeddedLog } from '../log/embedded-log.js'
import { openKafkaLog } from '../log/kafka-log.js'
import { folderObjectStore } from '../log/object-store.js'
import { allTopics } from '../log/topics.js'
import { batchContentType, decodedLengthHeader, encodeBatch, uplinkPath } from '../log/uplink-wire.js'
import { logOutlet } from '../pipelines/log-outlet.js'
import { openCodec, type EventCodec } from '../schemas/codec.js'
import { bloodCountText } from './blood-count.js'
import { removeTopics } from './whole-path-place.js'

const root = join(fileURLToPath(import.meta.url), '..', '..')
/** Each edge sends these in turn: more than the gateway remembers of an edge, so that none is a repetition. */
const bodiesPerEdge = 4

const [role, ...rest] = process.argv.slice(2)
if (role === 'serve') await serve(rest[0]!, rest[1]!)
else if (role === 'load') await load(JSON.parse(rest[0]!) as Load)
else await compare()

interface Load {
  readonly folder: string
  readonly port: number
  readonly edges: number
  /** Of the edges, those that send batches back to back. */
  readonly busy: number
  /** Blood counts in a batch of a busy edge. */
  readonly batch: number
  /** A light edge sends one blood count in so many seconds. */
  readonly everySeconds: number
  readonly seconds: number
  readonly rounds: number
}

interface Measured {
  readonly bloodCountsPerSecond: number
  readonly lightMs: { readonly p50: number; readonly p99: number }
  readonly refused: number
}

interface Usage {
  readonly cpuMicroseconds: number
  readonly connections: number
  readonly residentMegabytes: number
  readonly residentPeakMegabytes: number
}

async function compare(): Promise<void> {
  const { values } = parseArgs({
    options: {
      edges: { type: 'string', default: '1500' },
      busy: { type: 'string', default: '40' },
      batch: { type: 'string', default: '50' },
      every: { type: 'string', default: '20' },
      seconds: { type: 'string', default: '20' },
      rounds: { type: 'string', default: '3' },
    },
  })
  const folder = mkdtempSync(join(tmpdir(), 'hutong-bench-gateway-'))
  const prefix = `bench-${randomBytes(4).toString('hex')}`
  const { kafkaBrokers } = readEnvironment()
  const children: ChildProcess[] = []
  try {
    const edges = Number(values.edges)
    makeCertificates(folder, edges)
    const server = start(['serve', folder, prefix])
    children.push(server)
    const { port, log } = (await message(server)) as { port: number; log: string }
    const options: Load = {
      ...{ folder, port, edges, busy: Number(values.busy), batch: Number(values.batch) },
      ...{ everySeconds: Number(values.every), seconds: Number(values.seconds), rounds: Number(values.rounds) },
    }
    const client = start(['load', JSON.stringify(options)])
    children.push(client)
    await message(client)
    console.log(
      `${edges} edges connected, ${options.busy} of them busy; log: ${log}; min / median / max of ${options.rounds}`,
    )
    const rounds: { measured: Measured; microseconds: number; usage: Usage }[] = []
    for (let round = 0; round < options.rounds; round++) {
      const before = await usageOf(server)
      client.send('measure')
      const measured = (await message(client)) as Measured
      const usage = await usageOf(server)
      const counts = measured.bloodCountsPerSecond * options.seconds
      rounds.push({ measured, usage, microseconds: (usage.cpuMicroseconds - before.cpuMicroseconds) / counts })
    }
    const line = (name: string, figures: readonly number[]): void => {
      const sorted = [...figures].sort((a, b) => a - b)
      const shown = [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!].map((value) => value.toFixed(1))
      console.log(`${name.padEnd(44)} ${shown.join(' / ')}`)
    }
    const each = (pick: (round: (typeof rounds)[number]) => number): number[] => rounds.map(pick)
    line(
      'blood counts/s',
      each(({ measured }) => measured.bloodCountsPerSecond),
    )
    line(
      'answer to a light edge, p50, ms',
      each(({ measured }) => measured.lightMs.p50),
    )
    line(
      'answer to a light edge, p99, ms',
      each(({ measured }) => measured.lightMs.p99),
    )
    line(
      'gateway CPU, µs a blood count',
      each(({ microseconds }) => microseconds),
    )
    line(
      'connections held',
      each(({ usage }) => usage.connections),
    )
    line(
      'gateway resident memory, MB',
      each(({ usage }) => usage.residentMegabytes),
    )
    line(
      'gateway resident memory, peak, MB',
      each(({ usage }) => usage.residentPeakMegabytes),
    )
    line(
      'refused',
      each(({ measured }) => measured.refused),
    )
  } finally {
    for (const child of children) child.kill('SIGKILL')
    if (kafkaBrokers !== undefined) await removeTopics(kafkaBrokers, prefix)
    rmSync(folder, { recursive: true, force: true })
  }
}

function usageOf(server: ChildProcess): Promise<Usage> {
  server.send('usage')
  return message(server) as Promise<Usage>
}

function start(parameters: readonly string[]): ChildProcess {
  const runner = join(root, 'node_modules/vite-node/vite-node.mjs')
  return spawn(process.execPath, [runner, fileURLToPath(import.meta.url), ...parameters], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
}

function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve)
    child.once('exit', (code) => reject(new Error(`a process of the benchmark ended with ${code}`)))
  })
}

/** An authority, a server certificate, and one for each edge; the edges share a key, which costs the gateway the same. */
function makeCertificates(folder: string, edges: number): void {
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=bench')
  const issue = (stem: string, request: string, names: string): void => {
    writeFileSync(join(folder, 'names'), `subjectAltName=${names}\n`)
    openssl(
      ...['x509', '-req', '-in', request, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '2'],
      ...['-set_serial', `0x${randomBytes(8).toString('hex')}`, '-out', `${stem}.pem`, '-extfile', 'names'],
    )
  }
  for (const stem of ['server', 'edge'])
    openssl('req', ...newKey, '-keyout', `${stem}.key`, '-out', `${stem}.csr`, '-subj', `/CN=${stem}`)
  issue('server', 'server.csr', 'DNS:localhost,IP:127.0.0.1')
  for (let edge = 0; edge < edges; edge++)
    issue(`e${edge}`, 'edge.csr', `URI:urn:hutong:edge:${hospitalOf(edge)}:front-1`)
}

function hospitalOf(edge: number): string {
  return `H${edge}`
}

function feedOf(edge: number): string {
  return `lis-${edge}`
}

async function serve(folder: string, prefix: string): Promise<void> {
  const { kafkaBrokers: brokers } = readEnvironment()
  const log =
    brokers === undefined
      ? await openEmbeddedLog({ dir: join(folder, 'log'), retention: { maxAgeMs: 1e12, maxBytes: 1e12 } })
      : await openKafkaLog({ brokers, prefix, clientId: 'bench' })
  await log.ensureTopics(
    allTopics.filter((topic) => topic.startsWith('raw')),
    3,
  )
  const bodyBytesMax = 64 * 1024 * 1024
  const codec = await openCodec({ frameBytesMax: bodyBytesMax })
  const metrics = new Metrics()
  const requestTimeoutMs = 300_000
  const batches = batchRoute({
    province: { environment: 'test', hospitalOf: (feed) => hospitalOf(Number(feed.slice('lis-'.length))) },
    bodyBytesMax,
    inFlightBytesMax: 256 * 1024 * 1024,
    requestTimeoutMs,
    codec,
    outlet: logOutlet(log, codec),
    stores: { objects: folderObjectStore(join(folder, 'objects')) },
    metrics,
  })
  const { port } = await startGateway({
    ...{ host: '127.0.0.1', port: 0, certFile: join(folder, 'server.pem'), keyFile: join(folder, 'server.key') },
    ...{ clientCaFile: join(folder, 'ca.pem'), routes: [batches], requestTimeoutMs, metrics },
    logger: createLogger({ level: 'error' }),
  })
  process.on('message', () => {
    const used = process.cpuUsage()
    const megabytes = (field: string): number =>
      (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'latin1'))?.[1]) *
        1024) /
      1e6
    process.send!({
      cpuMicroseconds: used.user + used.system,
      connections: establishedOn(port),
      residentMegabytes: megabytes('VmRSS'),
      residentPeakMegabytes: megabytes('VmHWM'),
    } satisfies Usage)
  })
  process.send!({ port, log: brokers === undefined ? 'embedded' : 'Kafka' })
}

function establishedOn(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(local) === true && fields[3] === '01').length
}

interface Body {
  readonly packed: Buffer
  readonly decodedLength: number
}

async function load(options: Load): Promise<void> {
  const { folder, edges, busy, everySeconds, seconds } = options
  const codec = await openCodec()
  const ca = readFileSync(join(folder, 'ca.pem'))
  const key = readFileSync(join(folder, 'edge.key'))
  let measuring = false
  let counted = 0
  let refused = 0
  let lightMs: number[] = []
  const senders = Array.from({ length: edges }, (_, edge) => {
    const cert = readFileSync(join(folder, `e${edge}.pem`))
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca, cert, key })
    const size = edge < busy ? options.batch : 1
    const bodies = Array.from({ length: bodiesPerEdge }, (_, at) => bodyOf(codec, edge, at * size + 1, size))
    let next = 0
    return async (): Promise<void> => {
      const startedAt = performance.now()
      const status = await post(options.port, agent, bodies[next++ % bodies.length]!)
      if (!measuring) return
      if (status !== 200) refused++
      else counted += size
      if (edge >= busy) lightMs.push(performance.now() - startedAt)
    }
  })
  const connecting = 50
  for (let at = 0; at < edges; at += connecting)
    await Promise.all(senders.slice(at, at + connecting).map((sendOne) => sendOne()))
  for (const [edge, sendOne] of senders.entries()) void keepSending(sendOne, edge < busy ? 0 : everySeconds * 1000)
  process.on('message', () => {
    void (async () => {
      ;[counted, refused, lightMs, measuring] = [0, 0, [], true]
      await sleep(seconds * 1000)
      measuring = false
      lightMs.sort((a, b) => a - b)
      const at = (share: number): number => lightMs[Math.floor(lightMs.length * share)] ?? 0
      process.send!({
        bloodCountsPerSecond: counted / seconds,
        lightMs: { p50: at(0.5), p99: at(0.99) },
        refused,
      } satisfies Measured)
    })()
  })
  await sleep(2000)
  process.send!('connected')
}

async function keepSending(sendOne: () => Promise<void>, everyMs: number): Promise<void> {
  for (;;) {
    if (everyMs > 0) await sleep(everyMs * (0.5 + Math.random()))
    await sendOne()
  }
}

function bodyOf(codec: EventCodec, edge: number, first: number, size: number): Body {
  const now = Date.now()
  const frames = Array.from({ length: size }, (_, at) => {
    const content = Buffer.from(bloodCountText(edge * 1000 + first + at))
    return codec.encode('raw', {
      ...{ kind: 'message', environment: 'test', hospital: hospitalOf(edge), feed: feedOf(edge) },
      ...{ connector: 'hl7v2-mllp', epoch: 1, seq: first + at, messageId: messageId(feedOf(edge), content) },
      ...{ receivedAt: now, lane: 'live', purpose: 'ledger', content, contentRef: null, contentSize: content.length },
      ...{ controlId: null, sourceName: null, sourceIndex: 0, compression: 'none', keyId: null },
    })
  })
  const body = encodeBatch('test', frames)
  return { packed: gzipSync(body, { level: 6 }), decodedLength: body.length }
}

function post(port: number, agent: Agent, { packed, decodedLength }: Body): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      ...{ agent, host: '127.0.0.1', port, method: 'POST', path: uplinkPath },
      headers: {
        'content-type': batchContentType,
        'content-encoding': 'gzip',
        'content-length': packed.length,
        [decodedLengthHeader]: decodedLength,
      },
    })
    request.once('error', reject)
    request.once('response', (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode ?? 0))
    })
    request.end(packed)
  })
}
