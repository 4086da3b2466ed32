import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import { certificatesOf, createCertificate, type Issuer } from './certificates.js'
import { UsageError } from './errors.js'
import { readPemFile } from './pem.js'

const dayMs = 86_400_000
const skewMsMax = 300_000

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** An authority that issues, from its two files. */
export interface Authority extends Issuer {
  /** Its own certificate and what stands above it in the file, PEM. */
  readonly chain: string
}

export interface AuthorityFiles {
  /** Certificate, followed by those above it, PEM. */
  readonly certFile: string
  /** Key, PKCS #8 in PEM. */
  readonly keyFile: string
  readonly passphrase?: string
}

/** A new key of the curve P-256. */
export const createKeyPair = (): KeyPair => generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** A key in PKCS #8, PEM; encrypted (AES-256-CBC under PBES2) where there is a passphrase. */
export const keyPem = (key: KeyObject, passphrase?: string): string =>
  key.export({
    type: 'pkcs8',
    format: 'pem',
    ...(passphrase !== undefined && { cipher: 'aes-256-cbc', passphrase }),
  }) as string

/** A root that issues for ten years, PEM. */
export function createRoot(name: string, pair: KeyPair, now: number): string {
  const order = { commonName: name, publicKey: pair.publicKey, use: 'authority' as const }
  const dates = { notBefore: now - skewMsMax, notAfter: now + 3652 * dayMs }
  return createCertificate({ ...order, ...dates }, { key: pair.privateKey })
}

/** @throws UsageError naming the setting where the files are no authority */
export function readAuthority(setting: string, { certFile, keyFile, passphrase }: AuthorityFiles): Authority {
  const chain = readPemFile(`${setting}.certFile`, certFile)
  const keyText = readPemFile(`${setting}.keyFile`, keyFile)
  const certificate = readable(`${setting}.certFile: ${certFile} holds no certificate in PEM`, () => {
    const [first] = certificatesOf(chain)
    if (first === undefined) throw new Error('no certificate')
    return first
  })
  const wrong =
    passphrase === undefined ? 'cannot be read (is a passphrase missing?)' : 'cannot be read with its passphrase'
  const key = readable(`${setting}.keyFile: ${keyFile} ${wrong}`, () =>
    createPrivateKey({ key: keyText, ...(passphrase !== undefined && { passphrase }) }),
  )
  if (!certificate.ca) throw new UsageError(`${setting}.certFile: ${certFile} is the certificate of no authority`)
  if (!certificate.checkPrivateKey(key)) {
    throw new UsageError(`${setting}.keyFile: ${keyFile} is not the key of ${certFile}`)
  }
  return { certificate, key, chain }
}

function readable<T>(problem: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new UsageError(problem, { cause })
  }
}

/** `urn:hutong:edge:<hospital>:<edge>`, both percent-encoded: what a certificate calls an edge. */
export const edgeUrn = (hospital: string, edge: string): string =>
  `urn:hutong:edge:${encodeURIComponent(hospital)}:${encodeURIComponent(edge)}`

/**
 * A client certificate for an edge, PEM with the chain of the authority. Clocks may differ by up to five minutes, unless
 * that would reach back before `after` (ms): a certificate is younger than the revocation of those before it.
 */
export function issueEdgeCertificate(
  authority: Authority,
  order: {
    readonly hospital: string
    readonly edge: string
    readonly publicKey: KeyObject
    readonly lifetimeMs: number
    readonly now: number
    readonly after?: number
  },
): string {
  const { hospital, edge, publicKey, lifetimeMs, now, after = 0 } = order
  const endOfAuthority = Date.parse(authority.certificate.validTo)
  const certificate = createCertificate(
    {
      commonName: `${hospital} ${edge}`.slice(0, 64),
      publicKey,
      use: 'client',
      names: [{ uniformResourceIdentifier: edgeUrn(hospital, edge) }],
      notBefore: Math.max(now - Math.min(skewMsMax, lifetimeMs / 10), Math.floor(after / 1000) * 1000 + 1000),
      notAfter: Math.min(now + lifetimeMs, endOfAuthority),
    },
    authority,
  )
  return certificate + authority.chain
}

/** A server certificate for these host names and addresses, PEM with the chain of the authority. */
export function issueServerCertificate(
  authority: Authority,
  hosts: readonly string[],
  publicKey: KeyObject,
  lifetimeMs: number,
  now: number,
): string {
  const names = hosts.map((host) => (isIP(host) === 0 ? { dNSName: host } : { iPAddress: host }))
  const notAfter = Math.min(now + lifetimeMs, Date.parse(authority.certificate.validTo))
  const dates = { notBefore: now - skewMsMax, notAfter }
  const order = { commonName: hosts[0]!.slice(0, 64), publicKey, use: 'server' as const, names, ...dates }
  return createCertificate(order, authority) + authority.chain
}

/** The public key that belongs to a private one. */
export const publicOf = (key: KeyObject): KeyObject => createPublicKey(key)
