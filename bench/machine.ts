// What the machine is and what its processes use, from /proc (Linux): benchmarks say it beside their figures.
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'

/** Kernel ticks a second (USER_HZ, 100 on every Linux of today). */
const ticksPerSecond = 100

/** CPU seconds that a process and its ended children have used; 0 where it is gone. */
export function cpuSecondsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // the name stands in brackets and may hold anything: count from behind it
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / ticksPerSecond
  } catch {
    return 0
  }
}

/** Anonymous resident memory of a process, MB (1e6 bytes); 0 where it is gone. */
export function anonymousMegabytesOf(pid: number): number {
  try {
    return (Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024) / 1e6
  } catch {
    return 0
  }
}

/** CPU seconds of the whole machine: used by anybody, waiting for disks, idle, taken by the host. */
export function machineCpuSeconds(): { used: number; waiting: number; idle: number; stolen: number } {
  const line = readFileSync('/proc/stat', 'latin1').split('\n')[0]!
  const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softirq = 0, stolen = 0] = line
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) / ticksPerSecond)
  return { used: user + nice + system + irq + softirq, waiting, idle, stolen }
}

/** The process that listens on a TCP port of this machine; undefined where none of ours may be seen. */
export function pidListeningOn(port: number): number | undefined {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(table, 'latin1').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/)
      if (fields[1]?.endsWith(`:${hex}`) === true && fields[3] === '0A') inodes.add(`socket:[${fields[9]}]`)
    }
  }
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        if (inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`))) return Number(pid)
      }
    } catch {
      // gone, or another user's
    }
  }
  return undefined
}

export interface MachineFacts {
  readonly node: string
  readonly cores: number
  readonly cpu: string
  readonly memoryGigabytes: number
  /** Median of 200 writes of 4 KB, each flushed, in the folder for temporary files. */
  readonly fdatasyncMs: number
  /** Load averages over 1, 5 and 15 minutes. */
  readonly load: readonly number[]
  readonly date: string
}

export function machineFacts(): MachineFacts {
  return {
    node: process.version,
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? '',
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    fdatasyncMs: fdatasyncMs(),
    load: loadavg(),
    date: new Date().toISOString(),
  }
}

export const machineLine = ({ node, cores, cpu, memoryGigabytes, fdatasyncMs, load, date }: MachineFacts): string =>
  `${date.slice(0, 16)}Z, ${cores} cores (${cpu}), ${memoryGigabytes} GiB, node ${node}, fdatasync ` +
  `${fdatasyncMs.toFixed(2)} ms, load ${load.map((value) => value.toFixed(1)).join(' ')}`

function fdatasyncMs(): number {
  const folder = mkdtempSync(join(tmpdir(), 'hutong-bench-'))
  try {
    return fdatasyncMsIn(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Median time of 200 flushes of 4 KB each to a file in this folder, ms. */
export function fdatasyncMsIn(folder: string): number {
  const file = openSync(join(folder, 'fdatasync'), 'w')
  const block = Buffer.alloc(4096, 'x')
  const times = Array.from({ length: 200 }, (_, index) => {
    const start = performance.now()
    writeSync(file, block, 0, block.length, index * block.length)
    fdatasyncSync(file)
    return performance.now() - start
  })
  closeSync(file)
  return times.sort((a, b) => a - b)[100]!
}
