import type { X509Certificate } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { pipeline } from 'node:stream/promises'
import type { TLSSocket } from 'node:tls'
import { RetryableError, UsageError } from '../../core/errors.js'
import { GatewayRefusal, gatewayRefusals } from '../../core/gateway-refusals.js'
import { systemClock } from '../../core/clock.js'
import { pause } from '../../core/pause.js'
import type { Logger, Metrics } from '../../core/telemetry.js'
import { watchCertificate, type CertificateWatch } from './certificate-watch.js'
import { edgeOf, isIssuedUnder, type ConnectedEdge } from './edge-certificate.js'
import { routeOf, type GatewayAnswer, type GatewayRoute } from './route.js'
import type { ServerCertificate, ServerCertificateFiles } from './server-certificate.js'

export interface GatewayOptions extends ServerCertificateFiles {
  readonly host: string
  readonly port: number
  /** One of these, or of clientCaFile, must stand above a client certificate; any that TLS verifies where left out. */
  readonly trusted?: readonly X509Certificate[]
  /** Asked of each request with a certificate; says no by GatewayRefusal. */
  readonly check?: (edge: ConnectedEdge) => void
  /** What the port is for. */
  readonly routes: readonly GatewayRoute[]
  /** A request that has not arrived by then is refused, ms. */
  readonly requestTimeoutMs: number
  readonly metrics: Metrics
  readonly logger: Logger
}

export interface Gateway {
  readonly port: number
  /** Takes a certificate, key or authorities that changed on the disk; open connections stay. */
  readonly certificate: CertificateWatch
  /** Looks at them every ten seconds until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
  /** Takes nothing new, finishes what is under way. */
  close(): Promise<void>
}

const connectionsMax = 8192
const certificatePollMs = 10_000
const protocol = { minVersion: 'TLSv1.2' } as const
/** A sender that is refused in the middle of its body may read the answer for so long. */
const lingerMs = 2000

/**
 * One HTTPS port for all that edges ask, each known by its client certificate. Every refusal is JSON
 * {"code","message"}, the code of gatewayRefusals. @throws UsageError for files or an address that cannot be used
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const stop = new AbortController()
  const { metrics, logger } = options
  const certificate = watchCertificate({
    ...{ files: options, now: () => systemClock.now(), metrics, logger },
    changed: ({ pem }) => server.setSecureContext({ ...pem, ...protocol }),
  })
  const server = createTlsServer(certificate.current, (request, response) => {
    const outside = certificate.current.clientAuthorities
    const trusted = options.trusted === undefined ? undefined : [...options.trusted, ...outside]
    answerOf(request, { ...options, ...(trusted !== undefined && { trusted }) }, stop.signal).then(
      (answer) => reply(response, answer, options.logger),
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
    certificate,
    async run(signal) {
      while (!signal.aborted) {
        certificate.look()
        await pause(certificatePollMs, signal)
      }
    },
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

async function answerOf(
  request: IncomingMessage,
  { routes, check, trusted }: GatewayOptions,
  signal: AbortSignal,
): Promise<GatewayAnswer> {
  const route = routeOf(routes, request)
  // Who shows no certificate learns nothing of what there is here.
  const socket = request.socket as TLSSocket
  const edge = typeof route === 'object' && route.identity === 'none' ? undefined : edgeOf(socket)
  if (edge !== undefined && trusted !== undefined && !isIssuedUnder(socket, trusted)) {
    throw new GatewayRefusal('certificate-untrusted', 'issued by another authority below the same root')
  }
  if (edge !== undefined) check?.(edge)
  if (route === undefined) throw new GatewayRefusal('path-unknown')
  if (route === 'method') throw new GatewayRefusal('method-unknown')
  if (signal.aborted) throw new GatewayRefusal('stopping', '', 5)
  return route.identity === 'none' ? route.handle(request, signal) : route.handle(request, edge!, signal)
}

function asRefusal(error: unknown, logger: Logger): GatewayRefusal {
  if (error instanceof GatewayRefusal) return error
  if (error instanceof RetryableError) {
    const seconds = Math.max(1, Math.ceil((error.retryAfterMs ?? 5000) / 1000))
    return new GatewayRefusal('log-away', error.message, seconds, { cause: error })
  }
  // One edge's request must not end the process that the others use: the batch stays in its spool.
  logger.error({ err: error }, 'a request met a fault of the gateway')
  return new GatewayRefusal('fault', '', 30, { cause: error })
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: GatewayRefusal,
  { metrics, logger }: GatewayOptions,
): void {
  const { code, message, retryAfterSeconds, record } = refusal
  metrics.gatewayRefusals.inc({ code })
  logger.warn({ peer: request.socket.remoteAddress, code, cause: message }, 'a request was refused')
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
  send(response, gatewayRefusals[code].status, { code, message: told, ...(record !== undefined && { record }) })
}

function reply(response: ServerResponse, answer: GatewayAnswer, logger: Logger): void {
  if ('json' in answer) return send(response, 200, answer.json)
  const { bytes, from } = answer
  response.writeHead(from === undefined ? 200 : 206, {
    'content-type': answer.contentType,
    'content-length': bytes,
    ...(from !== undefined && { 'content-range': `bytes ${from}-${from + bytes - 1}/${from + bytes}` }),
    'cache-control': 'no-store',
  })
  // Who asked sees a body that is too short, and asks again.
  pipeline(answer.stream, response).catch((error: unknown) => logger.warn({ err: error }, 'an answer was cut off'))
}

function send(response: ServerResponse, status: number, body: object): void {
  response.on('error', () => undefined)
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(`${JSON.stringify(body)}\n`)
}

function createTlsServer(
  { pem }: ServerCertificate,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  return createServer(
    {
      ...pem,
      ...protocol,
      requestCert: true,
      // Checked before anything is read of a request, so that the edge is told what is wrong (decision 0090).
      rejectUnauthorized: false,
      handshakeTimeout: 10_000,
      maxHeaderSize: 8192,
    },
    handle,
  )
}
