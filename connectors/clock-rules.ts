import { readTime } from './times.js'

const dayMs = 86_400_000

/**
 * When the message was made (MSH-7 or its like), or the first receipt where that is absent, unreadable or more than 24 h
 * past the receipt; then `fromReceipt` (docs/newer.md).
 */
export function messageTimeOf(
  text: string | null,
  zoneMinutes: number,
  receivedAt: number,
): { readonly at: number; readonly fromReceipt: boolean } {
  const stated = text === null ? null : readTime(text, zoneMinutes)
  if (stated === null || stated > receivedAt + dayMs) return { at: receivedAt, fromReceipt: true }
  return { at: stated, fromReceipt: false }
}

export interface RecordedTime {
  readonly at: number
  readonly flag: 'recorded-at-future' | 'recorded-at-unreadable' | null
}

/**
 * When the content was recorded (OBR-22, EVN-6, ORC-9), or the message time where that is absent, unreadable (flagged)
 * or more than 24 h past the message time (flagged); docs/newer.md.
 */
export function recordedTime(stated: string | null, messageTime: number, zoneMinutes: number): RecordedTime {
  if (stated === null || stated === '') return { at: messageTime, flag: null }
  const at = readTime(stated, zoneMinutes)
  if (at === null) return { at: messageTime, flag: 'recorded-at-unreadable' }
  return at > messageTime + dayMs ? { at: messageTime, flag: 'recorded-at-future' } : { at, flag: null }
}
