import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { systemClock, type Clock } from '../../core/clock.js'
import { RefusedError, UsageError } from '../../core/errors.js'
import type { Delivery, Receiver } from '../connector.js'
import { DeliveryQueue } from '../delivery-queue.js'
import { allowPeers } from '../hl7v2-mllp/peers.js'
import { astmSettings, type AstmReceiveConfig, type AstmSettings } from './config.js'
import { AstmConnection, AstmDelivery, incoming, type ConnectionHost } from './connection.js'
import { AstmCounters, type AstmStatistics } from './statistics.js'

export interface AstmReceiveOptions {
  readonly clock?: Clock
}

/** The deliveries of one port or one serial server, and what can be seen of it from outside. */
export interface AstmReceiver extends Receiver {
  stats(): AstmStatistics
}

const keepAgainMs = 2000

/**
 * Listens, or keeps a connection open, from this call on until `signal` aborts. Then it takes nothing more, refuses what
 * nobody has taken yet, waits up to `stopTimeoutMs` for deliveries under way, and the iteration ends when every
 * connection is closed. @throws UsageError for a configuration that cannot work
 */
export function receiveAstm(
  config: AstmReceiveConfig,
  signal: AbortSignal,
  options: AstmReceiveOptions = {},
): AstmReceiver {
  const settings = astmSettings(config)
  if (settings.mode === 'connect' && settings.port === 0) throw new UsageError('port: say which port to connect to')
  const lines = new Lines(settings, options.clock ?? systemClock)
  if (settings.mode === 'connect') {
    new Caller(settings, lines, signal)
    return { stats: () => lines.stats(), [Symbol.asyncIterator]: () => lines.iterator() }
  }
  const listener = new Listener(settings, lines, signal)
  return {
    listening: listener.listening,
    stats: () => lines.stats(),
    [Symbol.asyncIterator]: () => lines.iterator(),
  }
}

/** The connections of a receiver and what they share: the queue, the bound, unfinished messages. */
class Lines implements ConnectionHost {
  readonly counters = new AstmCounters()
  stopping = false
  /** Called once when nothing new is to be taken. */
  onStop: () => void = () => undefined
  private readonly queue = new DeliveryQueue()
  private readonly connections = new Set<AstmConnection>()
  private readonly waiting = new Set<AstmConnection>()
  private readonly unkept = new Set<Unkept>()
  private readonly sweep: NodeJS.Timeout
  private stopTimer: NodeJS.Timeout | undefined
  private sourceOpen = true

  constructor(
    readonly settings: AstmSettings,
    private readonly clock: Clock,
  ) {
    const { idleTimeoutMs } = settings
    this.sweep = setInterval(() => this.checkTime(), Math.max(10, Math.min(60_000, (idleTimeoutMs || 60_000) / 4)))
  }

  stats(): AstmStatistics {
    return this.counters.snapshot()
  }

  iterator(): AsyncIterator<Delivery> {
    return {
      next: () => this.queue.next(),
      return: async () => {
        this.stop()
        while (!(await this.queue.next()).done);
        return { done: true, value: undefined }
      },
    }
  }

  open(socket: Socket): void {
    if (this.stopping) socket.destroy()
    else this.connections.add(new AstmConnection(socket, this))
  }

  now(): number {
    return this.clock.now()
  }

  hasRoom(connection: AstmConnection): boolean {
    if (this.counters.inFlight < this.settings.maxInFlightMessages) return true
    this.waiting.add(connection)
    return false
  }

  offer(delivery: AstmDelivery): void {
    this.counters.received++
    this.counters.receivedBytes += delivery.message.content.length
    this.counters.inFlight++
    this.queue.push(delivery)
  }

  release(): void {
    this.counters.inFlight--
    while (this.counters.inFlight < this.settings.maxInFlightMessages) {
      const [next] = this.waiting
      if (next === undefined) break
      this.waiting.delete(next)
      next.pump()
    }
    this.finishStop()
  }

  /** Nobody waits for an answer to it, so it is offered until it is taken. */
  keep(content: Buffer, kept: () => void): void {
    this.counters.unfinished++
    const unkept: Unkept = { timer: undefined }
    this.unkept.add(unkept)
    const message = incoming(content, this.now())
    const offer = (): void => {
      unkept.timer = undefined
      const delivery = new AstmDelivery(message, (error) => {
        if (error === undefined || this.stopping) {
          this.counters[error === undefined ? 'unanswered' : 'unfinishedLost']++
          this.unkept.delete(unkept)
          kept()
        } else {
          unkept.timer = setTimeout(offer, keepAgainMs)
        }
        this.release()
      })
      this.offer(delivery)
    }
    offer()
  }

  closed(connection: AstmConnection): void {
    this.connections.delete(connection)
    this.waiting.delete(connection)
    this.finishStop()
  }

  /** Nothing new comes from the source; with `failure` it never did. */
  sourceClosed(failure?: Error): void {
    this.sourceOpen = false
    if (failure !== undefined) {
      clearInterval(this.sweep)
      this.queue.end(failure)
    } else this.finishStop()
  }

  stop(): void {
    if (this.stopping) return
    this.stopping = true
    for (const delivery of this.queue.drain()) void delivery.refuse(stoppingError())
    for (const unkept of [...this.unkept]) {
      if (unkept.timer === undefined) continue
      clearTimeout(unkept.timer)
      this.counters.unfinishedLost++
      this.unkept.delete(unkept)
    }
    for (const connection of this.connections) connection.stop()
    this.stopTimer = setTimeout(() => {
      for (const connection of this.connections) connection.destroy()
    }, this.settings.stopTimeoutMs)
    this.onStop()
    this.finishStop()
  }

  private checkTime(): void {
    const now = performance.now()
    for (const connection of this.connections) connection.checkTime(now)
  }

  private finishStop(): void {
    if (!this.stopping || this.sourceOpen || this.connections.size > 0) return
    clearInterval(this.sweep)
    clearTimeout(this.stopTimer)
    this.queue.end()
  }
}

/** An unfinished message that is offered, or waits to be offered again. */
interface Unkept {
  timer: NodeJS.Timeout | undefined
}

/** Lets analysers and serial servers connect. */
class Listener {
  readonly listening: Promise<AddressInfo>
  private readonly server: Server

  constructor(settings: AstmSettings, lines: Lines, signal: AbortSignal) {
    const allowed = allowPeers(settings.allow)
    const { host, port, maxConnections } = settings
    const { connectionsRefused } = lines.counters
    this.server = createServer((socket) => {
      if (allowed(socket.remoteAddress)) return lines.open(socket)
      connectionsRefused['not-allowed']++
      socket.on('error', () => undefined).destroy()
    })
    this.server.maxConnections = maxConnections
    this.server.on('drop', () => connectionsRefused['too-many']++)
    this.listening = new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(new UsageError('stopped before it listened'))
        lines.sourceClosed()
        return lines.stop()
      }
      this.server.on('error', (error: NodeJS.ErrnoException) => {
        if (this.server.listening) {
          connectionsRefused.resources++
          return
        }
        const failure = new UsageError(`cannot listen on ${host} port ${port}: ${error.code ?? error.message}`)
        reject(failure)
        lines.sourceClosed(failure)
      })
      lines.onStop = () => this.server.close(() => lines.sourceClosed())
      signal.addEventListener('abort', () => lines.stop(), { once: true })
      this.server.listen({ host, port }, () => resolve(this.server.address() as AddressInfo))
    })
    this.listening.catch(() => undefined)
  }
}

/** Keeps one connection to a serial server open. */
class Caller {
  private socket: Socket | undefined
  private timer: NodeJS.Timeout | undefined

  constructor(
    private readonly settings: AstmSettings,
    private readonly lines: Lines,
    signal: AbortSignal,
  ) {
    lines.onStop = () => {
      clearTimeout(this.timer)
      if (this.socket?.connecting === true) this.socket.destroy()
      lines.sourceClosed()
    }
    if (signal.aborted) {
      lines.stop()
      return
    }
    signal.addEventListener('abort', () => lines.stop(), { once: true })
    this.call()
  }

  private call(): void {
    const { host, port, reconnectMs } = this.settings
    const socket = connect({ host, port })
    this.socket = socket
    let connected = false
    socket.once('connect', () => {
      connected = true
      this.lines.open(socket)
    })
    socket.on('error', () => undefined)
    socket.once('close', () => {
      if (this.lines.stopping) return
      if (!connected) this.lines.counters.connectFailures++
      this.timer = setTimeout(() => this.call(), reconnectMs)
    })
  }
}

const stoppingError = (): RefusedError => new RefusedError('stopping', 'the receiver is stopping')
