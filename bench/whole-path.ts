// The whole path on the real stack: MLLP → spool → Kafka → parse → normalise → PostgreSQL, every role a process of the
// built product, everything on this machine. Blood counts of 24 results and about 3 KB from several hospitals.
//   npm run build && npx vite-node bench/whole-path.ts [--seconds 180] [--freshness-seconds 60] [--from mllp|raw]
//     [--feeds 6] [--partitions 3] [--rate N] [--profile DIR] [--entry dist/cli/main.js] [--node-flags "…"] [--json FILE]
// Saturation: the load follows what is stored, holding about a second and a half of work in flight; what is stored then
// is the highest rate at which the backlog does not grow. Freshness: half of that rate (or of --rate, which skips the
// first phase), from receipt to the row's commit. In the end every acknowledged message must have its receipt and rows.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { HospitalCode } from '../cli/demo/hospitals.js'
import {
  anonymousMegabytesOf,
  cpuSecondsOf,
  machineCpuSeconds,
  machineFacts,
  machineLine,
  pidListeningOn,
} from './machine.js'
import { end, openPlace, startRole, topics, type Feed, type Place, type RoleProcess } from './whole-path-place.js'
import type { LoadOrder, LoadReport } from './whole-path-load.js'

const root = join(fileURLToPath(import.meta.url), '..', '..')
const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '180' },
    'freshness-seconds': { type: 'string', default: '60' },
    from: { type: 'string', default: 'mllp' },
    feeds: { type: 'string', default: '6' },
    partitions: { type: 'string', default: '3' },
    rate: { type: 'string' },
    profile: { type: 'string' },
    entry: { type: 'string', default: join(root, 'dist/cli/main.js') },
    'node-flags': { type: 'string', default: '' },
    json: { type: 'string' },
  },
})
const by = flags.from === 'raw' ? 'raw' : 'mllp'
const resultsPerMessage = 24
/** Work in flight that the saturation phase holds, messages. */
const backlogWanted = 3000
const rampSeconds = 20

const codes: readonly HospitalCode[] = ['H001', 'H002', 'H003']
const feeds = Array.from({ length: Number(flags.feeds) }, (_, index): Feed & { seed: number } => {
  const hospital = codes[index % codes.length]!
  return { hospital, feed: `${hospital.toLowerCase()}-lis-${index}`, seed: 1000 + index }
})

/** What was used and done between two moments. */
interface Window {
  readonly seconds: number
  readonly acknowledged: number
  readonly stored: number
  readonly messagesPerSecond: number
  readonly rowsPerSecond: number
  /** CPU seconds by who used them. */
  readonly cpu: Readonly<Record<string, number>>
  readonly machine: { readonly used: number; readonly waiting: number; readonly idle: number; readonly stolen: number }
  readonly load: number
  /** Acknowledged and not yet stored, every five seconds. */
  readonly backlog: readonly number[]
  /** Records a stage has not taken yet, median over the window. */
  readonly waiting: Readonly<Record<string, number>>
  readonly waits: Readonly<Record<string, number>>
  readonly freshnessSeconds: {
    readonly p50: number
    readonly p95: number
    readonly p99: number
    readonly over1: number
  }
}

const roles: RoleProcess[] = []

interface Report {
  readonly by: 'mllp' | 'raw'
  readonly saturation?: Window
  readonly freshness: Window
  readonly anonymousMegabytes: Readonly<Record<string, number>>
  readonly audit: Audit
}

async function bench(place: Place): Promise<Report> {
  for (const role of by === 'mllp'
    ? ['receive', 'parse', 'normalise', 'sink', 'archive']
    : ['parse', 'normalise', 'sink', 'archive']) {
    roles.push(
      await startRole({
        role,
        configFile: place.configFile,
        entry: flags.entry,
        nodeFlags: flags['node-flags'].split(' ').filter((flag) => flag !== ''),
        feeds,
        ...(flags.profile !== undefined && { profileFolder: flags.profile }),
      }),
    )
  }
  const run = new Run(place)
  await run.start()
  try {
    let rate = Number(flags.rate ?? 0)
    let saturation: Window | undefined
    if (flags.rate === undefined) {
      run.mode = 'saturate'
      await run.during(rampSeconds)
      const half = run.during(Number(flags.seconds) / 3).then(() => place.client.query('CHECKPOINT'))
      saturation = await run.window(Number(flags.seconds))
      await half
      rate = saturation.messagesPerSecond
      process.stdout.write(`saturated at ${rate.toFixed(0)} messages/s\n`)
    }
    run.mode = rate / 2
    await run.during(rampSeconds)
    // what the first phase left in flight is not this phase's
    for (let waited = 0; run.backlog > Math.max(500, rate / 2) && waited < 120; waited++) await run.during(1)
    const freshness = await run.window(Number(flags['freshness-seconds']))
    run.mode = 0
    await run.stopLoad()
    const audit = await run.audit()
    return {
      by,
      ...(saturation !== undefined && { saturation }),
      freshness,
      anonymousMegabytes: Object.fromEntries(run.megabytes),
      audit,
    }
  } finally {
    await run.stopLoad()
  }
}

interface Audit {
  readonly acknowledged: number
  readonly receipts: number
  readonly stored: number
  readonly observations: number
  readonly archived: number
  readonly deadLetters: number
  readonly drainSeconds: number
}

interface Totals {
  readonly atMs: number
  readonly acknowledged: number
  readonly stored: number
  readonly cpu: ReadonlyMap<string, number>
  readonly machine: ReturnType<typeof machineCpuSeconds>
  readonly freshness: ReadonlyMap<number, number>
}

class Run {
  mode: 'saturate' | number = 0
  readonly megabytes = new Map<string, number>()
  private readonly load
  private readonly loadExited
  private report: LoadReport = { acknowledged: 0, refused: 0, attempts: 0 }
  private stored = 0
  private freshness = new Map<number, number>()
  private perSecond = 0
  private readonly series: { atMs: number; backlog: number; waiting: Map<string, number>; waits: string[] }[] = []
  private readonly kafkaPid: number | undefined
  /** Server processes by pid: what they had used when first seen, and at last. */
  private readonly backends = new Map<number, { kind: string; first: number; last: number }>()
  private following = true
  private follower: Promise<void> = Promise.resolve()

  constructor(private readonly place: Place) {
    this.kafkaPid = pidListeningOn(Number(place.brokers[0]!.split(':')[1]))
    const runner = join(root, 'node_modules/vite-node/vite-node.mjs')
    this.load = spawn(process.execPath, [runner, join(root, 'bench/whole-path-load.ts')], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.loadExited = once(this.load, 'exit')
  }

  async start(): Promise<void> {
    await once(this.load, 'message')
    this.load.on('message', (report: LoadReport) => (this.report = report))
    const ports = roles.find(({ role }) => role === 'receive')?.ports
    const order: LoadOrder = {
      by,
      feeds: feeds.map((feed) => ({ ...feed, port: ports?.get(feed.feed) ?? 0 })),
      connections: 4,
      inFlight: 32,
      brokers: this.place.brokers,
      prefix: this.place.prefix,
      registryUrl: this.place.registryUrl,
      topics,
    }
    this.load.send(order)
    this.follower = this.follow()
    this.follower.catch(() => undefined)
  }

  /** Acknowledged and not yet stored. */
  get backlog(): number {
    return this.report.acknowledged - this.stored
  }

  async during(seconds: number): Promise<void> {
    await Promise.race([
      sleep(seconds * 1000),
      this.follower,
      ...roles.map(({ role, exited }) => exited.then(() => Promise.reject(new Error(`the ${role} role ended`)))),
    ])
  }

  async window(seconds: number): Promise<Window> {
    const before = this.totals()
    const from = this.series.length
    await this.during(seconds)
    const after = this.totals()
    const part = this.series.slice(from)
    const took = (after.atMs - before.atMs) / 1000
    const stored = after.stored - before.stored
    const cpu: Record<string, number> = {}
    for (const [who, used] of after.cpu) cpu[who] = used - (before.cpu.get(who) ?? 0)
    const machine = Object.fromEntries(
      Object.entries(after.machine).map(([name, value]) => [name, value - before.machine[name as 'used']]),
    ) as Window['machine']
    const waits: Record<string, number> = {}
    for (const wait of part.flatMap((point) => point.waits)) waits[wait] = (waits[wait] ?? 0) + 1 / part.length
    const stages = new Set(part.flatMap(({ waiting }) => [...waiting.keys()]))
    return {
      seconds: took,
      acknowledged: after.acknowledged - before.acknowledged,
      stored,
      messagesPerSecond: stored / took,
      rowsPerSecond: (stored * resultsPerMessage) / took,
      cpu,
      machine,
      load: loadavg()[0]!,
      backlog: part.filter((_, index) => index % 5 === 0).map(({ backlog }) => backlog),
      waiting: Object.fromEntries(
        [...stages].map((stage) => [stage, median(part.map(({ waiting }) => waiting.get(stage) ?? 0))]),
      ),
      waits,
      freshnessSeconds: quantiles(before.freshness, after.freshness),
    }
  }

  async stopLoad(): Promise<void> {
    this.following = false
    await this.follower.catch(() => undefined)
    if (this.load.connected) this.load.send('stop')
    const timer = setTimeout(() => void end(this.load, this.loadExited), 10_000)
    await this.loadExited
    clearTimeout(timer)
  }

  /** After the load has ended: waits until everything is settled, then counts what must agree. */
  async audit(): Promise<Audit> {
    const acknowledged = this.report.acknowledged
    const started = performance.now()
    const one = async (sql: string): Promise<number> =>
      Number(((await this.place.client.query(sql)) as { rows: { count: string }[] }).rows[0]!.count)
    const receiptsOf = (where: string): Promise<number> =>
      one(`SELECT count(DISTINCT (feed_id, epoch, seq)) AS count FROM receipt ${where}`)
    while ((await receiptsOf('')) < acknowledged && performance.now() - started < 120_000) await sleep(500)
    while ((await one('SELECT count(*) FROM raw_message')) < acknowledged && performance.now() - started < 180_000)
      await sleep(500)
    return {
      acknowledged,
      receipts: await receiptsOf(''),
      stored: await receiptsOf("WHERE disposition = 'stored'"),
      observations: await one('SELECT count(*) FROM observation'),
      archived: await one('SELECT count(*) FROM raw_message'),
      deadLetters: await one('SELECT count(*) FROM dead_letter'),
      drainSeconds: (performance.now() - started) / 1000,
    }
  }

  private totals(): Totals {
    return {
      atMs: performance.now(),
      acknowledged: this.report.acknowledged,
      stored: this.stored,
      cpu: this.cpu(),
      machine: machineCpuSeconds(),
      freshness: this.freshness,
    }
  }

  private cpu(): Map<string, number> {
    const used = new Map(roles.map(({ role, pid }) => [role, cpuSecondsOf(pid)]))
    if (this.kafkaPid !== undefined) used.set('Kafka', cpuSecondsOf(this.kafkaPid))
    for (const [pid, { kind }] of this.backends) used.set(kind, (used.get(kind) ?? 0) + this.backendCpu(pid))
    used.set('load', cpuSecondsOf(this.load.pid!))
    used.set('benchmark', process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6)
    return used
  }

  /** Notes the server processes that work for this run; what its sessions wait for at this moment. */
  private async observeBackends(): Promise<string[]> {
    const { rows } = await this.place.client.query<{ pid: number; kind: string; wait: string | null }>(
      `SELECT pid,
         CASE WHEN backend_type = 'client backend' THEN 'PostgreSQL sessions'
           WHEN datname IS NOT NULL THEN 'PostgreSQL autovacuum' ELSE 'PostgreSQL writers' END AS kind,
         CASE WHEN backend_type = 'client backend' AND state = 'active'
           THEN coalesce(wait_event_type || ' ' || wait_event, 'running') || ': ' || left(query, 32) END AS wait
       FROM pg_stat_activity
       WHERE pid <> pg_backend_pid() AND (datname = current_database()
         OR backend_type IN ('walwriter', 'checkpointer', 'background writer'))`,
    )
    for (const { pid, kind } of rows) {
      const known = this.backends.get(pid)
      const used = cpuSecondsOf(pid)
      if (known === undefined)
        this.backends.set(pid, { kind, first: kind === 'PostgreSQL writers' ? used : 0, last: used })
      else known.last = used
    }
    return rows.flatMap(({ wait }) => (wait === null ? [] : [wait]))
  }

  private backendCpu(pid: number): number {
    const known = this.backends.get(pid)!
    known.last = Math.max(known.last, cpuSecondsOf(pid))
    return known.last - known.first
  }

  /** Once a second: what is stored, what waits where, and from it the rate of the load. */
  private async follow(): Promise<void> {
    let lastStored = 0
    let lastMs = performance.now()
    for (let tick = 0; this.following; tick++) {
      await sleep(1000)
      const sink = roles.find(({ role }) => role === 'sink')!
      const samples = await sink.metrics()
      this.stored = sum(samples, 'hutong_events_total{domain="lab-report",disposition="stored"}')
      this.freshness = buckets(samples)
      const now = performance.now()
      const rate = ((this.stored - lastStored) * 1000) / (now - lastMs)
      this.perSecond = this.perSecond === 0 ? rate : 0.8 * this.perSecond + 0.2 * rate
      ;[lastStored, lastMs] = [this.stored, now]
      const { backlog } = this
      if (this.load.connected) {
        const wanted =
          this.mode === 'saturate' ? Math.max(0, this.perSecond * 1.02 + (backlogWanted - backlog) / 2) : this.mode
        this.load.send({ rate: wanted })
      }
      const waiting = new Map<string, number>([['sink', sum(samples, 'hutong_consumer_lag_records')]])
      if (tick % 5 === 0) {
        for (const role of roles) {
          this.megabytes.set(role.role, Math.max(this.megabytes.get(role.role) ?? 0, anonymousMegabytesOf(role.pid)))
          if (role.role === 'sink' || role.role === 'receive') continue
          waiting.set(role.role, sum(await role.metrics(), 'hutong_consumer_lag_records'))
        }
      } else for (const [stage, records] of this.series.at(-1)?.waiting ?? []) waiting.set(stage, records)
      this.series.push({ atMs: now, backlog, waiting, waits: await this.observeBackends() })
      if (tick % 10 === 9) {
        const stages = [...waiting].map(([stage, records]) => `${stage} ${records}`).join(', ')
        process.stdout.write(
          `  ${rate.toFixed(0).padStart(5)} messages/s, acknowledged ${this.report.acknowledged}, backlog ${backlog} (${stages}), load ${loadavg()[0]!.toFixed(1)}\n`,
        )
      }
    }
  }
}

function sum(samples: ReadonlyMap<string, number>, start: string): number {
  let total = 0
  for (const [name, value] of samples) if (name.startsWith(start)) total += value
  return total
}

/** Cumulative counts of the freshness histogram by upper bound, over all feeds. */
function buckets(samples: ReadonlyMap<string, number>): Map<number, number> {
  const counts = new Map<number, number>()
  for (const [name, value] of samples) {
    if (!name.startsWith('hutong_freshness_seconds_bucket')) continue
    const bound = /le="([^"]+)"/.exec(name)![1]!
    const upper = bound === '+Inf' ? Infinity : Number(bound)
    counts.set(upper, (counts.get(upper) ?? 0) + value)
  }
  return counts
}

/** Quantiles of what was observed between two states of the histogram, interpolated within a bucket. */
function quantiles(
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
): Window['freshnessSeconds'] {
  const bounds = [...after.keys()].sort((a, b) => a - b)
  const counts = bounds.map((bound) => after.get(bound)! - (before.get(bound) ?? 0))
  const total = counts.at(-1) ?? 0
  const at = (share: number): number => {
    const wanted = share * total
    const index = counts.findIndex((count) => count >= wanted)
    const lower = bounds[index - 1] ?? 0
    const under = counts[index - 1] ?? 0
    const upper = bounds[index] ?? Infinity
    if (upper === Infinity) return lower
    return lower + ((upper - lower) * (wanted - under)) / Math.max(1, counts[index]! - under)
  }
  const within1 = counts[bounds.indexOf(1)] ?? 0
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), over1: total === 0 ? 0 : 1 - within1 / total }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
}

function print({ saturation, freshness, anonymousMegabytes, audit }: Report): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  const show = (name: string, window: Window): void => {
    const { used, waiting, idle, stolen } = window.machine
    const cores = (seconds: number): string => (seconds / window.seconds).toFixed(2)
    const ours = Object.values(window.cpu).reduce((total, seconds) => total + seconds, 0)
    line(
      `${name}: ${window.messagesPerSecond.toFixed(0)} blood counts/s, ${window.rowsPerSecond.toFixed(0)} rows/s ` +
        `over ${window.seconds.toFixed(0)} s, load ${window.load.toFixed(1)}`,
    )
    line(
      `  freshness p50 ${(window.freshnessSeconds.p50 * 1000).toFixed(0)} ms, p95 ${(window.freshnessSeconds.p95 * 1000).toFixed(0)} ms, ` +
        `p99 ${(window.freshnessSeconds.p99 * 1000).toFixed(0)} ms; over 1 s: ${(window.freshnessSeconds.over1 * 100).toFixed(2)} %`,
    )
    line(`  backlog every 5 s: ${window.backlog.join(' ')}`)
    line(
      `  waiting for (median): ${Object.entries(window.waiting)
        .map(([stage, count]) => `${stage} ${count}`)
        .join(', ')}`,
    )
    line(
      `  machine, cores: used ${cores(used)} (ours ${cores(ours)}, others ${cores(Math.max(0, used - ours))}), ` +
        `waiting for disk ${cores(waiting)}, idle ${cores(idle)}, stolen ${cores(stolen)}`,
    )
    const shares = Object.entries(window.cpu).map(
      ([who, seconds]) =>
        `${who} ${cores(seconds)} cores, ${((seconds * 1e6) / Math.max(1, window.stored)).toFixed(0)} µs`,
    )
    line(
      `  CPU (a message): ${shares.join('; ')}; together ${((ours * 1e6) / Math.max(1, window.stored)).toFixed(0)} µs`,
    )
    const waits = Object.entries(window.waits).sort(([, a], [, b]) => b - a)
    line(
      `  database sessions, mean: ${waits
        .slice(0, 12)
        .map(([wait, mean]) => `${wait} ${mean.toFixed(2)}`)
        .join(', ')}`,
    )
  }
  if (saturation !== undefined) show('saturation', saturation)
  show('half of it', freshness)
  const memory = Object.entries(anonymousMegabytes).map(([role, megabytes]) => `${role} ${megabytes.toFixed(0)}`)
  line(`anonymous memory, MB at most: ${memory.join(', ')}`)
  const { acknowledged, receipts, stored, observations, archived, deadLetters, drainSeconds } = audit
  line(
    `audit: acknowledged ${acknowledged}, receipts ${receipts}, stored ${stored}, observations ${observations}, ` +
      `archived ${archived}, dead letters ${deadLetters}; drained in ${drainSeconds.toFixed(1)} s`,
  )
  const agrees =
    receipts === acknowledged &&
    stored === acknowledged &&
    observations === stored * resultsPerMessage &&
    archived === acknowledged
  if (!agrees) {
    line('THE NUMBERS DO NOT AGREE')
    process.exitCode = 1
  }
}

process.stdout.write(`${machineLine(machineFacts())}\n`)
const place = await openPlace(feeds, Number(flags.partitions))
let ended: Promise<void> | undefined
const endAll = (): Promise<void> => (ended ??= Promise.all(roles.map((role) => role.stop())).then(() => place.end()))
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => void endAll().finally(() => process.exit(130)))
}
try {
  const report = await bench(place)
  print(report)
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`)
} finally {
  await endAll()
}
