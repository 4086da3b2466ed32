import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import pLimit from 'p-limit'
import type { TSchema } from '@sinclair/typebox'
import type { Connector, Parser } from '../connectors/connector.js'
import { cutFile } from '../connectors/files/format.js'
import { systemClock, type Clock } from '../core/clock.js'
import { RefusedError, UsageError } from '../core/errors.js'
import type { LedgerPosition } from '../core/ids.js'
import { createLogger } from '../core/telemetry.js'
import type { Spool } from '../log/spool.js'
import { lanes, rawTopic, type Lane } from '../log/topics.js'
import { groupOf } from '../pipelines/stage.js'
import { pause } from '../core/pause.js'
import type { Database } from '../repository/database.js'
import { settlement, type Settlement } from '../repository/settlement.js'
import type { Configuration } from './config.js'
import { pipelineRoles } from './config-schema.js'
import { connectors } from './connectors.js'
import { filesOf } from './files.js'
import { configurationOf, withPlace, type PlaceFlags } from './repository-access.js'
import { ensureSchemas, openRuntime, type Runtime, type RuntimeOptions } from './runtime.js'
import { exitCodes, progressLine, type Terminal } from './terminal.js'

export interface ReplayResult extends Settlement {
  readonly received: number
  readonly refused: number
  readonly messagesPerSecond: number
}

export interface ReplayOptions {
  readonly feed?: string
  readonly hospital?: string
  readonly lane?: Lane
  readonly charset?: string
  /** What the files are of; told by their content where left out. */
  readonly connector?: string
  readonly progress: (text: string) => void
  /** When messages are received (default: now). */
  readonly receiptClock?: Clock
}

export function replayCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('replay <path...>'))
    .description('send the messages of files and folders through the same path as live ones into the repository')
    .option('--feed <name>', 'the feed they belong to; by default made from what each message says of its sender')
    .option(
      '--connector <name>',
      `what the files are of, where their content does not tell: ${[...connectors.keys()].join(', ')}`,
    )
    .option('--hospital <code>', 'whose data it is, for feeds the configuration does not name', 'LOCAL')
    .option('--charset <name>', "the sender's charset, for feeds the configuration does not name")
    .option('--mappings <file...>', 'local-code mapping files')
    .option('--bulk', 'take the bulk lane')
    .option(
      '--json',
      'one line: {"received","stored","superseded","deadLettered","ignored","inFlight","refused","messagesPerSecond"}',
    )
    .addHelpText(
      'after',
      '\nHUTONG_DATABASE_URL, HUTONG_KAFKA_BROKERS (with HUTONG_SCHEMA_REGISTRY_URL) say where to; embedded stores in' +
        '\n--data-dir where unset. Ends when every message has its receipt. Sending the same files again changes no row.' +
        '\nExit code: 0 all messages settled and none dead-lettered, 1 some dead-lettered or refused, 3 a part is not there.',
    )
    .action(async (paths: string[], options: ReplayFlags) => {
      const configuration = await configurationOf(options, terminal)
      const line = progressLine(terminal)
      const result = await replay(configuration, filesOf(paths), {
        ...(options.feed !== undefined && { feed: options.feed }),
        ...(options.hospital !== undefined && { hospital: options.hospital }),
        ...(options.charset !== undefined && { charset: options.charset }),
        ...(options.connector !== undefined && { connector: options.connector }),
        ...(options.bulk === true && { lane: 'bulk' as const }),
        progress: (text) => line.show(text),
      })
      line.end()
      if (options.json === true) terminal.out(`${JSON.stringify(result)}\n`)
      else terminal.out(describe(result))
      process.exitCode = result.deadLettered + result.refused + result.inFlight === 0 ? exitCodes.ok : exitCodes.found
    })
}

interface ReplayFlags extends PlaceFlags {
  readonly feed?: string
  readonly hospital?: string
  readonly charset?: string
  readonly connector?: string
  readonly bulk?: boolean
  readonly json?: boolean
}

/** Sends every message of the files and waits until each has its receipts. */
export async function replay(
  configuration: Configuration,
  files: AsyncIterable<string>,
  options: ReplayOptions,
): Promise<ReplayResult> {
  if (options.connector !== undefined) connectorNamed(options.connector)
  const named = new Map(configuration.feeds.map(({ name, connector }) => [name, connector]))
  const unknown = new Map<string, string>()
  const senders: Senders = {
    connectorOf: (feed) => named.get(feed) ?? unknown.get(feed),
    meet: (feed, connector) => void unknown.set(feed, connector),
  }
  return onPipeline(configuration, { ...options, connectorOfUnknown: (feed) => unknown.get(feed) }, (runtime) =>
    sendFiles(runtime, files, options, senders),
  )
}

/** Runs a whole pipeline of this configuration, listeners closed, while `work` sends through it. */
export async function onPipeline<T>(
  configuration: Configuration,
  options: Pick<ReplayOptions, 'charset' | 'hospital' | 'lane'> &
    Partial<Pick<RuntimeOptions, 'roles' | 'spool'>> & {
      readonly command?: string
      /** Of feeds that the configuration does not name (default HL7 v2). */
      readonly connectorOfUnknown?: (feed: string) => string | undefined
    },
  work: (runtime: Runtime) => Promise<T>,
): Promise<T> {
  if (configuration.uplink !== undefined && options.roles === undefined) {
    throw new UsageError(
      'with uplink this place only receives: replay runs in the province, whose configuration has the log and the repository',
    )
  }
  const { charset, lane, hospital = 'LOCAL', spool, connectorOfUnknown } = options
  const parsers = new Map<string, Parser>()
  const parserFor = (name: string): Parser => {
    const parser = parsers.get(name) ?? defaultParser(name, charset)
    parsers.set(name, parser)
    return parser
  }
  await ensureSchemas(configuration)
  const runtime = await openRuntime({
    configuration,
    connectors,
    roles: options.roles ?? pipelineRoles,
    listen: false,
    ...(spool !== undefined && { spool }),
    parserForUnknown: (_, connector) => parserFor(connector),
    identityOfUnknown: (feed) => ({ hospital, connector: connectorOfUnknown?.(feed) ?? usual }),
    ...(lane !== undefined && { forwardLane: lane }),
    logger: createLogger({ level: String(configuration.logLevel ?? 'warn'), role: options.command ?? 'replay' }),
  })
  const stop = new AbortController()
  const running = runtime.run(stop.signal)
  const ended = running.then(() => Promise.reject(new Error('the pipeline ended before the work was done')))
  try {
    const result = await Promise.race([work(runtime), ended])
    // With Kafka the archive of the deployment goes on; here it would stop with this process.
    if (configuration.kafka === undefined && runtime.database !== undefined)
      await Promise.race([archived(runtime), ended])
    return result
  } finally {
    stop.abort()
    ended.catch(() => undefined)
    await running.finally(() => runtime.close())
  }
}

/** What files are of that say nothing else. */
const usual = 'hl7v2-files'

/** @throws UsageError where nobody has such a connector */
function connectorNamed(name: string): Connector<TSchema> {
  const connector = connectors.get(name)
  if (connector !== undefined) return connector
  throw new UsageError(`no connector ${name}; known: ${[...connectors.keys()].join(', ')}`)
}

/** A parser with no settings but the charset. @throws UsageError where the connector cannot do with its defaults */
function defaultParser(name: string, charset: string | undefined): Parser {
  const connector = connectorNamed(name)
  const required = (connector.config as unknown as { readonly required?: readonly string[] }).required ?? []
  const stand = Object.fromEntries(required.map((setting) => [setting, '.']))
  try {
    return connector.parser({ ...stand, ...(charset !== undefined && { charset }) } as never)
  } catch (cause) {
    throw new UsageError(`${name} needs settings: name a feed of a configuration (--config, --feed)`, { cause })
  }
}

interface Senders {
  /** Of a feed that is configured, or was met. */
  connectorOf(feed: string): string | undefined
  meet(feed: string, connector: string): void
}

/** The connector of a file: the feed's, the one asked for, the first that knows the content, else HL7 v2. */
function connectorOfFile(content: Buffer, options: ReplayOptions, senders: Senders): Connector<TSchema> {
  const ofFeed = options.feed === undefined ? undefined : senders.connectorOf(options.feed)
  const name = ofFeed ?? options.connector
  if (name !== undefined) return connectorNamed(name)
  const head = content.subarray(0, 64 * 1024)
  return [...connectors.values()].find(({ recognises }) => recognises?.(head) === true) ?? connectorNamed(usual)
}

const archiveTimeoutMs = 60_000

/** Resolves once the archive has taken what is in the log: it is no part of a message's receipts. */
async function archived({ log }: Runtime): Promise<void> {
  const end = systemClock.now() + archiveTimeoutMs
  for (const lane of lanes) {
    const group = groupOf({ name: 'archive', lane })
    const isBehind = async (): Promise<boolean> =>
      (await log.positions(group, [rawTopic(lane)])).some((position) => position.lag > 0n)
    while (systemClock.now() < end && (await isBehind())) await pause(50)
  }
}

/** Puts every message of the files into the spool and waits for the receipts. */
async function sendFiles(
  runtime: Runtime,
  files: AsyncIterable<string>,
  options: ReplayOptions,
  senders: Senders,
): Promise<ReplayResult> {
  const { spool, database } = runtime
  if (spool === undefined || database === undefined) throw new Error('replay needs a spool and a repository')
  const started = systemClock.now()
  const clock = options.receiptClock ?? systemClock
  const ranges = new Ranges()
  const limit = pLimit(256)
  let refused = 0
  let pending: Promise<void>[] = []
  for await (const file of files) {
    const content = await readFile(file)
    const connector = connectorOfFile(content, options, senders)
    const messages = cutFile(connector.files, content)
    if (messages.length === 0) refused++
    for (const { index, content: bytes } of messages) {
      pending.push(
        limit(async () => {
          const from = { file, index, feed: options.feed, receivedAt: clock.now(), connector, senders }
          const position = await accept(spool, bytes, from)
          if (position === undefined) refused++
          else ranges.add(position)
        }),
      )
    }
    if (pending.length >= 4096) {
      await Promise.all(pending)
      pending = []
      options.progress(`sent ${ranges.total}`)
    }
  }
  await Promise.all(pending)
  const settled = await waitUntilSettled(database, ranges, options)
  const seconds = Math.max(0.001, (systemClock.now() - started) / 1000)
  return { received: ranges.total, ...settled, refused, messagesPerSecond: Math.round(ranges.total / seconds) }
}

async function accept(
  spool: Spool,
  content: Buffer,
  from: {
    readonly file: string
    readonly index: number
    readonly feed: string | undefined
    readonly receivedAt: number
    readonly connector: Connector<TSchema>
    readonly senders: Senders
  },
): Promise<LedgerPosition | undefined> {
  const { name, files } = from.connector
  try {
    const facts = files.facts(content)
    const feed = from.feed ?? (files.sender?.(content) ?? name).slice(0, 100)
    if (from.senders.connectorOf(feed) === undefined) from.senders.meet(feed, name)
    return await spool.accept({
      feed,
      content,
      receivedAt: from.receivedAt,
      ...facts,
      sourceName: from.file,
      sourceIndex: from.index,
    })
  } catch (error) {
    if (error instanceof RefusedError) return undefined
    throw error
  }
}

async function waitUntilSettled(database: Database, ranges: Ranges, options: ReplayOptions): Promise<Settlement> {
  let waitMs = 20
  for (;;) {
    const settled = await settlement(database, ranges.list())
    options.progress(`${ranges.total - settled.inFlight} of ${ranges.total} settled`)
    if (settled.inFlight === 0) return settled
    await pause(waitMs, new AbortController().signal)
    waitMs = Math.min(500, waitMs * 1.5)
  }
}

/** Numbers taken by this replay, as one span per feed and epoch (nobody else writes to the spool meanwhile). */
class Ranges {
  total = 0
  private readonly spans = new Map<string, { feed: string; epoch: number; from: number; to: number }>()

  add({ feed, epoch, seq }: LedgerPosition): void {
    this.total++
    const span = this.spans.get(`${feed}\0${epoch}`)
    if (span === undefined) this.spans.set(`${feed}\0${epoch}`, { feed, epoch, from: seq, to: seq })
    else {
      span.from = Math.min(span.from, seq)
      span.to = Math.max(span.to, seq)
    }
  }

  list(): readonly { feed: string; epoch: number; from: number; to: number }[] {
    return [...this.spans.values()]
  }
}

function describe(result: ReplayResult): string {
  const { received, stored, superseded, deadLettered, ignored, inFlight, refused, messagesPerSecond } = result
  return (
    `received ${received} = stored ${stored} + superseded ${superseded} + dead-lettered ${deadLettered}` +
    ` + ignored ${ignored} + in flight ${inFlight}\nrefused ${refused}; ${messagesPerSecond} messages/s\n` +
    (deadLettered > 0 ? 'See why: hutong dead-letters list\n' : '')
  )
}
