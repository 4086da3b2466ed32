import { createCipheriv, createHash, createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { aes256GcmCipher, sm4CbcHmacSm3Cipher } from '../../core/crypto.js'

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex')
const key16 = hex('0123456789ABCDEF FEDCBA9876543210')

const ciphers = [
  ['AES-256-GCM', () => aes256GcmCipher('k1', Buffer.alloc(32, 7)), () => aes256GcmCipher('k1', Buffer.alloc(32, 8))],
  [
    'SM4-CBC + HMAC-SM3',
    () => sm4CbcHmacSm3Cipher('k1', Buffer.alloc(48, 7)),
    () => sm4CbcHmacSm3Cipher('k1', Buffer.alloc(48, 8)),
  ],
] as const

describe.each(ciphers)('%s', (_name, open, openOther) => {
  test('opens what it sealed, and seals the same bytes differently each time', () => {
    const cipher = open()
    for (const length of [0, 1, 15, 16, 17, 3072]) {
      const plain = Buffer.alloc(length, 0x5a)
      const sealed = cipher.encrypt(plain, 'feed')
      expect(cipher.decrypt(sealed, 'feed').equals(plain)).toBe(true)
      expect(cipher.encrypt(plain, 'feed').equals(sealed)).toBe(false)
    }
  })

  test('refuses any altered byte, another context, another key and a cut', () => {
    const cipher = open()
    const sealed = cipher.encrypt(Buffer.from('MSH|^~\\&|LIS'), 'feed')
    for (let at = 0; at < sealed.length; at++) {
      const altered = Buffer.from(sealed)
      altered[at] = (altered[at] ?? 0) ^ 1
      expect(() => cipher.decrypt(altered, 'feed')).toThrow()
    }
    expect(() => cipher.decrypt(sealed, 'other')).toThrow()
    expect(() => openOther().decrypt(sealed, 'feed')).toThrow()
    for (let length = 0; length < sealed.length; length++)
      expect(() => cipher.decrypt(sealed.subarray(0, length), 'feed')).toThrow()
  })
})

test('keys of the wrong length are refused with the length that is needed', () => {
  expect(() => aes256GcmCipher('k', Buffer.alloc(16))).toThrow(/32 bytes/)
  expect(() => sm4CbcHmacSm3Cipher('k', Buffer.alloc(32))).toThrow(/16 \+ 32 bytes/)
})

test('the SM4 and SM3 of this Node.js give the published values', () => {
  const sm4 = createCipheriv('sm4-ecb', key16, null).setAutoPadding(false)
  // GB/T 32907-2016 annex A, example 1.
  expect(sm4.update(key16).toString('hex')).toBe('681edf34d206965e86b3e94f536e4246')
  // GB/T 32905-2016 annex A, examples 1 and 2.
  expect(createHash('sm3').update('abc').digest('hex')).toBe(
    '66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0',
  )
  expect(createHash('sm3').update('abcd'.repeat(16)).digest('hex')).toBe(
    'debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732',
  )
})

test('a payload put together by hand from the published SM4-CBC example opens', () => {
  // draft-ribose-cfrg-sm4-10, A.2.2.1 (the key of GB/T 32907-2016).
  const iv = hex('000102030405060708090A0B0C0D0E0F')
  const plain = hex('AAAAAAAABBBBBBBBCCCCCCCCDDDDDDDD EEEEEEEEFFFFFFFFAAAAAAAABBBBBBBB')
  const published = '78ebb11cc40b0a48312aaeb2040244cb4cb7016951909226979b0d15dc6a8f6d'
  const padding = createCipheriv('sm4-cbc', key16, hex(published).subarray(16)).setAutoPadding(false)
  const covered = Buffer.concat([iv, hex(published), padding.update(Buffer.alloc(16, 16))])
  const macKey = Buffer.alloc(32, 9)
  const mac = createHmac('sm3', macKey)
    .update(Buffer.from([0, 0, 0, 1]))
    .update('f')
    .update(covered)
    .digest()
  const cipher = sm4CbcHmacSm3Cipher('gm', Buffer.concat([key16, macKey]))
  expect(cipher.decrypt(Buffer.concat([covered, mac]), 'f').equals(plain)).toBe(true)
})
