import { UsageError } from '../../core/errors.js'
import { pause } from '../../core/pause.js'

const minuteMs = 60_000
const dayMs = 1440 * minuteMs
/** Hours of the day are those of +08:00. */
const zoneMs = 480 * minuteMs

/** Minutes of the day, from 0; `from` above `to` runs over midnight. */
export interface DailyWindow {
  readonly fromMinute: number
  readonly toMinute: number
}

/** `20:00-06:00`. @throws UsageError */
export function readWindow(text: string): DailyWindow {
  const match = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text)
  const [from, to] = match === null ? [0, 0] : [minutes(match[1], match[2]), minutes(match[3], match[4])]
  if (from === to) throw new UsageError(`a window is HH:MM-HH:MM, as 20:00-06:00, not ${text}`)
  return { fromMinute: from, toMinute: to }
}

const minutes = (hours: string | undefined, rest: string | undefined): number => Number(hours) * 60 + Number(rest)

/** How long until the window is open, ms; 0 inside of it. Pure. */
export function untilOpen({ fromMinute, toMinute }: DailyWindow, now: number): number {
  const atMs = (now + zoneMs) % dayMs
  const [from, to] = [fromMinute * minuteMs, toMinute * minuteMs]
  const isOpen = from < to ? atMs >= from && atMs < to : atMs >= from || atMs < to
  return isOpen ? 0 : (from - atMs + dayMs) % dayMs
}

/** Share of the rate that history may take, from 0 to 1, by what the live lane has waiting. */
export interface Pace {
  readonly share: number
  /** Records waiting in the live lane when the share was decided; null while that cannot be told. */
  readonly lag: number | null
}

export const fullPace: Pace = { share: 1, lag: 0 }
const shareMin = 1 / 16

/**
 * The next share: nothing while the live lag is above `lagMax` or unknown; half of the last while it is above a quarter
 * of that and grows; an eighth more when it is small. Pure.
 */
export function nextPace(last: Pace, lag: number | null, lagMax: number): Pace {
  if (lag === null || lag > lagMax) return { share: 0, lag }
  const few = lag <= lagMax / 4
  if (few) return { share: Math.min(1, Math.max(last.share, shareMin) + 1 / 8), lag }
  if (lag > (last.lag ?? 0)) return { share: last.share === 0 ? 0 : Math.max(shareMin, last.share / 2), lag }
  return { share: last.share, lag }
}

export interface ThrottleOptions {
  /** Messages a second at most; unlimited where unset. */
  readonly perSecond?: number
  /** Only within these hours. */
  readonly window?: DailyWindow
  /** Share of the rate, from 0 to 1, asked before each message. */
  readonly share?: () => number
  /** Why nothing may be sent now, for whatever reason of its own; undefined to go on. */
  readonly hold?: () => string | undefined
  /** Told when sending stops, with the reason, and when it goes on (undefined). */
  readonly held?: (reason: string | undefined) => void
  readonly now: () => number
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** The reason given while the share is 0. */
export const liveWaits = 'live data waits'

const lookEveryMs = 1000
/** Shorter waits are saved up: a timer is not more exact than that. */
const napMinMs = 10
/** What a machine that slept may catch up at once, ms of sending. */
const catchUpMs = 250

/** Lets one message after the other pass: at a rate, at hours, and not while something holds. */
export class Throttle {
  private nextAt: number
  private heldBy: string | undefined

  constructor(private readonly options: ThrottleOptions) {
    this.nextAt = options.now()
  }

  /** Resolves when the next message may go, or `signal` aborts. */
  async take(signal: AbortSignal): Promise<void> {
    const { wait = pause, now, perSecond } = this.options
    for (;;) {
      if (signal.aborted) return
      const reason = this.reason()
      if (reason !== this.heldBy) this.options.held?.(reason)
      this.heldBy = reason
      if (reason === undefined) break
      await wait(lookEveryMs, signal)
    }
    if (perSecond === undefined) return
    const at = now()
    this.nextAt = Math.max(this.nextAt, at - catchUpMs) + 1000 / (perSecond * (this.options.share?.() ?? 1))
    if (this.nextAt - at >= napMinMs) await wait(this.nextAt - at, signal)
  }

  private reason(): string | undefined {
    const { window, share, hold, now } = this.options
    if (window !== undefined && untilOpen(window, now()) > 0) return 'outside its hours'
    const held = hold?.()
    if (held !== undefined) return held
    return share?.() === 0 ? liveWaits : undefined
  }
}
