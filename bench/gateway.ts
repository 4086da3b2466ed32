// One gateway process, many edges, each with a connection of its own over mTLS: blood counts a second from edges to an
// embedded log, and what the gateway's memory comes to. The edges are simulated in a process of their own on the same
// machine; each sends a batch, waits for its 200 and sends the next when its turn comes.
//   npx vite-node bench/gateway.ts [edges, 1500] [seconds, 30] [blood counts a second, 3000] [messages a batch, 20]
// Both processes need as many open files as edges and some: `ulimit -n 4096` before.
import { spawn, execFileSync, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzip, gzipSync } from 'node:zlib'
import { runGateway } from '../cli/gateway-role.js'
import type { Configuration } from '../cli/config.js'
import { messageId } from '../core/ids.js'
import { pause } from '../core/pause.js'
import { createLogger, Metrics } from '../core/telemetry.js'
import { openEmbeddedLog } from '../log/embedded-log.js'
import { folderObjectStore } from '../log/object-store.js'
import { allTopics } from '../log/topics.js'
import { batchContentType, decodedLengthHeader, encodeBatch, uplinkPath } from '../log/uplink-wire.js'
import { logOutlet } from '../pipelines/log-outlet.js'
import { openCodec } from '../schemas/codec.js'
import type { RawMessage } from '../schemas/types.js'
import { bloodCountText } from './blood-count.js'
import { anonymousMegabytesOf, cpuSecondsOf, machineFacts, machineLine } from './machine.js'

const root = join(fileURLToPath(import.meta.url), '..', '..')
const [role, ...rest] = process.argv.slice(2)
if (role === 'serve') await serve(rest[0]!)
else if (role === 'load') await load(rest[0]!, rest.slice(1).map(Number))
else await measure([role ?? '1500', ...rest].map(Number))

async function measure([edges = 1500, seconds = 30, perSecond = 3000, batch = 20]: readonly number[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hutong-bench-gateway-'))
  const children: ChildProcess[] = []
  try {
    console.log(machineLine(machineFacts()))
    certificates(folder, edges)
    const gateway = start(['serve', folder])
    children.push(gateway)
    const { port } = (await message(gateway)) as { port: number }
    const clients = start(['load', folder, ...[port, edges, seconds, perSecond, batch].map(String)])
    children.push(clients)
    const { ms: connectMs } = (await message(clients)) as { ms: number }
    const pid = gateway.pid!
    const idle = residentMegabytesOf(pid)
    let most = idle
    const watching = setInterval(() => (most = Math.max(most, residentMegabytesOf(pid))), 200)
    const cpu = cpuSecondsOf(pid)
    const done = (await message(clients)) as { taken: number; ms: number; p50Ms: number; p99Ms: number; failed: number }
    clearInterval(watching)
    const used = cpuSecondsOf(pid) - cpu
    console.log(`${edges} connections made in ${(connectMs / 1000).toFixed(1)} s`)
    console.log(
      `${Math.round((done.taken * 1000) / done.ms)} blood counts/s taken of ${perSecond}/s offered; ${done.failed} requests failed`,
    )
    console.log(`a batch of ${batch}: p50 ${done.p50Ms.toFixed(0)} ms, p99 ${done.p99Ms.toFixed(0)} ms`)
    console.log(`gateway: ${((used * 1e6) / Math.max(1, done.taken)).toFixed(0)} µs CPU a message`)
    const anonymous = anonymousMegabytesOf(pid).toFixed(0)
    console.log(
      `gateway RSS: ${idle.toFixed(0)} MB connected, ${most.toFixed(0)} MB at most, ${anonymous} MB anonymous at the end`,
    )
    if (done.failed > 0 || done.taken === 0) process.exitCode = 1
  } finally {
    for (const child of children) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The gateway as the role runs it, in a process of its own. */
async function serve(folder: string): Promise<void> {
  const log = await openEmbeddedLog({ dir: join(folder, 'log'), retention: { maxAgeMs: 1e12, maxBytes: 1e12 } })
  await log.ensureTopics(allTopics, 1)
  const codec = await openCodec()
  const stores = { objects: folderObjectStore(join(folder, 'objects')), cipher: () => undefined }
  const path = (name: string): string => join(folder, name)
  const gateway = {
    ...{ host: '127.0.0.1', port: 0 },
    ...{ certFile: path('server.pem'), keyFile: path('server.key'), clientCaFile: path('ca.pem') },
  }
  const feeds = [{ name: 'lis', hospital: 'H001', connector: 'hl7v2-mllp', settings: {} }]
  const configuration = { environment: 'test', gateway, feeds } as unknown as Configuration
  const parts = {
    outlet: logOutlet(log, codec),
    stores,
    metrics: new Metrics(),
    logger: createLogger({ level: 'error' }),
  }
  await runGateway(
    parts,
    { configuration, gatewayListening: (port) => process.send!({ port }) },
    new AbortController().signal,
  )
}

/** All edges: connected first, then batches in turn at the rate asked for. */
async function load(
  folder: string,
  [port = 0, edges = 0, seconds = 0, perSecond = 0, batch = 0]: readonly number[],
): Promise<void> {
  const codec = await openCodec()
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const ca = read('ca.pem')
  const agents = Array.from({ length: edges }, (_, index) => {
    const name = `edge-${index}`
    return new Agent({ keepAlive: true, maxSockets: 1, ca, cert: read(`${name}.pem`), key: read('edge.key') })
  })
  const packer = promisify(gzip)
  const ask = (
    agent: Agent,
    method: 'GET' | 'POST',
    path: string,
    body?: { packed: Buffer; length: number },
  ): Promise<number> =>
    new Promise((resolve) => {
      const headers =
        body === undefined
          ? {}
          : {
              ...{ 'content-type': batchContentType, 'content-encoding': 'gzip', 'content-length': body.packed.length },
              [decodedLengthHeader]: body.length,
            }
      const request = httpsRequest({ agent, host: '127.0.0.1', port, servername: 'localhost', method, path, headers })
      request.once('response', (response) => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0))
      })
      request.once('error', () => resolve(0))
      request.end(body?.packed)
    })
  const began = performance.now()
  for (let at = 0; at < agents.length; at += 50)
    await Promise.all(agents.slice(at, at + 50).map((agent) => ask(agent, 'GET', '/v1/hello')))
  process.send!({ ms: performance.now() - began })
  let number = 0
  let taken = 0
  let failed = 0
  const latencies: number[] = []
  const from = performance.now()
  const until = from + seconds * 1000
  const everyMs = (1000 * batch * edges) / perSecond
  await Promise.all(
    agents.map(async (agent, index) => {
      let due = from + (everyMs * index) / edges
      while (due < until) {
        await pause(due - performance.now())
        const messages = Array.from({ length: batch }, () => rawMessage(++number))
        const body = encodeBatch(
          'test',
          messages.map((one) => codec.encode('raw', one)),
        )
        const packed = await packer(body)
        const sentAt = performance.now()
        const status = await ask(agent, 'POST', uplinkPath, { packed, length: body.length })
        latencies.push(performance.now() - sentAt)
        if (status === 200) taken += batch
        else failed++
        due = Math.max(due + everyMs, performance.now())
      }
    }),
  )
  const ms = performance.now() - from
  latencies.sort((a, b) => a - b)
  const share = (part: number): number => latencies[Math.floor(latencies.length * part)] ?? 0
  process.send!({ taken, failed, ms, p50Ms: share(0.5), p99Ms: share(0.99) })
}

function rawMessage(seq: number): RawMessage {
  const content = Buffer.from(bloodCountText(seq))
  return {
    ...{ kind: 'message', environment: 'test', hospital: 'H001', feed: 'lis', epoch: 1, seq, receivedAt: Date.now() },
    ...{ messageId: messageId('lis', content), connector: 'hl7v2-mllp', lane: 'live', purpose: 'ledger' },
    ...{ controlId: `M${seq}`, sourceName: null, sourceIndex: 0, keyId: null, compression: 'gzip' },
    ...{ content: gzipSync(content), contentRef: null, contentSize: content.length },
  }
}

/** An authority, the gateway's certificate, and one for each edge; edges share a key, for making 1,500 takes long. */
function certificates(folder: string, edges: number): void {
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=bench')
  const issue = (name: string, request: string, names: string): void => {
    writeFileSync(join(folder, 'names.ext'), `subjectAltName=${names}\n`)
    openssl(
      ...['x509', '-req', '-in', request, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', '2', '-extfile', 'names.ext', '-out', `${name}.pem`],
    )
  }
  openssl('req', ...newKey, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=server')
  openssl('req', ...newKey, '-keyout', 'edge.key', '-out', 'edge.csr', '-subj', '/CN=edge')
  issue('server', 'server.csr', 'DNS:localhost,IP:127.0.0.1')
  for (let index = 0; index < edges; index++)
    issue(`edge-${index}`, 'edge.csr', `URI:urn:hutong:edge:H001:edge-${index}`)
}

function residentMegabytesOf(pid: number): number {
  try {
    return (Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024) / 1e6
  } catch {
    return 0
  }
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
