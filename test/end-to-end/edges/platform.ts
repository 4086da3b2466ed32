import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'
import { checkConfiguration, type Configuration } from '../../../cli/config.js'
import { connectors } from '../../../cli/connectors.js'
import { demoMappingFiles } from '../../../cli/demo/hospitals.js'
import { freePort } from '../../../cli/demo/setting.js'
import { openRepository } from '../../../cli/repository-access.js'
import { ensureSchemas } from '../../../cli/runtime.js'
import { createDatabase, type CreatedDatabase } from '../../repository/databases.js'
import { SupervisedProcess } from '../../simulation/supervisor.js'
import { hutong, program } from './command.js'

export interface StackAddresses {
  readonly kafkaBrokers: readonly string[]
  readonly schemaRegistryUrl: string
  readonly databaseUrl: string
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
        ...gateway,
      },
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

  complaints(): string {
    return this.processes.map((process) => `--- ${process.name}\n${process.complaints()}`).join('\n')
  }

  /** Stops every process. @throws Error where one ended by itself or not gracefully */
  async stop(): Promise<void> {
    const ended = await Promise.all(this.processes.map((process) => process.stop()))
    const own = this.processes.flatMap(({ ownEnds }) => ownEnds)
    if (own.length > 0) throw new Error(own.map(({ name, said }) => `${name} ended by itself:\n${said}`).join('\n'))
    if (ended.some((code) => code !== 0)) throw new Error(`a process did not stop gracefully: ${ended.join(' ')}`)
  }

  async end(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.stop()))
    await this.database.drop()
  }
}
