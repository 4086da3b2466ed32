import { join } from 'node:path'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'
import { checkConfiguration, type Configuration } from '../../../cli/config.js'
import { connectors } from '../../../cli/connectors.js'
import { demoMappingFiles } from '../../../cli/demo/hospitals.js'
import { freePort } from '../../../cli/demo/setting.js'
import { openRepository } from '../../../cli/repository-access.js'
import { ensureSchemas } from '../../../cli/runtime.js'
import type { EdgeReport } from '../../../core/fleet-report.js'
import { pause } from '../../../core/pause.js'
import type { Database } from '../../../repository/database.js'
import { createDatabase, type CreatedDatabase } from '../../repository/databases.js'
import { pack, writeRelease, type Signer } from '../../installation/releases.js'
import { SupervisedProcess } from '../../simulation/supervisor.js'
import { hutong, program } from './command.js'

export interface StackAddresses {
  readonly kafkaBrokers: readonly string[]
  readonly schemaRegistryUrl: string
  readonly databaseUrl: string
}

interface Published {
  readonly number: number
}

export interface RolloutShown {
  readonly rollout: { readonly state: string }
  readonly edges: readonly { readonly hospital: string; readonly outcome: string; readonly reason: string | null }[]
}

export interface EdgeReported {
  readonly hospital: string
  readonly report: EdgeReport
}

/** The province: its roles as processes on a real stack, with an authority of its own. */
export class Platform {
  configuration: Configuration | undefined
  readonly gateway: SupervisedProcess
  private readonly processes: readonly SupervisedProcess[]

  private constructor(
    readonly folder: string,
    readonly gatewayPort: number,
    readonly database: CreatedDatabase,
    private readonly stack: StackAddresses,
  ) {
    const supervise = (name: string, roles: string): SupervisedProcess =>
      new SupervisedProcess({
        name,
        logFile: join(folder, `${name}.log`),
        env: { ...process.env, NO_COLOR: '1' },
        cwd: folder,
        arguments: () => [program, 'run', 'province.yaml', '--role', roles],
      })
    this.gateway = supervise('gateway', 'gateway')
    this.processes = [this.gateway, supervise('province', 'parse,normalise,sink,archive')]
  }

  /** With a database of its own and an authority that issued the gateway's certificate. */
  static async open(folder: string, stack: StackAddresses): Promise<Platform> {
    const platform = new Platform(folder, await freePort(), await createDatabase(stack.databaseUrl), stack)
    await hutong(folder, 'ca', 'init')
    await hutong(folder, 'ca', 'server', '127.0.0.1')
    await hutong(folder, 'fleet', 'keygen', 'release')
    return platform
  }

  /** Writes its configuration and starts it. */
  async start(feeds: readonly object[], gateway: object, signal: AbortSignal): Promise<void> {
    const { kafkaBrokers, schemaRegistryUrl } = this.stack
    const text = stringify({
      environment: 'test',
      dataDir: join(this.folder, 'data'),
      kafka: { brokers: [...kafkaBrokers], prefix: this.database.name.replaceAll('_', '-'), partitions: 2 },
      schemaRegistry: { url: schemaRegistryUrl },
      database: { url: this.database.url },
      catalogue: { mappings: demoMappingFiles() },
      gateway: {
        ...{ host: '127.0.0.1', port: this.gatewayPort, certFile: 'gateway.pem', keyFile: 'gateway.key' },
        authority: { certFile: 'authority/ca.pem', keyFile: 'authority/ca.key' },
        releaseKeyFiles: ['release.pub.pem'],
        ...gateway,
      },
      fleet: { reportEverySeconds: 2 },
      feeds,
    })
    await writeFile(join(this.folder, 'province.yaml'), text)
    const { configuration, problems } = checkConfiguration(text, connectors, {})
    if (configuration === undefined) throw new Error(problems.map(({ message }) => message).join('\n'))
    this.configuration = configuration
    await ensureSchemas(configuration)
    await (await openRepository(configuration)).close() // migrate once
    for (const process of this.processes) process.start()
    const up = await Promise.all(this.processes.map((process) => process.untilUp(60_000, signal)))
    if (up.includes(false)) throw new Error(`the province does not start:\n${this.complaints()}`)
  }

  /** A command of the province's administrator. */
  command(...parameters: readonly string[]): Promise<string> {
    return hutong(this.folder, ...parameters, '--config', 'province.yaml')
  }

  async token(hospital: string, name: string): Promise<string> {
    return (await this.command('edge', 'token', hospital, name, '--by', 'platform')).trim()
  }

  /** Who signs releases. */
  async signer(): Promise<Signer> {
    const pem = (name: string): Promise<string> => readFile(join(this.folder, name), 'utf8')
    return {
      privateKey: createPrivateKey(await pem('release.pem')),
      publicKey: createPublicKey(await pem('release.pub.pem')),
    }
  }

  /** Packs, signs and publishes a version whose program is this text. */
  async publish(version: string, text: string): Promise<number> {
    const from = join(this.folder, `package-${version}`)
    const versionFolder = join(from, 'hutong', 'versions', version)
    await mkdir(versionFolder, { recursive: true })
    await writeRelease(versionFolder, version, { by: await this.signer(), text })
    const archive = join(this.folder, `hutong-edge-${version}.tar.gz`)
    await pack(from, archive)
    await rm(from, { recursive: true })
    const parameters = ['--release-version', version, '--environment', 'test', '--key', 'release.pem', '--json']
    return (JSON.parse(await this.command('fleet', 'publish', 'package', archive, ...parameters)) as Published).number
  }

  /** Starts a rollout and waits until it has come to an end of its own. */
  async rollout(
    release: number,
    canary: string,
    repository: Database,
    signal: AbortSignal,
    awayMinutes = 0.25,
  ): Promise<RolloutShown> {
    const id = await this.startRollout(release, canary, awayMinutes)
    for (;;) {
      const [row] = await repository.transaction((tx) =>
        tx.query<{ state: string }>('SELECT state FROM rollout WHERE id = $1::int8', [String(id)]),
      )
      if (row?.state === 'done' || row?.state === 'halted') return this.shownRollout(id)
      if (signal.aborted) {
        throw new Error(`the rollout is not over: ${JSON.stringify(await this.shownRollout(id), undefined, 1)}`)
      }
      await pause(1000, signal)
    }
  }

  /** Resolves to its number. */
  async startRollout(release: number, canary: string, awayMinutes = 0.25): Promise<number> {
    const limits = ['--soak-minutes', '0', '--max-failures', '0', '--away-minutes', String(awayMinutes)]
    const parameters = ['--canary', canary, '--shares', '0.4,1', ...limits, '--json']
    const started = await this.command('fleet', 'rollout', 'start', String(release), ...parameters)
    return (JSON.parse(started) as { readonly id: number }).id
  }

  async shownRollout(id: number): Promise<RolloutShown> {
    return JSON.parse(await this.command('fleet', 'rollout', 'show', String(id), '--json')) as RolloutShown
  }

  /** What every edge said last. */
  async reports(): Promise<readonly EdgeReported[]> {
    const lines = (await this.command('fleet', 'list', '--json')).trim().split('\n')
    return lines.map((line) => JSON.parse(line) as EdgeReported)
  }

  complaints(): string {
    return this.processes.map((process) => `--- ${process.name}\n${process.complaints()}`).join('\n')
  }

  /** Stops every process. @throws Error where one ended by itself or not gracefully */
  async stop(): Promise<void> {
    const ended = await Promise.all(this.processes.map((process) => process.stop()))
    const own = this.processes.flatMap(({ ownEnds }) => ownEnds)
    if (own.length > 0) throw new Error(own.map(({ name, said }) => `${name} ended by itself:\n${said}`).join('\n'))
    const names = this.processes.map(({ name }, index) => `${name} ${ended[index]}`)
    if (ended.some((code) => code !== 0)) {
      throw new Error(`a process did not stop gracefully: ${names.join(', ')}\n${this.complaints()}`)
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.stop()))
    await this.database.drop()
  }
}
