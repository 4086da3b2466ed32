// What history costs live data: freshness of a steady live load on the real stack, alone and with `hutong backfill` beside
// it, every role and the backfill a process of the built product. Blood counts of 24 results and about 3 KB, both ways.
//   npm run build && npx vite-node bench/backfill.ts [--rate 100] [--seconds 120] [--rounds 3] [--per-second 500]
//     [--feeds 6] [--partitions 3] [--entry dist/cli/main.js] [--json FILE]
// A round is one window alone and one beside a running backfill; which comes first alternates, so that a machine that
// grows slower or quicker favours neither. Freshness is from receipt until the row can be seen, looked for every 10 ms.
// Wanted: a p99 at most a tenth above, over the messages of all windows. In the end every message must have its receipt.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { bloodCounts } from '../cli/demo/templates.js'
import type { HospitalCode } from '../cli/demo/hospitals.js'
import { historyEpochsFrom } from '../core/ids.js'
import { machineFacts, machineLine } from './machine.js'
import { end, openPlace, startRole, topics, type Feed, type Place, type RoleProcess } from './whole-path-place.js'
import type { LoadOrder, LoadReport } from './whole-path-load.js'

const root = join(fileURLToPath(import.meta.url), '..', '..')
const { values: flags } = parseArgs({
  options: {
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '120' },
    rounds: { type: 'string', default: '3' },
    'per-second': { type: 'string', default: '500' },
    feeds: { type: 'string', default: '6' },
    partitions: { type: 'string', default: '3' },
    entry: { type: 'string', default: join(root, 'dist/cli/main.js') },
    json: { type: 'string' },
  },
})
const rate = Number(flags.rate)
const seconds = Number(flags.seconds)
const rounds = Number(flags.rounds)
const warmSeconds = 10

const codes: readonly HospitalCode[] = ['H001', 'H002', 'H003']
const feeds = Array.from({ length: Number(flags.feeds) }, (_, index): Feed & { seed: number } => {
  const hospital = codes[index % codes.length]!
  return { hospital, feed: `${hospital.toLowerCase()}-lis-${index}`, seed: 1000 + index }
})
const historyFeed = feeds[0]!

/** Sees each live receipt as soon as it can be seen, and how old its message is then. */
class FreshnessWatch {
  /** ms, in order of observation. */
  latencies: number[] = []
  private readonly feeds = new Map<string, { below: number; ahead: Set<number> }>()
  private readonly stop = new AbortController()
  private following: Promise<void> = Promise.resolve()

  constructor(private readonly client: pg.Client) {}

  start(): void {
    this.following = this.follow()
    this.following.catch((error: unknown) => process.stderr.write(`${String(error)}\n`))
  }

  async end(): Promise<void> {
    this.stop.abort()
    await this.following
  }

  private async follow(): Promise<void> {
    while (!this.stop.signal.aborted) {
      await this.look()
      await sleep(10)
    }
  }

  private async look(): Promise<void> {
    const { rows: streams } = await this.client.query<{ feed: number; epoch: number }>(
      `SELECT feed_id AS feed, epoch FROM feed_watermark WHERE epoch < ${historyEpochsFrom}`,
    )
    const known = streams.map(({ feed, epoch }) => ({ feed, epoch, state: this.stateOf(`${feed} ${epoch}`) }))
    const { rows } = await this.client.query<{ feed: number; epoch: number; seq: string; at: number; seen: number }>(
      `SELECT s.feed, s.epoch, r.seq, extract(epoch FROM r.received_at)::float8 * 1000 AS at,
         extract(epoch FROM clock_timestamp())::float8 * 1000 AS seen
       FROM unnest($1::int4[], $2::int4[], $3::int8[]) AS s (feed, epoch, below)
       CROSS JOIN LATERAL (SELECT seq, received_at FROM receipt
         WHERE feed_id = s.feed AND epoch = s.epoch AND seq > s.below AND event_index = 0 ORDER BY seq LIMIT 2000) r`,
      [known.map(({ feed }) => feed), known.map(({ epoch }) => epoch), known.map(({ state }) => state.below)],
    )
    for (const { feed, epoch, seq, at, seen } of rows) {
      const state = this.stateOf(`${feed} ${epoch}`)
      const number = Number(seq)
      if (state.ahead.has(number)) continue
      state.ahead.add(number)
      this.latencies.push(Math.max(0, seen - at))
    }
    for (const { state } of known) while (state.ahead.delete(state.below + 1)) state.below++
  }

  private stateOf(name: string): { below: number; ahead: Set<number> } {
    const known = this.feeds.get(name) ?? { below: 0, ahead: new Set() }
    this.feeds.set(name, known)
    return known
  }
}

interface Window {
  readonly backfill: boolean
  readonly messages: number
  readonly historyMessages: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  /** Of every message, ascending, ms. */
  readonly sorted: readonly number[]
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

/** Days of history, enough for every window with a backfill, twenty seconds of sending each. */
function writeHistory(folder: string): void {
  const perDay = Math.ceil(Number(flags['per-second']) * 20)
  const days = Math.ceil(((seconds + 2 * warmSeconds) * rounds) / 20) + 2
  const messages = bloodCounts({ hospital: historyFeed.hospital, seed: 77 })
  for (let day = 0; day < days; day++) {
    const name = new Date(Date.UTC(2023, 0, 1 + day)).toISOString().slice(0, 10)
    mkdirSync(join(folder, name), { recursive: true })
    const frames = Array.from({ length: perDay }, () => Buffer.concat([messages.next().value.frame, Buffer.from('\r')]))
    writeFileSync(join(folder, name, 'lis.hl7'), Buffer.concat(frames))
  }
}

function startBackfill(
  place: Place,
  history: string,
): { readonly child: ChildProcess; readonly exited: Promise<unknown> } {
  const more = ['--per-second', flags['per-second'], '--config', place.configFile]
  const child = spawn(process.execPath, [flags.entry, 'backfill', historyFeed.feed, '--from-files', history, ...more], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return { child, exited: once(child, 'exit') }
}

async function bench(place: Place, roles: RoleProcess[]): Promise<readonly Window[]> {
  const history = join(place.folder, 'history')
  writeHistory(history)
  for (const role of ['receive', 'parse', 'normalise', 'sink', 'archive']) {
    roles.push(await startRole({ role, configFile: place.configFile, entry: flags.entry, nodeFlags: [], feeds }))
  }
  const runner = join(root, 'node_modules/vite-node/vite-node.mjs')
  const load = spawn(process.execPath, [runner, join(root, 'bench/whole-path-load.ts')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const loadExited = once(load, 'exit')
  await once(load, 'message')
  let report: LoadReport = { acknowledged: 0, refused: 0, attempts: 0 }
  load.on('message', (message: LoadReport) => (report = message))
  const ports = roles[0]!.ports
  const { brokers, prefix, registryUrl } = place
  const order: LoadOrder = {
    by: 'mllp',
    feeds: feeds.map((feed) => ({ ...feed, port: ports.get(feed.feed) ?? 0 })),
    connections: 2,
    inFlight: 16,
    brokers,
    prefix,
    registryUrl,
    topics,
  }
  load.send(order)
  load.send({ rate })
  const watch = new FreshnessWatch(place.client)
  watch.start()
  const counter = new pg.Client({ connectionString: place.databaseUrl, application_name: 'bench' })
  await counter.connect()
  const received = async (condition: string): Promise<number> => {
    const sql = `SELECT count(DISTINCT (feed_id, epoch, seq)) AS count FROM receipt WHERE epoch ${condition}`
    return Number((await counter.query<{ count: string }>(sql)).rows[0]!.count)
  }
  const windows: Window[] = []
  try {
    // consumer groups settle, code is compiled
    await sleep(4 * warmSeconds * 1000)
    for (let round = 0; round < rounds; round++) {
      for (const backfill of round % 2 === 0 ? [false, true] : [true, false]) {
        const running = backfill ? startBackfill(place, history) : undefined
        try {
          const before = await received(`>= ${historyEpochsFrom}`)
          // it has to join, and the first of it to arrive
          for (let waited = 0; backfill && waited < 60; waited++) {
            if ((await received(`>= ${historyEpochsFrom}`)) > before) break
            await sleep(1000)
          }
          await sleep(warmSeconds * 1000)
          const from = await received(`>= ${historyEpochsFrom}`)
          watch.latencies = []
          await sleep(seconds * 1000)
          const sorted = watch.latencies.sort((a, b) => a - b)
          const historyMessages = (await received(`>= ${historyEpochsFrom}`)) - from
          const at = (share: number): number => quantile(sorted, share)
          windows.push({
            backfill,
            messages: sorted.length,
            historyMessages,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            sorted,
          })
          print(windows.at(-1)!)
        } finally {
          if (running !== undefined) await end(running.child, running.exited)
        }
        // what of it is still under way is not the next window's
        for (let last = -1, now = 0; last !== now;) {
          last = now
          await sleep(5000)
          now = await received(`>= ${historyEpochsFrom}`)
        }
      }
    }
    load.send('stop')
    await loadExited
    for (let waited = 0; waited < 120 && (await received(`< ${historyEpochsFrom}`)) < report.acknowledged; waited++) {
      await sleep(1000)
    }
    const live = await received(`< ${historyEpochsFrom}`)
    process.stdout.write(`audit: acknowledged ${report.acknowledged}, live receipts ${live}; ${daysOf(place)}\n`)
    if (live !== report.acknowledged) {
      process.stdout.write('THE NUMBERS DO NOT AGREE\n')
      process.exitCode = 1
    }
    return windows
  } finally {
    await watch.end()
    await counter.end()
    await end(load, loadExited)
  }
}

function daysOf(place: Place): string {
  const journal = join(place.folder, 'data', 'backfill', historyFeed.feed, 'days.jsonl')
  if (!existsSync(journal)) return 'no history was sent'
  const states = new Map<string, string>()
  for (const line of readFileSync(journal, 'utf8').trim().split('\n')) {
    const { day, state } = JSON.parse(line) as { day: string; state: string }
    states.set(day, state)
  }
  return `days of history settled: ${[...states.values()].filter((state) => state === 'settled').length} of ${states.size} begun`
}

const print = ({ backfill, messages, historyMessages, p50, p95, p99 }: Window): void =>
  void process.stdout.write(
    `${backfill ? 'beside a backfill' : 'alone            '}: ${(messages / seconds).toFixed(0)} live/s, ` +
      `${(historyMessages / seconds).toFixed(0)} history/s; freshness p50 ${p50.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms, ` +
      `p99 ${p99.toFixed(0)} ms\n`,
  )

/** Over the messages of all windows of a kind: the p99 of one window hangs on a handful of them. */
function pooled(windows: readonly Window[], backfill: boolean): readonly number[] {
  return windows
    .filter((window) => window.backfill === backfill)
    .flatMap(({ sorted }) => sorted)
    .sort((a, b) => a - b)
}

/** Of each round, the window beside the backfill against the one alone: min, median, max. */
function spreadOf(windows: readonly Window[]): string {
  const ratios = Array.from({ length: rounds }, (_, round) => {
    const [one, other] = windows.slice(2 * round, 2 * round + 2) as [Window, Window]
    return one.backfill ? one.p99 / other.p99 : other.p99 / one.p99
  }).sort((a, b) => a - b)
  return [ratios[0], ratios[ratios.length >> 1], ratios.at(-1)].map((ratio) => ratio!.toFixed(2)).join(', ')
}

process.stdout.write(`${machineLine(machineFacts())}\n`)
const place = await openPlace(feeds, Number(flags.partitions))
const roles: RoleProcess[] = []
let ended: Promise<void> | undefined
const endAll = (): Promise<void> => (ended ??= Promise.all(roles.map((role) => role.stop())).then(() => place.end()))
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => void endAll().finally(() => process.exit(130)))
}
try {
  const windows = await bench(place, roles)
  const [alone, beside] = [pooled(windows, false), pooled(windows, true)]
  const figures = Object.fromEntries(
    [0.5, 0.95, 0.99].map((share) => {
      const [before, now] = [quantile(alone, share), quantile(beside, share)]
      return [`p${share * 100}`, { alone: before, beside: now, ratio: now / before }]
    }),
  )
  const historyPerSecond =
    windows.reduce((sum, { historyMessages }) => sum + historyMessages, 0) / (Number(flags.rounds) * seconds)
  process.stdout.write(
    `all windows: ${Object.entries(figures)
      .map(
        ([name, { alone: before, beside: now, ratio }]) =>
          `${name} ${before.toFixed(0)} -> ${now.toFixed(0)} ms (${ratio.toFixed(2)})`,
      )
      .join(', ')}; history ${historyPerSecond.toFixed(0)}/s\n` +
      `live p99 beside a backfill / alone, by round: min, median, max ${spreadOf(windows)}\n`,
  )
  if (flags.json !== undefined) {
    const listed = windows.map(({ sorted: _, ...window }) => window)
    writeFileSync(flags.json, `${JSON.stringify({ windows: listed, figures, historyPerSecond }, null, 2)}\n`)
  }
} finally {
  await endAll()
}
