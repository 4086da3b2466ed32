import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { RetryableError, UsageError } from '../../core/errors.js'
import { GatewayRefusal, gatewayRefusals } from '../../core/gateway-refusals.js'
import { readPemFile } from '../../core/pem.js'
import type { Logger, Metrics } from '../../core/telemetry.js'
import type { RawOutlet } from '../../log/raw-outlet.js'
import { decodeBatch, uplinkPath } from '../../log/uplink-wire.js'
import { rawContentBytesMax, type ContentStores } from '../../pipelines/content.js'
import type { EventCodec } from '../../schemas/codec.js'
import type { RawMessage } from '../../schemas/types.js'
import { Admission } from './admission.js'
import { checkMessage, type Province } from './check-message.js'
import { edgeOf, type Edge } from './edge-certificate.js'
import { announcedOf, decodeBody, readBody } from './read-body.js'
import { TakenMessages } from './taken-messages.js'

export interface GatewayOptions {
  readonly host: string
  readonly port: number
  /** PEM files. */
  readonly certFile: string
  readonly keyFile: string
  readonly clientCaFile: string
  readonly province: Omit<Province, 'contentBytesMax'>
  /** Of a batch, as sent and decoded, bytes. */
  readonly bodyBytesMax: number
  /** Of all batches under way, bytes; each counts as sent and decoded. */
  readonly inFlightBytesMax: number
  /** A body that has not arrived by then is refused, ms. */
  readonly requestTimeoutMs: number
  /** The event log: durable there when it resolves. */
  readonly outlet: RawOutlet
  /** Reads what edges write: the schemas of this installation and its releases. */
  readonly codec: EventCodec
  readonly stores: Pick<ContentStores, 'objects'>
  readonly metrics: Metrics
  readonly logger: Logger
}

export interface Gateway {
  readonly port: number
  /** Takes nothing new, finishes what is under way. */
  close(): Promise<void>
}

const connectionsMax = 8192
/** A sender that is refused in the middle of its body may read the answer for so long. */
const lingerMs = 2000

/**
 * Takes batches of edges over mutual TLS and answers 200 only when the event log holds them durably. Every refusal is
 * JSON {"code","message"}, the code of gatewayRefusals. @throws UsageError for files or an address that cannot be used
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const stop = new AbortController()
  const take = batchTaker(options, stop.signal)
  const server = createTlsServer(options, (request, response) => {
    take(request).then(
      (answer) => reply(response, 200, answer),
      (error: unknown) => refuse(request, response, asRefusal(error, options.logger), options),
    )
  })
  server.headersTimeout = 10_000
  server.requestTimeout = options.requestTimeoutMs + 15_000
  server.keepAliveTimeout = 120_000
  server.maxConnections = connectionsMax
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    options.logger.debug({ peer: socket.remoteAddress, code: error.code }, 'a TLS handshake failed')
    socket.destroy()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new UsageError(`gateway: cannot listen on ${options.host}:${options.port}: ${cause.code}`, { cause })),
    )
    server.listen(options.port, options.host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      stop.abort()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeIdleConnections()
      // What is under way has its time; who only trickles does not hold the stop up.
      const timer = setTimeout(() => server.closeAllConnections(), 10_000)
      await closed
      clearTimeout(timer)
    },
  }
}

interface Taken {
  readonly outcome: 'taken' | 'already'
  readonly messages: number
  /** Highest number of each feed and epoch that the log now holds of this batch. */
  readonly highest: readonly { readonly feed: string; readonly epoch: number; readonly seq: number }[]
}

function batchTaker(options: GatewayOptions, signal: AbortSignal): (request: IncomingMessage) => Promise<Taken> {
  const { metrics, codec, bodyBytesMax } = options
  const admission = new Admission({ bytesMax: options.inFlightBytesMax, batchesPerEdgeMax: 2 })
  const memory = new TakenMessages()
  const province = { ...options.province, contentBytesMax: bodyBytesMax }
  return async (request) => {
    const edge = edgeOf(request.socket as TLSSocket)
    if (request.url !== uplinkPath) throw new GatewayRefusal('path-unknown')
    if (request.method !== 'POST') throw new GatewayRefusal('method-unknown')
    if (signal.aborted) throw new GatewayRefusal('stopping', '', 5)
    const announced = announcedOf(request, bodyBytesMax)
    const leave = admission.enter(keyOf(edge), announced.length + announced.decodedLength)
    metrics.gatewayInFlight.set(admission.bytesInFlight)
    try {
      const body = await decodeBody(await readBody(request, announced.length, options.requestTimeoutMs), announced)
      const { header, messages } = await decodeBatch(body, codec)
      if (header.environment !== province.environment) throw new GatewayRefusal('environment-mismatch')
      for (const message of messages) await checkMessage(message, edge, province)
      const taken = await append(messages, edge, options, memory, signal)
      metrics.gatewayBatches.inc({ hospital: edge.hospital, outcome: taken.outcome })
      metrics.gatewayBytes.inc({ hospital: edge.hospital }, announced.length)
      return taken
    } finally {
      leave()
      metrics.gatewayInFlight.set(admission.bytesInFlight)
    }
  }
}

async function append(
  messages: readonly RawMessage[],
  edge: Edge,
  { outlet, stores, metrics }: GatewayOptions,
  memory: TakenMessages,
  signal: AbortSignal,
): Promise<Taken> {
  const key = keyOf(edge)
  const fresh = messages.filter((message) => message.kind === 'watermark' || !memory.has(key, message))
  const stamped: RawMessage[] = []
  for (const message of fresh)
    stamped.push(await withLargeContentStored({ ...message, hospital: edge.hospital }, stores))
  if (stamped.length > 0) await outlet.send(stamped, signal)
  const appended = fresh.filter(({ kind }) => kind === 'message')
  memory.remember(key, appended)
  for (const { feed, lane } of appended) metrics.gatewayMessages.inc({ feed, lane })
  const wasAll = messages.length > 0 && fresh.length === 0
  return { outcome: wasAll ? 'already' : 'taken', messages: messages.length, highest: highestOf(messages) }
}

async function withLargeContentStored(message: RawMessage, { objects }: GatewayOptions['stores']): Promise<RawMessage> {
  const { content } = message
  if (content === null || content.length <= rawContentBytesMax) return message
  return { ...message, content: null, contentRef: await objects.put(content) }
}

function highestOf(messages: readonly RawMessage[]): Taken['highest'] {
  const highest = new Map<string, Taken['highest'][number]>()
  for (const { kind, feed, epoch, seq } of messages) {
    const place = `${feed}/${epoch}`
    if (kind === 'message' && (highest.get(place)?.seq ?? 0) < seq) highest.set(place, { feed, epoch, seq })
  }
  return [...highest.values()]
}

const keyOf = ({ hospital, name }: Edge): string => `${hospital}:${name}`

function asRefusal(error: unknown, logger: Logger): GatewayRefusal {
  if (error instanceof GatewayRefusal) return error
  if (error instanceof RetryableError) {
    const seconds = Math.max(1, Math.ceil((error.retryAfterMs ?? 5000) / 1000))
    return new GatewayRefusal('log-away', error.message, seconds, { cause: error })
  }
  // One edge's request must not end the process that the others use: the batch stays in its spool.
  logger.error({ err: error }, 'a batch met a fault of the gateway')
  return new GatewayRefusal('fault', '', 30, { cause: error })
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: GatewayRefusal,
  { metrics, logger }: GatewayOptions,
): void {
  const { code, message, retryAfterSeconds } = refusal
  metrics.gatewayRefusals.inc({ code })
  logger.warn({ peer: request.socket.remoteAddress, code, cause: message }, 'a batch was refused')
  // The details of our log are for our log.
  const told = code === 'log-away' ? gatewayRefusals[code].en : message
  if (retryAfterSeconds !== undefined) response.setHeader('retry-after', retryAfterSeconds)
  if (!request.complete) {
    const { socket } = request
    response.setHeader('connection', 'close')
    request.on('error', () => undefined)
    request.resume()
    setTimeout(() => socket.destroy(), lingerMs).unref()
  }
  reply(response, gatewayRefusals[code].status, { code, message: told })
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.on('error', () => undefined)
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(`${JSON.stringify(body)}\n`)
}

function createTlsServer(
  { certFile, keyFile, clientCaFile }: GatewayOptions,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const pem = {
    cert: readPemFile('gateway.certFile', certFile),
    key: readPemFile('gateway.keyFile', keyFile),
    ca: readPemFile('gateway.clientCaFile', clientCaFile),
  }
  try {
    return createServer(
      {
        ...pem,
        requestCert: true,
        // Checked before anything is read of a request, so that the edge is told what is wrong (decision 0090).
        rejectUnauthorized: false,
        minVersion: 'TLSv1.2',
        handshakeTimeout: 10_000,
        maxHeaderSize: 8192,
      },
      handle,
    )
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(`gateway: the certificate or key cannot be used: ${code}`, { cause: error })
  }
}
