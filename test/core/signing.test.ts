import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import {
  createSigningKeys,
  isSignedBy,
  keyIdOf,
  readSigningKey,
  readVerifyingKey,
  signBytes,
} from '../../core/signing.js'

const folder = mkdtempSync(join(tmpdir(), 'hutong-signing-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe('signatures', () => {
  const mine = createSigningKeys()
  const other = createSigningKeys()
  const text = Buffer.from('血常规')
  const signature = signBytes(text, createPrivateKey(mine.privateKey))
  const key = createPublicKey(mine.publicKey)

  it('are known by their key among several', () => {
    expect(signature.keyId).toBe(keyIdOf(key))
    expect(isSignedBy(text, signature, [createPublicKey(other.publicKey), key])).toBe(true)
  })

  it('hold for these bytes and this key alone', () => {
    expect(isSignedBy(Buffer.from('血常规 '), signature, [key])).toBe(false)
    expect(isSignedBy(text, signature, [createPublicKey(other.publicKey)])).toBe(false)
    const forged = { ...signature, keyId: keyIdOf(createPublicKey(other.publicKey)) }
    expect(isSignedBy(text, forged, [createPublicKey(other.publicKey)])).toBe(false)
    expect(isSignedBy(text, { ...signature, signature: '' }, [key])).toBe(false)
  })

  it('use key files, and say which setting names one that is none', () => {
    const privateKey = readSigningKey('fleet.signingKeyFile', file('private.pem', mine.privateKey))
    expect(
      isSignedBy(text, signBytes(text, privateKey), [readVerifyingKey('--key', file('p.pem', mine.publicKey))]),
    ).toBe(true)
    expect(() => readVerifyingKey('--key', file('none.pem', 'x'))).toThrow(/--key: .*none\.pem holds no Ed25519 key/)
    expect(() => readSigningKey('--key', join(folder, 'absent.pem'))).toThrow(/--key: cannot read .*ENOENT/)
  })
})
