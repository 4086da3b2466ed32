import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Option, type Command } from 'commander'
import { systemClock } from '../core/clock.js'
import { RetryableError, UsageError } from '../core/errors.js'
import { historyEpochsFrom } from '../core/ids.js'
import { pause } from '../core/pause.js'
import {
  deadLetterTopic,
  domains,
  normalizedTopic,
  rawTopic,
  receivedTopic,
  type Lane,
  type Topic,
} from '../log/topics.js'
import { groupOf } from '../pipelines/stage.js'
import type { EventLog } from '../log/event-log.js'
import type { Database } from '../repository/database.js'
import { settlement } from '../repository/settlement.js'
import { balanceOf, readCountsFile, type DayBalance } from '../services/history/balance.js'
import { inOrder, isWithin, readDaySpan } from '../services/history/day.js'
import { openJournal, readJournal, type DayRecord } from '../services/history/journal.js'
import { planHistory, type DayBy } from '../services/history/plan.js'
import { openDays, sendDay } from '../services/history/send.js'
import { fullPace, liveWaits, nextPace, readWindow, Throttle } from '../services/history/throttle.js'
import type { Configuration } from './config.js'
import { pipelineRoles } from './config-schema.js'
import { onPipeline } from './replay.js'
import { configurationOf, onRepository, openRepository, withPlace, type PlaceFlags } from './repository-access.js'
import type { Runtime } from './runtime.js'
import { exitCodes, progressLine, table, type Terminal } from './terminal.js'

interface SendFlags extends PlaceFlags {
  readonly fromFiles: string[]
  readonly days?: string
  readonly order: 'newest' | 'oldest'
  readonly dayBy: DayBy
  readonly perSecond: string
  readonly between?: string
  readonly liveLagMax: string
  readonly settleMinutes: string
  readonly again?: boolean
  readonly hospital?: string
  readonly charset?: string
  readonly json?: boolean
}

interface StatusFlags extends PlaceFlags {
  readonly counts?: string
  readonly state?: string
  readonly recount?: boolean
  readonly json?: boolean
}

export function backfillCommand(program: Command, terminal: Terminal): void {
  const backfill = program
    .command('backfill')
    .description('send years of history through the bulk lane, day by day, and reconcile each day')
  withPlace(backfill.command('send <feed>', { isDefault: true }))
    .description('hutong backfill <feed> --from-files DIR…: send history; a stopped backfill goes on where it was')
    .requiredOption('--from-files <dir...>', 'folders with the HL7 v2 messages of the past')
    .option('--days <first..last>', 'these days only, as 2019-01-01..2023-12-31')
    .addOption(new Option('--order <which>', 'which days go first').choices(['newest', 'oldest']).default('newest'))
    .addOption(
      new Option('--day-by <what>', "a file's day: the date in its path, MSH-7 where it has none; or always MSH-7")
        .choices(['path', 'message'])
        .default('path'),
    )
    .option('--per-second <n>', 'messages a second at most', '500')
    .option('--between <HH:MM-HH:MM>', 'only within these hours of +08:00, as 20:00-06:00')
    .option('--live-lag-max <records>', 'send nothing while more than this waits in the live lane', '2000')
    .option('--settle-minutes <n>', 'leave a day whose receipts make no progress for this long', '30')
    .option('--again', 'also days that are settled')
    .option('--hospital <code>', 'whose data it is, for a feed the configuration does not name', 'LOCAL')
    .option('--charset <name>', "the sender's charset, for a feed the configuration does not name")
    .option('--json', 'one JSON object per day')
    .addHelpText(
      'after',
      `
<data-dir>/backfill/<feed> keeps which day is sent and settled; a day whose files changed since is sent again.
With kafka the running deployment does the work, and with uplink that of the province; else this process does.
Exit code: 0 all days settled (sent, with uplink) and none has dead letters, 1 some are not, 3 a part is not there.`,
    )
    .action((feed: string, flags: SendFlags) => send(feed, flags, terminal))
  withPlace(backfill.command('status <feed>'))
    .description("what became of each day, beside the hospital's own count")
    .option('--counts <file>', "CSV of the hospital's count: date,count")
    .option('--recount', 'count in the repository now, not as when the day was settled')
    .option('--state <dir>', 'folder of the days, where it is not <data-dir>/backfill/<feed>')
    .option('--json', 'one JSON object: {"balanced","days":[…]}')
    .addHelpText('after', '\nExit code: 0 every day is balanced, 1 some day is not.')
    .action((feed: string, flags: StatusFlags) => status(feed, flags, terminal))
  for (const [name, description] of [
    ['pause', 'let a running backfill wait; it stays paused over restarts'],
    ['resume', 'let it go on'],
  ] as const) {
    withPlace(backfill.command(`${name} <feed>`))
      .description(description)
      .action(async (feed: string, flags: PlaceFlags) => {
        const folder = folderOf(await configurationOf(flags, terminal), feed)
        await mkdir(folder, { recursive: true })
        if (name === 'pause') await writeFile(pauseFile(folder), '')
        else await rm(pauseFile(folder), { force: true })
      })
  }
}

const folderOf = ({ dataDir = '.hutong' }: Pick<Configuration, 'dataDir'>, feed: string): string => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$/.test(feed)) throw new UsageError(`${feed} is not the name of a feed`)
  return join(dataDir, 'backfill', feed)
}
const pauseFile = (folder: string): string => join(folder, 'paused')

async function send(feed: string, flags: SendFlags, terminal: Terminal): Promise<void> {
  const perSecond = positive('--per-second', flags.perSecond)
  const lagMax = positive('--live-lag-max', flags.liveLagMax)
  const settleMs = positive('--settle-minutes', flags.settleMinutes) * 60_000
  const span = flags.days === undefined ? undefined : readDaySpan(flags.days)
  const window = flags.between === undefined ? undefined : readWindow(flags.between)
  const configuration = await configurationOf(flags, terminal)
  const { kafka, uplink, feeds } = configuration
  const isElsewhere = kafka !== undefined || uplink !== undefined
  if (isElsewhere && !feeds.some(({ name }) => name === feed)) {
    throw new UsageError(`feed ${feed}: the configuration does not name it, nor would those who read its messages`)
  }
  const folder = folderOf(configuration, feed)
  const line = progressLine(terminal)
  const plan = await planHistory(flags.fromFiles, {
    by: flags.dayBy,
    progress: (files) => files % 1000 === 0 && line.show(`looked at ${files} files`),
  })
  const stop = new AbortController()
  const stopOn = (): void => stop.abort()
  process.once('SIGINT', stopOn).once('SIGTERM', stopOn)
  const { hospital, charset } = flags
  // Its own spool and no status port: a receiver of the same deployment may hold the others.
  const ofSender: Configuration = { ...configuration }
  delete (ofSender as { http?: unknown }).http
  try {
    await onPipeline(
      ofSender,
      {
        lane: 'bulk',
        command: 'backfill',
        roles: isElsewhere ? ['receive'] : pipelineRoles,
        spool: { dir: join(folder, 'spool'), epochsFrom: historyEpochsFrom },
        ...(hospital !== undefined && { hospital }),
        ...(charset !== undefined && { charset }),
      },
      async (runtime) => {
        const journal = await openJournal(folder)
        const ownDatabase = kafka === undefined ? undefined : await openRepository(configuration)
        const database = ownDatabase ?? runtime.database
        const pace = uplink === undefined ? followLanes(runtime.log, lagMax, stop.signal) : unseenLanes
        const throttle = new Throttle({
          perSecond,
          ...(window !== undefined && { window }),
          share: pace.share,
          hold: () => heldBy(folder, runtime, pace),
          held: (reason) => tellHeld(reason, line, terminal),
          now: () => systemClock.now(),
        })
        try {
          const order = inOrder(
            [...plan.days.keys()].filter((day) => isWithin(day, span)),
            flags.order,
          )
          const open = openDays(order, plan, journal, {
            again: flags.again === true,
            settles: database !== undefined,
          })
          if (open.length === 0) terminal.err('all days are done\n')
          for (const [index, { planned, work }] of open.entries()) {
            const record = await sendDay(
              planned,
              work,
              {
                feed,
                plan,
                journal,
                spool: runtime.spool!,
                throttle,
                ...(database !== undefined && { settlement: (spans) => settlement(database, spans) }),
                settleMs,
                now: () => systemClock.now(),
                progress: (text) => line.show(`${index + 1} of ${open.length} days: ${text}`),
              },
              stop.signal,
            )
            line.end()
            if (record === undefined) break
            const [balance] = balanceOf(new Map([[record.day, record]]))
            terminal.out(flags.json === true ? `${JSON.stringify(balance)}\n` : describe(balance!))
          }
          const done = order.flatMap((day) => journal.days.get(day) ?? [])
          const isDone = done.length === order.length && done.every((record) => isGood(record, uplink !== undefined))
          process.exitCode = isDone ? exitCodes.ok : exitCodes.found
        } finally {
          stop.abort()
          await journal.close()
          await ownDatabase?.close()
        }
      },
    )
  } finally {
    process.off('SIGINT', stopOn).off('SIGTERM', stopOn)
  }
}

function positive(flag: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new UsageError(`${flag} must be a number above 0, not ${text}`)
  return value
}

const isGood = ({ state, refused, settlement: found }: DayRecord, endsWithSending: boolean): boolean =>
  refused === 0 && (state === 'settled' || (endsWithSending && state === 'sent')) && (found?.deadLettered ?? 0) === 0

/** What comes and goes by itself, many times an hour, is no line of its own. */
function tellHeld(reason: string | undefined, line: ReturnType<typeof progressLine>, terminal: Terminal): void {
  if (reason === undefined) return
  if (reason === liveWaits || reason === spoolWaits || reason === laneWaits) return line.show(`waiting: ${reason}`)
  line.end()
  terminal.err(`waiting: ${reason}\n`)
}

const laneWaits = 'the bulk lane has enough'
const spoolWaits = 'what is spooled has to be handed on first'

/** What waits in the spool stays small: the disk is the receivers' too, and a pause takes effect soon. */
const spooledMax = 5000

/** What waits in the bulk lane stays small: it is worked on in the pauses of live data, and other hospitals' drains come behind it. */
const bulkWaitingMax = 1000

function heldBy(folder: string, { spool }: Runtime, pace: LanePace): string | undefined {
  if (existsSync(pauseFile(folder))) return 'paused'
  if (pace.laneIsFull()) return laneWaits
  return spool!.statistics().depth > spooledMax ? spoolWaits : undefined
}

/** Groups of the stages of a lane that messages pass, with what each reads. */
function groupsOf(lane: Lane): readonly { readonly group: string; readonly topics: readonly Topic[] }[] {
  const stages = [
    { name: 'parse', topics: [rawTopic(lane)] },
    { name: 'normalise', topics: domains.map((domain) => receivedTopic(domain, lane)) },
    // dead letters of both lanes are one topic, read by the live sink
    {
      name: 'sink',
      topics: [
        ...domains.map((domain) => normalizedTopic(domain, lane)),
        ...(lane === 'live' ? [deadLetterTopic] : []),
      ],
    },
  ]
  return stages.map(({ name, topics }) => ({ group: groupOf({ name, lane }), topics }))
}

interface LanePace {
  readonly share: () => number
  readonly laneIsFull: () => boolean
}

/** Of a hospital that only reaches the gateway: the lanes are looked after in the province. */
const unseenLanes: LanePace = { share: () => 1, laneIsFull: () => false }

/** Looks every second at what waits in both lanes, until `signal` aborts. */
function followLanes(log: EventLog, lagMax: number, signal: AbortSignal): LanePace {
  let pace = fullPace
  let bulkLag: number | null = 0
  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      pace = nextPace(pace, await lagOf(log, 'live'), lagMax)
      bulkLag = await lagOf(log, 'bulk')
      await pause(1000, signal)
    }
  }
  void follow()
  return { share: () => pace.share, laneIsFull: () => bulkLag === null || bulkLag > bulkWaitingMax }
}

/** Records that wait in a lane; null where nobody can tell. */
async function lagOf(log: EventLog, lane: Lane): Promise<number | null> {
  try {
    let lag = 0
    for (const { group, topics } of groupsOf(lane)) {
      for (const position of await log.positions(group, topics)) lag += Number(position.lag)
    }
    return lag
  } catch (error) {
    if (error instanceof RetryableError) return null
    throw error
  }
}

async function status(feed: string, flags: StatusFlags, terminal: Terminal): Promise<void> {
  const folder = flags.state ?? folderOf(await configurationOf(flags, terminal), feed)
  const recorded = await readJournal(folder)
  const counts = flags.counts === undefined ? undefined : await readCountsFile(flags.counts)
  if (recorded.size === 0 && counts === undefined) throw new UsageError(`there is no backfill of ${feed} in ${folder}`)
  const days =
    flags.recount === true
      ? await onRepository(flags, terminal, (database) => recount(database, feed, recorded))
      : recorded
  const balances = balanceOf(days, counts)
  const balanced = balances.every((day) => day.balanced)
  if (flags.json === true) terminal.out(`${JSON.stringify({ feed, balanced, days: balances })}\n`)
  else terminal.out(tableOf(balances))
  process.exitCode = balanced ? exitCodes.ok : exitCodes.found
}

async function recount(
  database: Database,
  feed: string,
  recorded: ReadonlyMap<string, DayRecord>,
): Promise<ReadonlyMap<string, DayRecord>> {
  const days = new Map<string, DayRecord>()
  for (const [day, record] of recorded) {
    const spans = record.spans.map((span) => ({ feed, ...span }))
    const found = await settlement(database, spans)
    const state = record.state === 'sent' && found.inFlight === 0 ? 'settled' : record.state
    days.set(day, { ...record, state, settlement: found })
  }
  return days
}

function tableOf(days: readonly DayBalance[]): string {
  const head = ['day', 'state', 'hospital', 'read', 'sent', 'stored', 'superseded', 'dead letters', 'ignored']
  const rows = days.map((day) => [
    day.day,
    day.state,
    day.hospital === null ? '-' : String(day.hospital),
    ...[day.read, day.sent, day.stored, day.superseded, day.deadLettered, day.ignored, day.inFlight].map(String),
    ...[day.refused, day.difference].map(String),
    day.balanced ? 'balanced' : 'NOT BALANCED',
  ])
  const bad = days.filter((day) => !day.balanced)
  return (
    table([[...head, 'in flight', 'refused', 'difference', ''], ...rows]) +
    `${days.length} days, ${days.length - bad.length} balanced\n` +
    bad.map((day) => `${day.day}: ${whatIsWrong(day)}\n`).join('')
  )
}

function whatIsWrong({ state, difference, inFlight, refused, hospital }: DayBalance): string {
  const expected = hospital === null ? 'were read' : 'the hospital counts'
  return [
    ...(state === 'sending' ? ['not sent to its end'] : []),
    ...(inFlight > 0 ? [`${inFlight} in flight`] : []),
    ...(refused > 0 ? [`${refused} files or messages without a readable MSH`] : []),
    ...(difference > inFlight ? [`${difference - inFlight} fewer than ${expected}`] : []),
    ...(difference < 0 ? [`${-difference} more than ${expected}`] : []),
  ].join(', ')
}

const describe = (day: DayBalance): string =>
  `${day.day} ${day.state}: read ${day.read}, sent ${day.sent} = stored ${day.stored} + superseded ${day.superseded} + ` +
  `dead letters ${day.deadLettered} + ignored ${day.ignored} + in flight ${day.inFlight}; refused ${day.refused}\n`
