import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Command } from 'commander'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { createSigningKeys, keyIdOf, readSigningKey, readVerifyingKey, type Signature } from '../core/signing.js'
import { folderObjectStore } from '../log/object-store.js'
import type { Database } from '../repository/database.js'
import { listActivations, messagesWaiting, readActivations, recordActivation } from '../repository/feed-activation.js'
import { findFeed } from '../repository/feed-hours.js'
import { dayStart } from '../repository/months.js'
import { checklist } from '../services/acceptance/checklist.js'
import { readOutageWindows } from '../services/acceptance/declared-outage.js'
import { openEvidence, type EvidenceReader } from '../services/acceptance/gather.js'
import { dayOf } from '../services/acceptance/observe.js'
import { isChanged } from '../services/acceptance/activation.js'
import {
  activationFaults,
  faultTexts,
  judgeReport,
  readReport,
  sha256,
  signReport,
  type AcceptanceReport,
  type ReportFault,
} from '../services/acceptance/report.js'
import { readHospitalCounts, readWaivers } from '../services/acceptance/inputs.js'
import { itemTable, watchChecklist, type Judged } from './acceptance-watch.js'
import { loadConfiguration, type Configuration, type FeedConfig } from './config.js'
import { connectors } from './connectors.js'
import { readingHash } from './feed-hash.js'
import { onRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { catalogueOf, ciphersOf } from './runtime.js'
import { exitCodes, table, type Terminal } from './terminal.js'

interface RunFlags extends PlaceFlags {
  readonly from?: string
  readonly to?: string
  readonly counts?: string
  readonly out: string
  readonly waive?: string[]
  readonly by?: string
  readonly outage?: string[]
  readonly watch?: boolean
  readonly json?: boolean
}

interface ActivateFlags extends PlaceFlags {
  readonly report?: string
  readonly override?: string
  readonly reason?: string
  readonly by?: string
  readonly json?: boolean
}

const dayMs = 86_400_000
const watchEveryMs = 5000
/** How long a message is waited for whose number was passed, or that has no receipts yet. */
const watchPatienceMs = 60_000

export function acceptanceCommand(program: Command, terminal: Terminal): void {
  const acceptance = program
    .command('acceptance')
    .description('accept a feed: the checklist of 联调测试, its signed report, and activation in production')
  withPlace(acceptance.command('run <feed>', { isDefault: true }))
    .description('judge a feed of the test environment by the checklist and write the signed report (JSON and PDF)')
    .option('--from <YYYY-MM-DD>', 'first day of receipt, +08:00 (default: six days before --to)')
    .option('--to <YYYY-MM-DD>', 'last day of receipt (default: today)')
    .option('--counts <file>', "the hospital's own counts: CSV with a day (YYYY-MM-DD) and a number on each line")
    .option('--out <dir>', 'folder the report is written to', '.')
    .option(
      '--outage <time...>',
      'the way was down within this time: 10:01-10:05 (on the day of --to), 2026-03-03T10:01-10:05',
    )
    .option('--waive <item=reason...>', 'take it on that an item was not passed; the report names who and why')
    .option('--by <name>', 'who runs it (default: the user of this session)')
    .option('--watch', 'show the checklist as it fills, with what to do next; ends when all is shown or on Ctrl-C')
    .option('--json', 'print the report as one JSON object')
    .addHelpText(
      'after',
      `\nItems: ${checklist.items.map(({ id }) => id).join(', ')}.` +
        '\nNeeds --config with the feed; acceptance.keyFile signs the report.' +
        '\nExit code: 0 passed, 1 not passed, 2 usage, 3 the repository is not there.',
    )
    .action((feed: string, flags: RunFlags) => run(feed, flags, terminal, program.version() ?? ''))
  acceptance
    .command('verify <file>')
    .description('whether a report is as it was signed, and its PDF with it')
    .requiredOption('--key <file...>', 'public keys that may have signed it, PEM')
    .action(async (file: string, flags: { readonly key: string[] }) => {
      const keys = flags.key.map((one) => readVerifyingKey('--key', one))
      const read = await readReportFile(file, keys)
      if (typeof read === 'string') {
        terminal.out(`${file}: ${faultTexts[read]}\n`)
        process.exitCode = exitCodes.found
        return
      }
      const { hospital, feed, conclusion, generatedAt, generatedBy } = read.report
      terminal.out(
        `${file}: signed; ${hospital} ${feed}, ${conclusion}, ${new Date(generatedAt).toISOString()} by ${generatedBy}\n`,
      )
    })
  acceptance
    .command('keys <dir>')
    .description(
      'make the pair of keys reports are signed with: acceptance-key.pem (secret) and acceptance-key.pub.pem',
    )
    .action(async (dir: string) => {
      await mkdir(dir, { recursive: true })
      const { privateKey, publicKey } = createSigningKeys()
      const secret = join(dir, 'acceptance-key.pem')
      // never over a key that reports were signed with
      await writeFile(secret, privateKey, { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
        throw new UsageError(`cannot write ${secret}: ${error.code}`, { cause: error })
      })
      await chmod(secret, 0o600)
      await writeFile(join(dir, 'acceptance-key.pub.pem'), publicKey)
      const id = keyIdOf(readVerifyingKey('key', join(dir, 'acceptance-key.pub.pem')))
      terminal.out(`${secret} and acceptance-key.pub.pem, key ${id}\n`)
    })
  withActor(acceptance.command('activate <feed>'))
    .description('let a feed into production: on a passed report, or on a reason that a person answers for')
    .option('--report <file>', 'JSON of a passed report; its .sig and PDF stand beside it')
    .option('--override <reason>', 'activate without a passed report, for this reason')
    .action((feed: string, flags: ActivateFlags) => activate(feed, flags, terminal))
  withActor(acceptance.command('deactivate <feed>'))
    .description('take a feed out of production: its messages wait as dead letters')
    .requiredOption('--reason <text>', 'why')
    .action((feed: string, flags: ActivateFlags) => deactivate(feed, flags, terminal))
  withPlace(acceptance.command('list'))
    .description('how each feed of the configuration stands in production, and how many of its messages wait')
    .option('--json', 'one JSON object per line')
    .action((flags: PlaceFlags & { readonly json?: boolean }) => list(flags, terminal))
  withPlace(acceptance.command('activations'))
    .description('who activated and deactivated which feed, when and on what grounds; the newest first')
    .option('--feed <name>', 'this feed only')
    .option('--json', 'one JSON object per line')
    .action(async (flags: PlaceFlags & { readonly feed?: string; readonly json?: boolean }) => {
      const entries = await onRepository(flags, terminal, (database) => listActivations(database, flags.feed))
      if (flags.json === true) return entries.forEach((entry) => terminal.out(`${JSON.stringify(entry)}\n`))
      const rows = entries.map(({ at, hospital, feed, isActive, by, reportSha256, reason }) => [
        new Date(at).toISOString(),
        hospital,
        feed,
        isActive ? 'activated' : 'deactivated',
        by,
        reportSha256 === null ? (reason ?? '') : `report ${reportSha256.slice(0, 12)}`,
      ])
      terminal.out(table([['at', 'hospital', 'feed', 'what', 'by', 'on'], ...rows]))
    })
}

const withActor = (command: Command): Command =>
  withPlace(command)
    .option('--by <name>', 'who (default: the user of this session)')
    .option('--json', 'one JSON object')

async function run(name: string, flags: RunFlags, terminal: Terminal, product: string): Promise<void> {
  const { configuration, feed } = await feedOf(name, flags, terminal)
  if (configuration.environment !== 'test') {
    throw new UsageError('a feed is accepted in the test environment; this configuration is of production')
  }
  const to = dayOf(flags.to === undefined ? systemClock.now() : dayOption('--to', flags.to))
  const from = dayOf(flags.from === undefined ? dayStart(to) - 6 * dayMs : dayOption('--from', flags.from))
  if (from > to) throw new UsageError(`--from ${from} is after --to ${to}`)
  const by = actor(flags)
  const waivers = readWaivers(flags.waive ?? [], by)
  const hospitalCounts = flags.counts === undefined ? new Map<string, number>() : await countsOf(flags.counts)
  const { acceptance = {} } = configuration
  const key = acceptance.keyFile === undefined ? undefined : readSigningKey('acceptance.keyFile', acceptance.keyFile)
  if (key === undefined && flags.watch !== true) {
    throw new UsageError('reports are signed: make a key with hutong acceptance keys and name it in acceptance.keyFile')
  }
  const gathering = {
    stores: {
      objects: folderObjectStore(join(configuration.dataDir ?? '.hutong', 'objects')),
      cipher: (keyId: string) => ciphersOf(configuration).get(keyId),
    },
    parser: connectors.get(feed.connector)!.parser(feed.settings as never),
    catalogue: catalogueOf(configuration),
    charset: typeof feed.settings.charset === 'string' ? feed.settings.charset : null,
    kindsDeclared: acceptance.kinds?.[name] ?? ['ORU^R01'],
    from: dayStart(from),
    to: dayStart(to) + dayMs,
    hospitalCounts,
    outageWindows: readOutageWindows(flags.outage ?? [], to),
  }
  const judging = (db: Database, patienceMs: number): (() => Promise<Judged | undefined>) => {
    let evidence: EvidenceReader | undefined
    return async () => {
      if (evidence === undefined) {
        const [found] = (await findFeed(db, name, 'test')).filter(({ hospital }) => hospital === feed.hospital)
        if (found === undefined) return undefined
        evidence = openEvidence({ ...gathering, db, feed: found }, patienceMs)
      }
      const now = systemClock.now()
      const facts = {
        product,
        environment: configuration.environment,
        hospital: feed.hospital,
        hospitalName: acceptance.hospitalNames?.[feed.hospital] ?? null,
        platformName: acceptance.platformName ?? null,
        feed: name,
        connector: feed.connector,
        configurationSha256: readingHash(feed),
        period: { from, to },
        generatedAt: now,
        generatedBy: by,
      }
      return judgeReport(facts, await evidence.gather(now), waivers)
    }
  }
  const judged = await onRepository(flags, terminal, async (db) => {
    if (flags.watch !== true) return judging(db, 0)()
    const seen = await watch(judging(db, watchPatienceMs), terminal)
    // what is signed is read as a whole, at one time
    return key === undefined ? seen : judging(db, 0)()
  })
  if (judged === undefined) throw new UsageError(`the repository knows no feed ${name} of ${feed.hospital} yet`)
  const { report, unusable } = judged
  if (unusable.length > 0) {
    throw new UsageError(`nothing to waive: ${unusable.join(', ')} (passed, unknown, or not to be waived)`)
  }
  const file = key === undefined ? undefined : await writeReport(report, key, flags.out)
  if (flags.json === true) terminal.out(`${JSON.stringify(report)}\n`)
  else {
    terminal.out(itemTable(report, terminal))
    terminal.out(`${report.conclusion}${file === undefined ? '' : `; ${file}`}\n`)
  }
  process.exitCode = report.conclusion === 'passed' ? exitCodes.ok : exitCodes.found
}

/** Until all is shown or Ctrl-C; a second one ends the process. */
async function watch(judge: () => Promise<Judged | undefined>, terminal: Terminal): Promise<Judged | undefined> {
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal)
  try {
    return await watchChecklist(judge, terminal, { signal: stop.signal, everyMs: watchEveryMs })
  } finally {
    process.removeListener('SIGINT', onSignal)
  }
}

/** Writes PDF, JSON and their signatures; resolves with the path of the JSON. */
async function writeReport(
  report: AcceptanceReport,
  key: ReturnType<typeof readSigningKey>,
  dir: string,
): Promise<string> {
  await mkdir(dir, { recursive: true })
  const name = `acceptance-${report.hospital.replace(/[^A-Za-z0-9_-]/g, '_')}-${report.feed}-${report.period.to}`
  // Only here: it is 30 MB that no other command, and no role, should carry.
  const { reportPdf } = await import('../services/acceptance/report-pdf.js').catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new UsageError('the package of an edge does not write reports: run this in the province', { cause })
  })
  const pdf = await reportPdf(report)
  const pdfName = `${name}.pdf`
  await writeFile(join(dir, pdfName), pdf)
  const { json, signature } = signReport({ ...report, pdf: { file: pdfName, sha256: sha256(pdf) } }, key)
  const file = join(dir, `${name}.json`)
  await writeFile(file, json)
  await writeFile(`${file}.sig`, `${JSON.stringify(signature)}\n`)
  return file
}

async function readReportFile(
  file: string,
  keys: ReturnType<typeof readVerifyingKey>[],
): Promise<{ readonly report: AcceptanceReport; readonly sha256: string } | ReportFault> {
  const json = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`cannot read ${file}: ${error.code}`, { cause: error })
  })
  const report = readReport(json, signatureOf(`${file}.sig`), keys)
  if (typeof report === 'string') return report
  if (report.pdf !== null) {
    const pdf = await readFile(join(dirname(file), basename(report.pdf.file))).catch(() => undefined)
    if (pdf === undefined || sha256(pdf) !== report.pdf.sha256) return 'pdf-differs'
  }
  return { report, sha256: sha256(json) }
}

function signatureOf(file: string): Signature | undefined {
  try {
    const { keyId, signature } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Signature>
    return typeof keyId === 'string' && typeof signature === 'string' ? { keyId, signature } : undefined
  } catch {
    return undefined
  }
}

async function activate(name: string, flags: ActivateFlags, terminal: Terminal): Promise<void> {
  const { configuration, feed } = await productionFeed(name, flags, terminal)
  const { report: file, override } = flags
  if ((file === undefined) === (override === undefined)) {
    throw new UsageError('a feed is activated on --report FILE, or on --override "reason": give one of them')
  }
  if (override?.trim() === '') throw new UsageError('--override needs a reason')
  const configurationSha256 = readingHash(feed)
  let reportSha256: string | null = null
  if (file !== undefined) {
    const { trustedKeyFiles = [], reportDaysMax = 30 } = configuration.acceptance ?? {}
    if (trustedKeyFiles.length === 0) throw new UsageError('name the keys to trust in acceptance.trustedKeyFiles')
    const keys = trustedKeyFiles.map((one) => readVerifyingKey('acceptance.trustedKeyFiles', one))
    const read = await readReportFile(file, keys)
    const faults =
      typeof read === 'string'
        ? [read]
        : activationFaults(
            read.report,
            { name, hospital: feed.hospital, configurationSha256 },
            { now: systemClock.now(), ageMaxMs: reportDaysMax * dayMs },
          )
    if (typeof read === 'string' || faults.length > 0) {
      terminal.err(
        `${name} is not activated on ${file}:\n${faults.map((one) => `  ${one}: ${faultTexts[one]}\n`).join('')}`,
      )
      process.exitCode = exitCodes.found
      return
    }
    reportSha256 = read.sha256
  }
  await record(name, feed, flags, terminal, {
    isActive: true,
    reportSha256,
    configurationSha256,
    reason: override ?? null,
  })
  if (flags.json !== true) {
    terminal.out(
      'What arrived before waits: hutong dead-letters redrive --code feed-not-activated ' +
        `--feed ${name} --yes stores it, where it belongs to production.\n`,
    )
  }
}

async function deactivate(name: string, flags: ActivateFlags, terminal: Terminal): Promise<void> {
  const { feed } = await productionFeed(name, flags, terminal)
  const reason = flags.reason ?? ''
  if (reason.trim() === '') throw new UsageError('--reason needs a text')
  await record(name, feed, flags, terminal, { isActive: false, reportSha256: null, configurationSha256: null, reason })
}

interface Grounds {
  readonly isActive: boolean
  readonly reportSha256: string | null
  readonly configurationSha256: string | null
  readonly reason: string | null
}

async function record(
  name: string,
  { hospital }: FeedConfig,
  flags: ActivateFlags,
  terminal: Terminal,
  grounds: Grounds,
): Promise<void> {
  const entry = { at: systemClock.now(), hospital, feed: name, by: actor(flags), ...grounds }
  const written = await onRepository(flags, terminal, (database) => recordActivation(database, entry))
  const what = grounds.isActive ? 'activated' : 'deactivated'
  terminal.out(
    flags.json === true
      ? `${JSON.stringify(written)}\n`
      : `${hospital} ${name} ${what} by ${written.by}; in force within 20 s\n`,
  )
}

/** Exit code 1 where a feed is not active, waits, or is read otherwise than when it was activated. */
async function list(flags: PlaceFlags & { readonly json?: boolean }, terminal: Terminal): Promise<void> {
  if (flags.config === undefined) throw new UsageError('name the configuration of production with --config')
  const { environment, feeds } = await loadConfiguration(flags.config, connectors, terminal.environment.variables)
  if (environment !== 'production') throw new UsageError('in a test environment every feed may write')
  const entries = await onRepository(flags, terminal, async (db) => {
    const activations = await readActivations(db)
    const waitingOf = await messagesWaiting(db)
    const shown: FeedState[] = []
    for (const feed of feeds) {
      const { name, hospital } = feed
      const last = activations.find((one) => one.feed === name && one.hospital === hospital)
      const [found] = (await findFeed(db, name, environment)).filter((one) => one.hospital === hospital)
      const waiting = found === undefined ? undefined : waitingOf.get(found.id)
      shown.push({
        ...{ hospital, feed: name, isActive: last?.isActive ?? false },
        isChanged: isChanged(last, readingHash(feed)),
        ...{ by: last?.by ?? null, at: last?.at ?? null },
        ...{ waiting: waiting?.messages ?? 0, waitingSince: waiting?.since ?? null },
      })
    }
    return shown
  })
  const time = (at: number | null): string => (at === null ? '' : new Date(at).toISOString())
  if (flags.json === true) entries.forEach((entry) => terminal.out(`${JSON.stringify(entry)}\n`))
  else {
    const rows = entries.map(({ hospital, feed, isActive, isChanged: changed, by, at, waiting, waitingSince }) => [
      ...[hospital, feed, isActive ? (changed ? 'changed since acceptance' : 'active') : 'not active'],
      ...[by ?? '', time(at), String(waiting), time(waitingSince)],
    ])
    terminal.out(table([['hospital', 'feed', 'state', 'by', 'at', 'waiting', 'since'], ...rows]))
  }
  const isWell = entries.every(({ isActive, isChanged: changed, waiting }) => isActive && !changed && waiting === 0)
  process.exitCode = isWell ? exitCodes.ok : exitCodes.found
}

interface FeedState {
  readonly hospital: string
  readonly feed: string
  readonly isActive: boolean
  /** Read by other settings than when it was activated. */
  readonly isChanged: boolean
  readonly by: string | null
  /** ms */
  readonly at: number | null
  readonly waiting: number
  /** Receipt of the first, ms. */
  readonly waitingSince: number | null
}

async function productionFeed(
  name: string,
  flags: PlaceFlags,
  terminal: Terminal,
): Promise<{ readonly configuration: Configuration; readonly feed: FeedConfig }> {
  const found = await feedOf(name, flags, terminal)
  if (found.configuration.environment === 'production') return found
  throw new UsageError('feeds are activated in production; in a test environment every feed may write')
}

async function feedOf(
  name: string,
  flags: PlaceFlags,
  { environment: { variables } }: Terminal,
): Promise<{ readonly configuration: Configuration; readonly feed: FeedConfig }> {
  if (flags.config === undefined) throw new UsageError('name the configuration that has the feed with --config')
  const configuration = await loadConfiguration(flags.config, connectors, variables)
  const feed = configuration.feeds.find((one) => one.name === name)
  if (feed === undefined) {
    throw new UsageError(
      `${flags.config} has no feed ${name}; it has ${configuration.feeds.map((one) => one.name).join(', ')}`,
    )
  }
  return { configuration, feed }
}

function actor({ by }: { readonly by?: string }): string {
  const name = (by ?? userInfo().username).trim()
  if (name === '') throw new UsageError('--by needs a name')
  return name
}

function dayOption(flag: string, text: string): number {
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? dayStart(text) : Number.NaN
  if (Number.isNaN(at)) throw new UsageError(`${flag} must be YYYY-MM-DD, not ${text}`)
  return at
}

async function countsOf(file: string): Promise<ReadonlyMap<string, number>> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`--counts: cannot read ${file}: ${error.code}`, { cause: error })
  })
  return readHospitalCounts(text, file)
}
