import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { openDatabase, type Database } from '../repository/database.js'
import { migrate } from '../repository/migrate.js'
import { loadConfiguration, type Configuration } from './config.js'
import { connectors } from './connectors.js'
import { UsageError } from '../core/errors.js'
import type { Terminal } from './terminal.js'

/** Flags of every command that may run without a configuration file. */
export interface PlaceFlags {
  readonly config?: string
  readonly mappings?: string[]
  readonly dataDir: string
}

export function withPlace(command: Command): Command {
  return command
    .option('--config <file>', 'a configuration: its feeds, addresses and mappings')
    .option('--data-dir <dir>', 'folder of the spool and the embedded stores', '.hutong')
}

/** The configuration of a command that may run without a file: the environment's addresses, embedded where unset. */
export async function configurationOf(flags: PlaceFlags, terminal: Terminal): Promise<Configuration> {
  const { databaseUrl, kafkaBrokers, schemaRegistryUrl, topicPrefix, variables } = terminal.environment
  if (flags.config !== undefined) return loadConfiguration(flags.config, connectors, variables)
  if (kafkaBrokers !== undefined && schemaRegistryUrl === undefined) {
    throw new UsageError(
      'HUTONG_KAFKA_BROKERS is set, HUTONG_SCHEMA_REGISTRY_URL is not: with Kafka a schema registry is needed',
    )
  }
  return {
    environment: 'test',
    dataDir: flags.dataDir,
    logLevel: 'warn',
    feeds: [],
    ...(databaseUrl !== undefined && { database: { url: databaseUrl } }),
    ...(kafkaBrokers !== undefined && {
      kafka: { brokers: [...kafkaBrokers], ...(topicPrefix !== undefined && { prefix: topicPrefix }) },
    }),
    ...(schemaRegistryUrl !== undefined && { schemaRegistry: { url: schemaRegistryUrl } }),
    ...(flags.mappings !== undefined && { catalogue: { mappings: flags.mappings } }),
  }
}

/** Opens and migrates the repository of a configuration. @throws RetryableError when it is away */
export async function openRepository(configuration: Pick<Configuration, 'database' | 'dataDir'>): Promise<Database> {
  const url = configuration.database?.url
  const database = await openDatabase(
    url === undefined ? { dir: join(configuration.dataDir ?? '.hutong', 'database') } : { url },
  )
  try {
    await migrate(database)
  } catch (error) {
    await database.close()
    throw error
  }
  return database
}

/** Runs `work` on the repository that the flags or the environment name. @throws UsageError where the folder of the embedded one is not there */
export async function onRepository<T>(
  flags: PlaceFlags,
  terminal: Terminal,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const configuration = await configurationOf(flags, terminal)
  const { database: remote, dataDir = '.hutong' } = configuration
  if (remote === undefined && !existsSync(dataDir)) {
    throw new UsageError(
      `there is no folder ${dataDir}: name the folder with --data-dir, a configuration with --config, or set HUTONG_DATABASE_URL`,
    )
  }
  const database = await openRepository(configuration)
  try {
    return await work(database)
  } finally {
    await database.close()
  }
}
