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
import { lookAtCalendar } from './doctor/calendar.js'
import { failure, ok, warning, type Finding, type Look, type Say } from './doctor/finding.js'
import { assumedBytesPerDay, bytesPerDay, outageDays, spoolFiles } from './doctor/outage-room.js'
import { lookAtCertificate } from './doctor/province.js'
import { lookAtFolders, lookAtGateway } from './doctor/site.js'
import { kafkaOptionsOf, prefixOf, topicContents } from './runtime.js'
import { exitCodes, type Terminal } from './terminal.js'

export function doctorCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('doctor'))
    .description(
      'look whether this place can run: Node, disk, ports, folders, clock; at an edge the gateway, in the province Kafka, schema registry and repository',
    )
    .option('--json', 'one JSON object: {"ok","findings":[{"part","state","detail"}]}')
    .addHelpText('after', '\nExit code: 0 nothing failed (there may be warnings), 1 something does not work.')
    .action(async (flags: PlaceFlags & { json?: boolean }) => {
      const configuration = await configurationOf(flags, terminal)
      const findings: Finding[] = []
      const { language } = terminal.environment
      const say: Say = (en, zh) => (language === 'zh' ? zh : en)
      for (const [part, look] of looks) {
        if (configuration.uplink !== undefined && provincial.has(part)) continue
        for (const finding of await look(configuration, say).catch((error: Error) => [failure(part, error.message)])) {
          findings.push(finding)
          if (flags.json !== true)
            terminal.out(`${stateText(finding.state, say)} ${finding.part.padEnd(12)} ${finding.detail}\n`)
        }
      }
      const failed = findings.some(({ state }) => state === 'failure')
      if (flags.json === true) terminal.out(`${JSON.stringify({ ok: !failed, findings })}\n`)
      process.exitCode = failed ? exitCodes.found : exitCodes.ok
    })
}

/** What is the province's is not an edge's to look at. */
const provincial: ReadonlySet<string> = new Set(['certificate', 'kafka', 'registry', 'repository', 'calendar'])
const looks: readonly (readonly [part: string, look: Look])[] = [
  ['node', lookAtNode],
  ['disk', lookAtDisk],
  ['ports', lookAtPorts],
  ['folders', lookAtFolders],
  ['gateway', lookAtGateway],
  ['certificate', lookAtCertificate],
  ['kafka', lookAtKafka],
  ['registry', lookAtRegistry],
  ['repository', lookAtRepository],
  ['calendar', lookAtCalendar],
]

function stateText(state: Finding['state'], say: Say): string {
  const zh = { ok: '正常', warning: '警告', failure: '故障' }[state]
  return say(state.padEnd(8), `${zh}    `)
}

async function lookAtNode(_: Configuration, say: Say): Promise<readonly Finding[]> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    return [
      failure(
        'node',
        say(
          `Node ${process.versions.node}; 20.19 or later is needed`,
          `Node ${process.versions.node}，需要 20.19 或更高版本`,
        ),
      ),
    ]
  const gb18030 = new TextDecoder('gb18030').decode(Buffer.from([0xb2, 0xe2])) === '测'
  return [
    gb18030
      ? ok('node', `Node ${process.versions.node}`)
      : failure(
          'node',
          say('this Node was built without full ICU: it cannot read GB18030', '这个 Node 不含完整 ICU，读不了 GB18030'),
        ),
  ]
}

async function lookAtDisk({ dataDir = '.hutong', spool }: Configuration, say: Say): Promise<readonly Finding[]> {
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
  const { diskReserveMegabytes = 512, retentionMegabytes = 20_480 } = spool ?? {}
  const ms = median.toFixed(2)
  const flush = say(
    `${dataDir} is writable; a flush takes ${ms} ms (median of 50)`,
    `${dataDir} 可写；一次落盘 ${ms} 毫秒（50 次的中位数）`,
  )
  const slow = say(': slow; acknowledgements wait for it', '：偏慢，应答要等它')
  return [
    median > 50 ? warning('disk', flush + slow) : ok('disk', flush),
    await outageFinding({ dataDir, freeMegabytes, diskReserveMegabytes, retentionMegabytes }, say),
  ]
}

/** Less than a day is no day: nights and mornings differ. */
function spanText(days: number, say: Say): string {
  if (days >= 1) return ''
  const hours = Math.floor(days * 24)
  return say(` in ${hours} h: look again after a day`, `（仅 ${hours} 小时的数据，满一天后请再查）`)
}

async function outageFinding(
  disk: {
    readonly dataDir: string
    readonly freeMegabytes: number
    readonly diskReserveMegabytes: number
    readonly retentionMegabytes: number
  },
  say: Say,
): Promise<Finding> {
  const { freeMegabytes, diskReserveMegabytes: reserve } = disk
  const measured = bytesPerDay(await spoolFiles(join(disk.dataDir, 'spool')))
  const perDay = measured?.bytes ?? assumedBytesPerDay
  const bytes = (megabytes: number): number => megabytes * 1024 * 1024
  const days = outageDays({
    freeBytes: bytes(freeMegabytes),
    reserveBytes: bytes(reserve),
    retentionBytes: bytes(disk.retentionMegabytes),
    bytesPerDay: perDay,
  })
  const rate = (perDay / 1024 / 1024).toFixed(1)
  const basis =
    measured === undefined
      ? say(`${rate} MiB a day, assumed: 10,000 messages of 3.5 KB`, `按每天 ${rate} MiB 估计（一万条、每条 3.5 KB）`)
      : say(
          `${rate} MiB a day, as the spool has written${spanText(measured.spanDays, say)}`,
          `按缓存实际每天 ${rate} MiB${spanText(measured.spanDays, say)}`,
        )
  const room = say(
    `${freeMegabytes} MiB free: room for about ${days} days without the line or the log, at ${basis}`,
    `剩余 ${freeMegabytes} MiB：断线约可坚持 ${days} 天，${basis}`,
  )
  if (freeMegabytes <= reserve) {
    const full = say(
      `; below the reserve of ${reserve} MiB nothing is acknowledged`,
      `；低于保留的 ${reserve} MiB，不再应答`,
    )
    return failure('disk', room + full)
  }
  if (days >= 3) return ok('disk', room)
  return warning('disk', room + say(': too little for a long weekend; make room', '：撑不过一个长周末，请腾出空间'))
}

async function lookAtPorts({ feeds, http, gateway }: Configuration, say: Say): Promise<readonly Finding[]> {
  const wanted = feeds.flatMap(({ name, settings }) =>
    typeof settings.port === 'number' && settings.port > 0
      ? [{ name, host: String(settings.host ?? '127.0.0.1'), port: settings.port }]
      : [],
  )
  if (gateway !== undefined && gateway.port > 0)
    wanted.push({ name: say('the gateway', '网关'), host: gateway.host ?? '0.0.0.0', port: gateway.port })
  if (http !== undefined && http.port > 0)
    wanted.push({ name: say('metrics and health', '指标与健康检查'), host: http.host ?? '127.0.0.1', port: http.port })
  const looked = wanted.map(async ({ name, host, port }) => {
    const problem = await listenOnce(host, port, say)
    return problem === undefined
      ? ok('ports', say(`${host}:${port} is free for ${name}`, `${host}:${port} 空闲，可供 ${name} 使用`))
      : warning('ports', say(`${host}:${port} for ${name}: ${problem}`, `${host}:${port}（${name}）：${problem}`))
  })
  return [...(await Promise.all(looked)), ...feeds.filter(takesFromAnyone).map(({ name }) => openToAll(name, say))]
}

/** MLLP knows no password: who reaches the port is believed. */
const takesFromAnyone = ({ settings }: Configuration['feeds'][number]): boolean =>
  (settings.host === '0.0.0.0' || settings.host === '::') && settings.allow === undefined && settings.tls === undefined

const openToAll = (name: string, say: Say): Finding =>
  warning(
    'ports',
    say(
      `${name} takes messages from every machine that reaches this one: name the senders in its allow`,
      `${name} 接受任何能连到本机的机器发来的消息：请在 allow 中写明发送方地址`,
    ),
  )

function listenOnce(host: string, port: number, say: Say): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(
        error.code === 'EADDRINUSE'
          ? say('taken (by a running receive role, or by somebody else)', '已被占用（运行中的接收进程，或其他程序）')
          : error.message,
      ),
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
