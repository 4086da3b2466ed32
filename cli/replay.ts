import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import pLimit from 'p-limit'
import { controlIdOf, senderOf } from '../connectors/astm-lis2/header.js'
import { cutAstmMessages, isAstmMessage } from '../connectors/astm-lis2/message-cutter.js'
import { cutMessages } from '../connectors/hl7v2/framing.js'
import { readHeader } from '../connectors/hl7v2/header.js'
import { astmParser } from '../connectors/astm-lis2/to-events.js'
import type { Parser } from '../connectors/connector.js'
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
  readonly progress: (text: string) => void
  /** When messages are received (default: now). */
  readonly receiptClock?: Clock
}

export function replayCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('replay <path...>'))
    .description(
      'send the HL7 v2 and LIS2-A2 (ASTM) messages of files and folders through the same path as live ones into the repository',
    )
    .option('--feed <name>', 'the feed they belong to; by default made from MSH-3 and MSH-4, or H-5, of each message')
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
  readonly bulk?: boolean
  readonly json?: boolean
}

/** Sends every message of the files and waits until each has its receipts. */
export async function replay(
  configuration: Configuration,
  files: AsyncIterable<string>,
  options: ReplayOptions,
): Promise<ReplayResult> {
  return onPipeline(configuration, options, (runtime) => sendFiles(runtime, files, options))
}

/** Runs a whole pipeline of this configuration, listeners closed, while `work` sends through it. */
export async function onPipeline<T>(
  configuration: Configuration,
  options: Pick<ReplayOptions, 'charset' | 'hospital' | 'lane'> &
    Partial<Pick<RuntimeOptions, 'roles' | 'spool'>> & { readonly command?: string },
  work: (runtime: Runtime) => Promise<T>,
): Promise<T> {
  if (configuration.uplink !== undefined && options.roles === undefined) {
    throw new UsageError(
      'with uplink this place only receives: replay runs in the province, whose configuration has the log and the repository',
    )
  }
  const kind = 'hl7v2-files'
  const connector = connectors.get(kind)
  if (connector === undefined) throw new Error(`no connector ${kind}`)
  const { charset, lane, hospital = 'LOCAL', spool } = options
  const declared = charset === undefined ? {} : { charset }
  const hl7 = connector.parser({ folder: '.', ...declared } as never)
  const astm = astmParser(declared)
  const fallback: Parser = (input) => (isAstmMessage(input.content) ? astm(input) : hl7(input))
  await ensureSchemas(configuration)
  const runtime = await openRuntime({
    configuration,
    connectors,
    roles: options.roles ?? pipelineRoles,
    listen: false,
    ...(spool !== undefined && { spool }),
    parserForUnknown: () => fallback,
    identityOfUnknown: () => ({ hospital, connector: kind }),
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
    const messages = messagesOf(content)
    if (messages.length === 0) refused++
    for (const { index, bytes } of messages) {
      pending.push(
        limit(async () => {
          const position = await accept(spool, bytes, { file, index, feed: options.feed, receivedAt: clock.now() })
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
  },
): Promise<LedgerPosition | undefined> {
  try {
    const { controlId, sender } = senderOfMessage(content)
    return await spool.accept({
      feed: from.feed ?? feedOf(sender),
      content,
      receivedAt: from.receivedAt,
      ...(controlId !== undefined && { controlId }),
      sourceName: from.file,
      sourceIndex: from.index,
    })
  } catch (error) {
    if (error instanceof RefusedError) return undefined
    throw error
  }
}

/** The messages of a file, told by its content: HL7 v2 wherever there is a message of it, else LIS2-A2. */
function messagesOf(content: Buffer): readonly { readonly index: number; readonly bytes: Buffer }[] {
  const { messages } = cutMessages(content)
  if (messages.length > 0) return messages
  return cutAstmMessages(content).map((bytes, at) => ({ index: at + 1, bytes }))
}

/** @throws RefusedError where it has neither an H record nor a readable MSH */
function senderOfMessage(content: Buffer): {
  readonly controlId: string | undefined
  readonly sender: readonly string[]
} {
  if (isAstmMessage(content)) return { controlId: controlIdOf(content), sender: senderOf(content) }
  const { controlId, sendingApplication, sendingFacility } = readHeader(content)
  return { controlId, sender: [sendingApplication, sendingFacility] }
}

/** A feed name made from application and facility, `MSH-3@MSH-4`, in the characters a feed name may have. */
function feedOf([application = '', facility = '']: readonly string[]): string {
  const part = (text: string): string => text.replace(/[^A-Za-z0-9._-]+/g, '_').replace(/^_+|_+$/g, '')
  return [part(application) || 'unknown', part(facility)]
    .filter((name) => name !== '')
    .join('@')
    .slice(0, 100)
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
