import { mkdtemp, rm } from 'node:fs/promises'
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

let authority: EdgeAuthority
let folder: string
let spool: Spool
let gateway: Gateway
let appended: RawMessage[]
let feeds: Record<string, string>
let hospitalAtEdge: Record<string, string>
let stopForwarding: () => Promise<void>
let heldFeeds: HeldFeeds
let begin: () => void
const metrics = new Metrics()
const logger = createLogger({ level: 'silent' })
const bodyBytesMax = 256 * 1024

beforeEach(async () => {
  authority = edgeAuthority('Test province')
  folder = await mkdtemp(join(tmpdir(), 'hutong-held-test-'))
  appended = []
  feeds = { lis: 'H001', ris: 'H001', his: 'H001' }
  hospitalAtEdge = {}
  const codec = await openCodec()
  const objects = folderObjectStore(join(folder, 'objects'))
  const batches = batchRoute({
    province: { environment: 'test', hospitalOf: (feed) => feeds[feed] },
    bodyBytesMax,
    inFlightBytesMax: 4 * 1024 * 1024,
    requestTimeoutMs: 20_000,
    outlet: { contentBytesMax: 512 * 1024, send: async (messages) => void appended.push(...messages) },
    codec,
    stores: { objects },
    metrics,
  })
  const place = { host: '127.0.0.1', port: 0, ...authority.issue(serverNames), clientCaFile: authority.caFile }
  gateway = await startGateway({ ...place, routes: [batches], requestTimeoutMs: 20_000, metrics, logger })
  spool = await openSpool({
    dir: join(folder, 'spool'),
    environment: 'test',
    clock: systemClock,
    retention: { maxAgeMs: 1e12, maxBytes: 1e12 },
    diskReserveBytes: 0,
  })
  const uplink = openUplink({
    url: `https://localhost:${gateway.port}`,
    caFile: authority.caFile,
    ...authority.issue(edgeNames('H001')),
    environment: 'test',
    codec,
    metrics,
  })
  heldFeeds = new HeldFeeds()
  const stop = new AbortController()
  const stores = { objects, cipher: () => undefined }
  const identity = (feed: string): { hospital: string; connector: string } => ({
    hospital: hospitalAtEdge[feed] ?? 'H001',
    connector: 'hl7v2-mllp',
  })
  const start = (): Promise<void> =>
    forward(
      { spool, outlet: uplink, stores, environment: 'test', identity, logger, now: () => Date.now(), heldFeeds },
      stop.signal,
    )
  let running: Promise<void> | undefined
  begin = () => void (running = start())
  stopForwarding = async () => {
    stop.abort()
    await running
    await uplink.close()
  }
})

afterEach(async () => {
  await stopForwarding()
  await gateway.close()
  await spool.close()
  authority.close()
  await rm(folder, { recursive: true, force: true })
})

const accept = (feed: string, id: string, content = oru(id)): Promise<unknown> =>
  spool.accept({ feed, content, receivedAt: Date.now(), controlId: id })
const idsOf = (feed: string): readonly (string | null)[] =>
  appended.filter((message) => message.feed === feed && message.kind === 'message').map(({ controlId }) => controlId)
/** What waits half a minute at a site. */
const retryAll = (): void => heldFeeds.list().forEach(({ feed }) => heldFeeds.retry(feed))

test.each([
  ['feed-unknown', (): unknown => delete feeds['ris'], (): unknown => (feeds['ris'] = 'H001')],
  ['feed-of-another-hospital', (): unknown => (feeds['ris'] = 'H002'), (): unknown => (feeds['ris'] = 'H001')],
  ['hospital-forged', (): unknown => (hospitalAtEdge['ris'] = 'H002'), (): unknown => (hospitalAtEdge = {})],
])(
  '%s holds its feed alone, names it, and lets it go once it is mended',
  { timeout: 60_000 },
  async (code, break_, mend) => {
    break_()
    for (const id of ['1', '2', '3']) for (const feed of ['lis', 'ris', 'his']) await accept(feed, id)
    begin()
    await until(() => idsOf('lis').length === 3 && idsOf('his').length === 3)
    await accept('lis', '4')
    await until(() => idsOf('lis').length === 4)
    expect(idsOf('ris')).toEqual([])
    await until(() => spool.statistics().depth === 3)
    expect(heldFeeds.list()).toMatchObject([{ feed: 'ris', code, whole: true }])
    expect(heldFeeds.list()[0]?.sentence).toMatch(/what to do: .{20}/)
    mend()
    retryAll()
    await until(() => spool.statistics().depth === 0)
    expect(idsOf('ris')).toEqual(['1', '2', '3'])
    expect(idsOf('lis')).toEqual(['1', '2', '3', '4'])
    await until(() => heldFeeds.list().length === 0)
  },
)

test(
  'a message larger than the gateway takes holds what follows it in its feed and nothing else',
  { timeout: 60_000 },
  async () => {
    const random = Buffer.from(Array.from({ length: 400 * 1024 }, (_, at) => 33 + ((at * 7919 + (at >> 5) * 31) % 90)))
    await accept('ris', '1')
    await accept('ris', '2', Buffer.concat([oru('2'), random]))
    await accept('ris', '3')
    for (const id of ['1', '2', '3']) await accept('lis', id)
    begin()
    await until(() => idsOf('lis').length === 3 && idsOf('ris').length === 1)
    await until(() => heldFeeds.list().length === 1)
    expect(heldFeeds.list()).toMatchObject([{ feed: 'ris', seq: 2, code: 'body-too-large', whole: false }])
    await until(() => spool.statistics().depth === 2)
    // tried again it is refused again, and the feed's first message is not sent twice
    retryAll()
    await accept('lis', '4')
    await until(() => idsOf('lis').length === 4)
    expect(idsOf('ris')).toEqual(['1'])
    // its watermark is known to the province all the same: reconcile names what is in flight
    await until(() => appended.some(({ kind, feed, seq }) => kind === 'watermark' && feed === 'ris' && seq === 3))
    expect(spool.statistics().depth).toBe(2)
  },
)
