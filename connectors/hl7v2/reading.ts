import type { RawInput } from '../connector.js'
import type { FeedRules, FieldPath } from './feed-rules.js'
import type { FieldText } from './field-text.js'
import type { Segment } from './message.js'
import { readTime } from '../times.js'

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
