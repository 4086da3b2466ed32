import type { Logger, Metrics } from '../../core/telemetry.js'
import { RetryableError } from '../../core/errors.js'
import { pause } from '../../core/pause.js'
import { countOpenAlerts, updateAlerts } from '../../repository/alerts.js'
import type { Database } from '../../repository/database.js'
import {
  countHours,
  liveContents,
  newestPositions,
  readHours,
  readWatchedFeed,
  watchFeed,
  type ArchivedContent,
} from '../../repository/feed-hours.js'
import { messagesWaiting, readActivations, type FeedActivation } from '../../repository/feed-activation.js'
import { Dictionaries } from '../../repository/dictionaries.js'
import { isChanged } from '../acceptance/activation.js'
import { planAlerts, type Judged } from './alert-plan.js'
import { dayMs, dayOf, hourOf, loadCalendar, missingYears, type Calendar } from './calendar.js'
import { openChannel } from './channels.js'
import type { WatchConfig } from './config.js'
import { deliver } from './deliver.js'
import { firstHourLearnt, learnHabit, type Habit } from './habit.js'
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
  /** A fault in the numbering may still settle. */
  sequenceAt: number
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
  const memories = new Map<number, FeedMemory>()
  let known = false

  const meet = async (): Promise<void> => {
    const dictionaries = new Dictionaries(db)
    for (const configured of options.feeds) {
      const { name, hospital } = configured
      const idOf = (): number | undefined => {
        const hospitalId = dictionaries.hospital(hospital)
        return hospitalId === undefined ? undefined : dictionaries.feed(name, hospitalId, environment)
      }
      while (idOf() === undefined) await dictionaries.resolve()
      const feedId = idOf()!
      await watchFeed(db, feedId, now())
      memories.set(feedId, newMemory(feedId, configured))
    }
    known = true
  }

  const round = async (): Promise<void> => {
    if (!known) await meet()
    const activations = environment === 'production' ? await readActivations(db) : []
    const judged: Judged[] = [platform(calendar, now())]
    for (const memory of memories.values()) {
      const one = await judgeFeed(memory, options, calendar, activations)
      if (one !== undefined) judged.push(one)
    }
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
      const channels = Object.entries(config.channels ?? {}).map(([name, channel]) =>
        deliver({ db, name, channel: openChannel(channel, now), environment, now, logger }, 2000, signal),
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
  sequenceAt: 0,
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

/** Undefined while the feed is under maintenance: what is open stays as it is, nothing new is opened. */
async function judgeFeed(
  memory: FeedMemory,
  options: WatchOptions,
  calendar: Calendar,
  activations: readonly FeedActivation[],
): Promise<Judged | undefined> {
  const { db, config, now } = options
  const { feedId, name, hospital } = memory
  const hasNews = await countHours(db, feedId)
  const at = now()
  const feed = { feed: name, hospital }
  const maintenance = maintenanceOf(config.maintenance ?? [], feed, [at - maintenanceBackDays * dayMs, at + 1])
  if (hasNews || at - memory.sequenceAt >= 10 * 60_000) await lookAtMessages(memory, options)
  const watched = await readWatchedFeed(db, feedId)
  const habit = await habitOf(memory, db, calendar, maintenance, at)
  if (covered(maintenance, [at, at + 1]) > 0) return undefined
  const activation = activations.find((one) => one.feed === name && one.hospital === hospital)
  const minimum = config.minimumVolumes?.[name]
  const findings = judge(
    {
      now: at,
      watchedSince: watched?.since ?? at,
      lastReceivedAt: watched?.lastReceivedAt ?? undefined,
      habit,
      calendar,
      maintenance,
      ...(minimum !== undefined && { minimum }),
      recent: minimum === undefined ? [] : await readHours(db, feedId, hourOf(at) - 31 * 24),
      sequence: memory.sequence,
      clockJump: memory.clockJump,
      waiting: await messagesWaiting(db, feedId),
      isChanged: isChanged(activation, memory.configurationSha256),
    },
    config.probability ?? 1e-6,
  )
  return { feedId, ...feed, findings }
}

/** Learnt once a day, from whole days. */
async function habitOf(
  memory: FeedMemory,
  db: Database,
  calendar: Calendar,
  maintenance: readonly Interval[],
  now: number,
): Promise<Habit> {
  if (memory.habit === undefined || memory.habitDay !== dayOf(now)) {
    const counts = await readHours(db, memory.feedId, firstHourLearnt(now))
    memory.habit = learnHabit(counts, { now, calendar, maintenance })
    memory.habitDay = dayOf(now)
  }
  return memory.habit
}

async function lookAtMessages(memory: FeedMemory, options: WatchOptions): Promise<void> {
  const { db, now, config } = options
  const positions = await newestPositions(db, memory.feedId, positionsMax)
  memory.sequence = findSequenceFaults(positions, now())
  memory.sequenceAt = now()
  const newest = positions.at(-1)
  if (newest === undefined) return
  const isNew = ({ epoch, seq }: { epoch: number; seq: number }): boolean =>
    epoch > memory.sampledEpoch || (epoch === memory.sampledEpoch && seq > memory.sampledSeq)
  const fresh = positions.filter(isNew)
  // after a restart the past is sampled as far as the window reaches
  const wanted = spread(fresh, memory.sampledEpoch === 0 ? samplesMax : samplesPerRound)
  memory.sampledEpoch = newest.epoch
  memory.sampledSeq = newest.seq
  const found: ClockSample[] = []
  for (const content of await liveContents(
    db,
    memory.feedId,
    newest.epoch,
    wanted.map(({ seq }) => seq),
  )) {
    const messageTime = await options.messageTime(content)
    if (messageTime !== null) found.push({ receivedAt: content.receivedAt, messageTime })
  }
  memory.samples = [...memory.samples, ...found].slice(-samplesMax)
  memory.clockJump = findClockJump(memory.samples, (config.clockJumpMinutes ?? 5) * 60_000)
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
