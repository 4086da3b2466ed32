// Durable accepts per second of the spool at 1, 16 and 256 senders, beside what the disk itself does.
// npx vite-node bench/spool.ts [seconds a run, default 2] [runs, default 3]
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../core/clock.js'
import { realFileSystem } from '../log/file-system.js'
import { SegmentStore } from '../log/segment-store.js'
import { openSpool } from '../log/spool-store.js'

const seconds = Number(process.argv[2] ?? 2)
const runs = Number(process.argv[3] ?? 3)
const parent = process.argv[4] ?? tmpdir()
const senders = [1, 16, 256]
// A blood count of 24 results is about 3 KB.
const content = Buffer.alloc(3072, 'OBX|1|NM|6690-2^WBC^LN||5.2|10*9/L|3.5-9.5|N|||F\r')

async function inFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(parent, 'hutong-bench-'))
  try {
    return await work(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The processor time is what tells on a machine that others use as well. */
interface Rate {
  readonly perSecond: number
  readonly cpuMicroseconds: number
}

/** Runs `accept` from `count` senders at a time; each waits for its answer before the next. */
async function rate(count: number, accept: (sender: number) => Promise<unknown>): Promise<Rate> {
  const cpu = process.cpuUsage()
  const start = performance.now()
  const until = start + seconds * 1000
  let done = 0
  await Promise.all(
    Array.from({ length: count }, async (_, sender) => {
      while (performance.now() < until) {
        await accept(sender)
        done++
      }
    }),
  )
  const perSecond = done / ((performance.now() - start) / 1000)
  const { user, system } = process.cpuUsage(cpu)
  return { perSecond, cpuMicroseconds: (user + system) / done }
}

const spool = (count: number): Promise<Rate> =>
  inFolder(async (dir) => {
    const opened = await openSpool({
      dir,
      environment: 'bench',
      clock: systemClock,
      retention: { maxBytes: 1e12, maxAgeMs: 1e12 },
      diskReserveBytes: 0,
    })
    const feeds = Array.from({ length: 8 }, (_, at) => `feed-${at}`)
    const found = await rate(count, (sender) => {
      return opened.accept({ feed: feeds[sender % 8] as string, content, receivedAt: Date.now(), controlId: 'C1' })
    })
    await opened.close()
    return found
  })

const store =
  (preallocateBytes: number) =>
  (count: number): Promise<Rate> =>
    inFolder(async (dir) => {
      const opened = await SegmentStore.open({ dir, fileSystem: realFileSystem, clock: systemClock, preallocateBytes })
      const found = await rate(count, (sender) => opened.append([{ stream: `s${sender % 8}`, payload: content }]))
      await opened.close()
      return found
    })

/** The floor: one record, one flush, whoever else waits. */
const appendAndFlush = (count: number): Promise<Rate> =>
  inFolder(async (dir) => {
    const file = openSync(join(dir, 'file'), 'a')
    const found = await rate(count, async () => {
      writeSync(file, content)
      fdatasyncSync(file)
      await Promise.resolve()
    })
    closeSync(file)
    return found
  })

/** The disk's own time for a flush of one page over bytes that are already there. */
function flushMicroseconds(): Promise<number> {
  return inFolder(async (dir) => {
    const file = openSync(join(dir, 'file'), 'w')
    const page = Buffer.alloc(4096, 1)
    for (let at = 0; at < 256; at++) writeSync(file, page, 0, 4096, at * 4096)
    fdatasyncSync(file)
    const times: number[] = []
    for (let at = 0; at < 1000; at++) {
      writeSync(file, page, 0, 4096, (at % 256) * 4096)
      const start = performance.now()
      fdatasyncSync(file)
      times.push((performance.now() - start) * 1000)
    }
    closeSync(file)
    return times.sort((a, b) => a - b)[500] ?? 0
  })
}

const subjects: readonly (readonly [string, (count: number) => Promise<Rate>])[] = [
  ['spool.accept', spool],
  ['segment store, preallocated', store(8 * 1024 * 1024)],
  ['segment store, not preallocated', store(0)],
  ['append + fdatasync per record', appendAndFlush],
]

process.stdout.write(`fdatasync of one page, median: ${(await flushMicroseconds()).toFixed(0)} µs\n`)
process.stdout.write(
  `records of ${content.length} bytes, durable per second, min/median/max of ${runs} runs of ${seconds} s\n`,
)
for (const [name, run] of subjects) {
  for (const count of senders) {
    const found: Rate[] = []
    for (let at = 0; at < runs; at++) found.push(await run(count))
    found.sort((a, b) => a.perSecond - b.perSecond)
    const shown = [found[0], found[runs >> 1], found.at(-1)].map((value) =>
      Math.round(value?.perSecond ?? 0).toLocaleString('en'),
    )
    const cpu = found[runs >> 1]?.cpuMicroseconds.toFixed(1) ?? '?'
    process.stdout.write(
      `${name.padEnd(32)} ${String(count).padStart(4)} senders  ${shown.join(' / ')}  ${cpu} µs of processor each\n`,
    )
  }
}
