import type { Socket } from 'node:net'
import { RefusedError, RetryableError } from '../../core/errors.js'
import type { Delivery, IncomingMessage } from '../connector.js'
import type { AcknowledgementStamp } from '../hl7v2/acknowledgement.js'
import { readHeader, type MshFacts } from '../hl7v2/header.js'
import { answersTo, unreadableAnswer } from './answers.js'
import type { MllpSettings } from './config.js'
import type { DisconnectReason, MllpListener } from './events.js'
import { FrameReader, type Frame } from './frame-reader.js'
import type { MllpCounters, RefusalCount } from './statistics.js'

/** What a connection needs of the receiver it belongs to. */
export interface ConnectionHost {
  readonly settings: MllpSettings
  readonly counters: MllpCounters
  readonly report: MllpListener
  readonly stamp: AcknowledgementStamp
  now(): number
  /** False where no further message may be read from anybody just now. */
  hasRoom(): boolean
  /** `connection.pump()` is called when there may be room again. */
  awaitRoom(connection: MllpConnection): void
  /** Hands a message to the one who takes deliveries. */
  offer(delivery: MllpDelivery): void
  /** A message is settled: there is room for another. */
  release(bytes: number): void
  /** `connection.flush()` is called once the promises that resolve now have all been served. */
  scheduleFlush(connection: MllpConnection): void
  /** Memory held for incomplete messages has changed. */
  held(connection: MllpConnection): void
  closed(connection: MllpConnection): void
}

/** A place in the order of answers of one connection. */
class AnswerSlot {
  /** undefined until it is known; empty where the sender asked for no answer. */
  answers: readonly Buffer[] | undefined
  accepted = false
}

const settled = Promise.resolve()

/** One message of a connection; settling it writes its answer when those before it have been written. */
export class MllpDelivery extends AnswerSlot implements Delivery {
  constructor(
    readonly message: IncomingMessage,
    private readonly facts: MshFacts,
    private readonly connection: MllpConnection,
  ) {
    super()
  }

  accept(): Promise<void> {
    return this.settle(undefined)
  }

  refuse(error: RefusedError | RetryableError): Promise<void> {
    return this.settle(error)
  }

  private settle(error: RefusedError | RetryableError | undefined): Promise<void> {
    if (this.answers !== undefined) return Promise.reject(new Error('a delivery was settled twice'))
    this.connection.settle(this, this.facts, error)
    return settled
  }
}

const lingerMs = 1000
const writeBytesMax = 256 * 1024

/** One sender: reads blocks, hands them on and answers in their order. */
export class MllpConnection {
  private readonly reader: FrameReader
  private readonly pending: AnswerSlot[] = []
  private readonly peer: string
  private waitsForRoom = false
  private senderEnded = false
  private ending: DisconnectReason | undefined
  private endedAt = 0
  private closed = false
  private lastByteAt: number
  private frameStartedAt = 0
  private graceTimer: NodeJS.Timeout | undefined
  private errorCode: string | undefined
  private junkSeen = 0
  private emptySeen = 0
  private heldSeen = 0

  constructor(
    readonly id: number,
    private readonly socket: Socket,
    private readonly host: ConnectionHost,
  ) {
    this.reader = new FrameReader(host.settings.maxMessageBytes)
    this.peer = socket.remoteAddress ?? 'unknown'
    this.lastByteAt = performance.now()
    host.counters.connectionsAccepted++
    host.counters.connectionsOpen++
    host.report({ event: 'connected', connection: id, peer: this.peer })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 60_000)
    socket.on('data', (chunk: Buffer) => this.onData(chunk))
    socket.on('end', () => this.onEnd())
    socket.on('drain', () => this.pump())
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.errorCode = error.code ?? error.name
    })
    socket.on('close', () => this.onClose())
  }

  /** Memory held for the message that is not complete. */
  get heldBytes(): number {
    return this.heldSeen
  }

  /** Takes what has arrived as far as there is room; otherwise stops reading, so that the sender waits. */
  pump(): void {
    if (this.closed) return
    this.waitsForRoom = false
    for (;;) {
      if (this.ending === undefined && !this.hasRoom()) {
        this.waitsForRoom = true
        this.socket.pause()
        this.host.awaitRoom(this)
        break
      }
      const frame = this.reader.next()
      if (frame === undefined) break
      this.take(frame)
    }
    this.noteReader()
    if (this.waitsForRoom) return
    if (this.senderEnded) this.finishInput()
    else if (this.ending === undefined) {
      if (this.reader.awaitsEnd) this.armGrace()
      if (this.socket.isPaused()) this.socket.resume()
    }
  }

  settle(delivery: MllpDelivery, facts: MshFacts, error: RefusedError | RetryableError | undefined): void {
    delivery.accepted = error === undefined
    delivery.answers = answersTo(facts, error, this.host.settings, this.host.stamp)
    if (error !== undefined) this.countRefusal(reasonOf(error), delivery.message.content.length, facts.controlId)
    this.host.release(delivery.message.content.length)
    this.host.scheduleFlush(this)
  }

  /** Writes the answers that are due: those before the first one that is not known yet. */
  flush(): void {
    const due: Buffer[] = []
    while (this.pending.length > 0 && this.pending[0]!.answers !== undefined) {
      const slot = this.pending.shift()!
      due.push(...slot.answers!)
      if (!slot.accepted) continue
      if (this.closed || this.socket.writableEnded) this.host.counters.unanswered++
      else this.host.counters.acknowledged++
    }
    if (this.closed) return
    if (due.length > 0 && !this.socket.writableEnded) this.socket.write(due.length === 1 ? due[0]! : Buffer.concat(due))
    if (this.waitsForRoom) this.pump()
    this.endIfAnswered()
  }

  /** Takes nothing more, answers what is under way, then closes. What has arrived and was not taken is refused. */
  stop(): void {
    this.end('stopping')
  }

  /** Closes because too much memory is held for incomplete messages and this connection holds most. */
  shed(): void {
    this.host.counters.connectionsShed++
    this.abandon('retry-later', new RetryableError('too many incomplete messages'))
    this.end('shed')
  }

  /** Closes without waiting for anything. */
  destroy(): void {
    this.socket.destroy()
  }

  /** Called now and then: closes what has been silent or slow for too long. */
  checkTime(now: number): void {
    if (this.closed) return
    if (this.ending !== undefined) {
      if (this.endedAt > 0 && now - this.endedAt > lingerMs) this.socket.destroy()
      return
    }
    const { frameTimeoutMs, idleTimeoutMs } = this.host.settings
    if (this.reader.withinFrame && !this.waitsForRoom && now - this.frameStartedAt > frameTimeoutMs) {
      this.host.counters.connectionsTimedOut++
      this.abandon('bad-frame', new RefusedError('bad-frame', 'the message has no end'))
      this.end('frame-timeout')
    } else if (idleTimeoutMs > 0 && this.isIdle() && now - this.lastByteAt > idleTimeoutMs) {
      this.host.counters.connectionsTimedOut++
      this.abandon('bad-frame', new RefusedError('bad-frame', 'the message has no end'))
      this.end('idle')
    }
  }

  /** Nothing is under way, or the sender does not read its answers. */
  private isIdle(): boolean {
    return this.pending.length === 0 || this.socket.writableLength > 0
  }

  private hasRoom(): boolean {
    return (
      this.pending.length < this.host.settings.maxInFlightPerConnection &&
      this.socket.writableLength < writeBytesMax &&
      this.host.hasRoom()
    )
  }

  private onData(chunk: Buffer): void {
    if (this.ending !== undefined) return
    this.lastByteAt = performance.now()
    if (this.graceTimer !== undefined) this.disarmGrace()
    this.reader.push(chunk)
    this.pump()
  }

  private onEnd(): void {
    this.senderEnded = true
    if (!this.waitsForRoom) this.finishInput()
  }

  /** Nothing more will come: settles what is left of the stream. */
  private finishInput(): void {
    this.disarmGrace()
    const last = this.reader.endOfSilence()
    if (last !== undefined) this.take(last)
    this.abandon('bad-frame', new RefusedError('bad-frame', 'the connection ended within the message'))
    this.end('sender-closed')
  }

  private take(frame: Frame): void {
    const { counters, settings } = this.host
    this.frameStartedAt = this.lastByteAt
    if (frame.abandonedBytes > 0) this.countRefusal('bad-frame', frame.abandonedBytes)
    counters.received++
    counters.receivedBytes += frame.size
    let facts: MshFacts
    try {
      facts = readHeader(frame.content)
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error
      const reason = frame.tooLarge ? 'too-large' : error.reason
      this.countRefusal(reason, frame.size)
      this.answer([unreadableAnswer(new RefusedError(reason, error.message), this.host.stamp)])
      return
    }
    if (frame.tooLarge) {
      const error = new RefusedError('too-large', `more than ${settings.maxMessageBytes} bytes`)
      this.countRefusal('too-large', frame.size, facts.controlId)
      this.answer(answersTo(facts, error, settings, this.host.stamp))
      return
    }
    const message: IncomingMessage = {
      content: frame.content,
      ...(facts.controlId !== '' && { controlId: facts.controlId }),
      receivedAt: this.host.now(),
    }
    if (this.ending === undefined) {
      const delivery = new MllpDelivery(message, facts, this)
      this.pending.push(delivery)
      this.host.offer(delivery)
      return
    }
    this.countRefusal('stopping', frame.size, facts.controlId)
    this.answer(answersTo(facts, new RefusedError('stopping', 'the receiver is stopping'), settings, this.host.stamp))
  }

  /** Gives up the incomplete message and says so where its header can be read. */
  private abandon(reason: RefusalCount, error: RefusedError | RetryableError): void {
    const partial = this.reader.abandon()
    this.noteReader()
    if (partial === undefined || partial.size === 0) return
    try {
      const facts = readHeader(partial.head)
      this.countRefusal(reason, partial.size, facts.controlId)
      this.answer(answersTo(facts, error, this.host.settings, this.host.stamp))
    } catch (unreadable) {
      if (!(unreadable instanceof RefusedError)) throw unreadable
      this.countRefusal(reason, partial.size)
    }
  }

  /** An answer that is known at once; it waits for its turn all the same. */
  private answer(answers: readonly Buffer[]): void {
    const slot = new AnswerSlot()
    slot.answers = answers
    this.pending.push(slot)
    this.host.scheduleFlush(this)
  }

  private end(reason: DisconnectReason): void {
    if (this.ending !== undefined || this.closed) return
    this.disarmGrace()
    this.ending = reason
    this.pump()
    if (this.reader.withinFrame) {
      this.abandon('stopping', new RefusedError('stopping', 'the receiver is stopping'))
    }
    this.endIfAnswered()
    // What still arrives is read and dropped: closing with unread bytes would reset the connection under the answers.
    this.socket.resume()
  }

  private endIfAnswered(): void {
    if (this.ending === undefined || this.endedAt > 0 || this.pending.length > 0) return
    this.endedAt = performance.now()
    this.socket.end()
  }

  private noteReader(): void {
    const { counters } = this.host
    const { junkBytes, emptyFrames, heldBytes } = this.reader
    if (junkBytes > this.junkSeen) {
      counters.junkBytes += junkBytes - this.junkSeen
      if (this.junkSeen === 0) {
        this.host.report({ event: 'junk', connection: this.id, peer: this.peer, bytes: junkBytes })
      }
      this.junkSeen = junkBytes
    }
    if (emptyFrames > this.emptySeen) {
      counters.emptyFrames += emptyFrames - this.emptySeen
      this.emptySeen = emptyFrames
    }
    if (heldBytes !== this.heldSeen) {
      if (this.heldSeen === 0) this.frameStartedAt = this.lastByteAt
      counters.heldBytes += heldBytes - this.heldSeen
      this.heldSeen = heldBytes
      this.host.held(this)
    }
  }

  private countRefusal(reason: RefusalCount, bytes: number, controlId?: string): void {
    this.host.counters.refused[reason]++
    this.host.report({
      event: 'refused',
      connection: this.id,
      peer: this.peer,
      reason,
      ...(controlId !== undefined && { controlId }),
      bytes,
    })
  }

  private armGrace(): void {
    this.graceTimer ??= setTimeout(() => {
      this.graceTimer = undefined
      const frame = this.reader.endOfSilence()
      if (frame !== undefined) this.take(frame)
      this.noteReader()
    }, this.host.settings.endGraceMs)
  }

  private disarmGrace(): void {
    clearTimeout(this.graceTimer)
    this.graceTimer = undefined
  }

  private onClose(): void {
    if (this.closed) return
    this.closed = true
    this.disarmGrace()
    const partial = this.reader.abandon()
    if (partial !== undefined && partial.size > 0) this.countRefusal('bad-frame', partial.size)
    this.noteReader()
    this.flush()
    this.host.counters.connectionsOpen--
    this.host.report({
      event: 'disconnected',
      connection: this.id,
      peer: this.peer,
      reason: this.errorCode !== undefined ? 'error' : (this.ending ?? 'sender-closed'),
      ...(this.errorCode !== undefined && { code: this.errorCode }),
    })
    this.host.closed(this)
  }
}

const reasonOf = (error: RefusedError | RetryableError): RefusalCount =>
  error instanceof RefusedError ? error.reason : 'retry-later'
