import { randomUUID } from 'node:crypto'
import { link, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { UsageError } from '../core/errors.js'
import { pidExists } from '../core/pid.js'

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
  await writeFile(beside, JSON.stringify(own), { flush: true })
  try {
    for (let attempt = 0; !(await linked(beside, path)); attempt++) {
      const { last, before } = await chainOfHolders(path)
      if (last === undefined) continue
      if (attempt >= 10 || (await lives(last.holder, last.renewedAt))) throw heldBy(dir, last.holder)
      if (last.holder === undefined && attempt < 3) await delay(100)
      else if (await succeeded(path, last, beside, own, before)) break
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

interface Held {
  /** Undefined where the file names nobody. */
  readonly holder: Holder | undefined
  readonly token: string
  readonly renewedAt: number
}

async function readHolder(path: string): Promise<Held | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    const holder = parseHolder(text)
    return { holder, token: holder?.token ?? `unreadable-${mtimeMs}`, renewedAt: mtimeMs }
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

/** Linux: clock ticks between boot and the start of the process (field 22 of /proc/<pid>/stat). */
async function startOf(pid: number): Promise<string | null> {
  try {
    // eslint-disable-next-line no-restricted-syntax -- elsewhere there is no such file, and the answer is null
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

/** Host name, boot and pid name space: pids compare only within all three. */
async function hostIdentity(): Promise<string> {
  /* eslint-disable no-restricted-syntax -- elsewhere there are no such files, and the host name stands alone */
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  const { ino } = await stat('/proc/self/ns/pid').catch(() => ({ ino: '' }))
  /* eslint-enable no-restricted-syntax */
  return [hostname(), boot.trim(), ino].join('/')
}

/**
 * Who holds the lock: the file `lock` names the first, and `lock.after.<token>` the one who followed that holder and has
 * not yet put its own file in place. `before` are the files that led to the last.
 */
async function chainOfHolders(path: string): Promise<{ last: Held | undefined; before: string[] }> {
  const before: string[] = []
  let last = await readHolder(path)
  while (last !== undefined) {
    const next = await readHolder(successorOf(path, last))
    if (next === undefined) break
    before.push(successorOf(path, last))
    last = next
  }
  return { last, before }
}

const successorOf = (path: string, gone: Held): string => `${path}.after.${gone.token}`

/**
 * Takes the lock of a holder that is gone. A file by the name of its token can be made only once while that holder is
 * the last; a process that comes too late makes it anew, finds that the lock no longer leads there, and withdraws.
 */
async function succeeded(
  path: string,
  gone: Held,
  beside: string,
  own: Holder,
  before: readonly string[],
): Promise<boolean> {
  const claim = successorOf(path, gone)
  if (!(await linked(beside, claim))) return false
  const { last } = await chainOfHolders(path)
  if (last?.token !== own.token) {
    await unlink(claim).catch(() => undefined)
    return false
  }
  await renamedOver(claim, path)
  for (const file of before) await unlink(file).catch(() => undefined)
  return true
}

/** Windows refuses while another process has the file open to read it. */
async function renamedOver(from: string, to: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await rename(from, to)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (attempt >= 20 || (code !== 'EPERM' && code !== 'EACCES' && code !== 'EBUSY')) throw error
      await delay(50)
    }
  }
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
