import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, createServer, request as httpsRequest, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { batchRoute } from '../../api/gateway/batches.js'
import { startGateway, type Gateway } from '../../api/gateway/gateway-server.js'
import { systemClock } from '../../core/clock.js'
import { createLogger, Metrics } from '../../core/telemetry.js'
import { folderObjectStore } from '../../log/object-store.js'
import { openSpool } from '../../log/spool-store.js'
import type { Spool } from '../../log/spool.js'
import { openUplink } from '../../log/uplink.js'
import { forward } from '../../pipelines/forward.js'
import { HeldFeeds } from '../../pipelines/held-feeds.js'
import { openCodec } from '../../schemas/codec.js'
import type { RawMessage } from '../../schemas/types.js'
import { oru, until } from '../connectors/mllp-client.js'
import { edgeAuthority, edgeNames, serverNames, type EdgeAuthority } from './edge-certificates.js'

// A server before the gateway that takes no body above a limit and says so in its own words.
const limitBytes = 40_000

let authority: EdgeAuthority
let folder: string
let spool: Spool
let gateway: Gateway
let front: Server
let appended: RawMessage[]
let heldFeeds: HeldFeeds
/** Of what came to the front: how large, and whether it was let through. */
let came: { readonly bytes: number; readonly passed: boolean }[]
let answersEarly: boolean
let begin: () => void
let stopForwarding: () => Promise<void>
const metrics = new Metrics()
const logger = createLogger({ level: 'silent' })

beforeEach(async () => {
  authority = edgeAuthority('Test province')
  folder = await mkdtemp(join(tmpdir(), 'hutong-limit-test-'))
  ;[appended, came, answersEarly] = [[], [], false]
  const codec = await openCodec()
  const objects = folderObjectStore(join(folder, 'objects'))
  const batches = batchRoute({
    ...{ province: { environment: 'test', hospitalOf: () => 'H001' }, bodyBytesMax: 4 * 1024 * 1024 },
    ...{ inFlightBytesMax: 16 * 1024 * 1024, requestTimeoutMs: 20_000, codec, stores: { objects }, metrics },
    outlet: { contentBytesMax: 4 * 1024 * 1024, send: async (messages) => void appended.push(...messages) },
  })
  const place = { host: '127.0.0.1', port: 0, ...authority.issue(serverNames), clientCaFile: authority.caFile }
  gateway = await startGateway({ ...place, routes: [batches], requestTimeoutMs: 20_000, metrics, logger })
  const edge = authority.issue(edgeNames('H001'))
  front = limitedFront(edge)
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  spool = await openSpool({
    ...{ dir: join(folder, 'spool'), environment: 'test', clock: systemClock, diskReserveBytes: 0 },
    retention: { maxAgeMs: 1e12, maxBytes: 1e12 },
  })
  const url = `https://localhost:${(front.address() as AddressInfo).port}`
  const uplink = openUplink({ url, caFile: authority.caFile, ...edge, environment: 'test', codec, metrics })
  heldFeeds = new HeldFeeds()
  const stop = new AbortController()
  let running: Promise<void> | undefined
  begin = () => {
    const identity = (): { hospital: string; connector: string } => ({ hospital: 'H001', connector: 'hl7v2-mllp' })
    const parts = { spool, outlet: uplink, stores: { objects, cipher: () => undefined }, identity, logger, heldFeeds }
    running = forward({ ...parts, environment: 'test', now: () => Date.now() }, stop.signal)
  }
  stopForwarding = async () => {
    stop.abort()
    await running
    await uplink.close()
  }
})
afterEach(async () => {
  await stopForwarding()
  front.closeAllConnections()
  await new Promise((resolve) => front.close(resolve))
  await gateway.close()
  await spool.close()
  authority.close()
  await rm(folder, { recursive: true, force: true })
})

/** Ends TLS and asks the gateway in the edge's name, as a device of the hospital that holds its certificate. */
function limitedFront(edge: { readonly certFile: string; readonly keyFile: string }): Server {
  const read = (path: string): Buffer => readFileSync(path)
  const own = authority.issue(serverNames)
  const agent = new Agent({ ca: read(authority.caFile), cert: read(edge.certFile), key: read(edge.keyFile) })
  return createServer({ cert: read(own.certFile), key: read(own.keyFile) }, (request, response) => {
    const tooLarge = (): void =>
      void response
        .writeHead(413, { 'content-type': 'text/html', connection: 'close' })
        .end('<html><h1>413 Request Entity Too Large</h1></html>')
    const bytes = Number(request.headers['content-length'])
    came.push({ bytes, passed: bytes <= limitBytes })
    if (bytes > limitBytes) {
      // Either form is met: at once, with the body still on its way, or after it.
      if (answersEarly) return tooLarge()
      return void request.on('end', tooLarge).resume()
    }
    const { method, url: path, headers } = request
    const onward = httpsRequest({ agent, host: 'localhost', port: gateway.port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
}

/** Text that gzip cannot make small. */
const sized = (id: string, bytes: number): Buffer =>
  Buffer.concat([oru(id), Buffer.from(randomBytes(bytes / 2).toString('hex'))])
const accept = (feed: string, id: string, content: Buffer): Promise<unknown> =>
  spool.accept({ feed, content, receivedAt: Date.now(), controlId: id })
const idsOf = (feed: string): readonly (string | null)[] =>
  appended.filter((message) => message.feed === feed && message.kind === 'message').map(({ controlId }) => controlId)
const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index + 1}`)

test.each([
  ['after the body', false],
  ['before the body is through', true],
])('a batch that a server in front finds too large is halved (413 %s)', { timeout: 120_000 }, async (_, early) => {
  answersEarly = early
  for (const id of numbered(24)) await accept(Number(id) % 2 === 0 ? 'lis' : 'ris', id, sized(id, 20_000))
  begin()
  await until(() => spool.statistics().depth === 0)
  expect(idsOf('lis')).toEqual(numbered(24).filter((id) => Number(id) % 2 === 0))
  expect(idsOf('ris')).toEqual(numbered(24).filter((id) => Number(id) % 2 === 1))
  expect(came.some(({ passed }) => !passed)).toBe(true)
  expect(heldFeeds.list()).toEqual([])
})

test(
  'down to one message: too large alone, it is held and named, and the other feeds go on',
  { timeout: 120_000 },
  async () => {
    await accept('ris', '1', sized('1', 2000))
    await accept('ris', '2', sized('2', 200_000))
    await accept('ris', '3', sized('3', 2000))
    for (const id of numbered(8)) await accept('lis', id, sized(id, 20_000))
    begin()
    await until(() => idsOf('lis').length === 8 && heldFeeds.list().length === 1)
    expect(idsOf('lis')).toEqual(numbered(8))
    expect(idsOf('ris')).toEqual(['1'])
    expect(heldFeeds.list()).toMatchObject([{ feed: 'ris', seq: 2, whole: false }])
    expect(heldFeeds.list()[0]?.sentence).toMatch(/413.*raise its limit above the largest message/)
    await accept('lis', '9', sized('9', 2000))
    await until(() => idsOf('lis').length === 9)
    await until(() => spool.statistics().depth === 2)
  },
)
