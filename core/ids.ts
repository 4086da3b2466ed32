import { createHash } from 'node:crypto'

/**
 * messageId = SHA-256(feed name in UTF-8 ‖ 0x00 ‖ bytes as they arrived), 64 lower-case hex digits. The same bytes on
 * the same feed are the same message, however often they are sent.
 */
export function messageId(feed: string, bytes: Uint8Array): string {
  return createHash('sha256').update(feed, 'utf8').update('\0').update(bytes).digest('hex')
}

/** eventId = messageId and the event's index within the message, from 0. */
export function eventId(message: string, index: number): string {
  return `${message}.${index}`
}

/** Where a message stands in its feed's ledger: numbers are dense within (feed, epoch), from 1. */
export interface LedgerPosition {
  readonly feed: string
  /** Counts the lives of a spool: one more each time its numbering had to start again. From 1. */
  readonly epoch: number
  readonly seq: number
}

/** First 52 bits of SHA-256 over the parts, each closed by 0x1F: exact in a JavaScript number and in an Avro long. */
export function contentHash(parts: Iterable<string>): number {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part, 'utf8').update('\x1f')
  const digest = hash.digest()
  return digest.readUIntBE(0, 6) * 16 + (digest.readUInt8(6) >> 4)
}

/** Kafka key of result events: hospital, source system, report number and recycle scope; never a patient. */
export function reportKey(hospital: string, sourceSystem: string, reportNumber: string, recycleScope: string): string {
  return [hospital, sourceSystem, reportNumber, recycleScope].join('\x1f')
}
