import type { LedgerPosition } from '../core/ids.js'

/** What the gateway answered instead of 200. */
export interface RefusedBatch {
  /** HTTP */
  readonly status: number
  readonly code: string
  /** Index in the batch of what the refusal is about, where the gateway says so. */
  readonly record: number | undefined
}

interface Sent extends LedgerPosition {
  readonly kind: string
}

/** `wait`: the whole batch again later. `hold`: this feed stays behind, the rest goes on. `halve`: look closer. */
export type Narrowing =
  | { readonly step: 'wait' }
  | { readonly step: 'halve' }
  | { readonly step: 'hold'; readonly index: number; readonly whole: boolean }

/** One feed is set up wrongly: nothing of it is taken. */
const ofFeed: ReadonlySet<string> = new Set(['hospital-forged', 'feed-unknown', 'feed-of-another-hospital'])
/** One message cannot be taken. */
const ofMessage: ReadonlySet<string> = new Set(['message-invalid', 'body-too-large', 'batch-unreadable'])

/**
 * What the edge does with a refused batch, so that one message or one feed does not hold up the others: what the gateway
 * points at is held; a batch too large, or one that it met a fault on, is halved until the offender stands alone.
 */
export function narrowingOf({ status, code, record }: RefusedBatch, sent: readonly Sent[]): Narrowing {
  const pointedAt = record !== undefined && sent[record] !== undefined ? record : undefined
  const alone = sent.length === 1 ? 0 : undefined
  if (ofFeed.has(code)) return holding(pointedAt ?? alone, true, sent)
  if (ofMessage.has(code) && pointedAt !== undefined) return holding(pointedAt, false, sent)
  // 413 is also what a proxy on the way answers; a fault may be of one message that the gateway cannot bear.
  if (status === 413 || code === 'fault' || code === 'message-invalid') return holding(alone, false, sent)
  return { step: 'wait' }
}

/** A refused watermark is no number to go on from: then all of the feed stays. */
function holding(index: number | undefined, whole: boolean, sent: readonly Sent[]): Narrowing {
  if (index === undefined) return { step: 'halve' }
  return { step: 'hold', index, whole: whole || sent[index]?.kind === 'watermark' }
}

/** Where a feed stands still: from this number on, or all of it with its watermarks. */
export interface StandStill extends LedgerPosition {
  readonly whole: boolean
}

/** Order within a feed stands: what follows a message that is held waits with it. */
export function staysBehind({ kind, epoch, seq }: Sent, stop: StandStill | undefined): boolean {
  if (stop === undefined) return false
  if (stop.whole) return true
  return kind === 'message' && (epoch > stop.epoch || (epoch === stop.epoch && seq >= stop.seq))
}
