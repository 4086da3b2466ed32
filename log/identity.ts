import type { X509Certificate } from 'node:crypto'
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createKeyPair, keyPem, type KeyPair, publicOf } from '../core/authority.js'
import { certificatesOf } from '../core/certificates.js'
import type { EnrolmentAnswer } from '../core/enrolment-wire.js'
import { RetryableError, UsageError } from '../core/errors.js'
import { replaceFile } from './replace-file.js'

/** Who this edge is, and whom it believes: `<dataDir>/identity/edge.json`. */
export interface Identity {
  /** https://host:port */
  readonly gateway: string
  readonly hospital: string
  readonly edge: string
  /** Ed25519, PEM: packages and configurations must be signed by one of them. */
  readonly releaseKeys: readonly string[]
}

/** Where `hutong enrol` puts an identity. Certificate and key are one file: a pair is never torn. */
export interface IdentityFiles {
  readonly folder: string
  readonly edgeFile: string
  /** Certificate, its chain, key. */
  readonly certFile: string
  readonly caFile: string
}

export function identityFiles(dataDir: string): IdentityFiles {
  const folder = join(dataDir, 'identity')
  const path = (name: string): string => join(folder, name)
  return { folder, edgeFile: path('edge.json'), certFile: path('edge.pem'), caFile: path('ca.pem') }
}

/** Undefined where this edge was never enrolled. @throws UsageError for a file that is not readable as one */
export async function readIdentity({ edgeFile }: IdentityFiles): Promise<Identity | undefined> {
  const text = await readIfThere(edgeFile)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as Identity
  } catch (cause) {
    throw new UsageError(`${edgeFile} is not readable: enrol this edge again`, { cause })
  }
}

/** Puts an answer of the gateway in the place of what was there, each file at once. @throws RetryableError where key and certificate are no pair */
export async function writeIdentity(
  files: IdentityFiles,
  gateway: string,
  answer: EnrolmentAnswer,
  key: KeyObject,
): Promise<Identity> {
  const { hospital, edge, releaseKeys, certificate, authorities } = answer
  if (certificatesOf(certificate)[0]?.checkPrivateKey(key) !== true) {
    throw new RetryableError('the gateway answered with a certificate of another key')
  }
  const identity: Identity = { gateway, hospital, edge, releaseKeys }
  await replaceSecret(files.caFile, authorities)
  await replaceSecret(files.edgeFile, `${JSON.stringify(identity, undefined, 2)}\n`)
  await replaceSecret(files.certFile, `${certificate.trimEnd()}\n${keyPem(key)}`)
  return identity
}

/** The certificate that a PEM file begins with, now; undefined where there is none. */
export async function currentCertificate(certFile: string): Promise<X509Certificate | undefined> {
  const text = await readIfThere(certFile)
  return text === undefined ? undefined : certificatesOf(text)[0]
}

/**
 * The key of an exchange that is not over, durable before it is used: where the answer is lost, the next attempt asks
 * with the same key. `current` is the certificate in use: its key is never taken again.
 */
export async function pendingKey(
  { folder }: IdentityFiles,
  exchange: string,
  current: X509Certificate | undefined,
): Promise<KeyPair & { settle(): Promise<void> }> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, `${exchange}.key`)
  const settle = (): Promise<void> => rm(file, { force: true })
  const text = await readIfThere(file)
  const kept = text === undefined ? undefined : keyOf(text)
  if (kept !== undefined && current?.checkPrivateKey(kept) !== true) {
    return { privateKey: kept, publicKey: publicOf(kept), settle }
  }
  const pair = createKeyPair()
  await replaceSecret(file, keyPem(pair.privateKey))
  return { ...pair, settle }
}

function keyOf(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    return undefined
  }
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw new UsageError(`cannot read ${file}: ${code}`, { cause: error })
  }
}

/** Readable by its owner alone. */
const replaceSecret = (path: string, text: string): Promise<void> => replaceFile(path, text, 0o600)
