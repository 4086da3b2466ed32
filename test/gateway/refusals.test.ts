import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { edgeOfNames } from '../../api/gateway/edge-certificate.js'
import { batchRoute, type BatchOptions } from '../../api/gateway/batches.js'
import { startGateway, type Gateway, type GatewayOptions } from '../../api/gateway/gateway-server.js'
import { RetryableError } from '../../core/errors.js'
import { messageId } from '../../core/ids.js'
import { createLogger, Metrics } from '../../core/telemetry.js'
import { folderObjectStore } from '../../log/object-store.js'
import { batchContentType, encodeBatch } from '../../log/uplink-wire.js'
import { openCodec, type EventCodec } from '../../schemas/codec.js'
import type { RawMessage } from '../../schemas/types.js'
import { oru, until } from '../connectors/mllp-client.js'
import {
  edgeAuthority,
  edgeNames,
  serverNames,
  type CertificateFiles,
  type EdgeAuthority,
} from './edge-certificates.js'

let authority: EdgeAuthority
let stranger: EdgeAuthority
let server: CertificateFiles
let edge: CertificateFiles
let codec: EventCodec
let dataDir: string
let appended: RawMessage[]
let metrics: Metrics
let gateway: Gateway
let sendFails: unknown
let hold: Promise<void> | undefined

beforeAll(async () => {
  authority = edgeAuthority('Test province')
  stranger = edgeAuthority('Somebody else')
  server = authority.issue(serverNames)
  edge = authority.issue(edgeNames('H001'))
  codec = await openCodec()
  dataDir = await mkdtemp(join(tmpdir(), 'hutong-gateway-test-'))
})
afterAll(async () => {
  authority.close()
  stranger.close()
  await rm(dataDir, { recursive: true, force: true })
})

const start = (options: Partial<BatchOptions & GatewayOptions> = {}): Promise<Gateway> => {
  const requestTimeoutMs = options.requestTimeoutMs ?? 20_000
  const batches = batchRoute({
    province: { environment: 'test', hospitalOf: (feed) => ({ lis: 'H001', ris: 'H002' })[feed] },
    bodyBytesMax: 1024 * 1024,
    inFlightBytesMax: 4 * 1024 * 1024,
    outlet: {
      contentBytesMax: 512 * 1024,
      async send(messages) {
        await hold
        if (sendFails !== undefined) throw sendFails
        appended.push(...messages)
      },
    },
    codec,
    stores: { objects: folderObjectStore(join(dataDir, 'objects')) },
    metrics,
    ...options,
    requestTimeoutMs,
  })
  return startGateway({
    host: '127.0.0.1',
    port: 0,
    ...server,
    clientCaFile: authority.caFile,
    routes: [batches],
    metrics,
    logger: createLogger({ level: 'silent' }),
    ...options,
    requestTimeoutMs,
  })
}

beforeEach(async () => {
  appended = []
  metrics = new Metrics()
  sendFails = undefined
  hold = undefined
  gateway = await start()
})
afterEach(() => gateway.close())

function message(seq: number, other: Partial<RawMessage> = {}, content = oru(`C${seq}`)): RawMessage {
  return {
    ...{ kind: 'message', environment: 'test', hospital: 'H001', feed: 'lis', epoch: 1, seq, receivedAt: Date.now() },
    ...{ messageId: messageId(other.feed ?? 'lis', content), connector: 'hl7v2-mllp', lane: 'live', purpose: 'ledger' },
    ...{ controlId: `C${seq}`, sourceName: null, sourceIndex: 0, keyId: null, compression: 'none' },
    ...{ content, contentRef: null, contentSize: content.length },
    ...other,
  }
}

const batchOf = (...messages: RawMessage[]): Buffer =>
  encodeBatch(
    'test',
    messages.map((one) => codec.encode('raw', one)),
  )

interface Answer {
  readonly status: number | undefined
  readonly retryAfter: string | undefined
  readonly body: { readonly code?: string; readonly message?: string; readonly outcome?: string; highest?: unknown }
}

async function post(
  body: Buffer,
  how: {
    readonly as?: CertificateFiles | null
    readonly headers?: Record<string, string | number>
    readonly decodedLength?: number
    readonly send?: Buffer
    readonly path?: string
    readonly to?: Gateway
  } = {},
): Promise<Answer> {
  const files = how.as === undefined ? edge : how.as
  const credentials =
    files === null ? {} : { cert: await readFile(files.certFile, 'utf8'), key: await readFile(files.keyFile, 'utf8') }
  const ca = await readFile(authority.caFile, 'utf8')
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      ...{ host: '127.0.0.1', port: (how.to ?? gateway).port, ca, ...credentials },
      ...{ method: 'POST', path: how.path ?? '/v1/raw', agent: false },
      headers: {
        'content-type': batchContentType,
        'content-length': body.length,
        'hutong-decoded-length': how.decodedLength ?? body.length,
        ...how.headers,
      },
    })
    let answered = false
    request.on('response', (response) => {
      answered = true
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => {
        resolve({
          status: response.statusCode,
          retryAfter: response.headers['retry-after'],
          body: JSON.parse(text) as Answer['body'],
        })
        request.destroy()
      })
    })
    request.on('error', (error) => {
      if (!answered) reject(error)
    })
    if (how.send === undefined) request.end(body)
    else request.write(how.send)
  })
}

async function refused(code: string, status: number, answer: Promise<Answer>): Promise<void> {
  const { status: actual, body } = await answer
  expect({ status: actual, code: body.code }).toEqual({ status, code })
  expect(body.message).toMatch(/^[A-Z].{20,}/)
  expect(appended).toEqual([])
  expect(await metrics.registry.metrics()).toContain(`hutong_gateway_refusals_total{code="${code}"} 1`)
}

test('a batch is stamped, appended and answered with its highest numbers; the same again is answered only', async () => {
  const batch = batchOf(message(1), message(2))
  const first = await post(batch)
  expect(first).toMatchObject({ status: 200, body: { outcome: 'taken', highest: [{ feed: 'lis', epoch: 1, seq: 2 }] } })
  const again = await post(batch)
  expect(again).toMatchObject({
    status: 200,
    body: { outcome: 'already', highest: [{ feed: 'lis', epoch: 1, seq: 2 }] },
  })
  expect(appended.map(({ seq }) => seq)).toEqual([1, 2])
  // cut anew by the edge: what is known stays out, what is not goes in
  expect((await post(batchOf(message(2), message(3)))).body.outcome).toBe('taken')
  expect(appended.map(({ seq }) => seq)).toEqual([1, 2, 3])
  // the same number with other bytes is no repetition
  await post(batchOf(message(3, {}, oru('OTHER'))))
  expect(appended.map(({ seq }) => seq)).toEqual([1, 2, 3, 3])
})

test('a repeat at another instance is appended again: receipts settle it', async () => {
  const other = await start()
  try {
    await post(batchOf(message(1)))
    expect((await post(batchOf(message(1)), { to: other })).body.outcome).toBe('taken')
    expect(appended.map(({ seq }) => seq)).toEqual([1, 1])
  } finally {
    await other.close()
  }
})

test('a message that is too large for the topic goes to the object store', async () => {
  await post(batchOf(message(1, {}, Buffer.concat([oru('BIG'), Buffer.alloc(600 * 1024, 0x41)]))))
  expect(appended[0]).toMatchObject({
    content: null,
    contentRef: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
  })
})

test('no certificate', () => refused('certificate-missing', 401, post(batchOf(message(1)), { as: null })))
test('a certificate of an unknown authority', () =>
  refused('certificate-untrusted', 401, post(batchOf(message(1)), { as: stranger.issue(edgeNames('H001')) })))
test('an expired certificate', () =>
  refused(
    'certificate-expired',
    401,
    post(batchOf(message(1)), { as: authority.issue(edgeNames('H001'), { expired: true }) }),
  ))
test('a certificate that names no edge', () =>
  refused('certificate-unnamed', 403, post(batchOf(message(1)), { as: authority.issue(serverNames) })))
test('a certificate that names two edges', () =>
  refused(
    'certificate-unnamed',
    403,
    post(batchOf(message(1)), { as: authority.issue(`${edgeNames('H001')},${edgeNames('H002')}`) }),
  ))

test('a forged hospital', () =>
  refused('hospital-forged', 403, post(batchOf(message(1), message(2, { hospital: 'H002' })))))
test('a feed of another hospital', () =>
  refused('feed-of-another-hospital', 403, post(batchOf(message(1, { feed: 'ris' })))))
test('a feed nobody configured', () => refused('feed-unknown', 403, post(batchOf(message(1, { feed: 'his' })))))
test('another environment', () =>
  refused('environment-mismatch', 403, post(encodeBatch('production', [codec.encode('raw', message(1))]))))
test('another environment in a message', () =>
  refused('environment-mismatch', 403, post(batchOf(message(1, { environment: 'production' })))))

test.each<[string, Partial<RawMessage>]>([
  ['a reference into the object store', { content: null, contentRef: `sha256:${'0'.repeat(64)}` }],
  ['another purpose than the ledger', { purpose: 'heal' }],
  ['an unknown lane', { lane: 'fast' }],
  ['an unknown kind', { kind: 'note' }],
  ['bytes that are not those of the messageId', { messageId: 'f'.repeat(64) }],
  ['a size that is not that of the bytes', { contentSize: 7 }],
  ['packed bytes that expand beyond their size', { compression: 'gzip', content: gzipSync(Buffer.alloc(500_000)) }],
])('%s', (_, other) => refused('message-invalid', 400, post(batchOf(message(1, other)))))
test('a message that claims to unpack to more than any may', () =>
  refused('body-too-large', 413, post(batchOf(message(1, { compression: 'gzip', contentSize: 2 ** 40 })))))

test('an oversize body is refused before it is sent', () =>
  refused(
    'body-too-large',
    413,
    post(Buffer.alloc(0), { headers: { 'content-length': 2 * 1024 * 1024 }, send: Buffer.alloc(10) }),
  ))
test('a body that would decode to too much', () =>
  refused(
    'body-too-large',
    413,
    post(gzipSync('x'), { decodedLength: 2 ** 30, headers: { 'content-encoding': 'gzip' } }),
  ))
test('a gzip bomb that lies about its size', () =>
  refused(
    'body-unreadable',
    400,
    post(gzipSync(Buffer.alloc(200 * 1024 * 1024)), { decodedLength: 1000, headers: { 'content-encoding': 'gzip' } }),
  ))
test('a broken gzip', () =>
  refused('body-unreadable', 400, post(Buffer.alloc(50, 7), { headers: { 'content-encoding': 'gzip' } })))
test('no length of the decoded body', () =>
  refused('length-missing', 411, post(batchOf(message(1)), { headers: { 'hutong-decoded-length': 'many' } })))
test('an unknown encoding', () =>
  refused('encoding-unknown', 415, post(batchOf(message(1)), { headers: { 'content-encoding': 'zstd' } })))
test('another path', () => refused('path-unknown', 404, post(batchOf(message(1)), { path: '/metrics' })))
test('no header line', () => refused('batch-unreadable', 400, post(Buffer.from('hello'))))
test('a batch that is cut off', () => refused('batch-unreadable', 400, post(batchOf(message(1)).subarray(0, -3))))
test('bytes after the end', () =>
  refused('batch-unreadable', 400, post(Buffer.concat([batchOf(message(1)), Buffer.from('more')]))))
test('a schema that nobody released', () => {
  const frame = Buffer.from(codec.encode('raw', message(1)))
  frame.writeUInt32BE(4711, 1)
  return refused('schema-unknown', 400, post(encodeBatch('test', [frame])))
})

test('a slow client is cut off, and others are served meanwhile', async () => {
  const quick = await start({ requestTimeoutMs: 300 })
  try {
    const body = batchOf(message(1))
    const slow = post(body, { to: quick, send: body.subarray(0, 20) })
    const other = await post(batchOf(message(9)), { to: quick, as: authority.issue(edgeNames('H001', 'front-2')) })
    expect(other.status).toBe(200)
    appended = []
    await refused('too-slow', 408, slow)
  } finally {
    await quick.close()
  }
})

test('the event log is away: 503 with Retry-After, nothing is remembered as taken', async () => {
  sendFails = new RetryableError('brokers are away', { retryAfterMs: 2500 })
  expect((await post(batchOf(message(1)))).retryAfter).toBe('3')
  sendFails = undefined
  expect((await post(batchOf(message(1)))).body.outcome).toBe('taken')
  sendFails = new RetryableError('brokers are away')
  appended = []
  metrics.gatewayRefusals.reset()
  await refused('log-away', 503, post(batchOf(message(2))))
})

test('bytes in flight and batches of one edge are bounded, and given back', async () => {
  let release = (): void => undefined
  hold = new Promise((resolve) => (release = resolve))
  const body = batchOf(message(1))
  const narrow = await start({ inFlightBytesMax: body.length * 5 })
  try {
    const batches = [post(body, { to: narrow }), post(batchOf(message(2)), { to: narrow })]
    await until(() => inFlight() >= body.length * 4 - 100)
    const busy = await post(body, { to: narrow })
    expect(busy).toMatchObject({ status: 429, retryAfter: '2', body: { code: 'edge-busy' } })
    const second = authority.issue(edgeNames('H001', 'front-2'))
    const full = await post(body, { to: narrow, as: second })
    expect(full).toMatchObject({ status: 503, retryAfter: '2', body: { code: 'overloaded' } })
    release()
    expect((await Promise.all(batches)).map(({ status }) => status)).toEqual([200, 200])
    expect(inFlight()).toBe(0)
    expect((await post(body, { to: narrow, as: second })).status).toBe(200)
  } finally {
    release()
    await narrow.close()
  }
})

const inFlight = (): number =>
  (metrics.gatewayInFlight as unknown as { hashMap: Record<string, { value: number }> }).hashMap['']?.value ?? 0

test.each([
  ['URI:urn:hutong:edge:H001:front-1', { hospital: 'H001', name: 'front-1' }],
  ['DNS:x, URI:urn:hutong:edge:%E5%8C%BB:a', { hospital: '医', name: 'a' }],
  ['DNS:x', undefined],
  ['URI:urn:hutong:edge:H001', undefined],
  ['URI:urn:hutong:edge:H001:a:b', undefined],
  ['URI:urn:hutong:edge::a', undefined],
  ['URI:urn:hutong:edge:%ZZ:a', undefined],
  ['URI:"x, URI:urn:hutong:edge:H001:a"', undefined],
  ['URI:urn:hutong:edge:H001:a, URI:urn:hutong:edge:H002:a', undefined],
])('the edge of %s', (names, edgeName) => {
  expect(edgeOfNames(names)).toEqual(edgeName)
})
