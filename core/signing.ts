import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto'
import { UsageError } from './errors.js'
import { readPemFile } from './pem.js'

/**
 * Detached signatures of what the province hands out or keeps as evidence: packages, configurations, acceptance
 * reports. Ed25519 (RFC 8032) over the bytes; keys are PEM, PKCS #8 (RFC 5958) and SubjectPublicKeyInfo.
 */
export interface Signature {
  /** `keyIdOf` the public key. */
  readonly keyId: string
  /** 64 bytes, base64. */
  readonly signature: string
}

export interface SigningKeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

/** A new pair, PEM. */
export function createSigningKeys(): SigningKeyPair {
  return generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
}

/** First 16 bytes of a public key, hex. */
export const keyIdOf = (publicKey: KeyObject): string => rawKey(publicKey).subarray(0, 16).toString('hex')

const rawKey = (key: KeyObject): Buffer => Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')

/** Private key of a PEM file. @throws UsageError naming the setting where it is no Ed25519 key */
export const readSigningKey = (setting: string, file: string): KeyObject => readKey(setting, file, createPrivateKey)

/** Public key of a PEM file. @throws UsageError naming the setting where it is no Ed25519 key */
export const readVerifyingKey = (setting: string, file: string): KeyObject => readKey(setting, file, createPublicKey)

function readKey(setting: string, file: string, read: (pem: string) => KeyObject): KeyObject {
  const pem = readPemFile(setting, file)
  try {
    const key = read(pem)
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch (cause) {
    throw new UsageError(`${setting}: ${file} holds no Ed25519 key in PEM`, { cause })
  }
  throw new UsageError(`${setting}: ${file} holds a key that is not Ed25519`)
}

export function signBytes(bytes: Uint8Array, privateKey: KeyObject): Signature {
  return { keyId: keyIdOf(createPublicKey(privateKey)), signature: sign(null, bytes, privateKey).toString('base64') }
}

/** Whether one of the keys made this signature of these bytes. */
export function isSignedBy(
  bytes: Uint8Array,
  { keyId, signature }: Signature,
  publicKeys: readonly KeyObject[],
): boolean {
  const key = publicKeys.find((candidate) => keyIdOf(candidate) === keyId)
  return key !== undefined && verify(null, bytes, key, Buffer.from(signature, 'base64'))
}
