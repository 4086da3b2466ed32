import crypto, { createHash } from 'node:crypto'

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

/**
 * Epochs from here on belong to spools that send history. They never meet those of a receiver (seconds since 2020), and
 * tell what is history wherever a position goes.
 */
export const historyEpochsFrom = 2 ** 30

/** First 52 bits of SHA-256 over the parts, each closed by 0x1F: exact in a JavaScript number and in an Avro long. */
export function contentHash(parts: Iterable<string>): number {
  let content = ''
  for (const part of parts) content += part + '\x1f'
  return Number.parseInt(sha256Hex(content).slice(0, 13), 16)
}

/** One native call a text where Node has it (20.12 and later): a third of the time, once for every observation. */
const sha256Hex: (text: string) => string =
  typeof crypto.hash === 'function'
    ? (text) => crypto.hash('sha256', text, 'hex')
    : (text) => createHash('sha256').update(text, 'utf8').digest('hex')

/** Kafka key of result events: hospital, source system, report number and recycle scope; never a patient. */
export function reportKey(hospital: string, sourceSystem: string, reportNumber: string, recycleScope: string): string {
  return [hospital, sourceSystem, reportNumber, recycleScope].join('\x1f')
}
