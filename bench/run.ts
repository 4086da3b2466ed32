// Every benchmark in one run: `npm run bench`, or `npx vite-node bench/run.ts [--only parse,codec,…] [--quick] [--json FILE]`.
// One table: min, median and max of several rounds, and the ratio to the peer measured in the same run beside it, with the
// machine's facts and load. What needs the real stack (HUTONG_DATABASE_URL, …) says so where that is not there. Nothing is
// written unless `--json` names a file. Exit code 1 where a benchmark failed.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readEnvironment } from '../core/environment.js'
import { machineFacts, machineLine } from './machine.js'

interface Row {
  readonly name: string
  readonly min: number
  readonly median: number
  readonly max: number
}

interface Benchmark {
  readonly name: string
  readonly title: string
  readonly unit: string
  readonly lowerIsBetter?: boolean
  readonly needs: readonly ('databaseUrl' | 'kafkaBrokers' | 'schemaRegistryUrl')[]
  /** Arguments of bench/<name>.ts, whole and quick. */
  readonly full: readonly string[]
  readonly quick: readonly string[]
  /** The row that a row is held against. */
  readonly peerOf?: (row: string) => string | undefined
  readonly read?: (json: unknown) => Row[]
}

interface WholePathReport {
  readonly saturation?: WholePathWindow
  readonly freshness: WholePathWindow
  readonly anonymousMegabytes: Readonly<Record<string, number>>
}
interface WholePathWindow {
  readonly messagesPerSecond: number
  readonly rowsPerSecond: number
  readonly stored: number
  readonly cpu: Readonly<Record<string, number>>
  readonly freshnessSeconds: Readonly<Record<'p50' | 'p95' | 'p99', number>>
}

interface BackfillReport {
  readonly windows: readonly Readonly<
    Record<'backfill', boolean> & Record<'messages' | 'historyMessages' | 'p99', number>
  >[]
}

const benchmarks: readonly Benchmark[] = [
  {
    name: 'parse',
    title: '(a) reading a blood count, facts taken out',
    unit: 'thousand messages/s',
    needs: [],
    full: ['7', '400'],
    quick: ['3', '100'],
    peerOf: (row) => (row === 'ours' ? 'simple-hl7' : row === 'simple-hl7' ? undefined : 'simple-hl7'),
  },
  {
    name: 'codec',
    title: '(b) Avro, a blood count with its normalised results',
    unit: 'events/s',
    needs: [],
    full: ['7', '300'],
    quick: ['3', '100'],
    peerOf: (row) => (row.startsWith('encode') ? 'encode  avsc toBuffer' : 'decode  avsc fromBuffer'),
  },
  {
    name: 'normalise',
    title: 'normalising',
    unit: 'µs an observation',
    lowerIsBetter: true,
    needs: [],
    full: [],
    quick: [],
  },
  {
    name: 'stages',
    title: 'parse and normalise roles without log and database',
    unit: 'CPU µs a message',
    lowerIsBetter: true,
    needs: [],
    full: ['7', '6000'],
    quick: ['3', '2000'],
  },
  {
    name: 'sink',
    title: '(c) sink, reports of ten observations',
    unit: 'reports/s',
    needs: ['databaseUrl'],
    full: ['30000', '3', '5'],
    quick: ['6000', '2', '0.2'],
    peerOf: (row) => (row.startsWith('sink') ? 'row by row' : undefined),
  },
  {
    name: 'spool',
    title: '(d) spool, durable accepts',
    unit: 'records/s',
    needs: [],
    full: ['2', '3'],
    quick: ['1', '1'],
  },
  {
    name: 'mllp',
    title: '(d) durable MLLP acknowledgements (connections, server)',
    unit: 'ACKs/s',
    needs: [],
    full: ['3', '3'],
    quick: ['1', '1'],
    peerOf: (row) => (row.endsWith('spool') ? row.replace('spool', 'echo') : undefined),
  },
  {
    name: 'kafka-log',
    title: 'Kafka adapter, 3 KB records',
    unit: 'records/s',
    needs: ['kafkaBrokers'],
    full: ['3', '30000'],
    quick: ['1', '6000'],
    peerOf: (row) =>
      row.includes('ours')
        ? row.startsWith('append')
          ? 'append bare kafkajs, one send at a time'
          : 'consume bare kafkajs'
        : undefined,
  },
  {
    name: 'watch',
    title: 'a round of the watch, a year of habit',
    unit: 'ms',
    lowerIsBetter: true,
    needs: ['databaseUrl'],
    full: ['300,2000', '5', '365', '2000'],
    quick: ['50', '3', '60', '200'],
  },
  {
    name: 'gateway',
    title: 'gateway, one process, 1,500 edges over mutual TLS',
    unit: '',
    needs: ['kafkaBrokers'],
    full: [],
    quick: ['--edges', '100', '--busy', '10', '--every', '2', '--seconds', '5', '--rounds', '1'],
  },
  {
    name: 'whole-path',
    title: '(e) MLLP to rows, a process a role',
    unit: '',
    needs: ['databaseUrl', 'kafkaBrokers', 'schemaRegistryUrl'],
    full: ['--seconds', '180', '--freshness-seconds', '60'],
    quick: ['--seconds', '20', '--freshness-seconds', '10'],
    read: (json) => wholePathRows(json as WholePathReport),
  },
  {
    name: 'backfill',
    title: 'live freshness beside a backfill, a process a role',
    unit: 'p99 ms',
    lowerIsBetter: true,
    needs: ['databaseUrl', 'kafkaBrokers', 'schemaRegistryUrl'],
    full: ['--seconds', '60', '--rounds', '4'],
    quick: ['--seconds', '10', '--rounds', '1', '--rate', '20'],
    peerOf: (row) => (row === 'beside a backfill' ? 'alone' : undefined),
    read: (json) => backfillRows(json as BackfillReport),
  },
]

const root = join(fileURLToPath(import.meta.url), '..', '..')
const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
})
const wanted = flags.only?.split(',').map((name) => name.trim())
for (const name of wanted ?? []) {
  if (!benchmarks.some((one) => one.name === name)) {
    throw new Error(`no benchmark ${name}; known: ${benchmarks.map((one) => one.name).join(', ')}`)
  }
}

const facts = machineFacts()
process.stdout.write(`${machineLine(facts)}\n`)
const environment = readEnvironment()
const scratch = mkdtempSync(join(tmpdir(), 'hutong-bench-'))
const results: { name: string; unit: string; load: number; rows: (Row & { peer?: string; ratio?: number })[] }[] = []
try {
  for (const benchmark of benchmarks) {
    if (wanted !== undefined && !wanted.includes(benchmark.name)) continue
    const missing = benchmark.needs.filter((part) => environment[part] === undefined)
    process.stdout.write(`\n${benchmark.title}${benchmark.unit === '' ? '' : `, ${benchmark.unit}`}\n`)
    if (missing.length > 0) {
      process.stdout.write(`  not run: ${missing.join(', ')} not set (npm run stack, docs/benchmarks.md)\n`)
      continue
    }
    const rows = await measure(benchmark)
    if (rows === undefined) {
      process.exitCode = 1
      continue
    }
    const compared = rows.map((row) => compare(row, rows, benchmark))
    for (const row of compared) {
      const figures = [row.min, row.median, row.max].map((figure) => shown(figure).padStart(10)).join('')
      const ratio = row.peer === undefined ? '' : `   ×${row.ratio!.toFixed(2)} of ${row.peer}`
      process.stdout.write(`  ${row.name.padEnd(46)}${figures}${ratio}\n`)
    }
    const load = loadavg()[0]!
    process.stdout.write(`  load ${load.toFixed(1)}\n`)
    results.push({ name: benchmark.name, unit: benchmark.unit, load, rows: compared })
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify({ facts, results }, null, 2)}\n`)

/** The rows of a benchmark in a process of its own; undefined where it failed, which has then been said. */
async function measure(benchmark: Benchmark): Promise<Row[] | undefined> {
  const file = join(scratch, `${benchmark.name}.json`)
  const parameters = [...(flags.quick ? benchmark.quick : benchmark.full)]
  if (benchmark.read !== undefined) parameters.push('--json', file)
  const runner = join(root, 'node_modules/vite-node/vite-node.mjs')
  const child = spawn(process.execPath, [runner, `bench/${benchmark.name}.ts`, ...parameters], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (part: string) => (text += part))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const rows = code === 0 ? (benchmark.read?.(JSON.parse(readFileSync(file, 'utf8'))) ?? rowsIn(text)) : []
  if (rows.length > 0) return rows
  process.stdout.write(`  failed (exit code ${code})\n${text.replace(/^/gm, '    ')}\n`)
  return undefined
}

/** Lines that end in three figures: `name  min / median / max …`, with or without the strokes, `k` for a thousand. */
function rowsIn(text: string): Row[] {
  const figure = String.raw`(\d[\d.,]*)( k)?`
  const between = String.raw`(?: \/)? +`
  const line = new RegExp(
    String.raw`^ *(\S.*?):? +(?:reports\/s min\/median\/max +)?${figure}${between}${figure}${between}${figure}(?: |,|$)`,
  )
  return text.split('\n').flatMap((one): Row[] => {
    const found = line.exec(one)
    if (found === null) return []
    const value = (at: number): number =>
      Number(found[at]!.replaceAll(',', '')) * (found[at + 1] === undefined ? 1 : 1000)
    return [{ name: found[1]!.trim(), min: value(2), median: value(4), max: value(6) }]
  })
}

function backfillRows({ windows }: BackfillReport): Row[] {
  return [false, true].map((backfill) => {
    const p99s = windows
      .filter((window) => window.backfill === backfill)
      .map(({ p99 }) => p99)
      .sort((a, b) => a - b)
    const [min, median, max] = [p99s[0]!, p99s[p99s.length >> 1]!, p99s.at(-1)!]
    return { name: backfill ? 'beside a backfill' : 'alone', min, median, max }
  })
}

function wholePathRows({ saturation, freshness, anonymousMegabytes }: WholePathReport): Row[] {
  const one = (name: string, value: number): Row => ({ name, min: value, median: value, max: value })
  const cpu = ({ cpu, stored }: WholePathWindow): Row[] =>
    Object.entries(cpu).map(([who, seconds]) => one(`CPU µs a message, ${who}`, (seconds * 1e6) / stored))
  return [
    ...(saturation === undefined
      ? []
      : [
          one('blood counts/s, backlog steady', saturation.messagesPerSecond),
          one('rows/s', saturation.rowsPerSecond),
          ...cpu(saturation),
        ]),
    one('half of it: blood counts/s', freshness.messagesPerSecond),
    ...(['p50', 'p95', 'p99'] as const).map((share) =>
      one(`receipt to row, ${share}, ms`, freshness.freshnessSeconds[share] * 1000),
    ),
    ...Object.entries(anonymousMegabytes).map(([role, megabytes]) => one(`anonymous memory, ${role}, MB`, megabytes)),
  ]
}

function shown(figure: number): string {
  return figure >= 100 ? figure.toFixed(0) : figure.toFixed(2)
}

function compare(row: Row, rows: readonly Row[], benchmark: Benchmark): Row & { peer?: string; ratio?: number } {
  const peer = rows.find(({ name }) => name === benchmark.peerOf?.(row.name))
  if (peer === undefined || peer === row) return row
  const ratio = benchmark.lowerIsBetter === true ? peer.median / row.median : row.median / peer.median
  return { ...row, peer: peer.name, ratio }
}
