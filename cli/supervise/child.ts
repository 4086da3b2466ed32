import { spawn, type ChildProcess } from 'node:child_process'
import { pause } from '../../core/pause.js'
import { healthOf, supervisorWords, type RunHealth } from './health.js'

export interface Program {
  /** JavaScript file that is started, and its arguments. */
  readonly entry: string
  readonly args: readonly string[]
  readonly cwd: string
}

/** One run of a program. */
export interface Child {
  readonly pid: number | undefined
  readonly startedAt: number
  isRunning(): boolean
  /** Asks; undefined where no answer came in time. */
  health(timeoutMs: number): Promise<RunHealth | undefined>
  /** Asks it to finish what is under way, and ends it where it does not within the time. */
  stop(timeoutMs: number): Promise<void>
}

/** Starts a program with the Node that runs this, its output on ours, and a channel to talk over. */
export function startChild({ entry, args, cwd }: Program): Child {
  const child: ChildProcess = spawn(process.execPath, [entry, ...args], {
    cwd,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    windowsHide: true,
  })
  let isRunning = true
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      isRunning = false
      resolve()
    }
    child.once('exit', end)
    child.once('error', end)
  })
  const say = (word: string): void => {
    if (isRunning && child.connected) child.send(word, () => undefined)
  }
  return {
    pid: child.pid,
    startedAt: performance.now(),
    isRunning: () => isRunning,
    async health(timeoutMs) {
      if (!isRunning) return undefined
      const waiting = new AbortController()
      let found: RunHealth | undefined
      const heard = (message: unknown): void => {
        found = healthOf(message) ?? found
        if (found !== undefined) waiting.abort()
      }
      child.on('message', heard)
      void ended.then(() => waiting.abort())
      say(supervisorWords.health)
      await pause(timeoutMs, waiting.signal)
      child.off('message', heard)
      return found
    },
    async stop(timeoutMs) {
      if (!isRunning) return
      say(supervisorWords.stop)
      const over = new AbortController()
      void ended.then(() => over.abort())
      await pause(timeoutMs, over.signal)
      if (isRunning) child.kill('SIGKILL')
      await ended
    },
  }
}
