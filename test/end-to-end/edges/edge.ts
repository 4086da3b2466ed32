import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { stringify } from 'yaml'
import { demoHospital, type HospitalCode } from '../../../cli/demo/hospitals.js'
import { Journal } from '../../../cli/demo/journal.js'
import { hospitalMessages, take } from '../../../cli/demo/messages.js'
import { sendOverMllp } from '../../../cli/demo/mllp-simulator.js'
import { freePort } from '../../../cli/demo/setting.js'
import { SupervisedProcess } from '../../simulation/supervisor.js'
import { TcpRelay } from '../../simulation/tcp-relay.js'
import { installationPaths } from '../../../cli/installation/installation.js'
import { writeRelease, type Signer } from '../../installation/releases.js'
import { hutong, program } from './command.js'

/** A version: this build of the product, under whatever number it was packed. */
export const versionText = `import(${JSON.stringify(pathToFileURL(program).href)})`
/** Passes the check before the trial and then cannot run. */
export const badVersionText = `if (process.argv.includes('--check')) ${versionText}\nelse process.exit(7)`

export interface EdgeTroubles {
  /** How far its clock is off, ms. */
  readonly clockShiftMs?: number
  /** Writes of its supervisor that end in a SIGKILL, each once (killed-at.mjs). */
  readonly killedAt?: readonly string[]
}

/** A hospital with one front-end machine, one LIS, and one line to the province. */
export class Edge {
  readonly hospital: string
  readonly name = 'front-1'
  readonly feed: string
  readonly journal: Journal
  readonly connector: { readonly connector: 'hl7v2-mllp'; readonly port: number }
  private process: SupervisedProcess

  private constructor(
    readonly number: number,
    readonly folder: string,
    readonly wan: TcpRelay,
    port: number,
    private readonly troubles: EdgeTroubles,
  ) {
    this.hospital = `H${number}`
    this.feed = `h${number}-lis`
    this.journal = new Journal({ feed: this.feed })
    this.connector = { connector: 'hl7v2-mllp', port }
    this.process = this.newProcess()
  }

  static async open(number: number, parent: string, gatewayPort: number, troubles: EdgeTroubles = {}): Promise<Edge> {
    const folder = join(parent, `edge-${number}`)
    await mkdir(folder, { recursive: true })
    return new Edge(number, folder, await TcpRelay.open([gatewayPort]), await freePort(), troubles)
  }

  /** Which of the simulated laboratory systems it has: UTF-8 or GBK. */
  get dialect(): HospitalCode {
    return this.number % 2 === 0 ? 'H001' : 'H002'
  }

  /** The feed as both configurations name it. */
  get feedConfig(): object {
    return { name: this.feed, hospital: this.hospital, ...this.connector, ...demoHospital(this.dialect).parseSettings }
  }

  /** Puts a version of the product there, as unpacked from a package. */
  async install(version: string, by: Signer): Promise<void> {
    const paths = installationPaths(this.folder)
    await writeRelease(paths.version(version), version, { by, text: versionText })
    await writeFile(paths.current, JSON.stringify({ version, previous: null }))
  }

  async configure({
    spool = {},
    fleet: more = {},
  }: { readonly spool?: object; readonly fleet?: object } = {}): Promise<void> {
    const fleet = { reportEverySeconds: 2, probationSeconds: 15, ...more }
    const configuration = { environment: 'test', dataDir: 'data', uplink: {}, spool, fleet, feeds: [this.feedConfig] }
    await writeFile(join(this.folder, 'hutong.yaml'), stringify(configuration))
  }

  enrol(token: string): Promise<string> {
    return hutong(this.folder, 'enrol', `https://127.0.0.1:${this.wan.port}`, token, '--config', 'hutong.yaml')
  }

  start(): void {
    this.process.start()
  }

  untilUp(signal: AbortSignal): Promise<boolean> {
    return this.process.untilUp(60_000, signal)
  }

  kill(): Promise<void> {
    return this.process.kill()
  }

  /** SIGKILL of what the supervisor runs just now; false where nothing does. */
  async killProgram(): Promise<boolean> {
    const { pid } = this.process
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
    const [child] = children.split(' ').filter((one) => one !== '')
    if (child === undefined) return false
    process.kill(Number(child), 'SIGKILL')
    return true
  }

  /** Where it has died so far. */
  async kills(): Promise<readonly string[]> {
    const noted = await readFile(join(this.folder, 'killed-at.log'), 'utf8').catch(() => '')
    return noted.split('\n').filter((place) => place !== '')
  }

  /** Whether it is still to die somewhere. */
  async killsLeft(): Promise<boolean> {
    const places = await this.kills()
    return (this.troubles.killedAt ?? []).some((place) => !places.includes(place))
  }

  async restart(): Promise<void> {
    await this.stop()
    this.process = this.newProcess()
    this.process.start()
  }

  /** @throws Error where it does not stop gracefully, or ended by itself before */
  async stop(): Promise<void> {
    const ended = await this.process.stop()
    const own = this.process.ownEnds.map(({ code, signal, said }) => `${code ?? signal}:\n${said}`)
    if (own.length > 0) throw new Error(`edge ${this.number} ended by itself, ${own.join('\n')}`)
    if (ended !== 0) throw new Error(`edge ${this.number} did not stop gracefully: ${ended}\n${this.complaints()}`)
  }

  async end(): Promise<void> {
    await this.process.stop()
    await this.wan.close()
  }

  /** Its LIS sends so many messages, each until it is acknowledged. */
  async send(count: number, perSecond: number, seed: number, signal: AbortSignal): Promise<void> {
    const messages = take(hospitalMessages({ hospital: this.dialect, seed: seed + this.number }), count)
    const place = { host: '127.0.0.1', port: this.connector.port }
    await sendOverMllp({ ...place, messages, journal: this.journal, rate: perSecond, ackTimeoutMs: 10_000 }, signal)
  }

  complaints(): string {
    return this.process.complaints()
  }

  private newProcess(): SupervisedProcess {
    const { clockShiftMs = 0, killedAt = [] } = this.troubles
    const preload = (file: string): object => ({
      NODE_OPTIONS: `--import=${pathToFileURL(join(import.meta.dirname, file)).href}`,
    })
    const shifted = { TEST_CLOCK_SHIFT_MS: String(clockShiftMs), ...preload('shifted-clock.mjs') }
    const killed = { TEST_KILL_AT: JSON.stringify(killedAt), ...preload('killed-at.mjs') }
    return new SupervisedProcess({
      name: this.feed,
      logFile: join(this.folder, 'edge.log'),
      env: { ...process.env, NO_COLOR: '1', ...(clockShiftMs !== 0 && shifted), ...(killedAt.length > 0 && killed) },
      cwd: this.folder,
      arguments: () => [program, 'supervise', this.folder],
    })
  }
}
