import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { identityOf, isRunning } from './processes.mjs'

/** What is known of a stack directory: per part its ports and, while it was left running, its process. */
export function readState(dir) {
  try {
    return JSON.parse(readFileSync(join(dir, 'state.json'), 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') return { parts: {} }
    throw new Error(`${join(dir, 'state.json')} can't be read: ${error.message}`)
  }
}

/** Replaces the state in one step: a reader sees the old or the new one, whole. */
export function writeState(dir, state) {
  const path = join(dir, 'state.json')
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`)
  renameSync(`${path}.new`, path)
}

/** Runs `work` while no other command changes the same stack; the lock of a dead holder is taken over. */
export async function withLock(dir, work, timeoutMs = 180_000) {
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'lock')
  const deadline = Date.now() + timeoutMs
  for (;;) {
    try {
      const lock = openSync(path, 'wx')
      writeSync(lock, JSON.stringify({ pid: process.pid, identity: identityOf(process.pid) }))
      closeSync(lock)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      const holder = readHolder(path)
      if (holder !== undefined && !isRunning(holder)) rmSync(path, { force: true })
      else if (Date.now() > deadline) throw new Error(`another command has held ${path} for ${timeoutMs / 1000} s`)
      else await sleep(100)
    }
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}

function readHolder(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined // being written or just released
  }
}
