import { posix } from 'node:path'
import { UsageError } from '../../core/errors.js'
import type { FileSystem, StoreFile } from '../../log/file-system.js'

/** Numbers in [0, 1) that a seed fixes (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** A file on the disk and, in front of it, what was written and not yet flushed. */
interface Inode {
  /** What a power cut leaves. */
  durable: Buffer
  /** What the running process sees. */
  current: Buffer
  /** Writes since the last flush, in order. */
  pending: { readonly at: number; readonly bytes: Buffer }[]
  /** Flushes of one file wait for one another. */
  flushing: Promise<void>
  /** Failed flushes so far; each open file hears of them once, as on Linux. */
  failures: number
}

const newInode = (): Inode => ({
  durable: Buffer.alloc(0),
  current: Buffer.alloc(0),
  pending: [],
  flushing: Promise.resolve(),
  failures: 0,
})

export class PowerCut extends Error {
  override readonly name = 'PowerCut'
}

const fault = (code: string, message: string): NodeJS.ErrnoException => Object.assign(new Error(message), { code })

/**
 * A disk in memory that fails as disks do. Writes are only in the page cache until they are flushed; a power cut keeps
 * any subset of the unflushed ones, whole, torn at a page or anywhere, in any order. A flush that failed leaves its
 * writes marked clean: they may or may not have reached the disk and later flushes no longer care for them. New names
 * and removals are durable after `syncFolder` only.
 */
export class FaultyFileSystem implements FileSystem {
  private readonly inodes = new Map<string, Inode>()
  /** Names as a power cut leaves them. */
  private durableNames = new Map<string, Inode>()
  private locked = new Set<string>()
  private life = 0
  private dead = false
  private used = 0
  /** Calls of any kind so far, to place a cut. */
  operations = 0
  cutAtOperation = Number.POSITIVE_INFINITY
  capacityBytes = Number.POSITIVE_INFINITY
  /** Called before each flush; true makes it fail with EIO. */
  failSync: () => boolean = () => false
  shortWrites = false
  syncDelayMs: number | undefined

  constructor(private readonly random: () => number) {}

  /** The power fails now: every open file is dead, and the disk holds what a disk may hold after that. */
  cut(): void {
    this.dead = true
  }

  /** The machine starts again. */
  restart(): void {
    for (const inode of new Set([...this.inodes.values(), ...this.durableNames.values()])) this.settle(inode)
    // A name whose folder was not flushed may have got through all the same.
    for (const [path, inode] of this.inodes)
      if (this.durableNames.get(path) !== inode && this.random() < 0.5) this.durableNames.set(path, inode)
    for (const path of [...this.durableNames.keys()])
      if (!this.inodes.has(path) && this.random() < 0.5) this.durableNames.delete(path)
    this.inodes.clear()
    for (const [path, inode] of this.durableNames) this.inodes.set(path, inode)
    this.locked.clear()
    this.dead = false
    this.life++
    this.cutAtOperation = Number.POSITIVE_INFINITY
  }

  private settle(inode: Inode): void {
    for (const write of this.shuffled(inode.pending)) this.survive(inode, write)
    inode.pending = []
    inode.flushing = Promise.resolve()
    inode.current = Buffer.from(inode.durable)
  }

  private shuffled<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, order: this.random() }))
      .sort((a, b) => a.order - b.order)
      .map(({ item }) => item)
  }

  /** Whole, not at all, or by pages or bytes of which any may be missing. */
  private survive(inode: Inode, write: { readonly at: number; readonly bytes: Buffer }): void {
    const luck = this.random()
    if (luck < 0.25) return
    if (luck < 0.45) return place(inode, write.at, write.bytes)
    if (luck < 0.65) {
      const length = Math.floor(this.random() * write.bytes.length)
      return place(inode, write.at, write.bytes.subarray(0, length))
    }
    const keep = this.random()
    const end = write.at + write.bytes.length
    for (let page = Math.floor(write.at / 4096) * 4096; page < end; page += 4096) {
      const from = Math.max(page, write.at)
      const to = Math.min(page + 4096, end)
      if (this.random() < keep) place(inode, from, write.bytes.subarray(from - write.at, to - write.at))
    }
  }

  private async step(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
    if (++this.operations >= this.cutAtOperation) this.cut()
    if (this.dead) throw new PowerCut('the power is off')
  }

  async makeFolder(): Promise<void> {
    await this.step()
  }

  async list(path: string): Promise<readonly string[]> {
    await this.step()
    return [...this.inodes.keys()].filter((name) => posix.dirname(name) === path).map((name) => posix.basename(name))
  }

  async open(path: string, mode: 'create' | 'write' | 'read'): Promise<StoreFile> {
    await this.step()
    let inode = this.inodes.get(path)
    if (mode === 'create') {
      if (inode !== undefined) throw fault('EEXIST', path)
      if (this.used >= this.capacityBytes) throw fault('ENOSPC', path)
      inode = newInode()
      this.inodes.set(path, inode)
    }
    if (inode === undefined) throw fault('ENOENT', path)
    return this.file(inode)
  }

  private file(inode: Inode): StoreFile {
    const { life } = this
    let heard = inode.failures
    const flush = async (): Promise<void> => {
      const before = inode.flushing
      const own = before.catch(() => undefined).then(() => this.flush(inode, alive))
      inode.flushing = own
      await own
      if (heard === inode.failures) return
      heard = inode.failures
      throw fault('EIO', 'the flush failed')
    }
    const alive = async (): Promise<void> => {
      await this.step()
      if (life !== this.life) throw new PowerCut('a file of an earlier life')
    }
    return {
      write: async (buffers, position) => {
        await alive()
        let bytes = Buffer.concat(buffers)
        if (this.shortWrites && bytes.length > 1)
          bytes = bytes.subarray(0, 1 + Math.floor(this.random() * bytes.length))
        const growth = Math.max(0, position + bytes.length - inode.current.length)
        if (this.used + growth > this.capacityBytes) {
          const room = Math.max(0, this.capacityBytes - this.used - Math.max(0, position - inode.current.length))
          bytes = bytes.subarray(0, Math.min(bytes.length, bytes.length - growth + room))
          if (bytes.length === 0) throw fault('ENOSPC', 'no space left on device')
        }
        this.used += Math.max(0, position + bytes.length - inode.current.length)
        const copy = Buffer.from(bytes)
        inode.current = grown(inode.current, position, copy)
        inode.pending.push({ at: position, bytes: copy })
        return bytes.length
      },
      read: async (target, position) => {
        await alive()
        return inode.current.copy(target, 0, Math.min(position, inode.current.length))
      },
      datasync: flush,
      sync: flush,
      truncate: async (size) => {
        await alive()
        this.used -= Math.max(0, inode.current.length - size)
        inode.current = Buffer.from(inode.current.subarray(0, size))
        inode.pending = inode.pending
          .filter((write) => write.at < size)
          .map(({ at, bytes }) => ({ at, bytes: bytes.subarray(0, size - at) }))
        if (this.random() < 0.5) inode.durable = Buffer.from(inode.durable.subarray(0, size))
      },
      size: async () => {
        await alive()
        return inode.current.length
      },
      close: async () => undefined,
    }
  }

  private async flush(inode: Inode, alive: () => Promise<void>): Promise<void> {
    await alive()
    const writes = inode.pending
    inode.pending = []
    if (this.failSync()) {
      for (const write of writes) this.survive(inode, write)
      inode.failures++
      return
    }
    if (this.syncDelayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, this.syncDelayMs))
    try {
      await alive()
    } catch (error) {
      inode.pending = [...writes, ...inode.pending] // cut in the middle of the flush
      throw error
    }
    for (const { at, bytes } of writes) place(inode, at, bytes)
  }

  async readWhole(path: string): Promise<Buffer> {
    await this.step()
    const inode = this.inodes.get(path)
    if (inode === undefined) throw fault('ENOENT', path)
    return Buffer.from(inode.current)
  }

  async writeWhole(path: string, content: Buffer): Promise<void> {
    await this.step()
    const kept = this.inodes.get(path)
    const inode = kept ?? newInode()
    const growth = content.length - inode.current.length
    if (this.used + growth > this.capacityBytes) throw fault('ENOSPC', path)
    this.used += growth
    inode.current = Buffer.from(content)
    inode.pending = [{ at: 0, bytes: Buffer.from(content) }]
    if (this.random() < 0.5) inode.durable = Buffer.alloc(0)
    this.inodes.set(path, inode)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.step()
    const inode = this.inodes.get(from)
    if (inode === undefined) throw fault('ENOENT', from)
    this.inodes.delete(from)
    this.inodes.set(to, inode)
  }

  async remove(path: string): Promise<void> {
    await this.step()
    const inode = this.inodes.get(path)
    if (inode === undefined) throw fault('ENOENT', path)
    this.used -= inode.current.length
    this.inodes.delete(path)
  }

  async syncFolder(path: string): Promise<void> {
    await this.step()
    for (const name of [...this.durableNames.keys()])
      if (posix.dirname(name) === path && !this.inodes.has(name)) this.durableNames.delete(name)
    for (const [name, inode] of this.inodes) if (posix.dirname(name) === path) this.durableNames.set(name, inode)
  }

  async freeBytes(): Promise<number> {
    await this.step()
    return Math.max(0, this.capacityBytes - this.used)
  }

  async lock(path: string): Promise<{ lost: AbortSignal; release(): Promise<void> }> {
    if (this.locked.has(path)) throw new UsageError(`${path} is in use`)
    this.locked.add(path)
    return {
      lost: new AbortController().signal,
      release: async () => {
        this.locked.delete(path)
      },
    }
  }

  /** Paths of files that are there now. */
  paths(): string[] {
    return [...this.inodes.keys()].sort()
  }

  /** Changes bytes behind the back of the store, as a failing disk does. */
  alter(path: string, change: (bytes: Buffer) => Buffer | void): void {
    const inode = this.inodes.get(path)
    if (inode === undefined) throw fault('ENOENT', path)
    const bytes = Buffer.from(inode.current)
    inode.current = change(bytes) ?? bytes
    inode.durable = Buffer.from(inode.current)
    inode.pending = []
  }
}

function place(inode: Inode, at: number, bytes: Buffer): void {
  inode.durable = grown(inode.durable, at, bytes)
}

function grown(target: Buffer, at: number, bytes: Buffer): Buffer {
  const end = at + bytes.length
  if (end <= target.length) {
    bytes.copy(target, at)
    return target
  }
  const larger = Buffer.alloc(end)
  target.copy(larger)
  bytes.copy(larger, at)
  return larger
}
