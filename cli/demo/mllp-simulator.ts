import { connect, type Socket } from 'node:net'
import { RetryableError } from '../../core/errors.js'
import type { Journal, JournalEntry, SimulatedMessage } from './journal.js'
import { Pacer } from './pacer.js'
import type { Random } from './random.js'

export interface MllpSimulatorOptions {
  readonly host: string
  readonly port: number
  /** Taken one after the other; each is held until it is answered, or the simulator is stopped. */
  readonly messages: Iterator<SimulatedMessage>
  readonly journal: Journal
  /** Sockets held open at a time (default 1). */
  readonly connections?: number
  /** Messages sent on a connection before the first of them is answered (default 1: a real LIS waits). */
  readonly inFlight?: number
  /** Messages a second over all connections, fixed or asked for each time; as fast as answers come where unset. */
  readonly rate?: number | (() => number)
  /** Without an answer for this long the connection is closed and the message sent again (default 10 s). */
  readonly ackTimeoutMs?: number
  /** Pause before a connection is opened again, doubled at each failure up to 2 s (default 50 ms). */
  readonly reconnectMs?: number
  /** Fails with RetryableError when no connection could be opened for this long; tries for ever where unset. */
  readonly unreachableMs?: number
  /** Share of positive answers that are lost on the way: the connection breaks and the message is sent again. */
  readonly loseAnswers?: number
  /** Decides which answers are lost; needed with `loseAnswers`. */
  readonly random?: Random
}

export interface MllpSimulation {
  /** Connections that broke, were refused or timed out. */
  readonly reconnects: number
  /** Answers whose MSA-2 is not the control id of the message that waits for one. */
  readonly mismatches: number
}

interface Outgoing {
  readonly message: SimulatedMessage
  readonly entry: JournalEntry
}

const startBlock = 0x0b
const endBlock = 0x1c
const stopGraceMs = 2000
const tickMs = 5

/**
 * Plays an LIS: sends each message over a real socket, waits for MSA-1 and checks MSA-2, sends again what was not
 * answered or refused for the moment (AR, CR, CE). Resolves when every message is settled; after `signal` aborts nothing
 * new is sent and what is under way has 2 s to be answered. @throws RetryableError where the receiver cannot be reached
 */
export async function sendOverMllp(options: MllpSimulatorOptions, signal: AbortSignal): Promise<MllpSimulation> {
  const run = new Run(options)
  try {
    return await run.untilDone(signal)
  } finally {
    run.close()
    options.journal.flush()
  }
}

/** What the connections of one simulation share. */
class Run {
  readonly pacer: Pacer
  reconnects = 0
  mismatches = 0
  exhausted = false
  stopping = false
  lastConnectedAt = performance.now()
  private readonly senders: Sender[]
  private resolve: () => void = () => undefined
  private reject: (error: Error) => void = () => undefined

  constructor(readonly options: MllpSimulatorOptions) {
    this.pacer = new Pacer(options.rate)
    this.senders = Array.from({ length: options.connections ?? 1 }, () => new Sender(this))
  }

  async untilDone(signal: AbortSignal): Promise<MllpSimulation> {
    let graceTimer: NodeJS.Timeout | undefined
    const stop = (): void => {
      this.stopping = true
      graceTimer = setTimeout(() => this.resolve(), stopGraceMs)
      this.checkDone()
    }
    const done = new Promise<void>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    const timer = setInterval(() => this.tick(), tickMs)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    else for (const sender of this.senders) sender.open()
    try {
      await done
    } finally {
      clearInterval(timer)
      clearTimeout(graceTimer)
      signal.removeEventListener('abort', stop)
    }
    return { reconnects: this.reconnects, mismatches: this.mismatches }
  }

  /** The next message that nobody has sent yet, where the rate allows one. */
  take(): Outgoing | undefined {
    if (this.exhausted || this.stopping || !this.pacer.allow()) return undefined
    const next = this.options.messages.next()
    if (next.done === true) {
      this.exhausted = true
      this.checkDone()
      return undefined
    }
    return { message: next.value, entry: this.options.journal.open(next.value) }
  }

  checkDone(): void {
    if ((this.exhausted || this.stopping) && this.senders.every((sender) => sender.idle)) this.resolve()
  }

  close(): void {
    for (const sender of this.senders) sender.close()
  }

  private tick(): void {
    const now = performance.now()
    for (const sender of this.senders) sender.tick(now)
    const { unreachableMs, host, port } = this.options
    if (unreachableMs === undefined || this.senders.some((sender) => sender.connected)) return
    if (now - this.lastConnectedAt > unreachableMs) {
      this.reject(new RetryableError(`nobody answers on ${host}:${port}`))
    }
  }
}

/** One connection of the LIS: what it sent and waits for, in order. */
class Sender {
  connected = false
  private socket: Socket | undefined
  private readonly waiting: (Outgoing & { readonly sentAt: number })[] = []
  private readonly again: Outgoing[] = []
  private arrived: Buffer = Buffer.alloc(0)
  private failures = 0
  private retryAt = 0
  private closed = false

  constructor(private readonly run: Run) {}

  get idle(): boolean {
    return this.waiting.length === 0 && (this.again.length === 0 || this.run.stopping)
  }

  open(): void {
    const { host, port } = this.run.options
    const socket = connect({ host, port, noDelay: true })
    this.socket = socket
    this.arrived = Buffer.alloc(0)
    socket.on('connect', () => {
      this.connected = true
      this.failures = 0
      this.run.lastConnectedAt = performance.now()
      this.pump()
    })
    socket.on('data', (chunk: Buffer) => this.onData(socket, chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => this.onClose(socket))
  }

  close(): void {
    this.closed = true
    this.socket?.destroy()
    for (const { entry } of [...this.waiting, ...this.again]) this.run.options.journal.settle(entry)
  }

  tick(now: number): void {
    if (this.connected) {
      const oldest = this.waiting[0]
      if (oldest !== undefined && now - oldest.sentAt > (this.run.options.ackTimeoutMs ?? 10_000))
        this.socket?.destroy()
      else if (this.run.options.rate !== undefined || this.again.length > 0) this.pump()
    } else if (this.socket === undefined && !this.closed && !this.run.stopping && now >= this.retryAt) this.open()
  }

  private pump(): void {
    const { socket } = this
    if (!this.connected || socket === undefined || performance.now() < this.retryAt) return
    const { inFlight = 1, journal } = this.run.options
    const several = inFlight > 1
    if (several) socket.cork()
    while (this.waiting.length < inFlight) {
      const next = (this.run.stopping ? undefined : this.again.shift()) ?? this.run.take()
      if (next === undefined) break
      journal.attempt(next.entry)
      this.waiting.push({ ...next, sentAt: performance.now() })
      socket.write(next.message.frame)
    }
    if (several) socket.uncork()
  }

  private onData(socket: Socket, chunk: Buffer): void {
    if (!this.connected || socket !== this.socket) return
    this.arrived = this.arrived.length === 0 ? chunk : Buffer.concat([this.arrived, chunk])
    let at = 0
    for (;;) {
      const end = this.arrived.indexOf(endBlock, at)
      if (end < 0 || !this.connected) break
      const start = this.arrived.indexOf(startBlock, at) + 1
      this.onAnswer(this.arrived.toString('latin1', start > end ? at : start, end))
      at = end + 1
    }
    if (!this.connected) return
    this.arrived = at === 0 ? this.arrived : this.arrived.subarray(at)
    if (this.arrived.length === 1 && this.arrived[0] === 0x0d) this.arrived = Buffer.alloc(0)
    this.pump()
    this.run.checkDone()
  }

  private onAnswer(text: string): void {
    const head = this.waiting.shift()
    const { journal, loseAnswers = 0, random } = this.run.options
    const { code, controlId } = readAnswer(text)
    if (head === undefined || (controlId !== head.message.controlId && controlId !== '')) {
      this.run.mismatches++
      if (head !== undefined) this.waiting.unshift(head)
      this.drop()
      return
    }
    const positive = code === 'AA' || code === 'CA'
    journal.answer(head.entry, code, positive)
    if (positive && loseAnswers > 0 && random?.chance(loseAnswers) === true) {
      this.again.push(head)
      this.drop()
    } else if (positive || code === 'AE') {
      journal.settle(head.entry)
    } else {
      // Not stored for a reason that passes: the LIS keeps the message and tries again a little later.
      this.again.push(head)
      this.retryAt = performance.now() + 200
    }
  }

  /** Breaks the connection; what is not answered goes out again on the next. */
  private drop(): void {
    this.connected = false
    this.socket?.destroy()
  }

  private onClose(socket: Socket): void {
    if (socket !== this.socket) return
    this.socket = undefined
    this.connected = false
    this.again.unshift(...this.waiting.splice(0))
    if (this.closed) return
    this.run.reconnects++
    const first = this.run.options.reconnectMs ?? 50
    this.retryAt = performance.now() + Math.min(2000, first * 2 ** Math.min(this.failures++, 8))
    this.run.checkDone()
  }
}

/** MSA-1 and MSA-2 of an acknowledgement. */
export function readAnswer(text: string): { readonly code: string; readonly controlId: string } {
  const at = text.indexOf('\rMSA')
  if (at < 0) return { code: '', controlId: '' }
  const end = text.indexOf('\r', at + 1)
  const [, code = '', controlId = ''] = text.slice(at + 1, end < 0 ? undefined : end).split(text[at + 4] ?? '|')
  return { code, controlId }
}
