import type { X509Certificate } from 'node:crypto'
import { verify } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import { CertificateList } from '@peculiar/asn1-x509'
import { certificateOf } from './certificates.js'

/** What an authority outside has revoked (CRL, RFC 5280 section 5). */
export interface RevocationList {
  /** Issuer (DER of the name, base64) and serial number (hex), joined by a colon. */
  readonly revoked: ReadonlySet<string>
  /** The first date at which one of the lists should have been followed by a newer one, ms; Infinity where none says. */
  readonly nextUpdate: number
}

/** The hash that goes with an algorithm of signatures; null: the algorithm has its own. */
const hashes: Readonly<Record<string, string | null>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': null,
}

/**
 * The lists of a PEM text, each signed by one of `authorities`: several authorities may be put one after the other.
 * @throws Error where there is none, or one of them is not an authority's
 */
export function readRevocationLists(pem: string, authorities: readonly X509Certificate[]): RevocationList {
  const blocks = [...pem.matchAll(/-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/g)]
  if (blocks.length === 0) throw new Error('it holds no list of revoked certificates (X509 CRL) in PEM')
  const revoked = new Set<string>()
  let nextUpdate = Infinity
  for (const [, base64 = ''] of blocks) {
    const list = AsnConvert.parse(Buffer.from(base64, 'base64'), CertificateList)
    const { tbsCertList: body } = list
    const issuer = nameOf(body.issuer)
    const isSigned = authorities.some(
      (authority) => nameOf(certificateOf(authority).tbsCertificate.subject) === issuer && isSignedBy(list, authority),
    )
    if (!isSigned) throw new Error('a list in it is not signed by an authority of gateway.clientCaFile')
    nextUpdate = Math.min(nextUpdate, body.nextUpdate?.getTime().getTime() ?? Infinity)
    for (const { userCertificate } of body.revokedCertificates ?? []) revoked.add(`${issuer}:${hexOf(userCertificate)}`)
  }
  return { revoked, nextUpdate }
}

/** What `revoked` of a list would hold for this certificate. */
export function revocationKey(certificate: { readonly raw: Uint8Array }): string {
  const { issuer, serialNumber } = certificateOf(certificate).tbsCertificate
  return `${nameOf(issuer)}:${hexOf(serialNumber)}`
}

function isSignedBy(list: CertificateList, authority: X509Certificate): boolean {
  const hash = hashes[list.signatureAlgorithm.algorithm]
  if (hash === undefined) return false
  const signed = Buffer.from(list.tbsCertListRaw ?? AsnConvert.serialize(list.tbsCertList))
  return verify(hash, signed, authority.publicKey, Buffer.from(list.signature))
}

const nameOf = (name: unknown): string => Buffer.from(AsnConvert.serialize(name)).toString('base64')

/** Leading zero bytes do not tell numbers apart. */
const hexOf = (serial: ArrayBuffer): string =>
  Buffer.from(serial)
    .toString('hex')
    .replace(/^(00)+/, '')
