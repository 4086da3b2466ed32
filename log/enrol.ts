import type { DetailedPeerCertificate } from 'node:tls'
import { X509Certificate } from 'node:crypto'
import { createCertificateRequest } from '../core/certificate-request.js'
import { pemOf, publicKeyHash } from '../core/certificates.js'
import type { EnrolmentToken } from '../core/enrolment-token.js'
import { enrolPath, type EnrolmentAnswer, type EnrolmentRequest } from '../core/enrolment-wire.js'
import { RetryableError, UsageError } from '../core/errors.js'
import { CallRefused, callGateway } from './gateway-call.js'
import { pendingKey, writeIdentity, type Identity, type IdentityFiles } from './identity.js'
import { addressOf } from './uplink-answer.js'
import { gatewayAgent, openTls } from './uplink-connection.js'

/**
 * The first contact: finds the authority that the token names among the certificates of the gateway, and gives the token
 * to nobody but a gateway of that authority. May be repeated with the same token until it has succeeded.
 * @throws UsageError where the gateway is another one, or refuses; RetryableError where it cannot be reached
 */
export async function enrol(options: {
  readonly gateway: string
  readonly token: EnrolmentToken
  readonly files: IdentityFiles
  readonly proxy?: string
}): Promise<Identity> {
  const { token, files } = options
  const url = addressOf(options.gateway, 'https:', 'the gateway')
  const proxy = options.proxy === undefined ? undefined : addressOf(options.proxy, 'http:', '--proxy')
  const ca = await pinnedAuthority(url, proxy, token.pin)
  const key = await pendingKey(files, `token-${token.id}`, undefined)
  const body: EnrolmentRequest = {
    id: token.id,
    secret: token.secret.toString('base64url'),
    csr: createCertificateRequest('edge', key.privateKey, key.publicKey),
  }
  const agent = gatewayAgent(() => ({ ca }), proxy)
  try {
    const answer = enrolmentAnswer(await callGateway({ url, agent }, enrolPath, body))
    const identity = await writeIdentity(files, url.origin, answer, key.privateKey)
    await key.settle()
    return identity
  } catch (error) {
    if (!(error instanceof CallRefused)) throw error
    const { sentence, isTemporary } = error.refused
    throw isTemporary ? new RetryableError(sentence, { cause: error }) : new UsageError(sentence, { cause: error })
  } finally {
    agent.destroy()
  }
}

/** @throws RetryableError for an answer that is none of a gateway */
export function enrolmentAnswer(value: unknown): EnrolmentAnswer {
  const { hospital, edge, certificate, authorities, releaseKeys } = (value ?? {}) as Record<string, unknown>
  const isText = [hospital, edge, certificate, authorities].every((one) => typeof one === 'string')
  const areKeys = Array.isArray(releaseKeys) && releaseKeys.every((one) => typeof one === 'string')
  if (!isText || !areKeys)
    throw new RetryableError('the answer is not that of a gateway: look at the address and the proxy')
  return value as EnrolmentAnswer
}

/** The certificate, PEM, among those the gateway shows, whose key is the pinned one. */
async function pinnedAuthority(url: URL, proxy: URL | undefined, pin: Buffer): Promise<string> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? 443 : Number(url.port)
  // Nothing is said on this connection: whether the gateway holds the key of its certificate is proven on the next one.
  const material = (): { readonly rejectUnauthorized: false } => ({ rejectUnauthorized: false })
  const socket = await openTls({ host, port, proxy, material }).catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException
    throw new RetryableError(`the gateway ${url.host} cannot be reached: ${code ?? message}`, { cause: error })
  })
  const shown = chainOf(socket.getPeerCertificate(true))
  socket.destroy()
  const found = shown.find((certificate) => publicKeyHash(certificate.publicKey).equals(pin))
  if (found !== undefined) return pemOf('CERTIFICATE', found.raw)
  throw new UsageError(
    `${url.host} is not the gateway that this token is for: look at the address, at devices on the way that end TLS, and for which province the token was made`,
  )
}

function chainOf(first: DetailedPeerCertificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  for (let one: DetailedPeerCertificate | undefined = first; one?.raw !== undefined; one = one.issuerCertificate) {
    if (one === one.issuerCertificate || chain.length === 10) {
      chain.push(new X509Certificate(one.raw))
      break
    }
    chain.push(new X509Certificate(one.raw))
  }
  return chain
}
