import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Server as TlsServer } from 'node:tls'
import { systemClock, type Clock } from '../../core/clock.js'
import { RefusedError, UsageError } from '../../core/errors.js'
import type { Delivery } from '../connector.js'
import { DeliveryQueue } from '../delivery-queue.js'
import { AcknowledgementStamp } from '../hl7v2/acknowledgement.js'
import { mllpSettings, type MllpReceiveConfig, type MllpSettings } from './config.js'
import { MllpConnection, type ConnectionHost, type MllpDelivery } from './connection.js'
import type { MllpListener } from './events.js'
import { allowPeers } from './peers.js'
import { MllpCounters, type ConnectionRefusal, type MllpStatistics } from './statistics.js'
import { tlsAcceptor } from './tls.js'

export interface MllpReceiveOptions {
  readonly clock?: Clock
  /** Told of connections and refusals as they happen. */
  readonly onEvent?: MllpListener
}

/** The deliveries of one listening port, and what can be seen of it from outside. */
export interface MllpReceiver extends AsyncIterable<Delivery> {
  /** Where it listens. @throws UsageError where the address cannot be had */
  readonly listening: Promise<AddressInfo>
  stats(): MllpStatistics
}

/**
 * Listens from this call on until `signal` aborts. Then it takes nothing more, refuses what nobody has taken yet, waits
 * up to `stopTimeoutMs` for deliveries under way, and the iteration ends when every connection is closed.
 * @throws UsageError for a configuration that cannot work
 */
export function receiveMllp(
  config: MllpReceiveConfig,
  signal: AbortSignal,
  options: MllpReceiveOptions = {},
): MllpReceiver {
  const receiver = new Receiver(mllpSettings(config), options)
  receiver.start(signal)
  return receiver
}

class Receiver implements MllpReceiver, ConnectionHost {
  readonly listening: Promise<AddressInfo>
  readonly counters = new MllpCounters()
  readonly report: MllpListener
  readonly stamp: AcknowledgementStamp

  private readonly queue = new DeliveryQueue()
  private readonly server: Server
  private readonly tls: TlsServer | undefined
  private readonly allowed
  private readonly clock: Clock
  private readonly connections = new Set<MllpConnection>()
  private readonly handshakes = new Map<string, Socket>()
  private readonly waiting = new Set<MllpConnection>()
  private toFlush: MllpConnection[] = []
  private resolveListening!: (address: AddressInfo) => void
  private rejectListening!: (error: Error) => void
  private sweep: NodeJS.Timeout | undefined
  private stopTimer: NodeJS.Timeout | undefined
  private lastConnection = 0
  private stopping = false
  private serverClosed = false

  constructor(
    readonly settings: MllpSettings,
    options: MllpReceiveOptions,
  ) {
    this.clock = options.clock ?? systemClock
    this.stamp = new AcknowledgementStamp(this.clock)
    this.report = options.onEvent ?? (() => undefined)
    this.allowed = allowPeers(settings.allow)
    this.tls = tlsAcceptor(settings.tls, {
      open: (socket) => this.open(socket),
      refuse: (peer, code) => this.refuseConnection(peer, 'tls', code),
    })
    this.listening = new Promise((resolve, reject) => {
      this.resolveListening = resolve
      this.rejectListening = reject
    })
    this.listening.catch(() => undefined)
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.onSocket(socket))
    this.server.maxConnections = settings.maxConnections
    this.server.on('drop', (data) => this.refuseConnection(data?.remoteAddress, 'too-many'))
    this.server.on('error', (error: NodeJS.ErrnoException) => this.onServerError(error))
  }

  start(signal: AbortSignal): void {
    const { host, port, idleTimeoutMs, frameTimeoutMs } = this.settings
    if (signal.aborted) {
      this.rejectListening(new UsageError('stopped before it listened'))
      this.queue.end()
      return
    }
    signal.addEventListener('abort', () => this.stop(), { once: true })
    this.server.listen({ host, port, backlog: 1024 }, () => {
      const address = this.server.address() as AddressInfo
      this.report({ event: 'listening', host: address.address, port: address.port })
      this.resolveListening(address)
    })
    const shortest = Math.min(frameTimeoutMs, idleTimeoutMs || frameTimeoutMs)
    this.sweep = setInterval(() => this.checkTime(), Math.max(10, Math.min(1000, shortest / 4)))
  }

  stats(): MllpStatistics {
    return this.counters.snapshot()
  }

  [Symbol.asyncIterator](): AsyncIterator<Delivery> {
    return {
      next: () => this.queue.next(),
      return: async () => {
        this.stop()
        for (const left of this.queue.drain()) await left.refuse(stoppingError())
        while (!(await this.queue.next()).done);
        return { done: true, value: undefined }
      },
    }
  }

  now(): number {
    return this.clock.now()
  }

  hasRoom(): boolean {
    const { inFlight, inFlightBytes } = this.counters
    return inFlight < this.settings.maxInFlightMessages && inFlightBytes < this.settings.maxInFlightBytes
  }

  awaitRoom(connection: MllpConnection): void {
    this.waiting.add(connection)
  }

  offer(delivery: MllpDelivery): void {
    this.counters.inFlight++
    this.counters.inFlightBytes += delivery.message.content.length
    this.queue.push(delivery)
  }

  release(bytes: number): void {
    this.counters.inFlight--
    this.counters.inFlightBytes -= bytes
  }

  /** After the promises that resolve now, so that messages of one disk flush share a write. */
  scheduleFlush(connection: MllpConnection): void {
    if (this.toFlush.length === 0) process.nextTick(() => this.flush())
    this.toFlush.push(connection)
  }

  held(): void {
    while (this.counters.heldBytes > this.settings.maxHeldBytes) {
      let largest: MllpConnection | undefined
      for (const connection of this.connections) {
        if (connection.heldBytes > (largest?.heldBytes ?? 0)) largest = connection
      }
      if (largest === undefined) return
      largest.shed()
    }
  }

  closed(connection: MllpConnection): void {
    this.connections.delete(connection)
    this.waiting.delete(connection)
    this.finishStop()
  }

  private flush(): void {
    const connections = this.toFlush
    this.toFlush = []
    for (const connection of connections) connection.flush()
    if (this.waiting.size === 0 || !this.hasRoom()) return
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const connection of waiting) connection.pump()
  }

  private onSocket(socket: Socket): void {
    if (this.stopping) {
      socket.destroy()
    } else if (!this.allowed(socket.remoteAddress)) {
      this.refuseConnection(socket.remoteAddress, 'not-allowed')
      socket.destroy()
    } else if (this.tls === undefined) {
      this.open(socket)
    } else {
      const key = endpoint(socket)
      this.handshakes.set(key, socket)
      socket.once('close', () => this.handshakes.delete(key))
      this.tls.emit('connection', socket)
    }
  }

  private open(socket: Socket): void {
    this.handshakes.delete(endpoint(socket))
    if (this.stopping) socket.destroy()
    else this.connections.add(new MllpConnection(++this.lastConnection, socket, this))
  }

  private refuseConnection(peer: string | undefined, reason: ConnectionRefusal, code?: string): void {
    this.counters.connectionsRefused[reason]++
    this.report({
      event: 'connection-refused',
      peer: peer ?? 'unknown',
      reason,
      ...(code !== undefined && { code }),
    })
  }

  /** Before it listens: the address cannot be had. Later: one connection could not be taken (EMFILE and its like). */
  private onServerError(error: NodeJS.ErrnoException): void {
    if (this.server.listening) {
      this.refuseConnection(undefined, 'resources', error.code)
      return
    }
    const { host, port } = this.settings
    const failure = new UsageError(`cannot listen on ${host} port ${port}: ${error.code ?? error.message}`)
    this.rejectListening(failure)
    clearInterval(this.sweep)
    this.queue.end(failure)
  }

  private checkTime(): void {
    const now = performance.now()
    for (const connection of this.connections) connection.checkTime(now)
  }

  private stop(): void {
    if (this.stopping) return
    this.stopping = true
    for (const socket of this.handshakes.values()) socket.destroy()
    this.server.close(() => {
      this.serverClosed = true
      this.finishStop()
    })
    for (const delivery of this.queue.drain()) void delivery.refuse(stoppingError())
    for (const connection of this.connections) connection.stop()
    this.stopTimer = setTimeout(() => {
      for (const connection of this.connections) connection.destroy()
    }, this.settings.stopTimeoutMs)
    this.finishStop()
  }

  private finishStop(): void {
    if (!this.stopping || !this.serverClosed || this.connections.size > 0) return
    clearInterval(this.sweep)
    clearTimeout(this.stopTimer)
    this.queue.end()
  }
}

const endpoint = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`

const stoppingError = (): RefusedError => new RefusedError('stopping', 'the receiver is stopping')
