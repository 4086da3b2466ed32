// MLLP acknowledgements per second: blood counts of about 3 KB, each connection sends the next when the former is
// answered. The load comes from a process of its own on the same machine. Three servers: ours into the spool (durable
// acknowledgements), ours into nothing (what the connector itself costs), and a bare `node:net` server that answers each
// 0x1C with a fixed block (the ceiling of this machine and client). The disk's fdatasync time stands beside.
//   npx vite-node bench/mllp.ts [seconds per cell] [rounds] [folder for the spool]
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Delivery } from '../connectors/connector.js'
import { receiveMllp } from '../connectors/hl7v2-mllp/receiver.js'
import { systemClock } from '../core/clock.js'
import { RefusedError, RetryableError } from '../core/errors.js'
import { openSpool } from '../log/spool-store.js'
import { bloodCountText } from './blood-count.js'
import { fdatasyncMsIn } from './machine.js'

const root = join(fileURLToPath(import.meta.url), '..', '..')
const kinds = ['echo', 'null', 'spool'] as const
type Kind = (typeof kinds)[number]
const connectionCounts = [1, 16, 256]

const [role, ...rest] = process.argv.slice(2)
if (role === 'serve') await serve(rest[0] as Kind, rest[1]!)
else if (role === 'load') await load(Number(rest[0]), Number(rest[1]), Number(rest[2]))
else await compare(Number(role ?? 3), Number(rest[0] ?? 3), rest[1] ?? tmpdir())

async function compare(seconds: number, rounds: number, parent: string): Promise<void> {
  const folder = mkdtempSync(join(parent, 'hutong-bench-mllp-'))
  try {
    console.log(`fdatasync of 4 KB: ${fdatasyncMsIn(folder).toFixed(2)} ms (median of 200)`)
    console.log('ACKs/s: min / median / max        client round trip p50 / p99, ms      server CPU, µs an ACK')
    for (const connections of connectionCounts) {
      const cells = new Map<Kind, Result[]>()
      for (let round = 0; round < rounds; round++) {
        for (const kind of kinds) {
          const result = await cell(kind, connections, seconds, join(folder, `${kind}-${connections}-${round}`))
          cells.set(kind, [...(cells.get(kind) ?? []), result])
        }
      }
      for (const [kind, results] of cells) print(kind, connections, results)
      const rate = (kind: Kind): number => median((cells.get(kind) ?? []).map((result) => result.perSecond))
      console.log(`     ours into nothing / echo  ${(rate('null') / rate('echo')).toFixed(2)}`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Result {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly serverMicroseconds: number
}

function print(kind: Kind, connections: number, results: readonly Result[]): void {
  const rates = results.map((result) => result.perSecond)
  const whole = (value: number): string => Math.round(value).toString().padStart(7)
  const of = (pick: (result: Result) => number): string => median(results.map(pick)).toFixed(2)
  console.log(
    `${String(connections).padStart(4)} ${kind.padEnd(6)} ${whole(Math.min(...rates))} ${whole(median(rates))} ${whole(Math.max(...rates))}` +
      `          ${of((r) => r.p50Ms)} / ${of((r) => r.p99Ms)}             ${of((r) => r.serverMicroseconds)}`,
  )
}

async function cell(kind: Kind, connections: number, seconds: number, folder: string): Promise<Result> {
  const server = start(['serve', kind, folder])
  try {
    const { port } = (await message(server)) as { port: number }
    const client = start(['load', String(port), String(connections), String(seconds)])
    await message(client)
    const before = await usage(server)
    const measured = (await message(client)) as { acknowledged: number; ms: number; p50Ms: number; p99Ms: number }
    const after = await usage(server)
    return {
      perSecond: (measured.acknowledged * 1000) / measured.ms,
      p50Ms: measured.p50Ms,
      p99Ms: measured.p99Ms,
      serverMicroseconds: (after.cpuMicroseconds - before.cpuMicroseconds) / (after.acknowledged - before.acknowledged),
    }
  } finally {
    server.kill('SIGKILL')
  }
}

interface Usage {
  readonly cpuMicroseconds: number
  readonly acknowledged: number
}

function usage(server: ChildProcess): Promise<Usage> {
  server.send('usage')
  return message(server) as Promise<Usage>
}

function start(parameters: readonly string[]): ChildProcess {
  const runner = join(root, 'node_modules/vite-node/vite-node.mjs')
  return spawn(process.execPath, [runner, fileURLToPath(import.meta.url), ...parameters], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
}

function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve)
    child.once('exit', (code) => reject(new Error(`a process of the benchmark ended with ${code}`)))
  })
}

async function serve(kind: Kind, folder: string): Promise<void> {
  let acknowledged: () => number
  let port: number
  if (kind === 'echo') {
    let count = 0
    const answer = Buffer.from(`\x0bMSH|^~\\&|P|H|L|H1|20260102030405||ACK^R01|1|P|2.5\rMSA|AA|1\r\x1c\r`)
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on('data', (chunk) => {
        for (let at = chunk.indexOf(0x1c); at >= 0; at = chunk.indexOf(0x1c, at + 1)) {
          count++
          socket.write(answer)
        }
      })
      socket.on('error', () => socket.destroy())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 1024, resolve))
    port = (server.address() as AddressInfo).port
    acknowledged = () => count
  } else {
    const receiver = receiveMllp({ port: 0 }, new AbortController().signal)
    port = (await receiver.listening).port
    acknowledged = () => receiver.stats().acknowledged
    const settle = kind === 'null' ? (delivery: Delivery) => delivery.accept() : await intoSpool(folder)
    void (async () => {
      for await (const delivery of receiver) void settle(delivery)
    })()
  }
  process.on('message', () => {
    const used = process.cpuUsage()
    process.send!({ cpuMicroseconds: used.user + used.system, acknowledged: acknowledged() })
  })
  process.send!({ port })
}

async function intoSpool(folder: string): Promise<(delivery: Delivery) => Promise<void>> {
  const spool = await openSpool({
    dir: folder,
    environment: 'bench',
    clock: systemClock,
    retention: { maxBytes: 1e12, maxAgeMs: 1e12 },
    diskReserveBytes: 0,
  })
  return async (delivery) => {
    try {
      await spool.accept({ feed: 'bench', ...delivery.message })
    } catch (error) {
      if (!(error instanceof RefusedError) && !(error instanceof RetryableError)) throw error
      return delivery.refuse(error)
    }
    await delivery.accept()
  }
}

async function load(port: number, connections: number, seconds: number): Promise<void> {
  const blocks = Array.from({ length: 256 }, (_, i) =>
    Buffer.concat([Buffer.of(0x0b), Buffer.from(bloodCountText(i)), Buffer.of(0x1c, 0x0d)]),
  )
  let acknowledged = 0
  let measuring = false
  let next = 0
  const tookMs: number[] = []
  const begin = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true }, resolve)
      socket.once('error', reject)
      let sentAt = 0
      const send = (): void => {
        sentAt = performance.now()
        socket.write(blocks[next++ & 255]!)
      }
      socket.on('data', (chunk: Buffer) => {
        if (!chunk.includes(0x1c)) return
        if (chunk.indexOf('MSA|AA|') < 0 && chunk.indexOf('MSA|CA|') < 0)
          throw new Error(`not acknowledged: ${chunk.toString('latin1')}`)
        if (measuring) {
          acknowledged++
          if ((acknowledged & 7) === 0) tookMs.push(performance.now() - sentAt)
        }
        send()
      })
      socket.once('connect', send)
    })
  for (let i = 0; i < connections; i++) await begin()
  await new Promise((resolve) => setTimeout(resolve, 1000))
  measuring = true
  process.send?.('measuring')
  const start = performance.now()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  const ms = performance.now() - start
  tookMs.sort((a, b) => a - b)
  const at = (share: number): number => tookMs[Math.floor(tookMs.length * share)] ?? 0
  const result = { acknowledged, ms, p50Ms: at(0.5), p99Ms: at(0.99) }
  if (process.send === undefined) process.exit(0)
  process.send(result, () => process.exit(0))
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
}
