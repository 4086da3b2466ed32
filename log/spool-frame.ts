import type { PayloadCipher } from '../core/crypto.js'
import { RecordError } from '../core/errors.js'
import type { SpooledMessage, SpoolMessage } from './spool.js'

/**
 * Spool record: version (1 byte), length of the key id (1 byte), key id, then the sealed part, which without a key id
 * is plain: messageId (32 bytes), receivedAt (6 bytes, ms), length of the attributes (2 bytes), attributes as JSON, and
 * the sender's bytes. Attributes are sealed as well, for a file name may name a patient. The feed is authenticated as the
 * cipher's context.
 */
const version = 1

/**
 * The form of what a spool keeps on the disk, this record and the segments it stands in (log/segment-format.ts): raised
 * when a version before could no longer read it, so that nobody goes back to that version with messages waiting.
 */
export const spoolFormat = 1

interface Attributes {
  readonly controlId?: string
  readonly sourceName?: string
  readonly sourceIndex?: number
}

export function encodeSpoolFrame(message: SpoolMessage, id: string, cipher: PayloadCipher | undefined): Buffer {
  const { controlId, sourceName, sourceIndex, receivedAt, content } = message
  const attributes = Buffer.from(JSON.stringify({ controlId, sourceName, sourceIndex }))
  const keyId = Buffer.from(cipher?.keyId ?? '')
  const head = Buffer.allocUnsafe(40)
  head.write(id, 0, 32, 'hex')
  head.writeUIntBE(receivedAt, 32, 6)
  head.writeUInt16BE(attributes.length, 38)
  const prefix = [Buffer.from([version, keyId.length]), keyId]
  if (cipher === undefined) return Buffer.concat([...prefix, head, attributes, content])
  return Buffer.concat([...prefix, cipher.encrypt(Buffer.concat([head, attributes, content]), message.feed)])
}

/** @throws RecordError decrypt-failed where its key is not known or does not open it, frame-unreadable otherwise */
export function decodeSpoolFrame(
  payload: Buffer,
  feed: string,
  cipherOf: (keyId: string) => PayloadCipher | undefined,
): Omit<SpooledMessage, 'epoch' | 'seq'> {
  if (payload.length < 2 || payload[0] !== version) throw unreadable(feed)
  const keyEnd = 2 + payload.readUInt8(1)
  const keyId = keyEnd === 2 ? null : payload.subarray(2, keyEnd).toString('utf8')
  const sealed = payload.subarray(keyEnd)
  const plain = keyId === null ? sealed : open(sealed, keyId, feed, cipherOf(keyId))
  if (plain.length < 40) throw unreadable(feed)
  const contentStart = 40 + plain.readUInt16BE(38)
  if (plain.length < contentStart) throw unreadable(feed)
  const attributes = JSON.parse(plain.subarray(40, contentStart).toString('utf8')) as Attributes
  return {
    feed,
    content: plain.subarray(contentStart),
    receivedAt: plain.readUIntBE(32, 6),
    messageId: plain.subarray(0, 32).toString('hex'),
    keyId,
    ...attributes,
  }
}

const unreadable = (feed: string): RecordError => new RecordError('frame-unreadable', `a spool record of feed ${feed}`)

function open(sealed: Buffer, keyId: string, feed: string, cipher: PayloadCipher | undefined): Buffer {
  if (cipher === undefined) throw new RecordError('decrypt-failed', `a spool record of feed ${feed} needs key ${keyId}`)
  try {
    return cipher.decrypt(sealed, feed)
  } catch (error) {
    throw new RecordError(
      'decrypt-failed',
      `a spool record of feed ${feed} does not open with key ${keyId}`,
      {},
      { cause: error },
    )
  }
}
