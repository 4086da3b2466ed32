import { InvalidArgumentError, Option, type Command } from 'commander'
import { standardTimes } from '../connectors/astm-lis2/sender-link.js'
import { UsageError } from '../core/errors.js'
import { nearest } from '../core/nearest.js'
import { analyserMessages } from './demo/astm-messages.js'
import { sendOverAstm } from './demo/astm-simulator.js'
import { dropFiles } from './demo/file-simulator.js'
import { demoHospitals, type HospitalCode } from './demo/hospitals.js'
import { Journal, type JournalTotals, type SimulatedMessage } from './demo/journal.js'
import { hospitalMessages, runTag, take } from './demo/messages.js'
import { sendOverMllp } from './demo/mllp-simulator.js'
import { Random } from './demo/random.js'
import { bloodCounts } from './demo/templates.js'
import { untilStopped } from './run.js'
import { exitCodes, progressLine, type Terminal } from './terminal.js'

interface SimulateFlags {
  readonly dialect: HospitalCode
  readonly bloodCounts?: boolean
  readonly host: string
  readonly port?: number
  readonly astm?: HostAndPort
  readonly folder?: string
  readonly archive?: string
  readonly count: number
  readonly rate?: number
  readonly connections: number
  readonly inFlight: number
  readonly ackTimeout: number
  readonly unreachable?: number
  readonly loseAnswers: number
  readonly badChecksum: number
  readonly contention: number
  readonly perFile: number
  readonly seed: number
  readonly feed?: string
  readonly journal?: string
}

/** What `hutong simulate` prints when it ends. */
export interface SimulateResult extends JournalTotals {
  readonly seed: number
  readonly seconds: number
  readonly messagesPerSecond: number
}

/** Plays one demonstration hospital against any receiver: the load generator of tests and benchmarks. */
export function simulateCommand(program: Command, terminal: Terminal): void {
  program
    .command('simulate', { hidden: true })
    .description(
      'play a hospital: send synthetic messages over MLLP, as analysers or as files, and keep a journal of what was acknowledged',
    )
    .option('--dialect <name>', 'how the hospital writes: h001, h002 or h003', dialect, 'H001')
    .option('--blood-counts', 'nothing but blood counts patched from templates: cheap enough for load tests')
    .option('--host <address>', 'receiver', '127.0.0.1')
    .option('--port <number>', 'its MLLP port', whole(1, 65_535))
    .option('--astm <host:port>', 'instead of MLLP: analysers that send LIS2-A2 records over LIS1-A to it', hostAndPort)
    .option('--folder <dir>', 'instead of MLLP: drop batch files here')
    .option('--archive <dir>', 'where the receiver moves the files it has taken (default: archive in the folder)')
    .option('--count <number>', 'messages to send', whole(1, Number.MAX_SAFE_INTEGER), 1000)
    .option('--rate <number>', 'messages a second (default: as fast as they are acknowledged)', positive)
    .option('--connections <number>', 'connections at a time', whole(1, 65_535), 1)
    .option('--in-flight <number>', 'messages sent on a connection before the first is answered', whole(1, 100_000), 1)
    .option('--ack-timeout <ms>', 'send again without an answer for this long', whole(1, 86_400_000), 10_000)
    .option(
      '--unreachable <ms>',
      'give up when no connection could be opened for this long (default: never)',
      whole(1, 86_400_000),
    )
    .option(
      '--lose-answers <share>',
      'share of acknowledgements lost on the way, 0 to 1: those messages are sent again',
      share,
      0,
    )
    .option('--bad-checksum <share>', 'with --astm: share of frames that arrive damaged once', share, 0)
    .option('--contention <share>', 'with --astm: share of enquiries made anew after a second', share, 0)
    .option('--per-file <number>', 'messages in a batch file', whole(1, 1_000_000), 50)
    .addOption(
      new Option('--seed <number>', 'the same seed sends the same bytes')
        .argParser(whole(1, 0x7fff_ffff))
        .default(undefined, 'drawn'),
    )
    .option('--feed <name>', "the receiver's name for this feed: the journal then has the product's message ids")
    .option('--journal <file>', 'append a line of JSON for each settled message')
    .addHelpText(
      'after',
      '\nPrints one line of JSON when it ends or is stopped (SIGINT, SIGTERM). Exit code: 0 everything was acknowledged,' +
        '\n1 something was not, 2 wrong arguments, 3 nobody answers (with --unreachable).',
    )
    .action(async (flags: Omit<SimulateFlags, 'seed'> & { seed?: number }) => {
      if ([flags.port, flags.folder, flags.astm].filter((one) => one !== undefined).length !== 1) {
        throw new UsageError('say where to send: --port (MLLP), --folder (files) or --astm (analysers)')
      }
      const seed = flags.seed ?? 1 + Math.floor(Math.random() * 999_999)
      terminal.err(`seed ${seed}\n`)
      const result = await simulate({ ...flags, seed }, terminal, untilStopped())
      terminal.out(`${JSON.stringify(result)}\n`)
      process.exitCode = result.acknowledged === flags.count ? exitCodes.ok : exitCodes.found
    })
}

async function simulate(flags: SimulateFlags, terminal: Terminal, signal: AbortSignal): Promise<SimulateResult> {
  const { feed, seed, rate } = flags
  const journal = new Journal({
    ...(flags.journal !== undefined && { file: flags.journal }),
    ...(feed !== undefined && { feed }),
    entries: false,
  })
  const line = progressLine(terminal)
  const timer = setInterval(() => {
    const { sent, acknowledged } = journal.totals()
    line.show(`sent ${sent}, acknowledged ${acknowledged}`)
  }, 500)
  const started = performance.now()
  const messages = take<SimulatedMessage>(sourceOf(flags), flags.count)
  const pace = rate === undefined ? {} : { rate }
  try {
    if (flags.folder !== undefined) {
      const { folder, archive, perFile } = flags
      const namePrefix = `results-${runTag(seed)}`
      const archiveFolder = archive === undefined ? {} : { archiveFolder: archive }
      await dropFiles(
        { folder, messages, journal, messagesPerFile: perFile, namePrefix, ...archiveFolder, ...pace },
        signal,
      )
    } else if (flags.astm !== undefined) {
      const { astm, connections, ackTimeout, unreachable, loseAnswers, badChecksum, contention } = flags
      const giveUp = unreachable === undefined ? {} : { unreachableMs: unreachable }
      const times = { ...standardTimes, answerMs: ackTimeout }
      const random = new Random(seed, 'line')
      const faults = { loseAnswers, badChecksum, contention, random }
      await sendOverAstm({ ...astm, connections, messages, journal, times, ...faults, ...giveUp, ...pace }, signal)
    } else {
      const { host, port = 0, connections, inFlight, ackTimeout, unreachable, loseAnswers } = flags
      const random = new Random(seed, 'answers')
      const giveUp = unreachable === undefined ? {} : { unreachableMs: unreachable }
      await sendOverMllp(
        {
          host,
          port,
          connections,
          inFlight,
          messages,
          journal,
          ackTimeoutMs: ackTimeout,
          loseAnswers,
          random,
          ...giveUp,
          ...pace,
        },
        signal,
      )
    }
  } finally {
    clearInterval(timer)
    line.end()
    journal.close()
  }
  const seconds = (performance.now() - started) / 1000
  const totals = journal.totals()
  const messagesPerSecond = Math.round(totals.acknowledged / seconds)
  return { seed, ...totals, seconds: Math.round(seconds * 1000) / 1000, messagesPerSecond }
}

function sourceOf({
  dialect: hospital,
  bloodCounts: templates,
  seed,
  astm,
}: SimulateFlags): Iterator<SimulatedMessage> {
  if (astm !== undefined) return analyserMessages({ hospital, seed })
  return templates === true ? bloodCounts({ hospital, seed }) : hospitalMessages({ hospital, seed })
}

interface HostAndPort {
  readonly host: string
  readonly port: number
}

/** Reads `10.1.2.3:4001`, `[::1]:4001` or a port alone. */
function hostAndPort(text: string): HostAndPort {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]:|([^:\s]+):)?(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port < 1 || port > 65_535) throw new InvalidArgumentError('It must be host:port.')
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port }
}

function dialect(text: string): HospitalCode {
  const codes = demoHospitals.map(({ code }) => code)
  const found = codes.find((code) => code === text.toUpperCase())
  if (found !== undefined) return found
  const near = nearest(text.toUpperCase(), codes)?.toLowerCase()
  throw new InvalidArgumentError(near === undefined ? 'known: h001, h002, h003.' : `Did you mean ${near}?`)
}

/** Reads a whole number of an option. */
export const whole =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }

/** Reads a number above zero of an option. */
export function positive(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('It must be a number above 0.')
}

function share(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && value >= 0 && value < 1) return value
  throw new InvalidArgumentError('It must be a number from 0 to below 1.')
}
