import { lstat, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Environment } from '../../core/environment.js'
import { pidExists } from '../../core/pid.js'
import { checkConfiguration, formatProblem, type Configuration } from '../config.js'
import type { Role } from '../config-schema.js'
import { connectors } from '../connectors.js'
import { demoHospitals, demoMappingFiles, type DemoHospital } from './hospitals.js'
import { runTag } from './messages.js'

/** A hospital with the place its messages go to in this run. */
export interface DemoSource {
  readonly hospital: DemoHospital
  /** Name of its feed in this run. */
  readonly feed: string
  /** MLLP. */
  readonly port?: number
  /** Files. */
  readonly folder?: string
}

/** Where and how a demonstration runs. */
export interface DemoSetting {
  readonly dataDir: string
  readonly sources: readonly DemoSource[]
  /** One process for each role, on Kafka and PostgreSQL. */
  readonly separate: boolean
  /** Whether the repository is the embedded database. */
  readonly embeddedDatabase: boolean
  readonly embeddedLog: boolean
}

/**
 * Decides ports, folders and feed names. On Kafka or PostgreSQL, which outlive the run, the feeds' names carry the run's
 * tag, so that its figures are its own.
 */
export async function demoSetting(options: {
  readonly dataDir: string
  readonly seed: number
  readonly environment: Environment
}): Promise<DemoSetting> {
  const { dataDir, seed, environment } = options
  const { kafkaBrokers, databaseUrl } = environment
  const shared = kafkaBrokers !== undefined || databaseUrl !== undefined
  const sources: DemoSource[] = []
  for (const hospital of demoHospitals) {
    const feed = shared ? `demo-${runTag(seed).toLowerCase()}-${hospital.feed}` : hospital.feed
    if (hospital.transport === 'mllp') sources.push({ hospital, feed, port: await freePort() })
    else {
      const folder = join(dataDir, `${hospital.feed}-outbox`)
      await mkdir(folder, { recursive: true })
      sources.push({ hospital, feed, folder })
    }
  }
  return {
    dataDir,
    sources,
    separate: kafkaBrokers !== undefined && databaseUrl !== undefined,
    embeddedDatabase: databaseUrl === undefined,
    embeddedLog: kafkaBrokers === undefined,
  }
}

/** The text of a configuration file for these roles: what a user would write. Addresses with secrets stay in the environment. */
export function configurationText(
  setting: DemoSetting,
  environment: Environment,
  roles: readonly Role[],
  httpPort: number,
): string {
  const { kafkaBrokers, topicPrefix, schemaRegistryUrl, databaseUrl } = environment
  return stringify({
    environment: 'test',
    roles,
    dataDir: setting.dataDir,
    logLevel: 'warn',
    http: { host: '127.0.0.1', port: httpPort },
    ...(kafkaBrokers !== undefined && { kafka: { brokers: kafkaBrokers, prefix: topicPrefix ?? 'hutong.demo' } }),
    ...(schemaRegistryUrl !== undefined && { schemaRegistry: { url: '${HUTONG_SCHEMA_REGISTRY_URL}' } }),
    ...(databaseUrl !== undefined && { database: { url: '${HUTONG_DATABASE_URL}' } }),
    catalogue: { mappings: demoMappingFiles() },
    feeds: setting.sources.map(({ hospital, feed, port, folder }) => ({
      name: feed,
      hospital: hospital.code,
      ...(port !== undefined && { connector: 'hl7v2-mllp', port }),
      ...(folder !== undefined && { connector: 'hl7v2-files', folder, pollIntervalMs: 200, stableForMs: 0 }),
      ...hospital.parseSettings,
    })),
  })
}

/** The configuration that the text says; a fault in it is ours. */
export function configurationFrom(text: string, environment: Environment): Configuration {
  const { problems, configuration } = checkConfiguration(text, connectors, environment.variables)
  if (configuration === undefined) throw new Error(problems.map((problem) => formatProblem('demo', problem)).join('\n'))
  return configuration
}

/** A port that was free a moment ago, for listeners that must be told theirs. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

const markerName = 'hutong-demo.pid'

/**
 * The folder of a demonstration: the one asked for, else one in the system's temporary folder that each run empties and
 * leaves behind, so that what it stored can be looked at afterwards. Another one where that is in use.
 */
export async function demoFolder(wanted: string | undefined): Promise<string> {
  if (wanted !== undefined) {
    await mkdir(wanted, { recursive: true })
    return wanted
  }
  // eslint-disable-next-line no-restricted-properties -- Windows has a temporary folder for each user
  const user = process.getuid?.() ?? 0
  const usual = join(tmpdir(), `hutong-demo-${user}`)
  const folder = (await isReusable(usual)) ? usual : await mkdtemp(`${usual}-`)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeFile(join(folder, markerName), String(process.pid))
  return folder
}

/** Not there, or left by a demonstration of this user that has ended. */
async function isReusable(folder: string): Promise<boolean> {
  const facts = await lstat(folder).catch(() => undefined)
  if (facts === undefined) return true
  // eslint-disable-next-line no-restricted-properties -- asked for where it is there only
  if (!facts.isDirectory() || (process.getuid !== undefined && facts.uid !== process.getuid())) return false
  const pid = Number(await readFile(join(folder, markerName), 'utf8').catch(() => ''))
  if (!Number.isInteger(pid) || pid <= 0) return false
  return pid === process.pid || !pidExists(pid)
}
