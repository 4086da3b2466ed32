import { createHash, randomBytes } from 'node:crypto'
import { UsageError } from './errors.js'

/** What a hospital is given to enrol one edge once: all that its first contact with the gateway needs. */
export interface EnrolmentToken {
  /** Names the token, 12 hex digits; no secret. */
  readonly id: string
  /** 20 bytes. The province keeps its SHA-256 alone. */
  readonly secret: Buffer
  /** SHA-256 of the public key of an authority that the gateway's certificate hangs on, 32 bytes. */
  readonly pin: Buffer
}

const prefix = 'ht1_'
const lengths = { id: 6, secret: 20, pin: 32, check: 2 }

export const createToken = (pin: Buffer): EnrolmentToken => ({
  id: randomBytes(lengths.id).toString('hex'),
  secret: randomBytes(lengths.secret),
  pin,
})

/** `ht1_` and 80 characters of base64url: id, secret, pin, and two bytes that tell a slip of copying. */
export function tokenText({ id, secret, pin }: EnrolmentToken): string {
  const body = Buffer.concat([Buffer.from(id, 'hex'), secret, pin])
  return prefix + Buffer.concat([body, checkOf(body)]).toString('base64url')
}

/** @throws UsageError where the text is no token, or one that was not copied whole */
export function readToken(text: string): EnrolmentToken {
  const bytes = text.startsWith(prefix) ? Buffer.from(text.slice(prefix.length), 'base64url') : Buffer.alloc(0)
  const body = bytes.subarray(0, -lengths.check)
  const isWhole = bytes.length === lengths.id + lengths.secret + lengths.pin + lengths.check
  if (!isWhole || !checkOf(body).equals(bytes.subarray(-lengths.check))) {
    throw new UsageError(`this is no whole token: it begins with ${prefix} and has 84 characters; copy it again`)
  }
  const secretEnd = lengths.id + lengths.secret
  return {
    id: body.toString('hex', 0, lengths.id),
    secret: body.subarray(lengths.id, secretEnd),
    pin: body.subarray(secretEnd),
  }
}

export const secretHash = (secret: Buffer): Buffer => createHash('sha256').update(secret).digest()

const checkOf = (body: Buffer): Buffer => createHash('sha256').update(body).digest().subarray(0, lengths.check)
