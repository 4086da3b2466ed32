import type { RawInput } from '../connector.js'
import type { FeedRules, FieldPath } from './feed-rules.js'
import type { FieldText } from './field-text.js'
import type { Segment } from './message.js'
import { readTime } from './times.js'

/** One message being read: its header's facts and the feed's rules. */
export interface Reading {
  readonly rules: FeedRules
  readonly input: RawInput
  readonly text: FieldText
  readonly msh: Segment
  /** MSH-7 after the clock rules, ms. */
  readonly messageTime: number
  readonly sourceSystem: string
  /** What was noticed of the message as a whole. */
  readonly flags: readonly string[]
}

const dayMs = 86_400_000

/**
 * MSH-7, or the first receipt where MSH-7 is absent, unreadable or more than 24 h past the receipt; then `fromReceipt`
 * (docs/newer.md).
 */
export function messageTimeOf(
  msh7: string | null,
  zoneMinutes: number,
  receivedAt: number,
): { readonly at: number; readonly fromReceipt: boolean } {
  const stated = msh7 === null ? null : readTime(msh7, zoneMinutes)
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

/** A time that says nothing about newness; null where absent or unreadable. */
export function timeOf(reading: Reading, text: string | null): number | null {
  return text === null || text === '' ? null : readTime(text, reading.rules.zoneMinutes)
}

/** What a field of the feed's configuration says, first repetition; null where the segment or the text is not there. */
export function readPath(
  reading: Reading,
  path: FieldPath,
  segmentOf: (name: string) => Segment | null,
): string | null {
  const segment = segmentOf(path.segment)
  if (segment === null) return null
  const { text } = reading
  const raw = text.raw(segment, path.field)
  if (raw === '') return null
  const component = text.component(text.first(raw), path.component)
  return text.read(path.subcomponent === 0 ? component : text.subcomponent(component, path.subcomponent)) || null
}
