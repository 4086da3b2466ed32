import { X509Certificate, type KeyObject } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { issueEdgeCertificate, type Authority } from '../../core/authority.js'
import { requestedKey } from '../../core/certificate-request.js'
import { fingerprintOf, publicKeyHash } from '../../core/certificates.js'
import { secretHash } from '../../core/enrolment-token.js'
import { enrolPath, renewPath, type EnrolmentAnswer } from '../../core/enrolment-wire.js'
import { RetryableError } from '../../core/errors.js'
import { GatewayRefusal } from '../../core/gateway-refusals.js'
import type { Logger, Metrics } from '../../core/telemetry.js'
import type { Database } from '../../repository/database.js'
import { redeemToken, renewCertificate, type IssueCertificate } from '../../repository/edges.js'
import { Attempts } from './attempts.js'
import type { ConnectedEdge } from './edge-certificate.js'
import { readJson } from './read-body.js'
import type { GatewayRoute } from './route.js'

export interface EnrolmentOptions {
  readonly authority: Authority
  /** Of an edge's certificate, ms. */
  readonly lifetimeMs: number
  readonly db: Database
  /** What an edge knows the gateway by, PEM. */
  readonly authorities: string
  /** What packages and configurations are signed with: Ed25519, PEM. */
  readonly releaseKeys: readonly string[]
  readonly requestTimeoutMs: number
  readonly now: () => number
  readonly metrics: Metrics
  readonly logger: Logger
}

const bodyBytesMax = 16 * 1024
const attemptsMax = 10

/** Certificates for edges: the first for a token, each further one for the one before (docs/operations/enrolment.md). */
export function enrolmentRoutes(options: EnrolmentOptions): readonly GatewayRoute[] {
  const attempts = new Attempts(attemptsMax, options.now)
  return [
    {
      method: 'POST',
      path: enrolPath,
      identity: 'none',
      handle: async (request) => ({ json: await whileThere(() => enrol(request, options, attempts)) }),
    },
    {
      method: 'POST',
      path: renewPath,
      identity: 'edge',
      handle: async (request, edge) => ({ json: await whileThere(() => renew(request, edge, options)) }),
    },
  ]
}

async function enrol(
  request: IncomingMessage,
  options: EnrolmentOptions,
  attempts: Attempts,
): Promise<EnrolmentAnswer> {
  const { db, now, metrics, logger } = options
  const peer = request.socket.remoteAddress
  if (attempts.isExhausted(peer)) throw new GatewayRefusal('too-many-attempts', '', 60)
  const body = await readJson(request, bodyBytesMax, options.requestTimeoutMs)
  const id = textOf(body, 'id')
  const secret = Buffer.from(textOf(body, 'secret'), 'base64url')
  const key = keyOf(body)
  const redeemed = await redeemToken(db, {
    ...{ id, secretHash: secretHash(secret), publicKey: publicKeyHash(key), now: now() },
    issue: issuer(key, options),
  })
  switch (redeemed.outcome) {
    case 'token-unknown':
      attempts.failed(peer)
      throw new GatewayRefusal('token-unknown')
    case 'key-known':
      throw new GatewayRefusal('csr-invalid', 'its key is that of another edge')
    case 'token-expired':
    case 'token-used':
      throw new GatewayRefusal(redeemed.outcome)
  }
  const { hospital, name: edge, pem, outcome } = redeemed
  metrics.gatewayCertificates.inc({ outcome: outcome === 'issued' ? 'enrolled' : outcome })
  logger.info({ hospital, edge, token: id, outcome, peer }, 'an edge was enrolled')
  return answerOf({ hospital, edge, certificate: pem }, options)
}

async function renew(
  request: IncomingMessage,
  caller: ConnectedEdge,
  options: EnrolmentOptions,
): Promise<EnrolmentAnswer> {
  const { db, now, metrics, logger, authority } = options
  const { hospital, name: edge, certificate } = caller
  const shown = new X509Certificate(certificate.raw)
  if (!shown.checkIssued(authority.certificate) || !shown.verify(authority.certificate.publicKey)) {
    throw new GatewayRefusal('certificate-elsewhere')
  }
  const key = keyOf(await readJson(request, bodyBytesMax, options.requestTimeoutMs))
  const renewed = await renewCertificate(db, {
    ...{ edge: caller, fingerprint: certificate.fingerprint, publicKey: publicKeyHash(key), now: now() },
    issue: issuer(key, options),
  })
  switch (renewed.outcome) {
    case 'revoked':
      throw new GatewayRefusal('certificate-revoked')
    case 'not-ours':
      throw new GatewayRefusal('certificate-elsewhere')
    case 'superseded':
      throw new GatewayRefusal('certificate-superseded')
    case 'key-known':
      throw new GatewayRefusal('csr-invalid', 'its key is not a new one')
  }
  const { pem, outcome } = renewed
  metrics.gatewayCertificates.inc({ outcome: outcome === 'issued' ? 'renewed' : outcome })
  logger.info({ hospital, edge, outcome }, 'a certificate was renewed')
  return answerOf({ hospital, edge, certificate: pem }, options)
}

const answerOf = (
  issued: Pick<EnrolmentAnswer, 'hospital' | 'edge' | 'certificate'>,
  { authorities, releaseKeys }: EnrolmentOptions,
): EnrolmentAnswer => ({ ...issued, authorities, releaseKeys })

/** The name is the token's, or the shown certificate's, whatever was asked for. */
function issuer(publicKey: KeyObject, { authority, lifetimeMs, now }: EnrolmentOptions): IssueCertificate {
  return ({ hospital, name: edge }, revokedAt) => {
    const issuedAt = now()
    if (Date.parse(authority.certificate.validTo) <= issuedAt) {
      throw new GatewayRefusal('enrolment-unavailable', 'the certificate of the authority has ended', 600)
    }
    const order = { hospital, edge, publicKey, lifetimeMs, now: issuedAt, after: revokedAt }
    const pem = issueEdgeCertificate(authority, order)
    const certificate = new X509Certificate(pem)
    const dates = { notBefore: Date.parse(certificate.validFrom), notAfter: Date.parse(certificate.validTo) }
    return { pem, fingerprint: fingerprintOf(certificate), ...dates }
  }
}

async function whileThere<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error
    throw new GatewayRefusal('enrolment-unavailable', '', 10, { cause: error })
  }
}

function keyOf(body: unknown): KeyObject {
  try {
    return requestedKey(textOf(body, 'csr'))
  } catch (cause) {
    if (cause instanceof GatewayRefusal) throw cause
    throw new GatewayRefusal('csr-invalid', (cause as Error).message, undefined, { cause })
  }
}

function textOf(body: unknown, field: string): string {
  const value = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[field] : undefined
  if (typeof value === 'string') return value
  throw new GatewayRefusal('csr-invalid', `${field} is missing`)
}
