import { UsageError } from '../../core/errors.js'
import { dayStart } from '../../repository/months.js'
import type { DeclaredOutage, MessageId } from './evidence.js'

/** A time in which the tester says the way to the province was down, ms; the end excluded. */
export interface OutageWindow {
  readonly from: number
  readonly to: number
}

/** What is looked at of a message; `archivedAt` null where it was archived before arrival was recorded. */
export interface ArrivedMessage {
  readonly epoch: number
  readonly seq: number
  readonly receivedAt: number
  readonly archivedAt: number | null
  readonly messageId: MessageId
}

/**
 * Watches one window over the messages of a feed in order of position: what was received inside, whether it arrived after the
 * window, and whether the same spool went on without a number missing.
 */
export class OutageObserver {
  private messages = 0
  private missing = 0
  private arrivedInside = 0
  private arrivalUnknown = 0
  private first: ArrivedMessage | undefined
  private last: ArrivedMessage | undefined
  private before: ArrivedMessage | undefined
  private isFollowed = false

  constructor(private readonly window: OutageWindow) {}

  add(message: ArrivedMessage): void {
    const { from, to } = this.window
    const isInside = message.receivedAt >= from && message.receivedAt < to
    const isFirstAfter = !isInside && this.last !== undefined && !this.isFollowed
    if (isInside || isFirstAfter) {
      const previous = this.before
      if (previous?.epoch === message.epoch) this.missing += message.seq - previous.seq - 1
    }
    if (isInside) {
      this.messages++
      if (message.archivedAt === null) this.arrivalUnknown++
      else if (message.archivedAt < to) this.arrivedInside++
      this.first ??= message
      this.last = message
    } else if (isFirstAfter && message.receivedAt >= to) this.isFollowed = true
    this.before = message
  }

  finish(): DeclaredOutage {
    const { messages, missing, arrivedInside, arrivalUnknown, isFollowed } = this
    return {
      ...this.window,
      ...{ messages, missing, arrivedInside, arrivalUnknown, isFollowed },
      first: this.first?.messageId ?? null,
      last: this.last?.messageId ?? null,
    }
  }
}

/** Received inside, nothing arrived inside, and the line worked again after it: then the way was down, and held what came. */
export const isProven = (outage: DeclaredOutage): boolean =>
  outage.messages > 0 && outage.arrivedInside === 0 && outage.arrivalUnknown === 0 && outage.isFollowed

const shape = /^(?:(\d{4}-\d{2}-\d{2})T)?([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/

/** Windows written `10:00-10:05`, on `day`, or `2026-03-03T10:00-10:05`; clock of +08:00. @throws UsageError */
export function readOutageWindows(texts: readonly string[], day: string): readonly OutageWindow[] {
  return texts.map((text) => {
    const [, stated = day, ...clock] = shape.exec(text) ?? []
    const start = dayStart(stated)
    const [fromHour = NaN, fromMinute = NaN, toHour = NaN, toMinute = NaN] = clock.map(Number)
    const window = {
      from: start + (fromHour * 60 + fromMinute) * 60_000,
      to: start + (toHour * 60 + toMinute) * 60_000,
    }
    const exists = !Number.isNaN(start) && new Date(start + 8 * 3_600_000).toISOString().startsWith(stated)
    if (exists && window.from < window.to) return window
    throw new UsageError(`--outage is 10:00-10:05 (on the day of --to) or 2026-03-03T10:00-10:05, not ${text}`)
  })
}
