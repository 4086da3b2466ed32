import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { UsageError } from '../../core/errors.js'
import { lockFolder } from '../../log/folder-lock.js'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hutong-lock-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const path = (): string => join(dir, 'lock')
const held = async (): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(path(), 'utf8')) as Record<string, unknown>

/** A pid that was in use and is free now. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' })
  const pid = child.pid as number
  await new Promise((resolve) => child.on('exit', resolve))
  return pid
}

test('one holder at a time; the next may have it after release', async () => {
  const first = await lockFolder(dir)
  await expect(lockFolder(dir)).rejects.toThrow(UsageError)
  await expect(lockFolder(dir)).rejects.toThrow(`process ${process.pid}`)
  await first.release()
  const second = await lockFolder(dir)
  await second.release()
  expect(await readdir(dir)).toEqual([])
})

test('of many that come at once one gets it', async () => {
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder(dir)))
  const got = results.filter((result) => result.status === 'fulfilled')
  expect(got.length).toBe(1)
  for (const { value } of got) await value.release()
  expect(await readdir(dir)).toEqual([])
})

test('a lock whose process is gone is taken over, also by many at once', async () => {
  const probe = await lockFolder(dir)
  const sample = await held()
  await probe.release()
  const pid = await deadPid()
  for (let round = 0; round < 30; round++) {
    await writeFile(path(), JSON.stringify({ ...sample, pid, token: `gone${round}` }))
    const results = await Promise.allSettled(Array.from({ length: 16 }, () => lockFolder(dir)))
    const got = results.filter((result) => result.status === 'fulfilled')
    expect(got.length).toBe(1)
    expect((await held())['pid']).toBe(process.pid)
    for (const { value } of got) await value.release()
    expect(await readdir(dir)).toEqual([])
  }
})

test('one that was killed while it took over is followed in turn', async () => {
  const probe = await lockFolder(dir)
  const sample = await held()
  await probe.release()
  const pid = await deadPid()
  await writeFile(path(), JSON.stringify({ ...sample, pid, token: 'first' }))
  await writeFile(`${path()}.after.first`, JSON.stringify({ ...sample, pid, token: 'second' }))
  const results = await Promise.allSettled(Array.from({ length: 16 }, () => lockFolder(dir)))
  const got = results.filter((result) => result.status === 'fulfilled')
  expect(got.length).toBe(1)
  for (const { value } of got) await value.release()
  expect(await readdir(dir)).toEqual([])
})

test('one that is taking over just now holds it', async () => {
  const probe = await lockFolder(dir)
  const sample = await held()
  await probe.release()
  await writeFile(path(), JSON.stringify({ ...sample, pid: await deadPid(), token: 'first' }))
  await writeFile(`${path()}.after.first`, JSON.stringify({ ...sample, token: 'second' }))
  await expect(lockFolder(dir)).rejects.toThrow(UsageError)
})

test('a pid that names another process by now does not hold it', async ({ skip }) => {
  if (process.platform !== 'linux') skip('only /proc tells when a process began')
  const probe = await lockFolder(dir)
  const sample = await held()
  await probe.release()
  await writeFile(path(), JSON.stringify({ ...sample, start: '1', token: 'earlier' }))
  const lock = await lockFolder(dir)
  await lock.release()
})

test('a lock of another host holds while it is renewed, and no longer', async () => {
  const probe = await lockFolder(dir)
  const sample = await held()
  await probe.release()
  await writeFile(path(), JSON.stringify({ ...sample, host: 'elsewhere/1/2', token: 'other' }))
  await expect(lockFolder(dir)).rejects.toThrow(/elsewhere/)
  const longAgo = new Date(Date.now() - 60_000)
  await utimes(path(), longAgo, longAgo)
  const lock = await lockFolder(dir)
  await lock.release()
})

test('a lock file that a power cut left empty holds nobody out', async () => {
  await writeFile(path(), '')
  const results = await Promise.allSettled(Array.from({ length: 16 }, () => lockFolder(dir)))
  const got = results.filter((result) => result.status === 'fulfilled')
  expect(got.length).toBe(1)
  for (const { value } of got) await value.release()
  expect(await readdir(dir)).toEqual([])
})

test('a holder whose lock was taken over hears of it', async () => {
  const lock = await lockFolder(dir)
  await writeFile(path(), JSON.stringify({ pid: 1, host: 'x', start: null, token: 'thief' }))
  if (!lock.lost.aborted) await new Promise((resolve) => lock.lost.addEventListener('abort', resolve))
  await lock.release()
  expect((await held())['token'], 'the other one keeps it').toBe('thief')
})
