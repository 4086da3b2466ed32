import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream, readFileSync, type WriteStream } from 'node:fs'
import { pause } from '../../core/pause.js'

/** How a process is started: `arguments` of node, decided anew at each start. */
export interface ProcessPlan {
  readonly name: string
  readonly arguments: () => readonly string[]
  readonly logFile: string
  readonly env: NodeJS.ProcessEnv
  readonly cwd?: string
}

/** A process that ended although nobody killed it. */
export interface OwnEnd {
  readonly name: string
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly said: string
}

/** Exit code of a command whose broker, registry or database is not there (cli/terminal.ts). */
const unavailable = 3
/** Beyond what a graceful stop may take: work under way, then leaving the group (log/kafka-log.ts). */
const stopTimeoutMs = 60_000

/** Keeps one process alive as a service manager does: whenever it ends it is started again, until `stop`. */
export class SupervisedProcess {
  /** Ends that nobody asked for, except those for a part that was away. */
  readonly ownEnds: OwnEnd[] = []
  private child: ChildProcess | undefined
  private readonly log: WriteStream
  private isUp = false
  private startedAt = 0
  private retries = 0
  private stopping = false
  private ended: Promise<void> = Promise.resolve()
  private timer: NodeJS.Timeout | undefined

  constructor(private readonly plan: ProcessPlan) {
    this.log = createWriteStream(plan.logFile, { flags: 'a' })
  }

  get name(): string {
    return this.plan.name
  }

  /** Of the last start. */
  get pid(): number | undefined {
    return this.child?.pid
  }

  start(): void {
    if (this.stopping) return
    this.isUp = false
    this.startedAt = performance.now()
    const child = spawn(process.execPath, [...this.plan.arguments()], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: this.plan.env,
      ...(this.plan.cwd !== undefined && { cwd: this.plan.cwd }),
    })
    this.child = child
    let last = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.log.write(text)
      last = (last + text).slice(-4000)
      if (last.includes('"msg":"running"')) this.isUp = true
    })
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.isUp = false
        resolve()
        this.onEnd(code, signal, last)
      })
    })
  }

  /** SIGKILL at once, whatever it does just then; resolves when it is gone and the next one is starting. */
  async kill(): Promise<void> {
    const { child } = this
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await this.ended
  }

  /** Resolves true once its roles run; false where `timeoutMs` pass before. */
  async untilUp(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const deadline = performance.now() + timeoutMs
    while (!this.isUp && !signal.aborted && performance.now() < deadline) await pause(20, signal)
    return this.isUp
  }

  /** SIGTERM, and SIGKILL where that is not heard. Resolves with exit code or signal; 0 where it had ended before. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.stopping = true
    clearTimeout(this.timer)
    const { child } = this
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      this.log.end()
      return 0
    }
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await this.ended
    clearTimeout(late)
    this.log.end()
    return child.exitCode ?? child.signalCode ?? 0
  }

  /** The last warnings and errors it logged. */
  complaints(lines = 5): string {
    const text = readFileSync(this.plan.logFile, 'utf8')
    const loud = text.split('\n').filter((line) => line !== '' && !/"level":(10|20|30)/.test(line))
    return loud.slice(-lines).join('\n')
  }

  private onEnd(code: number | null, signal: NodeJS.Signals | null, said: string): void {
    if (this.stopping) return
    const wasKilled = signal === 'SIGKILL'
    if (!wasKilled && code !== unavailable) this.ownEnds.push({ name: this.name, code, signal, said })
    // At once after a kill; a process that cannot run yet is tried more slowly.
    const livedMs = performance.now() - this.startedAt
    this.retries = wasKilled || livedMs > 5000 ? 0 : this.retries + 1
    const waitMs = this.retries === 0 ? 0 : Math.min(2000, 250 * 2 ** this.retries)
    this.timer = setTimeout(() => this.start(), waitMs)
  }
}
