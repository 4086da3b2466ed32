import { covered, type Interval } from './maintenance.js'
import { dayMs, dayOf, hourMs, hourOf, weekdayOf, type Calendar } from './calendar.js'
import { expectedIn, silenceProbability, type Habit, type HourCount } from './habit.js'
import type { ClockJump } from './sender-clock.js'
import type { SequenceFaults } from './sequence.js'

/** What an alert may be about. The closed list; a route may name any of them. */
export const alertKinds = [
  'silence',
  'volume',
  'sequence-gap',
  'sequence-repeat',
  'clock-jump',
  'feed-not-activated',
  'feed-changed-since-acceptance',
  'calendar-missing',
] as const
export type AlertKind = (typeof alertKinds)[number]

/** Kinds that something that happened gives, not a state that lasts: acknowledging them ends them. */
export const momentary: ReadonlySet<AlertKind> = new Set(['sequence-gap', 'sequence-repeat', 'clock-jump'])
/** A momentary finding stays an open alert for this long after it was last seen. */
export const momentaryMs = dayMs

/** Something is wrong with a feed. `facts` are numbers only, so nothing of a message can stand in an alert. */
export interface Finding {
  readonly kind: AlertKind
  /** Since when, ms. */
  readonly at: number
  readonly facts: Readonly<Record<string, number>>
}

/** At least so many messages within so many hours. */
export interface MinimumVolume {
  readonly messages: number
  readonly hours: number
  /** Also on public holidays and weekends (default false: such hours lengthen the time allowed). */
  readonly everyDay?: boolean
}

/** All that is known of a feed when it is judged. */
export interface FeedStanding {
  readonly now: number
  readonly watchedSince: number
  /** Newest live message, ms. */
  readonly lastReceivedAt: number | undefined
  readonly habit: Habit
  readonly calendar: Calendar
  /** From well before the last message to now. */
  readonly maintenance: readonly Interval[]
  readonly minimum?: MinimumVolume
  readonly recent: readonly HourCount[]
  readonly sequence: SequenceFaults
  readonly clockJump: ClockJump | undefined
  /** Messages that wait for the feed's activation, and the receipt of the first, ms. */
  readonly waiting: { readonly messages: number; readonly since: number } | undefined
  /** The feed is read by other settings than those it was activated with. */
  readonly isChanged: boolean
}

/** Everything that is wrong with a feed now. Pure. `threshold`: silence less probable than this is an alert. */
export function judge(standing: FeedStanding, threshold: number): readonly Finding[] {
  return [
    silenceOf(standing, threshold),
    volumeOf(standing),
    ...activationOf(standing),
    ...momentaryOf(standing).filter(({ at }) => standing.now - at < momentaryMs),
  ].filter((finding) => finding !== undefined)
}

function silenceOf(standing: FeedStanding, threshold: number): Finding | undefined {
  const { now, lastReceivedAt, habit, calendar, maintenance } = standing
  if (lastReceivedAt === undefined || covered(maintenance, [now, now + 1]) > 0) return undefined
  const expected = expectedIn(habit, calendar, [lastReceivedAt, now], maintenance)
  if (silenceProbability(expected, habit.shape) >= threshold) return undefined
  return {
    kind: 'silence',
    at: lastReceivedAt,
    facts: { silentMinutes: Math.floor((now - lastReceivedAt) / 60_000), expectedActiveMinutes: Math.round(expected) },
  }
}

function volumeOf({ now, watchedSince, calendar, maintenance, minimum, recent }: FeedStanding): Finding | undefined {
  if (minimum === undefined || covered(maintenance, [now, now + 1]) > 0) return undefined
  const from = openSince(now, minimum, calendar, maintenance)
  if (watchedSince > from) return undefined
  // the hour in which the span begins counts whole: in doubt for the feed
  const messages = recent.reduce((sum, count) => sum + (count.hour >= hourOf(from) ? count.messages : 0), 0)
  if (messages >= minimum.messages) return undefined
  return { kind: 'volume', at: from, facts: { messages, minimum: minimum.messages, hours: minimum.hours } }
}

const volumeDaysBack = 30

/** Where `minimum.hours` of time that counts began. */
function openSince(now: number, minimum: MinimumVolume, calendar: Calendar, maintenance: readonly Interval[]): number {
  let needMs = minimum.hours * hourMs
  let at = now
  while (needMs > 0 && now - at < volumeDaysBack * dayMs) {
    const from = at - Math.min(hourMs, needMs)
    if (minimum.everyDay === true || isWorked(dayOf(from), calendar))
      needMs -= at - from - covered(maintenance, [from, at])
    at = from
  }
  return at
}

const isWorked = (day: number, calendar: Calendar): boolean => {
  const kind = calendar.kindOf(day)
  return kind === 'working-weekend' || (kind === 'ordinary' && weekdayOf(day) < 6)
}

function activationOf({ now, waiting, isChanged }: FeedStanding): readonly Finding[] {
  const found: Finding[] = []
  if (waiting !== undefined) {
    found.push({ kind: 'feed-not-activated', at: waiting.since, facts: { messages: waiting.messages } })
  }
  if (isChanged) found.push({ kind: 'feed-changed-since-acceptance', at: now, facts: {} })
  return found
}

function momentaryOf({ sequence: { gaps, repeats }, clockJump }: FeedStanding): readonly Finding[] {
  const found: Finding[] = []
  if (gaps !== undefined) {
    found.push({ kind: 'sequence-gap', at: gaps.at, facts: { gaps: gaps.gaps, missing: gaps.missing } })
  }
  if (repeats !== undefined) {
    found.push({ kind: 'sequence-repeat', at: repeats.at, facts: { repeats: repeats.repeats } })
  }
  if (clockJump !== undefined) {
    found.push({ kind: 'clock-jump', at: clockJump.at, facts: { bySeconds: Math.round(clockJump.byMs / 1000) } })
  }
  return found
}
