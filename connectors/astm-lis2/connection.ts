import type { Socket } from 'node:net'
import { RefusedError, RetryableError } from '../../core/errors.js'
import type { Delivery, IncomingMessage } from '../connector.js'
import type { AstmSettings } from './config.js'
import { controlIdOf } from './header.js'
import { ReceiverLink, type LinkAction, type TimerName } from './receiver-link.js'
import type { AstmCounters } from './statistics.js'

/** What a connection needs of the receiver it belongs to. */
export interface ConnectionHost {
  readonly settings: AstmSettings
  readonly counters: AstmCounters
  now(): number
  /** False where nothing more may be handed over just now; `connection.pump()` is called when there may be room again. */
  hasRoom(connection: AstmConnection): boolean
  /** Hands a message to the one who takes deliveries. */
  offer(delivery: AstmDelivery): void
  /** A message is settled: there is room for another. */
  release(): void
  /** Stores what has arrived of an unfinished message, sooner or later, then calls `kept`. */
  keep(remainder: Buffer, kept: () => void): void
  closed(connection: AstmConnection): void
}

export class AstmDelivery implements Delivery {
  private open = true

  constructor(
    readonly message: IncomingMessage,
    private readonly onSettled: (error: RefusedError | RetryableError | undefined) => void,
  ) {}

  accept(): Promise<void> {
    return this.settle(undefined)
  }

  refuse(error: RefusedError | RetryableError): Promise<void> {
    return this.settle(error)
  }

  private settle(error: RefusedError | RetryableError | undefined): Promise<void> {
    if (!this.open) return Promise.reject(new Error('a delivery was settled twice'))
    this.open = false
    this.onSettled(error)
    return Promise.resolve()
  }
}

/** A message as the spool takes it. */
export function incoming(content: Buffer, receivedAt: number): IncomingMessage {
  const controlId = controlIdOf(content)
  return { content, ...(controlId !== undefined && { controlId }), receivedAt }
}

/** One line to an analyser or a serial server: gives bytes and timers to the link and does what it says. */
export class AstmConnection {
  /** When a valid frame or an enquiry came last; garbage does not count. */
  private lastSenseAt = performance.now()
  private readonly link: ReceiverLink
  private readonly timers = new Map<TimerName, NodeJS.Timeout>()
  private waiting: readonly Buffer[] | undefined
  /** A message is complete and not settled. */
  private storing = false
  /** The link has answered since it was told of the last settlement. */
  private answered = false
  private unkept = 0
  private junkSeen = 0
  private stopping = false
  private closed = false

  constructor(
    private readonly socket: Socket,
    private readonly host: ConnectionHost,
  ) {
    this.link = new ReceiverLink(host.settings)
    host.counters.connectionsAccepted++
    host.counters.connectionsOpen++
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 60_000)
    socket.on('data', (chunk: Buffer) => this.apply(this.link.bytes(chunk)))
    socket.on('error', () => undefined)
    socket.on('close', () => this.onClose())
  }

  /** Hands over what waited for room. */
  pump(): void {
    const { waiting } = this
    if (waiting === undefined || !this.host.hasRoom(this)) return
    this.waiting = undefined
    this.handOver(waiting)
  }

  /** Takes nothing more; a message that is being stored is answered, then the connection closes. */
  stop(): void {
    this.stopping = true
    this.link.busy = true
    if (this.waiting !== undefined) this.drop(new RefusedError('stopping', 'the receiver is stopping'))
    this.endIfDone()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Called now and then: closes what has said nothing sensible for too long. */
  checkTime(now: number): void {
    const { idleTimeoutMs } = this.host.settings
    if (idleTimeoutMs === 0 || this.storing || now - this.lastSenseAt <= idleTimeoutMs) return
    this.host.counters.connectionsTimedOut++
    this.socket.destroy()
  }

  private apply(actions: readonly LinkAction[]): void {
    const { counters } = this.host
    for (const action of actions) {
      switch (action.do) {
        case 'write':
          this.answered = true
          if (!this.closed && this.socket.writable) this.socket.write(Buffer.of(action.byte))
          break
        case 'timer':
          this.setTimer(action.name, action.ms)
          break
        case 'note':
          counters.line[action.note]++
          if (action.note === 'session') this.lastSenseAt = performance.now()
          break
        case 'keep':
          this.keep(action.remainder)
          break
        case 'offer':
          this.lastSenseAt = performance.now()
          this.storing = true
          this.offer(action.messages)
      }
    }
    counters.junkBytes += this.link.junkBytes - this.junkSeen
    this.junkSeen = this.link.junkBytes
    // The sender has ended its session and nobody has taken the message yet: it is the sender's again.
    if (this.waiting !== undefined && !this.link.inSession) {
      this.drop(new RetryableError('the sender stopped waiting'))
    }
  }

  private offer(messages: readonly Buffer[]): void {
    if (this.stopping) {
      this.waiting = messages
      this.drop(new RefusedError('stopping', 'the receiver is stopping'))
    } else if (this.host.hasRoom(this)) this.handOver(messages)
    else this.waiting = messages
  }

  private drop(error: RefusedError | RetryableError): void {
    this.waiting = undefined
    this.host.counters.refused[reasonOf(error)]++
    this.finish(0, false)
  }

  private handOver(messages: readonly Buffer[]): void {
    let open = messages.length
    let stored = 0
    for (const content of messages) {
      const delivery = new AstmDelivery(incoming(content, this.host.now()), (error) => {
        if (error === undefined) stored++
        else this.host.counters.refused[reasonOf(error)]++
        if (--open === 0) this.finish(stored, stored === messages.length)
        this.host.release()
      })
      this.host.offer(delivery)
    }
  }

  private finish(stored: number, all: boolean): void {
    this.storing = false
    this.answered = false
    this.apply(this.link.settled(all))
    const told = all && this.answered && !this.closed
    this.host.counters[told ? 'acknowledged' : 'unanswered'] += stored
    this.endIfDone()
  }

  private keep(remainder: Buffer): void {
    // A message that this end breaks off is the sender's still.
    if (this.stopping) return
    this.unkept++
    this.link.busy = true
    this.host.keep(remainder, () => {
      this.unkept--
      if (this.unkept === 0 && !this.stopping) this.link.busy = false
    })
  }

  private endIfDone(): void {
    if (this.stopping && !this.storing && !this.closed) this.socket.destroySoon()
  }

  private setTimer(name: TimerName, ms: number): void {
    clearTimeout(this.timers.get(name))
    this.timers.delete(name)
    if (ms === 0 || this.closed) return
    const expire = (): void => {
      this.timers.delete(name)
      this.apply(this.link.timer(name))
    }
    this.timers.set(name, setTimeout(expire, ms))
  }

  private onClose(): void {
    if (this.closed) return
    this.apply(this.link.closed())
    this.closed = true
    for (const name of [...this.timers.keys()]) this.setTimer(name, 0)
    this.host.counters.connectionsOpen--
    this.host.closed(this)
  }
}

const reasonOf = (error: RefusedError | RetryableError): RefusedError['reason'] | 'retry-later' =>
  error instanceof RefusedError ? error.reason : 'retry-later'
