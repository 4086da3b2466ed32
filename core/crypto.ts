import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  getCiphers,
  getHashes,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { UsageError } from './errors.js'

/**
 * Encrypts payloads at rest with one key. `context` (a feed name or its like) is authenticated with the payload, so that
 * a ciphertext moved to another place does not open; give the same to both calls.
 */
export interface PayloadCipher {
  /** Names the key; stands beside every payload, so that old payloads open after a change of keys. Not secret. */
  readonly keyId: string
  encrypt(plain: Buffer, context?: string): Buffer
  /** @throws Error where the payload was altered, belongs elsewhere or was encrypted with another key */
  decrypt(sealed: Buffer, context?: string): Buffer
}

const tagBytes = 16
const nonceBytes = 12

/** AES-256-GCM (NIST SP 800-38D): 12 random bytes of nonce ‖ ciphertext ‖ 16 bytes of tag. @throws UsageError unless the key has 32 bytes */
export function aes256GcmCipher(keyId: string, key: Buffer): PayloadCipher {
  if (key.length !== 32) throw new UsageError(`key ${keyId}: AES-256 needs 32 bytes, this one has ${key.length}`)
  return {
    keyId,
    encrypt(plain, context = '') {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context, 'utf8'))
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    },
    decrypt(sealed, context = '') {
      if (sealed.length < nonceBytes + tagBytes) throw new Error('too short for AES-256-GCM')
      const end = sealed.length - tagBytes
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes })
      decipher.setAAD(Buffer.from(context, 'utf8')).setAuthTag(sealed.subarray(end))
      return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, end)), decipher.final()])
    },
  }
}

const blockBytes = 16
const macBytes = 32

/**
 * SM4-CBC (GB/T 32907-2016, GB/T 17964-2021) with PKCS #7 padding, then HMAC-SM3 (GB/T 32905-2016, GB/T 15852.2-2012)
 * over context length, context, IV and ciphertext: 16 random bytes of IV ‖ ciphertext ‖ 32 bytes of MAC. The key is 16
 * bytes for SM4 followed by 32 for HMAC-SM3. @throws UsageError for another length, or where OpenSSL lacks SM4 or SM3
 */
export function sm4CbcHmacSm3Cipher(keyId: string, key: Buffer): PayloadCipher {
  if (key.length !== 48)
    throw new UsageError(`key ${keyId}: SM4 and HMAC-SM3 need 16 + 32 bytes, this one has ${key.length}`)
  if (!getCiphers().includes('sm4-cbc') || !getHashes().includes('sm3'))
    throw new UsageError(`key ${keyId}: the OpenSSL of this Node.js has no SM4-CBC or SM3`)
  const cipherKey = key.subarray(0, 16)
  const macKey = key.subarray(16)
  const mac = (covered: Buffer, context: string): Buffer => {
    const bytes = Buffer.from(context, 'utf8')
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return createHmac('sm3', macKey).update(length).update(bytes).update(covered).digest()
  }
  return {
    keyId,
    encrypt(plain, context = '') {
      const iv = randomBytes(blockBytes)
      const cipher = createCipheriv('sm4-cbc', cipherKey, iv)
      const covered = Buffer.concat([iv, cipher.update(plain), cipher.final()])
      return Buffer.concat([covered, mac(covered, context)])
    },
    decrypt(sealed, context = '') {
      if (sealed.length < 2 * blockBytes + macBytes) throw new Error('too short for SM4-CBC with HMAC-SM3')
      const covered = sealed.subarray(0, sealed.length - macBytes)
      if (!timingSafeEqual(mac(covered, context), sealed.subarray(covered.length)))
        throw new Error('the HMAC-SM3 does not match')
      const decipher = createDecipheriv('sm4-cbc', cipherKey, covered.subarray(0, blockBytes))
      return Buffer.concat([decipher.update(covered.subarray(blockBytes)), decipher.final()])
    },
  }
}
