import { randomUUID } from 'node:crypto'
import { link, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { UsageError } from '../core/errors.js'

/** Held until released or until the process ends, however it ends. */
export interface FolderLock {
  /** Aborts where the lock was taken over, which happens only to a process that stood still for `staleAfterMs`. */
  readonly lost: AbortSignal
  release(): Promise<void>
}

interface Holder {
  readonly pid: number
  readonly host: string
  /** What tells this process from a later one with the same pid; null where the system does not say. */
  readonly start: string | null
  readonly token: string
}

const beatEveryMs = 2_000
const staleAfterMs = 15_000

/**
 * One process at a time holds a folder, by the file `lock` in it. A lock whose process is gone (kill -9, power cut) is
 * taken over at once where the pid is free or now names another process. Where the system cannot say that (Windows with
 * a reused pid, another host or container on a shared folder), it is taken over once its holder has not renewed it for
 * 15 s. @throws UsageError where it is held
 */
export async function lockFolder(dir: string): Promise<FolderLock> {
  const path = join(dir, 'lock')
  const own: Holder = {
    pid: process.pid,
    host: await hostIdentity(),
    start: await startOf(process.pid),
    token: randomUUID(),
  }
  const beside = `${path}.${own.token}`
  await writeFile(beside, JSON.stringify(own))
  try {
    for (let attempt = 0; ; attempt++) {
      if (await linked(beside, path)) break
      const held = await readHolder(path)
      if (held === undefined) continue
      if (attempt >= 10 || (await lives(held.holder, held.renewedAt))) throw heldBy(dir, held.holder)
      await putAside(path, held.holder)
    }
  } finally {
    await unlink(beside).catch(() => undefined)
  }
  return keep(path, own)
}

const heldBy = (dir: string, holder: Holder | undefined): UsageError =>
  new UsageError(
    `${dir} is in use by process ${holder?.pid ?? '?'} on ${holder?.host.split('/')[0] ?? '?'}: one process at a time may hold it`,
  )

/** Makes the lock file appear with its content, or not at all. File systems without hard links (FAT, some shares) create it plainly. */
async function linked(beside: string, path: string): Promise<boolean> {
  try {
    await link(beside, path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS' && code !== 'EISDIR' && code !== 'UNKNOWN')
      throw error
    try {
      await writeFile(path, await readFile(beside), { flag: 'wx' })
      return true
    } catch (second) {
      if ((second as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw second
    }
  }
}

async function readHolder(path: string): Promise<{ holder: Holder | undefined; renewedAt: number } | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    return { holder: parseHolder(text), renewedAt: mtimeMs }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** A lock file cut short by a power cut names nobody. */
function parseHolder(text: string): Holder | undefined {
  try {
    const holder = JSON.parse(text) as Holder
    return typeof holder.pid === 'number' && typeof holder.token === 'string' ? holder : undefined
  } catch {
    return undefined
  }
}

async function lives(holder: Holder | undefined, renewedAt: number): Promise<boolean> {
  const fresh = Math.abs(Date.now() - renewedAt) < staleAfterMs
  if (holder === undefined) return false
  if (holder.host !== (await hostIdentity())) return fresh
  if (!pidExists(holder.pid)) return false
  const start = await startOf(holder.pid)
  if (start === null || holder.start === null) return fresh || holder.pid === process.pid
  return start === holder.start
}

function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Linux: clock ticks between boot and the start of the process (field 22 of /proc/<pid>/stat). */
async function startOf(pid: number): Promise<string | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

/** Host name, boot and pid name space: pids compare only within all three. */
async function hostIdentity(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  const { ino } = await stat('/proc/self/ns/pid').catch(() => ({ ino: '' }))
  return [hostname(), boot.trim(), ino].join('/')
}

/** Moves a dead holder's lock away; where another process was quicker and this one moved a live lock, it goes back. */
async function putAside(path: string, dead: Holder | undefined): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const moved = parseHolder(await readFile(aside, 'utf8'))
  if (moved?.token !== dead?.token) await link(aside, path).catch(() => undefined)
  await unlink(aside)
}

function keep(path: string, own: Holder): FolderLock {
  const lost = new AbortController()
  const renew = async (): Promise<void> => {
    try {
      const text = await readFile(path, 'utf8')
      if (parseHolder(text)?.token !== own.token) return lost.abort()
      const now = new Date()
      await utimes(path, now, now)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') lost.abort()
    }
  }
  const timer = setInterval(() => void renew(), beatEveryMs)
  timer.unref()
  return {
    lost: lost.signal,
    async release() {
      clearInterval(timer)
      const held = await readHolder(path).catch(() => undefined)
      if (held?.holder?.token === own.token) await unlink(path).catch(() => undefined)
    },
  }
}
