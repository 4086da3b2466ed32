import type { Logger, Metrics } from '../../core/telemetry.js'
import { RetryableError } from '../../core/errors.js'
import { pause } from '../../core/pause.js'
import { countOpenAlerts, updateAlerts } from '../../repository/alerts.js'
import type { Database } from '../../repository/database.js'
import {
  countHours,
  liveContents,
  newestPositions,
  readFeedHours,
  readWatchedFeeds,
  watchFeeds,
  type ArchivedContent,
  type FeedHour,
  type LedgerPlace,
  type LedgerPosition,
} from '../../repository/feed-hours.js'
import { messagesWaiting, readActivations, type MessagesWaiting } from '../../repository/feed-activation.js'
import { Dictionaries } from '../../repository/dictionaries.js'
import { isChanged } from '../acceptance/activation.js'
import { planAlerts, type Judged } from './alert-plan.js'
import { dayMs, dayOf, hourOf, loadCalendar, missingYears, type Calendar } from './calendar.js'
import { openChannel } from './channels.js'
import type { WatchConfig } from './config.js'
import { deliver } from './deliver.js'
import { hoursLearnt, learnHabit, type Habit } from './habit.js'
import { judge, type Finding } from './judge.js'
import { covered, maintenanceOf, type Interval } from './maintenance.js'
import { findClockJump, samplesMax, type ClockJump, type ClockSample } from './sender-clock.js'
import { findSequenceFaults, type SequenceFaults } from './sequence.js'

export interface WatchedConfig {
  readonly name: string
  readonly hospital: string
  /** `configurationHash` of the feed as it is read now. */
  readonly configurationSha256: string
}

export interface WatchOptions {
  readonly db: Database
  readonly config: WatchConfig
  readonly environment: string
  readonly feeds: readonly WatchedConfig[]
  /** A message's own time (MSH-7), ms; null where it has none or cannot be read. */
  readonly messageTime: (content: ArchivedContent) => Promise<number | null>
  readonly metrics: Metrics
  readonly logger: Logger
  readonly now: () => number
}

/** Windows of maintenance are looked up this far back: further than any silence is told apart by. */
const maintenanceBackDays = 120
const positionsMax = 2000
const samplesPerRound = 3
/** Feeds whose newest messages are looked at in one round, and whose habits are learnt with one query. */
const feedsPerQuery = 100
const lookAgainMs = 10 * 60_000

/** What is remembered of a feed between rounds; all of it is read again from the repository after a restart. */
interface FeedMemory {
  readonly feedId: number
  readonly name: string
  readonly hospital: string
  readonly configurationSha256: string
  samples: readonly ClockSample[]
  sampledSeq: number
  sampledEpoch: number
  sequence: SequenceFaults
  lookedAt: number
  /** The newest message is old enough for its neighbours to have overtaken it: another look would say the same. */
  isSettled: boolean
  /** Messages have come in since. */
  hasNews: boolean
  /** Rounds since, for as many clocks are sampled as if each had looked. */
  roundsSince: number
  clockJump: ClockJump | undefined
  habit: Habit | undefined
  habitDay: number
}

/** Judges every configured feed, round by round. */
export interface Watch {
  /** One round: counts what is new, judges, opens and closes alerts. @throws RetryableError */
  round(): Promise<void>
  /** Rounds and deliveries until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}

export function openWatch(options: WatchOptions): Watch {
  const { db, config, environment, metrics, logger, now } = options
  const calendar = loadCalendar(config.holidays)
  const opened = Object.entries(config.channels ?? {}).map(([name, channel]) => ({
    name,
    channel: openChannel(name, channel, now),
  }))
  const memories = new Map<number, FeedMemory>()
  let known = false

  const meet = async (): Promise<void> => {
    const dictionaries = new Dictionaries(db)
    const idOf = ({ name, hospital }: { name: string; hospital: string }): number | undefined => {
      const hospitalId = dictionaries.hospital(hospital)
      return hospitalId === undefined ? undefined : dictionaries.feed(name, hospitalId, environment)
    }
    // all are asked for before any is resolved: two rounds, of hospitals and of feeds
    while (options.feeds.map(idOf).includes(undefined)) await dictionaries.resolve()
    for (const feed of options.feeds) {
      const feedId = idOf(feed)!
      memories.set(feedId, newMemory(feedId, feed))
    }
    await watchFeeds(db, [...memories.keys()], now())
    known = true
  }

  const round = async (): Promise<void> => {
    if (!known) await meet()
    const judged = [platform(calendar, now()), ...(await judgeFeeds([...memories.values()], options, calendar))]
    const watched = new Set(memories.keys())
    const policy = {
      routes: config.routes ?? [],
      repeatMs: (config.repeatMinutes ?? 240) * 60_000,
      escalateAfterMs: (config.escalateAfterMinutes ?? 60) * 60_000,
    }
    const at = now()
    const { changes, openedIds } = await updateAlerts(db, environment, at, (standing) =>
      planAlerts(standing, { now: at, judged, watched }, policy),
    )
    for (const [index, { feedId, kind, facts }] of changes.opened.entries()) {
      const { name, hospital } = memories.get(feedId ?? 0) ?? {}
      logger.warn({ event: 'alert-opened', alert: openedIds[index], feed: name, hospital, kind, facts }, 'alert opened')
    }
    for (const { id } of changes.escalated) logger.warn({ event: 'alert-escalated', alert: id }, 'alert escalated')
    for (const { id } of changes.closed) logger.info({ event: 'alert-closed', alert: id }, 'alert closed')
    await showOpen(db, environment, metrics)
  }

  return {
    round,
    async run(signal) {
      for (const year of missingYears(calendar, now())) {
        logger.error(
          { event: 'calendar-missing', year },
          'the holiday file does not know this year: holidays are taken for ordinary days',
        )
      }
      const channels = opened.map(({ name, channel }) =>
        deliver({ db, name, channel, environment, now, logger }, 2000, signal),
      )
      const rounds = async (): Promise<void> => {
        while (!signal.aborted) {
          try {
            await round()
          } catch (error) {
            if (!(error instanceof RetryableError)) throw error
            logger.warn({ cause: error.message }, 'trying again')
          }
          await pause((config.intervalSeconds ?? 60) * 1000, signal)
        }
      }
      await Promise.all([rounds(), ...channels])
    },
  }
}

const newMemory = (feedId: number, configured: WatchedConfig): FeedMemory => ({
  feedId,
  ...configured,
  samples: [],
  sampledSeq: 0,
  sampledEpoch: 0,
  sequence: { dense: false },
  lookedAt: 0,
  isSettled: false,
  hasNews: false,
  roundsSince: 0,
  clockJump: undefined,
  habit: undefined,
  habitDay: Number.NaN,
})

function platform(calendar: Calendar, now: number): Judged {
  const findings = missingYears(calendar, now)
    .slice(0, 1)
    .map((year): Finding => ({ kind: 'calendar-missing', at: now, facts: { year } }))
  return { feedId: null, feed: null, hospital: null, findings }
}

/** Every feed but those under maintenance: of these what is open stays as it is, and nothing new is opened. */
async function judgeFeeds(
  memories: readonly FeedMemory[],
  options: WatchOptions,
  calendar: Calendar,
): Promise<readonly Judged[]> {
  const { db, config, now } = options
  const feedIds = memories.map(({ feedId }) => feedId)
  const isProduction = options.environment === 'production'
  const activations = new Map(
    (isProduction ? await readActivations(db) : []).map((one) => [`${one.hospital} ${one.feed}`, one]),
  )
  const waiting = isProduction ? await messagesWaiting(db) : new Map<number, MessagesWaiting>()
  const news = await countHours(db, feedIds)
  const at = now()
  for (const memory of memories) {
    memory.hasNews ||= news.has(memory.feedId)
    memory.roundsSince++
  }
  await lookAtMessages(waitingForALook(memories, at), options)
  const watched = new Map((await readWatchedFeeds(db, feedIds)).map((feed) => [feed.feedId, feed]))
  const maintained = new Map(
    memories.map(({ feedId, name, hospital }) => [
      feedId,
      maintenanceOf(config.maintenance ?? [], { feed: name, hospital }, [at - maintenanceBackDays * dayMs, at + 1]),
    ]),
  )
  await learnHabits(memories, db, calendar, maintained, at)
  const minimumOf = ({ name }: FeedMemory) => config.minimumVolumes?.[name]
  const counted = memories.filter((memory) => minimumOf(memory) !== undefined).map(({ feedId }) => feedId)
  const recent =
    counted.length === 0
      ? new Map<number, readonly FeedHour[]>()
      : await readFeedHours(db, counted, { fromHour: hourOf(at) - 31 * 24 })
  return memories.flatMap((memory): readonly Judged[] => {
    const { feedId, name, hospital, sequence, clockJump } = memory
    const maintenance = maintained.get(feedId) ?? []
    if (covered(maintenance, [at, at + 1]) > 0) return []
    const minimum = minimumOf(memory)
    const findings = judge(
      {
        now: at,
        watchedSince: watched.get(feedId)?.since ?? at,
        lastReceivedAt: watched.get(feedId)?.lastReceivedAt ?? undefined,
        habit: memory.habit!,
        calendar,
        maintenance,
        ...(minimum !== undefined && { minimum }),
        recent: recent.get(feedId) ?? [],
        sequence,
        clockJump,
        waiting: waiting.get(feedId),
        isChanged: isChanged(activations.get(`${hospital} ${name}`), memory.configurationSha256),
      },
      config.probability ?? 1e-6,
    )
    return [{ feedId, feed: name, hospital, findings }]
  })
}

/** Those not looked at for longest, so that a round reads as much whatever the number of feeds. */
function waitingForALook(memories: readonly FeedMemory[], at: number): readonly FeedMemory[] {
  return memories
    .filter(({ hasNews, isSettled, lookedAt }) => hasNews || (!isSettled && at - lookedAt >= lookAgainMs))
    .sort((a, b) => a.lookedAt - b.lookedAt)
    .slice(0, feedsPerQuery)
}

/** Learnt once a day, from whole days: at first all of them, then one query's worth a round. */
async function learnHabits(
  memories: readonly FeedMemory[],
  db: Database,
  calendar: Calendar,
  maintained: ReadonlyMap<number, readonly Interval[]>,
  now: number,
): Promise<void> {
  const unlearnt = memories.filter(({ habit }) => habit === undefined)
  const stale = memories.filter(({ habit, habitDay }) => habit !== undefined && habitDay !== dayOf(now))
  const due = [...unlearnt, ...stale].slice(0, Math.max(unlearnt.length, feedsPerQuery))
  for (let first = 0; first < due.length; first += feedsPerQuery) {
    const some = due.slice(first, first + feedsPerQuery)
    const ids = some.map(({ feedId }) => feedId)
    const counts = await readFeedHours(db, ids, hoursLearnt(now, calendar))
    for (const memory of some) {
      const maintenance = maintained.get(memory.feedId) ?? []
      memory.habit = learnHabit(counts.get(memory.feedId) ?? [], { now, calendar, maintenance })
      memory.habitDay = dayOf(now)
    }
  }
}

/** Numbers and clocks of these feeds, all in two queries. */
async function lookAtMessages(memories: readonly FeedMemory[], options: WatchOptions): Promise<void> {
  if (memories.length === 0) return
  const { db, now, config } = options
  const found = await newestPositions(
    db,
    memories.map(({ feedId }) => feedId),
    positionsMax,
  )
  const places = memories.flatMap((memory) => lookAtNumbers(memory, found.get(memory.feedId) ?? [], now()))
  if (places.length === 0) return
  const contents = await liveContents(db, places)
  for (const memory of memories) {
    const samples: ClockSample[] = []
    for (const content of contents.get(memory.feedId) ?? []) {
      const messageTime = await options.messageTime(content)
      if (messageTime !== null) samples.push({ receivedAt: content.receivedAt, messageTime })
    }
    if (samples.length === 0) continue
    memory.samples = [...memory.samples, ...samples].slice(-samplesMax)
    memory.clockJump = findClockJump(memory.samples, (config.clockJumpMinutes ?? 5) * 60_000)
  }
}

/** Keeps what the numbers of a feed say; the messages whose clock is to be sampled. */
function lookAtNumbers(memory: FeedMemory, positions: readonly LedgerPosition[], now: number): readonly LedgerPlace[] {
  const { feedId, sampledEpoch, sampledSeq } = memory
  const isNew = ({ epoch, seq }: LedgerPosition): boolean =>
    epoch > sampledEpoch || (epoch === sampledEpoch && seq > sampledSeq)
  // after a restart the past is sampled as far as the window reaches
  const wanted = sampledEpoch === 0 ? samplesMax : Math.min(samplesMax, samplesPerRound * memory.roundsSince)
  const places = spread(positions.filter(isNew), wanted).map(({ epoch, seq }) => ({ feedId, epoch, seq }))
  memory.sequence = findSequenceFaults(positions, now)
  memory.lookedAt = now
  memory.hasNews = false
  memory.roundsSince = 0
  const newest = positions.at(-1)
  memory.isSettled = newest === undefined || now - newest.receivedAt > lookAgainMs
  if (newest !== undefined) {
    memory.sampledEpoch = newest.epoch
    memory.sampledSeq = newest.seq
  }
  return places
}

/** At most `count` of the entries, evenly spread, the last one among them. */
function spread<T>(entries: readonly T[], count: number): readonly T[] {
  if (entries.length <= count) return entries
  return Array.from({ length: count }, (_, index) => entries[Math.ceil(((index + 1) * entries.length) / count) - 1]!)
}

async function showOpen(db: Database, environment: string, metrics: Metrics): Promise<void> {
  metrics.alertsOpen.reset()
  for (const { feed, kind, count } of await countOpenAlerts(db, environment))
    metrics.alertsOpen.set({ feed, kind }, count)
}
