import { createHash, createPublicKey, randomBytes, sign, X509Certificate, type KeyObject } from 'node:crypto'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509'
import { UsageError } from './errors.js'
import { readPemFile } from './pem.js'

/** Who signs: a certificate of an authority and its key. */
export interface Issuer {
  readonly certificate: X509Certificate
  readonly key: KeyObject
}

export interface CertificateOrder {
  readonly commonName: string
  readonly publicKey: KeyObject
  /** What it is for; an authority signs certificates that sign nothing further (RFC 5280 section 4.2.1.9). */
  readonly use: 'authority' | 'client' | 'server'
  readonly names?: readonly Partial<GeneralName>[]
  /** ms; X.509 keeps seconds. */
  readonly notBefore: number
  readonly notAfter: number
}

/** How a signature is made, and named in what is signed (RFC 5758 section 3.2, RFC 8017 appendix A.2.4, RFC 8410). */
export interface SignatureScheme {
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null
  readonly algorithm: AlgorithmIdentifier
}

const derNull = new Uint8Array([5, 0]).buffer

/** The scheme that a key signs with. @throws Error for a kind of key that certificates are not signed with here */
export function schemeOf(key: KeyObject): SignatureScheme {
  const of = (hash: SignatureScheme['hash'], algorithm: string, parameters?: ArrayBuffer): SignatureScheme => ({
    hash,
    algorithm: new AlgorithmIdentifier({ algorithm, ...(parameters !== undefined && { parameters }) }),
  })
  if (key.asymmetricKeyType === 'rsa') return of('sha256', '1.2.840.113549.1.1.11', derNull)
  if (key.asymmetricKeyType === 'ed25519') return of(null, '1.3.101.112')
  if (key.asymmetricKeyType !== 'ec') throw new Error(`a key of the kind ${key.asymmetricKeyType} cannot sign here`)
  const { namedCurve } = key.asymmetricKeyDetails ?? {}
  if (namedCurve === 'secp384r1') return of('sha384', '1.2.840.10045.4.3.3')
  if (namedCurve === 'secp521r1') return of('sha512', '1.2.840.10045.4.3.4')
  return of('sha256', '1.2.840.10045.4.3.2')
}

/**
 * A certificate of X.509 version 3 (RFC 5280), PEM, with a random serial number of 16 bytes. Signed by `issuer`, or by
 * `key` itself where that is a new root.
 */
export function createCertificate(order: CertificateOrder, issuer: Issuer | { readonly key: KeyObject }): string {
  const { key } = issuer
  const scheme = schemeOf(key)
  const subject = commonName(order.commonName)
  const publicKey = publicKeyInfo(order.publicKey)
  const signer = 'certificate' in issuer ? certificateOf(issuer.certificate).tbsCertificate : undefined
  const body = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialNumber(),
    signature: scheme.algorithm,
    issuer: signer?.subject ?? subject,
    validity: new Validity({ notBefore: timeOf(order.notBefore), notAfter: timeOf(order.notAfter) }),
    subject,
    subjectPublicKeyInfo: publicKey,
    extensions: new Extensions([
      ...extensionsOf(order),
      extension(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(keyIdentifier(publicKey))),
      extension(
        id_ce_authorityKeyIdentifier,
        new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(authorityIdentifier(signer, publicKey)) }),
      ),
    ]),
  })
  const signature = sign(scheme.hash, Buffer.from(AsnConvert.serialize(body)), key)
  const certificate = new Certificate({
    tbsCertificate: body,
    signatureAlgorithm: scheme.algorithm,
    signatureValue: bytesOf(signature),
  })
  return pemOf('CERTIFICATE', AsnConvert.serialize(certificate))
}

/** The certificates of a PEM text, in order. @throws Error where one cannot be read */
export function certificatesOf(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new X509Certificate(block))
}

/** Text of a PEM file of certificates that a setting names. @throws UsageError naming the setting and the file */
export function readCertificates(setting: string, file: string): string {
  const pem = readPemFile(setting, file)
  try {
    if (certificatesOf(pem).length > 0) return pem
  } catch (cause) {
    throw new UsageError(`${setting}: ${file} holds a certificate that cannot be read`, { cause })
  }
  throw new UsageError(`${setting}: ${file} holds no certificate in PEM`)
}

export const pemOf = (label: string, der: ArrayBuffer | Uint8Array): string => {
  const bytes = der instanceof Uint8Array ? Buffer.from(der) : Buffer.from(der)
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}

/** SHA-256 of a public key (SubjectPublicKeyInfo), 32 bytes: what a pin names (RFC 7469 section 2.4). */
export const publicKeyHash = (key: KeyObject): Buffer =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()

/** SHA-256 of a certificate, hex: its fingerprint. */
export const fingerprintOf = ({ raw }: { readonly raw: Uint8Array }): string =>
  createHash('sha256').update(raw).digest('hex')

/** The name CN=… and nothing else. */
export const commonName = (text: string): Name =>
  new Name([
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({ type: '2.5.4.3', value: new AttributeValue({ utf8String: text }) }),
    ]),
  ])

export const publicKeyInfo = (key: KeyObject): SubjectPublicKeyInfo =>
  AsnConvert.parse(key.export({ type: 'spki', format: 'der' }), SubjectPublicKeyInfo)

export const keyOfInfo = (info: SubjectPublicKeyInfo): KeyObject =>
  createPublicKey({ key: Buffer.from(AsnConvert.serialize(info)), format: 'der', type: 'spki' })

export const bytesOf = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer

export const certificateOf = ({ raw }: { readonly raw: Uint8Array }): Certificate => AsnConvert.parse(raw, Certificate)

function extensionsOf({ use, names = [] }: CertificateOrder): Extension[] {
  if (use === 'authority') {
    const flags = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign
    return [
      extension(id_ce_basicConstraints, new BasicConstraints({ cA: true, pathLenConstraint: 0 }), true),
      extension(id_ce_keyUsage, new KeyUsage(flags), true),
    ]
  }
  const purpose = use === 'client' ? id_kp_clientAuth : id_kp_serverAuth
  return [
    extension(id_ce_basicConstraints, new BasicConstraints({ cA: false }), true),
    extension(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.digitalSignature), true),
    extension(id_ce_extKeyUsage, new ExtendedKeyUsage([purpose])),
    extension(id_ce_subjectAltName, new SubjectAlternativeName(names.map((name) => new GeneralName(name)))),
  ]
}

const extension = (extnID: string, value: unknown, critical = false): Extension =>
  new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })

/** RFC 5280 section 4.2.1.2, method 1. */
const keyIdentifier = ({ subjectPublicKey }: SubjectPublicKeyInfo): ArrayBuffer =>
  bytesOf(createHash('sha1').update(Buffer.from(subjectPublicKey)).digest())

/** What the signer calls its key; the identifier of its key where it says nothing. */
function authorityIdentifier(signer: TBSCertificate | undefined, own: SubjectPublicKeyInfo): ArrayBuffer {
  if (signer === undefined) return keyIdentifier(own)
  const stated = signer.extensions?.find(({ extnID }) => extnID === id_ce_subjectKeyIdentifier)
  if (stated === undefined) return keyIdentifier(signer.subjectPublicKeyInfo)
  return AsnConvert.parse(stated.extnValue, SubjectKeyIdentifier).buffer
}

/** Positive, without a leading zero byte. */
function serialNumber(): ArrayBuffer {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x3f) | 0x40
  return bytesOf(bytes)
}

const timeOf = (ms: number): Date => new Date(Math.floor(ms / 1000) * 1000)
