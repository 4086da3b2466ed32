import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { connectors } from '../../cli/connectors.js'
import { checkConfiguration, type Configuration } from '../../cli/config.js'
import { dropFiles } from '../../cli/demo/file-simulator.js'
import { demoHospitals, demoMappingFiles, type DemoHospital, type HospitalCode } from '../../cli/demo/hospitals.js'
import { Journal, type SimulatedMessage } from '../../cli/demo/journal.js'
import { hospitalMessages } from '../../cli/demo/messages.js'
import { sendOverMllp } from '../../cli/demo/mllp-simulator.js'
import { Random } from '../../cli/demo/random.js'
import { freePort } from '../../cli/demo/setting.js'
import { openRepository } from '../../cli/repository-access.js'
import { ensureSchemas } from '../../cli/runtime.js'
import { pause } from '../../core/pause.js'
import type { Database } from '../../repository/database.js'
import { crashPlan, type CrashAction } from './crash-plan.js'
import { archivedAndSettled, verifyCampaign, type SentFeed, type Verified } from './crash-verification.js'
import { createDatabase, type CreatedDatabase } from '../repository/databases.js'
import { edgeAuthority, edgeNames, serverNames, type EdgeAuthority } from '../gateway/edge-certificates.js'
import { SupervisedProcess } from './supervisor.js'
import { TcpRelay } from './tcp-relay.js'

export interface CampaignOptions {
  /** Decides the messages, the lost answers and the plan of kills. */
  readonly seed: number
  /** Over MLLP, at least; the files feed has a tenth of it besides. */
  readonly messages: number
  /** SIGKILLs of processes, power cuts and broker kills apart. */
  readonly kills: number
  readonly powerCuts: number
  readonly brokerKills: number
  /** Real PostgreSQL and registry, and a broker of its own; everything embedded in one process where left out. */
  readonly stack?: { readonly databaseUrl: string; readonly schemaRegistryUrl: string }
  /** Each hospital has an edge of its own, and so many gateways are behind one line (default 0: everything at one place). */
  readonly gateways?: number
  /** Of the line between edges and gateways. */
  readonly wanCuts?: number
  /** Shortest and longest pause between two kills, ms. */
  readonly gapMs: readonly [number, number]
  /** Everything, the verification apart, must be over after this. */
  readonly deadlineMs: number
  readonly progress: (text: string) => void
}

export interface CampaignResult extends Verified {
  readonly seed: number
  /** What was really killed, by kind and target. */
  readonly killed: Readonly<Record<string, number>>
  /** Connections that reached each gateway. */
  readonly carried: readonly number[]
  readonly seconds: number
}

const project = resolve(import.meta.dirname, '../..')
const program = join(project, 'dist/cli/main.js')
const volatileProgram = join(import.meta.dirname, 'receive-with-power-cuts.mjs')
const stackProgram = join(project, 'scripts/stack.mjs')
const run = promisify(execFile)

/** Longer than a consumer takes to notice that it stands still (log/kafka-log.ts). */
const standstillMs = 150_000

/** Roles by process: on the real stack each stage has its own; the embedded stack is one process by nature. */
const realProcesses = { receive: 'receive', parse: 'parse', normalise: 'normalise', sink: 'sink,archive' } as const
const embeddedProcesses = { all: 'receive,parse,normalise,sink,archive' } as const

interface PlannedProcess {
  readonly name: string
  readonly roles: string
  /** Holds a spool. */
  readonly isReceiver: boolean
}

/** With gateways each hospital has its edge; the embedded province is one process, its gateway in it. */
function processesOf({ stack, gateways = 0 }: CampaignOptions): readonly PlannedProcess[] {
  const table = Object.entries(stack === undefined ? embeddedProcesses : realProcesses)
  const direct = table.map(([name, roles], index) => ({ name, roles: String(roles), isReceiver: index === 0 }))
  if (gateways === 0) return direct
  const edges = demoHospitals.map(({ code }) => ({ name: edgeOf(code), roles: 'receive', isReceiver: true }))
  if (stack === undefined) {
    const roles = embeddedProcesses.all.replace('receive', 'gateway')
    return [...edges, { name: 'province', roles, isReceiver: false }]
  }
  const gates = Array.from({ length: gateways }, (_, index) => ({
    ...{ name: `gateway${index + 1}`, roles: 'gateway', isReceiver: false },
  }))
  return [...edges, ...gates, ...direct.slice(1)]
}

const edgeOf = (hospital: string): string => `edge${hospital}`

/**
 * Runs hospitals, pipeline and kills, waits until everything has drained, and verifies that nothing acknowledged is
 * missing and nothing is there twice. Leaves no process, folder or database. @throws Error that names the seed
 */
export async function crashCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { seed, progress } = options
  progress(`crash campaign, seed ${seed}`)
  const campaign = new Campaign(options)
  try {
    return await campaign.run()
  } catch (error) {
    const { message } = error as Error
    throw new Error(`crash campaign with seed ${seed}: ${message}\n${campaign.complaints()}`, { cause: error })
  } finally {
    await campaign.end()
  }
}

class Campaign {
  private readonly deadline = new AbortController()
  private readonly startedAt = performance.now()
  private readonly killed: Record<string, number> = {}
  private readonly feeds: (SentFeed & {
    readonly hospital: HospitalCode
    readonly port?: number
    readonly folder?: string
  })[] = []
  private readonly plan: readonly CrashAction[]
  private readonly processes = new Map<string, SupervisedProcess>()
  private readonly planned: readonly PlannedProcess[]
  private authority: EdgeAuthority | undefined
  private relay: TcpRelay | undefined
  private dir = ''
  private database: CreatedDatabase | undefined
  private brokerStarted = false
  private done = 0
  private readonly starts = new Map<string, number>()

  constructor(private readonly options: CampaignOptions) {
    const { seed, kills, powerCuts, brokerKills, wanCuts = 0, gapMs } = options
    this.planned = processesOf(options)
    const processes = this.planned.map(({ name }) => name)
    const receivers = this.planned.flatMap(({ name, isReceiver }) => (isReceiver ? [name] : []))
    this.plan = crashPlan({ seed, processes, receivers, kills, powerCuts, brokerKills, wanCuts, gapMs })
  }

  async run(): Promise<CampaignResult> {
    const { options } = this
    const timer = setTimeout(() => this.deadline.abort(), options.deadlineMs)
    try {
      this.dir = await mkdtemp(join(tmpdir(), 'hutong-crash-'))
      const configuration = await this.configure()
      if (options.stack !== undefined) await (await openRepository(configuration)).close() // migrate once
      this.say('started')
      for (const process of this.processes.values()) process.start()
      await this.trouble()
      this.say('sent and killed; draining')
      if (options.stack !== undefined) await this.drainReal(configuration)
      else await this.drainEmbedded(configuration)
      this.say('drained; verifying')
    } finally {
      clearTimeout(timer)
    }
    return this.verify()
  }

  /** The last complaints of every process, for a failure's message. */
  complaints(): string {
    return [...this.processes.values()].map((one) => `--- ${one.name}\n${one.complaints()}`).join('\n')
  }

  async end(): Promise<void> {
    this.deadline.abort()
    await Promise.all([...this.processes.values()].map((one) => one.stop()))
    await this.relay?.close()
    this.authority?.close()
    if (this.brokerStarted) await this.stackCommand('stop').catch(() => undefined)
    await this.database?.drop()
    if (this.dir !== '') await rm(this.dir, { recursive: true, force: true })
  }

  private configuration: Configuration | undefined

  private async configure(): Promise<Configuration> {
    const { stack, seed } = this.options
    const dataDir = join(this.dir, 'data')
    await mkdir(dataDir, { recursive: true })
    const common = { environment: 'test', logLevel: 'info' }
    const feeds = await Promise.all(demoHospitals.map((hospital) => this.feedOf(hospital)))
    const text = stringify({
      ...common,
      dataDir,
      ...(stack !== undefined && (await this.realParts(stack))),
      catalogue: { mappings: demoMappingFiles() },
      feeds,
    })
    const file = join(this.dir, 'hutong.yaml')
    await writeFile(file, text)
    const { configuration, problems } = checkConfiguration(text, connectors, {})
    if (configuration === undefined) throw new Error(problems.map(({ message }) => message).join('\n'))
    this.configuration = configuration
    await ensureSchemas(configuration)
    if ((this.options.gateways ?? 0) > 0) await this.separate(common, text, feeds)
    for (const one of this.planned) this.supervise(one)
    this.say(`${this.plan.length} actions planned: ${this.plan.map(briefly).join(' ')} (seed ${seed})`)
    return configuration
  }

  /** A file for each edge and each gateway, with certificates of their own and the line between them. */
  private async separate(common: object, province: string, feeds: readonly object[]): Promise<void> {
    const authority = edgeAuthority('Crash province')
    this.authority = authority
    const server = authority.issue(serverNames)
    const ports: number[] = []
    for (const { name, roles } of this.planned) {
      if (!roles.includes('gateway')) continue
      const port = await freePort()
      ports.push(port)
      const gateway = { host: '127.0.0.1', port, ...server, clientCaFile: authority.caFile }
      await writeFile(this.fileOf(name), `${province}\n${stringify({ gateway })}`)
    }
    this.relay = await TcpRelay.open(ports)
    for (const [index, { code }] of demoHospitals.entries()) {
      const name = edgeOf(code)
      const certificate = authority.issue(edgeNames(code))
      const uplink = { url: `https://localhost:${this.relay.port}`, caFile: authority.caFile, ...certificate }
      const dataDir = join(this.dir, name)
      await writeFile(this.fileOf(name), stringify({ ...common, dataDir, uplink, feeds: [feeds[index]] }))
    }
  }

  /** Its own configuration where it has one, else that of the whole place. */
  private fileOf(name: string): string {
    const own = (this.options.gateways ?? 0) > 0 && /^(edge|gateway|province)/.test(name)
    return join(this.dir, own ? `${name}.yaml` : 'hutong.yaml')
  }

  private async realParts(stack: NonNullable<CampaignOptions['stack']>): Promise<object> {
    this.database = await createDatabase(stack.databaseUrl)
    this.brokerStarted = true
    const exports = await this.stackCommand('start')
    const broker = /HUTONG_KAFKA_BROKERS=(\S+)/.exec(exports)?.[1]
    if (broker === undefined) throw new Error(`no broker: ${exports}`)
    const prefix = this.database.name.replaceAll('_', '-')
    return {
      kafka: { brokers: [broker], prefix, partitions: 2, sessionTimeoutMs: 6000 },
      schemaRegistry: { url: stack.schemaRegistryUrl },
      database: { url: this.database.url },
    }
  }

  private async feedOf(hospital: DemoHospital): Promise<object> {
    const { code, feed, transport, parseSettings } = hospital
    const place =
      transport === 'mllp'
        ? { port: await freePort() }
        : { folder: join(this.dir, 'outbox'), pollIntervalMs: 200, stableForMs: 0 }
    if (place.folder !== undefined) await mkdir(place.folder, { recursive: true })
    this.feeds.push({ feed, transport, hospital: code, journal: new Journal({ feed }), ...place })
    return { name: feed, hospital: code, connector: `hl7v2-${transport}`, ...place, ...parseSettings }
  }

  private supervise({ name, roles, isReceiver }: PlannedProcess): void {
    const file = this.fileOf(name)
    const supervised = new SupervisedProcess({
      name,
      logFile: join(this.dir, `${name}.log`),
      env: { ...process.env, NO_COLOR: '1' },
      arguments: () => {
        this.starts.set(name, (this.starts.get(name) ?? 0) + 1)
        return isReceiver && this.nextHitOf(name) === 'power-cut'
          ? [volatileProgram, file, roles]
          : [program, 'run', file, '--role', roles]
      },
    })
    this.processes.set(name, supervised)
  }

  /** A receiver that is to lose power next must hold its unsynced writes itself from its start. */
  private nextHitOf(receiver: string): CrashAction['kind'] | undefined {
    return this.plan.slice(this.done).find(({ target }) => target === receiver)?.kind
  }

  /** Traffic and kills at once, until both are over. */
  private async trouble(): Promise<void> {
    const up = await Promise.all([...this.processes.values()].map((one) => one.untilUp(60_000, this.deadline.signal)))
    if (up.includes(false)) throw new Error('the processes do not start')
    const sending = Promise.all(this.feeds.map((feed, index) => this.send(feed, index)))
    const reporting = setInterval(() => this.say('running'), 10_000)
    try {
      await Promise.all([sending, this.execute()])
    } finally {
      clearInterval(reporting)
    }
    this.throwIfLate()
    for (const { entries } of this.feeds.map(({ journal }) => journal)) {
      const open = entries.filter(({ acknowledgedAt }) => acknowledgedAt === null)
      // A file that holds an unreadable message goes to the error folder whole; its other messages are accepted.
      if (open.some(({ code }) => code !== 'error')) throw new Error(`${open.length} messages were never acknowledged`)
    }
  }

  private async execute(): Promise<void> {
    let broker: Promise<void> = Promise.resolve()
    let line: Promise<void> = Promise.resolve()
    for (const action of this.plan) {
      await pause(action.afterMs, this.deadline.signal)
      this.throwIfLate()
      if (action.kind === 'broker-kill') {
        await broker
        await this.stackCommand('kill-broker')
        this.count(action)
        // Other processes go on dying while it is away.
        broker = pause(action.downMs, this.deadline.signal).then(
          async () => void (await this.stackCommand('start-broker')),
        )
        broker.catch(() => undefined)
        this.done++
        continue
      }
      if (action.kind === 'wan-drop' || action.kind === 'wan-blackhole') {
        await line
        this.relay?.cut(action.kind === 'wan-drop' ? 'drop' : 'blackhole')
        this.count(action)
        line = pause(action.downMs, this.deadline.signal).then(() => this.relay?.restore())
        this.done++
        continue
      }
      const target = this.processes.get(action.target)
      if (target === undefined) throw new Error(`no process ${action.target}`)
      if (!(await target.untilUp(90_000, this.deadline.signal))) {
        this.throwIfLate()
        throw new Error(`${action.target} was not up again within 90 s`)
      }
      if (this.planned.some(({ name, isReceiver }) => isReceiver && name === action.target))
        await this.untilAcknowledged(action.afterMessages)
      this.count(action)
      this.done++
      await target.kill()
    }
    await Promise.all([broker, line])
  }

  /** The receiver is hit under way, not before anybody has found it again; or after a while, where nobody does. */
  private async untilAcknowledged(more: number): Promise<void> {
    const goal = this.acknowledgements() + more
    const latest = performance.now() + 60_000
    while (this.acknowledgements() < goal && performance.now() < latest) await pause(5, this.deadline.signal)
  }

  private acknowledgements(): number {
    return this.feeds.reduce((sum, { journal }) => sum + journal.totals().acknowledgements, 0)
  }

  private count({ kind, target }: CrashAction): void {
    const name = kind === 'kill' ? target : kind
    this.killed[name] = (this.killed[name] ?? 0) + 1
  }

  private async send({ port, folder, journal, hospital }: (typeof this.feeds)[number], index: number): Promise<void> {
    const { seed, messages: total } = this.options
    const share = [0.6, 0.4, 0.1][index] ?? 0.1
    const goal = Math.ceil(total * share)
    const messages = this.untilPlanIsDone(hospitalMessages({ hospital, seed }), goal)
    const { signal } = this.deadline
    if (port !== undefined) {
      const random = new Random(seed, `answers/${hospital}`)
      const chance = { loseAnswers: 0.01, random }
      const rate = (): number => this.rate(journal.totals().sent / goal, goal)
      const times = { ackTimeoutMs: 8000, reconnectMs: 20 }
      await sendOverMllp(
        { host: '127.0.0.1', port, messages, journal, connections: 6, rate, ...chance, ...times },
        signal,
      )
    } else if (folder !== undefined) {
      await dropFiles({ folder, messages, journal, messagesPerFile: 10, filesWaiting: 2, rate: 12 }, signal)
    }
  }

  /** As many as asked for, and more while there is somebody left to kill. */
  private *untilPlanIsDone(source: Iterator<SimulatedMessage>, goal: number): Generator<SimulatedMessage> {
    for (let sent = 0; sent < goal || (this.done < this.plan.length && sent < 2 * goal); sent++) {
      const next = source.next()
      if (next.done !== true) yield next.value
    }
  }

  /** Messages a second: traffic keeps step with the plan, so that it is spread over all kills. */
  private rate(sentShare: number, goal: number): number {
    const { plan, done } = this
    const meanGapMs = (this.options.gapMs[0] + this.options.gapMs[1]) / 2
    const even = (1000 * goal) / (plan.length * Math.max(1, meanGapMs))
    if (done >= plan.length) return 5 * even
    return sentShare > done / plan.length + 0.02 ? even / 5 : 1.5 * even
  }

  private async drainReal(configuration: Configuration): Promise<void> {
    const database = await openRepository(configuration)
    try {
      await this.untilSettled(database)
    } finally {
      await database.close()
    }
    await this.stopAll()
  }

  /** The embedded database belongs to the process: it is asked each time after that has stopped gracefully. */
  private async drainEmbedded(configuration: Configuration): Promise<void> {
    for (;;) {
      for (const one of this.processes.values()) await one.untilUp(60_000, this.deadline.signal)
      await pause(8000, this.deadline.signal)
      this.throwIfLate()
      await this.stopAll()
      const database = await openRepository(configuration)
      const state = await this.drained(database).finally(() => database.close())
      if (state !== 'under way') return
      for (const one of this.planned) this.supervise(one)
      for (const one of this.processes.values()) one.start()
    }
  }

  private async untilSettled(database: Database): Promise<void> {
    for (let calm = 0; calm < 2;) {
      await pause(1000, this.deadline.signal)
      this.throwIfLate()
      const state = await this.drained(database)
      if (state === 'standing still') return
      calm = state === 'settled' ? calm + 1 : 0
    }
  }

  private figures = ''
  private changedAt = 0

  /** What stands still unsettled is verified all the same: that names the messages. */
  private async drained(database: Database): Promise<'settled' | 'under way' | 'standing still'> {
    const { archived, watermarks, settled } = await archivedAndSettled(database)
    const acknowledged = this.acknowledgements()
    const figures = `archived ${archived}, settled ${settled}, up to the watermarks ${watermarks}, acknowledged ${acknowledged}`
    const now = performance.now()
    if (figures !== this.figures) {
      this.say(figures)
      this.figures = figures
      this.changedAt = now
    }
    if (archived >= acknowledged && archived === watermarks && settled === archived) return 'settled'
    return now - this.changedAt > standstillMs ? 'standing still' : 'under way'
  }

  private async stopAll(): Promise<void> {
    const processes = [...this.processes.values()]
    const ended = await Promise.all(processes.map((one) => one.stop()))
    processes.forEach(({ name }, index) => {
      if (ended[index] !== 0) throw new Error(`${name} did not stop gracefully: ${ended[index]}`)
    })
    const ends = processes.flatMap(({ ownEnds }) => ownEnds)
    if (ends.length > 0) {
      const told = ends.map(({ name, code, signal, said }) => `${name} ended by itself (${code ?? signal}):\n${said}`)
      throw new Error(told.join('\n'))
    }
  }

  private async verify(): Promise<CampaignResult> {
    const { configuration, options } = this
    if (configuration === undefined) throw new Error('not configured')
    const reference = options.stack === undefined ? undefined : await createDatabase(options.stack.databaseUrl)
    try {
      const verified = await verifyCampaign({
        configuration,
        feeds: this.feeds,
        receiverStarts: Math.max(
          ...this.planned.map(({ name, isReceiver }) => (isReceiver ? (this.starts.get(name) ?? 0) : 0)),
        ),
        ...(reference !== undefined && { referenceUrl: reference.url }),
        progress: (text) => this.say(text),
      })
      const seconds = Math.round((performance.now() - this.startedAt) / 1000)
      return { ...verified, seed: options.seed, killed: this.killed, carried: this.relay?.carried ?? [], seconds }
    } finally {
      await reference?.drop()
    }
  }

  private throwIfLate(): void {
    if (!this.deadline.signal.aborted) return
    throw new Error(
      `not over after ${this.options.deadlineMs / 1000} s: ${this.done} of ${this.plan.length} actions, ${this.counts()}`,
    )
  }

  private counts(): string {
    return this.feeds
      .map(({ feed, journal }) => `${feed} sent ${journal.totals().sent} acknowledged ${journal.totals().acknowledged}`)
      .join(', ')
  }

  private say(text: string): void {
    const seconds = ((performance.now() - this.startedAt) / 1000).toFixed(0)
    const progress = `${this.done}/${this.plan.length} killed, ${this.counts()}`
    this.options.progress(`${seconds.padStart(4)} s  ${text}  [${progress}]`)
  }

  private async stackCommand(command: string): Promise<string> {
    const only = command === 'start' || command === 'stop' ? ['--only', 'kafka'] : []
    const args = [stackProgram, command, '--dir', join(this.dir, 'stack'), ...only]
    const { stdout } = await run(process.execPath, args, { timeout: 120_000 })
    return stdout
  }
}

const briefly = ({ kind, target }: CrashAction): string => (kind === 'kill' ? target : kind)
