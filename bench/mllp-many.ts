// One process with the MLLP senders of a province's largest hospital group: 1,500 connections that send a blood count now and
// then, into the spool, alone and beside hostile ones on the same port: who sends a byte a second, who never ends a frame, who sends
// noise as fast as it can, and who reads no answers. Printed: answer times of the ordinary ones, connections kept, memory.
//   npx vite-node bench/mllp-many.ts [--connections 1500] [--every 10] [--hostile 80] [--seconds 20] [--rounds 3]
import { fork, type ChildProcess } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { receiveMllp } from '../connectors/hl7v2-mllp/receiver.js'
import { systemClock } from '../core/clock.js'
import { pause } from '../core/pause.js'
import { openSpool } from '../log/spool-store.js'
import { bloodCountText } from './blood-count.js'
import { fdatasyncMsIn } from './machine.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    connections: { type: 'string', default: '1500' },
    every: { type: 'string', default: '10' },
    hostile: { type: 'string', default: '80' },
    seconds: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
  },
})
const connections = Number(values.connections)
const everyMs = Number(values.every) * 1000
const hostile = Number(values.hostile)
const seconds = Number(values.seconds)
const megabyte = 1024 * 1024

interface Served {
  readonly rss: number
  readonly open: number
  readonly refused: unknown
}
interface Round {
  readonly p50: number
  readonly p99: number
  readonly answered: number
  readonly kept: number
  readonly rss: number
}

if (positionals[0] === 'serve') await serve(positionals[1]!)
else await compare()

async function serve(folder: string): Promise<void> {
  const spool = await openSpool({
    dir: folder,
    environment: 'bench',
    clock: systemClock,
    retention: { maxBytes: 1e12, maxAgeMs: 1e12 },
    diskReserveBytes: 0,
  })
  const receiver = receiveMllp({ port: 0, maxConnections: 4096 }, new AbortController().signal)
  const { port } = await receiver.listening
  void (async () => {
    for await (const delivery of receiver)
      void spool.accept({ feed: 'bench', ...delivery.message }).then(() => delivery.accept())
  })()
  process.on('message', () => {
    const { connectionsOpen, refused } = receiver.stats()
    process.send!({ rss: process.memoryUsage().rss, open: connectionsOpen, refused } satisfies Served)
  })
  process.send!({ port })
}

async function compare(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hutong-bench-many-'))
  try {
    console.log(`fdatasync of 4 KB: ${fdatasyncMsIn(folder).toFixed(2)} ms (median of 200)`)
    const alone: Round[] = []
    const beside: Round[] = []
    for (let round = 0; round < Number(values.rounds); round++) {
      alone.push(await measure(join(folder, `a${round}`), 0))
      beside.push(await measure(join(folder, `b${round}`), hostile))
    }
    print(`${connections} connections, one message each ${values.every} s`, alone)
    print(`the same beside ${hostile} hostile ones`, beside)
    const ratios = beside.map(({ p99 }, index) => p99 / alone[index]!.p99)
    console.log(`p99 beside hostile ones / alone: ${spread(ratios, 2)}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function spread(values: readonly number[], digits: number): string {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (part: number): string => sorted[Math.floor((sorted.length - 1) * part)]!.toFixed(digits)
  return `min ${at(0)}, median ${at(0.5)}, max ${at(1)}`
}

function print(title: string, rounds: readonly Round[]): void {
  console.log(title)
  console.log(
    `  answer p50, ms: ${spread(
      rounds.map(({ p50 }) => p50),
      2,
    )}`,
  )
  console.log(
    `  answer p99, ms: ${spread(
      rounds.map(({ p99 }) => p99),
      2,
    )}`,
  )
  console.log(
    `  answers/s: ${spread(
      rounds.map(({ answered }) => answered / seconds),
      0,
    )}`,
  )
  console.log(
    `  ordinary connections kept: ${spread(
      rounds.map(({ kept }) => kept),
      0,
    )} of ${connections}`,
  )
  console.log(
    `  resident memory, MB: ${spread(
      rounds.map(({ rss }) => rss / megabyte),
      0,
    )}`,
  )
}

async function measure(folder: string, strangers: number): Promise<Round> {
  const server = fork(fileURLToPath(import.meta.url), ['serve', folder], {
    execPath: process.execPath,
    execArgv: [join(fileURLToPath(import.meta.url), '..', '..', 'node_modules/vite-node/vite-node.mjs')],
  })
  try {
    const { port } = await told<{ port: number }>(server)
    const stop = new AbortController()
    setMaxListeners(0, stop.signal)
    const tookMs: number[] = []
    let measuring = false
    const ordinary: Socket[] = []
    for (let index = 0; index < connections; index++) {
      ordinary.push(await sender(port, index, stop.signal, (ms) => measuring && tookMs.push(ms)))
    }
    for (let index = 0; index < strangers; index++) harass(port, index, stop.signal)
    await pause(3000)
    measuring = true
    let rss = 0
    for (let second = 0; second < seconds; second++) {
      await pause(1000)
      server.send('how are you')
      rss = Math.max(rss, (await told<Served>(server)).rss)
    }
    measuring = false
    const kept = ordinary.filter((socket) => !socket.destroyed).length
    stop.abort()
    for (const socket of ordinary) socket.destroy()
    const sorted = tookMs.sort((a, b) => a - b)
    const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? NaN
    return { p50: at(0.5), p99: at(0.99), answered: sorted.length, kept, rss }
  } finally {
    server.kill('SIGKILL')
  }
}

function told<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`the receiver ended with ${code}`))
    child.once('exit', ended)
    child.once('message', (value) => {
      child.off('exit', ended)
      resolve(value as T)
    })
  })
}

/** Sends a blood count now and then, spread over the interval, and measures how long its answer took. */
function sender(port: number, index: number, signal: AbortSignal, took: (ms: number) => void): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let sentAt = 0
    let count = 0
    socket.once('error', reject)
    socket.on('data', (chunk: Buffer) => {
      if (sentAt > 0 && chunk.includes(0x1c)) took(performance.now() - sentAt)
      sentAt = 0
    })
    const send = (): void => {
      if (signal.aborted || socket.destroyed) return
      setTimeout(send, everyMs)
      if (sentAt > 0) return // still waiting
      sentAt = performance.now()
      const text = bloodCountText(index + connections * count++)
      socket.write(Buffer.concat([Buffer.of(0x0b), Buffer.from(text), Buffer.of(0x1c, 0x0d)]))
    }
    socket.once('connect', () => {
      setTimeout(send, (everyMs * index) / connections)
      socket.off('error', reject).on('error', () => undefined)
      resolve(socket)
    })
  })
}

/** One of four who do harm; comes again when it is closed, but not at once. */
function harass(port: number, index: number, signal: AbortSignal): void {
  if (signal.aborted) return
  const socket = connect({ port, host: '127.0.0.1' })
  const end = (): void => void socket.destroy()
  signal.addEventListener('abort', end, { once: true })
  socket.on('error', () => undefined)
  socket.once('close', () => {
    signal.removeEventListener('abort', end)
    if (!signal.aborted) setTimeout(() => harass(port, index, signal), 500)
  })
  const every = (ms: number, write: () => boolean | void): void => {
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : write()), ms)
  }
  socket.once('connect', () => {
    switch (index % 4) {
      case 0: // a byte a second
        return every(1000, () => socket.write(Buffer.of(0x0b)))
      case 1: // a frame without end
        socket.write(Buffer.of(0x0b))
        return every(20, () => socket.write(Buffer.alloc(16 * 1024, 'MSH|')))
      case 2: // noise
        return every(20, () => socket.write(Buffer.alloc(16 * 1024, '\x1c\x0d?')))
      default: {
        // messages whose answers nobody reads
        socket.pause()
        const text = Buffer.from(bloodCountText(index))
        return every(20, () => {
          if (socket.writableLength < megabyte)
            socket.write(Buffer.concat([Buffer.of(0x0b), text, Buffer.of(0x1c, 0x0d)]))
        })
      }
    }
  })
}
