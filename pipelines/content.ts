import { gunzipSync, gzipSync } from 'node:zlib'
import { RecordError } from '../core/errors.js'
import type { PayloadCipher } from '../core/crypto.js'
import type { ObjectStore } from '../log/object-store.js'
import type { RawMessage } from '../schemas/types.js'

type Content = Pick<RawMessage, 'content' | 'contentRef' | 'contentSize' | 'compression' | 'keyId'>

/** What `raw` carries itself; larger contents go to the object store first (decision 14 of the design). */
export const rawContentBytesMax = 512 * 1024
/** Below this, compressing costs more than it saves: topics and archive pages are compressed as a whole. */
const compressFromBytes = 16 * 1024

export interface ContentStores {
  readonly objects: ObjectStore
  /** Key by id; undefined where this role does not have it. */
  readonly cipher: (keyId: string) => PayloadCipher | undefined
  /** The cipher for new content; undefined writes plain. */
  readonly writeCipher?: PayloadCipher
}

/** Packs bytes for `raw`: compressed where that helps, encrypted where configured, by reference where large. */
export async function packContent(
  bytes: Buffer,
  stores: ContentStores,
  inlineBytesMax = rawContentBytesMax,
): Promise<Content> {
  const zipped = bytes.length >= compressFromBytes ? gzipSync(bytes, { level: 3 }) : bytes
  const compressed = zipped.length < bytes.length
  const packed = compressed ? zipped : bytes
  const sealed = stores.writeCipher === undefined ? packed : stores.writeCipher.encrypt(packed)
  const inline = sealed.length <= inlineBytesMax
  return {
    content: inline ? sealed : null,
    contentRef: inline ? null : await stores.objects.put(sealed),
    contentSize: bytes.length,
    compression: compressed ? 'gzip' : 'none',
    keyId: stores.writeCipher?.keyId ?? null,
  }
}

/** The bytes as they arrived. @throws RecordError object-missing, decrypt-failed, frame-unreadable */
export async function unpackContent(raw: Content, stores: ContentStores): Promise<Buffer> {
  const sealed = raw.content ?? (raw.contentRef === null ? undefined : await stores.objects.get(raw.contentRef))
  if (sealed === undefined)
    throw new RecordError('object-missing', `${raw.contentRef ?? 'no content and no reference'}`)
  const packed = raw.keyId === null ? sealed : decrypt(sealed, raw.keyId, stores)
  if (raw.compression === 'none') return packed
  try {
    return gunzipSync(packed, { maxOutputLength: raw.contentSize })
  } catch (error) {
    throw new RecordError(
      'frame-unreadable',
      'the compressed content does not unpack to the size stated',
      {},
      { cause: error },
    )
  }
}

function decrypt(sealed: Buffer, keyId: string, stores: ContentStores): Buffer {
  const cipher = stores.cipher(keyId)
  if (cipher === undefined) throw new RecordError('decrypt-failed', `this role has no key ${keyId}`)
  try {
    return cipher.decrypt(sealed)
  } catch (error) {
    throw new RecordError('decrypt-failed', `the content does not open with key ${keyId}`, {}, { cause: error })
  }
}
