import { spawn, spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * What tells this process from a later one with the same pid: the boot and the start time in it. Undefined when no
 * such process runs (a zombie does not run).
 */
export function identityOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const afterName = fields.slice(fields.lastIndexOf(')') + 2).split(' ')
    if (afterName[0] === 'Z' || afterName[0] === 'X') return undefined
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot}:${afterName[19]}`
  } catch {
    if (process.platform === 'linux') return undefined
    const ps = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' })
    const line = (ps.stdout ?? '').trim()
    return line === '' || line.startsWith('Z') ? undefined : line.replace(/^\S+\s+/, '')
  }
}

/** Whether the recorded process is still the one that was started. */
export function isRunning(recorded) {
  return recorded !== undefined && identityOf(recorded.pid) === recorded.identity
}

/** Resident memory in MiB of a process and its children, or undefined where /proc is missing. */
export function residentMiB(pid) {
  try {
    let kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
    for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)) {
      const status = readFileSync(`/proc/${child}/status`, 'utf8')
      // shared buffers are counted once, with the parent
      kib += Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0)
    }
    return Math.round(kib / 1024)
  } catch {
    return undefined
  }
}

/** Starts a process that outlives this one, its output appended to `log`. */
export async function launch({ command, args, log, ...options }) {
  const output = openSync(log, 'a')
  try {
    const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', output, output] })
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    child.unref()
    // it may be gone already: then no identity matches and the caller's wait says so with the log
    return { pid: child.pid, identity: identityOf(child.pid) ?? 'ended' }
  } finally {
    closeSync(output)
  }
}

/** Runs a command to its end and returns what it wrote. @throws Error with the end of its output if it fails */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20, timeout: 600_000, ...options })
  if (result.error) throw new Error(`${command}: ${result.error.message}`)
  if (result.status !== 0) {
    const output = `${result.stdout ?? ''}${result.stderr ?? ''}`.trimEnd().split('\n').slice(-20).join('\n')
    throw new Error(`${command} ended with ${result.status ?? result.signal}\n${output}`)
  }
  return { stdout: result.stdout ?? '', stderr: result.stderr ?? '' }
}

/** Ends the recorded process, and only that one. Resolves to how it ended once it is gone. */
export async function end(recorded, signal, timeoutMs) {
  if (!isRunning(recorded)) return 'was not running'
  process.kill(recorded.pid, signal)
  if (await isGone(recorded, timeoutMs)) return signal === 'SIGKILL' ? 'killed' : 'stopped'
  if (isRunning(recorded)) process.kill(recorded.pid, 'SIGKILL')
  if (await isGone(recorded, 10_000)) return `did not stop within ${timeoutMs / 1000} s, killed`
  throw new Error(`process ${recorded.pid} does not end`)
}

async function isGone(recorded, timeoutMs) {
  const deadline = Date.now() + timeoutMs
  while (isRunning(recorded)) {
    if (Date.now() > deadline) return false
    await sleep(50)
  }
  return true
}
