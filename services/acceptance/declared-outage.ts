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
 * window, and whether the same spool went on without a number missing. Receipt is by the clock of the edge, arrival by the
 * database's: the shorter way of the two messages beside the window is taken for what clocks and an open line make out.
 */
export class OutageObserver {
  private messages = 0
  private missing = 0
  private readonly arrivals: (number | null)[] = []
  private readonly lags: number[] = []
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
      this.arrivals.push(message.archivedAt)
      if (this.first === undefined) this.addLag(this.before)
      this.first ??= message
      this.last = message
    } else if (isFirstAfter && message.receivedAt >= to) {
      this.isFollowed = true
      this.addLag(message)
    }
    this.before = message
  }

  private addLag(message: ArrivedMessage | undefined): void {
    if (message !== undefined && message.archivedAt !== null) this.lags.push(message.archivedAt - message.receivedAt)
  }

  finish(): DeclaredOutage {
    const { messages, missing, isFollowed } = this
    const ordinaryLag = Math.min(...this.lags)
    const known = this.lags.length === 0 ? [] : this.arrivals.filter((at) => at !== null)
    const arrivedInside = known.filter((at) => at - ordinaryLag < this.window.to).length
    const arrivalUnknown = messages - known.length
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
