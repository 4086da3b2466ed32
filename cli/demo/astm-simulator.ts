import { connect, type Socket } from 'node:net'
import { ack, enq } from '../../connectors/astm-lis2/control.js'
import {
  SenderLink,
  standardTimes,
  type SenderAction,
  type SenderTimes,
} from '../../connectors/astm-lis2/sender-link.js'
import { RetryableError } from '../../core/errors.js'
import { contentOf, type Journal, type JournalEntry, type SimulatedMessage } from './journal.js'
import { Pacer } from './pacer.js'
import type { Random } from './random.js'

/** Shares, 0 to 1, of what goes wrong on the line. */
export interface AstmFaults {
  /** Frames whose checksum is wrong on their first way. */
  readonly badChecksum?: number
  /** ACKs that arrive as noise: the frame is repeated; every fourth breaks the connection, and the message is. */
  readonly loseAnswers?: number
  /** Enquiries the analyser makes anew after a second, as if the receiver had sent ENQ at the same time. */
  readonly contention?: number
}

export interface AstmSimulatorOptions extends AstmFaults {
  readonly host: string
  readonly port: number
  /** Taken one after the other; each is held until every frame of it is acknowledged, or the simulator is stopped. */
  readonly messages: Iterator<SimulatedMessage>
  readonly journal: Journal
  /** Analysers at a time (default 1). */
  readonly connections?: number
  /** Messages a second over all connections; as fast as they are acknowledged where unset. */
  readonly rate?: number
  readonly times?: SenderTimes
  /** Pause before a connection is opened again, or a message is sent again (default 200 ms). */
  readonly againMs?: number
  /** Fails with RetryableError when no connection could be opened for this long; tries for ever where unset. */
  readonly unreachableMs?: number
  /** Decides what goes wrong; needed with faults. */
  readonly random?: Random
}

export interface AstmSimulation {
  readonly reconnects: number
  /** Faults made, by kind. */
  readonly faults: Readonly<Record<'badChecksum' | 'lostAnswer' | 'contention' | 'brokenConnection', number>>
}

const stopGraceMs = 2000
const tickMs = 5

/**
 * Plays analysers: sends each message over a real socket by LIS1-A until its last frame is acknowledged. Resolves when
 * every message is; after `signal` aborts nothing new is sent and what is under way has 2 s to be answered.
 * @throws RetryableError where the receiver cannot be reached
 */
export async function sendOverAstm(options: AstmSimulatorOptions, signal: AbortSignal): Promise<AstmSimulation> {
  const run = new Run(options)
  try {
    return await run.untilDone(signal)
  } finally {
    run.close()
    options.journal.flush()
  }
}

interface Outgoing {
  readonly message: SimulatedMessage
  readonly entry: JournalEntry
}

/** What the analysers of one simulation share. */
class Run {
  readonly faults = { badChecksum: 0, lostAnswer: 0, contention: 0, brokenConnection: 0 }
  reconnects = 0
  stopping = false
  lastConnectedAt = performance.now()
  private exhausted = false
  private readonly pacer: Pacer
  private readonly analysers: readonly Analyser[]

  constructor(readonly options: AstmSimulatorOptions) {
    this.pacer = new Pacer(options.rate)
    this.analysers = Array.from({ length: options.connections ?? 1 }, () => new Analyser(this))
  }

  async untilDone(signal: AbortSignal): Promise<AstmSimulation> {
    let stopAt = Infinity
    const stop = (): void => {
      this.stopping = true
      stopAt = performance.now() + stopGraceMs
    }
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setInterval(() => {
          const now = performance.now()
          for (const analyser of this.analysers) analyser.tick(now)
          const done = (this.exhausted || this.stopping) && this.analysers.every(({ idle }) => idle)
          const failure = this.unreachable(now)
          if (!done && failure === undefined && now < stopAt) return
          clearInterval(timer)
          if (failure === undefined) resolve()
          else reject(failure)
        }, tickMs)
      })
    } finally {
      signal.removeEventListener('abort', stop)
    }
    return { reconnects: this.reconnects, faults: { ...this.faults } }
  }

  /** The next message that nobody has sent yet, where the rate allows one. */
  take(): Outgoing | undefined {
    if (this.exhausted || this.stopping || !this.pacer.allow()) return undefined
    const next = this.options.messages.next()
    if (next.done !== true) return { message: next.value, entry: this.options.journal.open(next.value) }
    this.exhausted = true
    return undefined
  }

  happens(share = 0): boolean {
    return share > 0 && this.options.random?.chance(share) === true
  }

  close(): void {
    for (const analyser of this.analysers) analyser.close()
  }

  private unreachable(now: number): RetryableError | undefined {
    const { unreachableMs, host, port } = this.options
    if (unreachableMs === undefined || this.analysers.some(({ connected }) => connected)) return undefined
    return now - this.lastConnectedAt > unreachableMs
      ? new RetryableError(`nobody answers on ${host}:${port}`)
      : undefined
  }
}

/** One analyser with its line. */
class Analyser {
  connected = false
  private socket: Socket | undefined
  private link: SenderLink
  private current: Outgoing | undefined
  private sending = false
  private timer: NodeJS.Timeout | undefined
  private againAt = 0
  private damaged = false
  private answersLost = 0
  private closed = false

  constructor(private readonly run: Run) {
    this.link = this.newLink()
  }

  get idle(): boolean {
    return this.current === undefined || (this.run.stopping && !this.sending)
  }

  tick(now: number): void {
    if (this.closed || now < this.againAt) return
    if (this.socket === undefined) {
      if (!this.run.stopping || this.current !== undefined) this.open()
    } else if (this.connected && !this.sending) this.next()
  }

  close(): void {
    this.closed = true
    clearTimeout(this.timer)
    this.socket?.destroy()
    if (this.current !== undefined) this.run.options.journal.settle(this.current.entry)
  }

  private newLink(): SenderLink {
    return new SenderLink('instrument', this.run.options.times ?? standardTimes)
  }

  private open(): void {
    const { host, port } = this.run.options
    const socket = connect({ host, port, noDelay: true })
    this.socket = socket
    this.link = this.newLink()
    socket.on('connect', () => {
      this.connected = true
      this.run.lastConnectedAt = performance.now()
    })
    socket.on('data', (chunk: Buffer) => {
      for (const byte of chunk) if (socket === this.socket) this.hear(byte)
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (socket !== this.socket) return
      this.run.reconnects++
      this.leave()
    })
  }

  /** The connection is gone; a message under way goes out again on the next. */
  private leave(): void {
    clearTimeout(this.timer)
    this.socket?.destroy()
    this.socket = undefined
    this.connected = false
    this.sending = false
    this.againAt = performance.now() + (this.run.options.againMs ?? 200)
  }

  private next(): void {
    this.current ??= this.run.take()
    if (this.current === undefined) return
    this.run.options.journal.attempt(this.current.entry)
    this.sending = true
    this.apply(this.link.send(contentOf(this.current.message)))
  }

  private hear(byte: number): void {
    const { contention, loseAnswers } = this.run.options
    const bidding = this.link.bidding
    if (bidding && byte === ack && this.run.happens(contention)) {
      this.run.faults.contention++
      this.apply(this.link.bytes(Buffer.of(enq)))
    } else if (!bidding && byte === ack && this.run.happens(loseAnswers)) {
      this.run.faults.lostAnswer++
      if (++this.answersLost % 4 === 0) {
        this.run.faults.brokenConnection++
        this.run.reconnects++
        this.leave()
      } else this.apply(this.link.bytes(Buffer.of(0x7f)))
    } else this.apply(this.link.bytes(Buffer.of(byte)))
  }

  private apply(actions: readonly SenderAction[]): void {
    for (const action of actions) {
      switch (action.do) {
        case 'write':
          this.socket?.write(this.onTheWay(action.bytes))
          break
        case 'timer':
          clearTimeout(this.timer)
          if (action.ms > 0) this.timer = setTimeout(() => this.apply(this.link.timer()), action.ms)
          break
        default:
          this.finish(action.do === 'sent' ? undefined : action.reason)
      }
    }
  }

  private finish(failure: string | undefined): void {
    const { journal, againMs = 200 } = this.run.options
    this.sending = false
    if (this.current === undefined) return
    if (failure === undefined) {
      journal.answer(this.current.entry, 'ACK', true)
      journal.settle(this.current.entry)
      this.current = undefined
      return
    }
    if (failure !== 'no-answer') journal.answer(this.current.entry, failure, false)
    this.againAt = performance.now() + againMs
  }

  /** A frame as it arrives: never damaged twice in a row, so that six repetitions are always enough. */
  private onTheWay(bytes: Buffer): Buffer {
    this.damaged = !this.damaged && bytes.length > 1 && this.run.happens(this.run.options.badChecksum)
    if (!this.damaged) return bytes
    this.run.faults.badChecksum++
    const wrong = Buffer.from(bytes)
    wrong[2] = wrong[2]! ^ 0x20
    return wrong
  }
}
