import { randomBytes } from 'node:crypto'
import { mkdir, open, rm, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Command } from 'commander'
import { describeCluster } from '../log/kafka-log.js'
import { openCodec } from '../schemas/codec.js'
import type { Configuration } from './config.js'
import { configurationOf, openRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { kafkaOptionsOf, prefixOf, topicContents } from './runtime.js'
import { exitCodes, type Terminal } from './terminal.js'

/** One thing looked at. A warning works today and will hurt; a failure does not work. */
interface Finding {
  readonly part: string
  readonly state: 'ok' | 'warning' | 'failure'
  readonly detail: string
}

export function doctorCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('doctor'))
    .description('look whether this place can run: Node, disk, ports, Kafka, schema registry, repository, clock')
    .option('--json', 'one JSON object: {"ok","findings":[{"part","state","detail"}]}')
    .addHelpText('after', '\nExit code: 0 nothing failed (there may be warnings), 1 something does not work.')
    .action(async (flags: PlaceFlags & { json?: boolean }) => {
      const configuration = await configurationOf(flags, terminal)
      const findings: Finding[] = []
      for (const [part, look] of looks) {
        for (const finding of await look(configuration).catch((error: Error) => [failure(part, error.message)])) {
          findings.push(finding)
          if (flags.json !== true)
            terminal.out(`${finding.state.padEnd(8)} ${finding.part.padEnd(12)} ${finding.detail}\n`)
        }
      }
      const failed = findings.some(({ state }) => state === 'failure')
      if (flags.json === true) terminal.out(`${JSON.stringify({ ok: !failed, findings })}\n`)
      process.exitCode = failed ? exitCodes.found : exitCodes.ok
    })
}

type Look = (configuration: Configuration) => Promise<readonly Finding[]>
const looks: readonly (readonly [part: string, look: Look])[] = [
  ['node', lookAtNode],
  ['disk', lookAtDisk],
  ['ports', lookAtPorts],
  ['kafka', lookAtKafka],
  ['registry', lookAtRegistry],
  ['repository', lookAtRepository],
]

const ok = (part: string, detail: string): Finding => ({ part, state: 'ok', detail })
const warning = (part: string, detail: string): Finding => ({ part, state: 'warning', detail })
const failure = (part: string, detail: string): Finding => ({ part, state: 'failure', detail })

async function lookAtNode(): Promise<readonly Finding[]> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    return [failure('node', `Node ${process.versions.node}; 20.19 or later is needed`)]
  const gb18030 = new TextDecoder('gb18030').decode(Buffer.from([0xb2, 0xe2])) === '测'
  return [
    gb18030
      ? ok('node', `Node ${process.versions.node}`)
      : failure('node', 'this Node was built without full ICU: it cannot read GB18030'),
  ]
}

async function lookAtDisk({ dataDir = '.hutong', spool }: Configuration): Promise<readonly Finding[]> {
  await mkdir(dataDir, { recursive: true })
  const path = join(dataDir, `.doctor-${randomBytes(4).toString('hex')}`)
  const file = await open(path, 'wx')
  const times: number[] = []
  try {
    for (let round = 0; round < 50; round++) {
      const started = performance.now()
      await file.write(Buffer.alloc(4096, round))
      await file.datasync()
      times.push(performance.now() - started)
    }
  } finally {
    await file.close()
    await rm(path, { force: true })
  }
  times.sort((a, b) => a - b)
  const median = times[25] ?? 0
  const { bavail, bsize } = await statfs(dataDir)
  const freeMegabytes = Math.floor((bavail * bsize) / 1024 / 1024)
  const reserve = spool?.diskReserveMegabytes ?? 512
  const flush = `${dataDir} is writable; a flush takes ${median.toFixed(2)} ms (median of 50)`
  const days = Math.floor(((freeMegabytes - reserve) * 1024) / (10_000 * 3.5))
  const room = `${freeMegabytes} MiB free: about ${Math.max(0, days)} days without a log at 10,000 messages of 3.5 KB a day`
  return [
    median > 50 ? warning('disk', `${flush}: slow; acknowledgements wait for it`) : ok('disk', flush),
    freeMegabytes <= reserve
      ? failure('disk', `${room}; below the reserve of ${reserve} MiB nothing is acknowledged`)
      : ok('disk', room),
  ]
}

async function lookAtPorts({ feeds, http }: Configuration): Promise<readonly Finding[]> {
  const wanted = feeds.flatMap(({ name, settings }) =>
    typeof settings.port === 'number' && settings.port > 0
      ? [{ name, host: String(settings.host ?? '127.0.0.1'), port: settings.port }]
      : [],
  )
  if (http !== undefined && http.port > 0)
    wanted.push({ name: 'metrics and health', host: http.host ?? '127.0.0.1', port: http.port })
  return Promise.all(
    wanted.map(async ({ name, host, port }) => {
      const problem = await listenOnce(host, port)
      return problem === undefined
        ? ok('ports', `${host}:${port} is free for ${name}`)
        : warning('ports', `${host}:${port} for ${name}: ${problem}`)
    }),
  )
}

function listenOnce(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRINUSE' ? 'taken (by a running receive role, or by somebody else)' : error.message),
    )
    server.listen(port, host, () => server.close(() => resolve(undefined)))
  })
}

async function lookAtKafka(configuration: Configuration): Promise<readonly Finding[]> {
  const options = kafkaOptionsOf(configuration)
  if (options === undefined) return [ok('kafka', 'not configured: the embedded log of this process is used')]
  const { brokers, topics } = await describeCluster(
    options,
    topicContents.map(({ topic }) => topic),
  )
  const missing = topics.filter(({ replicas }) => replicas === 0)
  const weak = topics.filter(
    ({ replicas, minInsyncReplicas }) => replicas > 0 && (replicas < 3 || minInsyncReplicas < 2),
  )
  const findings = [ok('kafka', `${brokers} broker(s) answer`)]
  if (missing.length > 0)
    findings.push(warning('kafka', `${missing.length} topics are missing; the first role that starts creates them`))
  const thin = brokers < 3 || weak.length > 0
  if (thin) {
    const detail = `${brokers} broker(s), ${weak.length} topic(s) below 3 replicas with min.insync.replicas 2: one lost disk loses messages`
    findings.push(configuration.environment === 'production' ? failure('kafka', detail) : warning('kafka', detail))
  }
  return findings
}

async function lookAtRegistry(configuration: Configuration): Promise<readonly Finding[]> {
  const { schemaRegistry } = configuration
  if (schemaRegistry === undefined) return [ok('registry', 'not configured: the schemas of this installation are used')]
  await openCodec({ registryUrl: schemaRegistry.url, prefix: prefixOf(configuration), topics: topicContents })
  return [ok('registry', 'every subject holds the schema of this version')]
}

async function lookAtRepository(configuration: Configuration): Promise<readonly Finding[]> {
  if (configuration.database === undefined) {
    return [
      warning('repository', 'not configured: the embedded database does not flush to disk; for demo and tests only'),
    ]
  }
  const database = await openRepository(configuration)
  try {
    const before = Date.now()
    const [row] = await database.transaction((tx) =>
      tx.query<{ now: number; version: string }>(
        'SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now, version() AS version',
      ),
    )
    const skewMs = Number(row?.now ?? 0) - (before + Date.now()) / 2
    const skew = `the clock is ${Math.abs(Math.round(skewMs))} ms ${skewMs < 0 ? 'ahead of' : 'behind'} the database's`
    return [
      ok('repository', `${row?.version.split(' ').slice(0, 2).join(' ') ?? ''}; migrated`),
      Math.abs(skewMs) > 5000
        ? warning('clock', `${skew}: receipt times decide what is newer where a sender states none`)
        : ok('clock', skew),
    ]
  } finally {
    await database.close()
  }
}
