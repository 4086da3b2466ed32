// Where bench/whole-path.ts runs: a database, topics and subjects of its own on the real stack, and the roles of a
// deployment, each a process of the built product. Everything is removed in the end.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { stringify } from 'yaml'
import { demoHospital, demoMappingFiles, type HospitalCode } from '../cli/demo/hospitals.js'
import { readEnvironment } from '../core/environment.js'
import { openKafkaLog } from '../log/kafka-log.js'
import { allTopics, contentOf } from '../log/topics.js'
import { openDatabase } from '../repository/database.js'
import { migrate } from '../repository/migrate.js'
import { registerSchemas } from '../schemas/compatibility.js'
import { createDatabase } from '../test/repository/databases.js'

export const topics = allTopics.map((topic) => ({ topic, event: contentOf(topic) }))

export interface Feed {
  readonly feed: string
  readonly hospital: HospitalCode
}

export interface Place {
  readonly folder: string
  readonly prefix: string
  readonly brokers: readonly string[]
  readonly registryUrl: string
  readonly databaseUrl: string
  /** One connection of the benchmark's own. */
  readonly client: pg.Client
  /** Path of a configuration for one role process: same deployment, status port of its own. */
  readonly configFile: string
  end(): Promise<void>
}

/** @throws Error where HUTONG_KAFKA_BROKERS, HUTONG_SCHEMA_REGISTRY_URL or HUTONG_DATABASE_URL is not set */
export async function openPlace(feeds: readonly Feed[], partitions: number): Promise<Place> {
  const { kafkaBrokers: brokers, schemaRegistryUrl: registryUrl, databaseUrl: serverUrl } = readEnvironment()
  if (brokers === undefined || registryUrl === undefined || serverUrl === undefined) {
    throw new Error('set HUTONG_KAFKA_BROKERS, HUTONG_SCHEMA_REGISTRY_URL and HUTONG_DATABASE_URL')
  }
  const { name, url: databaseUrl, drop } = await createDatabase(serverUrl)
  const prefix = name.replaceAll('_', '-')
  const folder = mkdtempSync(join(tmpdir(), 'hutong-bench-'))
  const remove = async (): Promise<void> => {
    await removeTopics(brokers, prefix)
    await removeSubjects(registryUrl, prefix)
    await drop()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const database = await openDatabase({ url: databaseUrl })
    await migrate(database)
    await database.close()
    const { violations } = await registerSchemas(registryUrl, prefix, topics)
    if (violations.length > 0) throw new Error(`the registry refuses the schemas: ${violations[0]!.problem}`)
    const log = await openKafkaLog({ brokers, prefix, clientId: 'bench' })
    await log.ensureTopics(allTopics, partitions)
    await log.close()
    const configFile = join(folder, 'hutong.yaml')
    writeFileSync(
      configFile,
      stringify({
        environment: 'test',
        dataDir: join(folder, 'data'),
        kafka: { brokers: [...brokers], prefix, partitions },
        schemaRegistry: { url: registryUrl },
        database: { url: databaseUrl },
        http: { port: 0 },
        catalogue: { mappings: demoMappingFiles() },
        feeds: feeds.map(({ feed, hospital }) => ({
          name: feed,
          hospital,
          connector: 'hl7v2-mllp',
          port: 0,
          ...demoHospital(hospital).parseSettings,
        })),
      }),
    )
    const client = new pg.Client({ connectionString: databaseUrl, application_name: 'bench' })
    client.on('error', () => undefined)
    await client.connect()
    return {
      folder,
      prefix,
      brokers,
      registryUrl,
      databaseUrl,
      client,
      configFile,
      async end() {
        await client.end().catch(() => undefined)
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** A role of the deployment, running. */
export interface RoleProcess {
  readonly role: string
  readonly pid: number
  /** Ports of its feeds, once they listen. */
  readonly ports: ReadonlyMap<string, number>
  readonly exited: Promise<unknown>
  isRunning(): boolean
  /** Its metrics: sample by name with labels. */
  metrics(): Promise<ReadonlyMap<string, number>>
  stop(): Promise<void>
}

/** Starts a role of the built product in `dist`; resolves when it answers and its feeds listen. */
export async function startRole(options: {
  readonly role: string
  readonly configFile: string
  readonly entry: string
  readonly nodeFlags: readonly string[]
  readonly feeds: readonly Feed[]
  readonly profileFolder?: string
}): Promise<RoleProcess> {
  const { role, configFile, entry, feeds, profileFolder } = options
  const flags = [...options.nodeFlags]
  if (profileFolder !== undefined) {
    mkdirSync(profileFolder, { recursive: true })
    flags.push('--cpu-prof', `--cpu-prof-dir=${profileFolder}`, `--cpu-prof-name=${role}.cpuprofile`)
  }
  const child = spawn(process.execPath, [...flags, entry, 'run', configFile, '--role', role], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ports = new Map<string, number>()
  let statusPort = 0
  const exited = once(child, 'exit')
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const entry = parsed(line)
      if (entry === undefined || (entry.level ?? 0) >= 40) process.stderr.write(`[${role}] ${line}\n`)
      if (entry === undefined) return
      if (entry.msg === 'listening') ports.set(entry.feed!, entry.port!)
      if (entry.msg === 'metrics and health') statusPort = entry.port!
      if (statusPort > 0 && (role !== 'receive' || ports.size === feeds.length)) resolve()
    })
    child.once('exit', (code) => reject(new Error(`the ${role} role ended with ${code}`)))
  })
  await ready
  return {
    role,
    pid: child.pid!,
    ports,
    exited,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    async metrics() {
      const text = await (await fetch(`http://127.0.0.1:${statusPort}/metrics`)).text()
      const samples = text.split('\n').flatMap((line): [string, number][] => {
        if (line === '' || line.startsWith('#')) return []
        const at = line.lastIndexOf(' ')
        return [[line.slice(0, at), Number(line.slice(at + 1))]]
      })
      return new Map(samples)
    },
    stop: () => end(child, exited),
  }
}

/** SIGTERM, then SIGKILL after 30 s. */
export async function end(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
  await exited
  clearTimeout(timer)
}

function parsed(line: string): { level?: number; msg?: string; feed?: string; port?: number } | undefined {
  try {
    return JSON.parse(line) as { level?: number }
  } catch {
    return undefined
  }
}

async function removeTopics(brokers: readonly string[], prefix: string): Promise<void> {
  const admin = new Kafka({ brokers: [...brokers], clientId: 'bench', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`${prefix}.`))
    if (topics.length > 0) await admin.deleteTopics({ topics })
    const { groups } = await admin.listGroups()
    const ours = groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(`${prefix}.`))
    if (ours.length > 0) await admin.deleteGroups(ours).catch(() => undefined)
  } finally {
    await admin.disconnect()
  }
}

async function removeSubjects(registryUrl: string, prefix: string): Promise<void> {
  for (const { topic } of topics) {
    const subject = `${registryUrl}/subjects/${encodeURIComponent(`${prefix}.${topic}-value`)}`
    await fetch(subject, { method: 'DELETE' }).catch(() => undefined)
    await fetch(`${subject}?permanent=true`, { method: 'DELETE' }).catch(() => undefined)
  }
}
