import { X509Certificate } from 'node:crypto'
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls'
import { GatewayRefusal } from '../../core/gateway-refusals.js'

/** Who sends: from the client certificate, never from what is sent. */
export interface Edge {
  readonly hospital: string
  readonly name: string
}

/** An edge with the certificate that its connection was opened with. */
export interface ConnectedEdge extends Edge {
  readonly certificate: {
    /** SHA-256 of the certificate, hex. */
    readonly fingerprint: string
    /** ms. */
    readonly validFrom: number
    /** DER. */
    readonly raw: Buffer
  }
}

const prefix = 'URI:urn:hutong:edge:'
const datesWrong = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])

/** The edge that a connection's certificate names. @throws GatewayRefusal where it is none we accept */
export function edgeOf(socket: TLSSocket): ConnectedEdge {
  const certificate = socket.getPeerCertificate()
  if (Object.keys(certificate).length === 0) throw new GatewayRefusal('certificate-missing')
  if (!socket.authorized) {
    // Node gives the code of OpenSSL's verification, in spite of the type.
    const code = String((socket.authorizationError as unknown as { code?: string }).code ?? socket.authorizationError)
    throw new GatewayRefusal(datesWrong.has(code) ? 'certificate-expired' : 'certificate-untrusted', code)
  }
  // A certificate may be used beyond its end on a connection that was opened before.
  if (Date.parse(certificate.valid_to) < Date.now()) throw new GatewayRefusal('certificate-expired')
  const edge = edgeOfNames(certificate.subjectaltname)
  if (edge === undefined) throw new GatewayRefusal('certificate-unnamed')
  const { raw, fingerprint256, valid_from } = certificate
  const fingerprint = fingerprint256.replaceAll(':', '').toLowerCase()
  return { ...edge, certificate: { fingerprint, validFrom: Date.parse(valid_from), raw } }
}

const chainMax = 10
const found = new WeakMap<TLSSocket, boolean>()

/**
 * Whether one of these certificates stands above a connection's client certificate, each signature on the way checked:
 * what TLS verified may also come from another authority below the same root.
 */
export function isIssuedUnder(socket: TLSSocket, authorities: readonly X509Certificate[]): boolean {
  const known = found.get(socket)
  if (known !== undefined) return known
  const result = climb(socket.getPeerCertificate(true), authorities)
  found.set(socket, result)
  return result
}

function climb(peer: DetailedPeerCertificate, authorities: readonly X509Certificate[]): boolean {
  let child = new X509Certificate(peer.raw)
  let shown: DetailedPeerCertificate | undefined = peer
  for (let steps = 0; steps < chainMax; steps++) {
    const below = child
    if (authorities.some((one) => below.checkIssued(one) && below.verify(one.publicKey))) return true
    shown = shown?.issuerCertificate
    if (shown === undefined || shown.fingerprint256 === below.fingerprint256) return false
    child = new X509Certificate(shown.raw)
    if (!below.checkIssued(child) || !below.verify(child.publicKey)) return false
  }
  return false
}

/**
 * Hospital and edge of `urn:hutong:edge:<hospital>:<edge>` (each percent-encoded, 1 to 64 characters) in a
 * subjectAltName as Node prints it; undefined unless there is exactly one.
 */
export function edgeOfNames(subjectAltName: string | undefined): Edge | undefined {
  // Node quotes a name that holds a separator (CVE-2021-44532): no certificate of an edge needs one.
  if (subjectAltName === undefined || subjectAltName.includes('"')) return undefined
  const names = subjectAltName.split(', ').filter((name) => name.startsWith(prefix))
  if (names.length !== 1) return undefined
  const match = /^([^:]{1,192}):([^:]{1,192})$/.exec(names[0]!.slice(prefix.length))
  try {
    const [hospital = '', name = ''] = (match ?? []).slice(1).map(decodeURIComponent)
    const isName = (text: string): boolean => text.length > 0 && text.length <= 64
    return isName(hospital) && isName(name) ? { hospital, name } : undefined
  } catch {
    return undefined
  }
}
