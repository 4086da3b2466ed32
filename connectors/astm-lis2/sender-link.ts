import { cutRecords } from './assembly.js'
import { ack, encodeFrame, enq, eot, frameTextMax } from './control.js'

export type SenderAction =
  | { readonly do: 'write'; readonly bytes: Buffer }
  /** Starts the only timer anew, or stops it (`ms` 0). */
  | { readonly do: 'timer'; readonly ms: number }
  /** Every frame was acknowledged. */
  | { readonly do: 'sent' }
  /** The message is the sender's still; the line is neutral. */
  | { readonly do: 'failed'; readonly reason: 'no-answer' | 'refused' | 'not-ready' }

export interface SenderTimes {
  /** Wait for the answer to ENQ or a frame (LIS1-A section 6.5.2.2). */
  readonly answerMs: number
  /** Pause after NAK to ENQ (section 6.2.7.1). */
  readonly notReadyMs: number
  /** Pause after both ends sent ENQ: the instrument has priority, the computer system gives way (section 6.2.7.2). */
  readonly contentionMs: Readonly<Record<SenderRole, number>>
  /** Pause before the next ENQ after the receiver asked to interrupt (section 6.3.5). */
  readonly interruptMs: number
}

export type SenderRole = 'instrument' | 'lis'

export const standardTimes: SenderTimes = {
  answerMs: 15_000,
  notReadyMs: 10_000,
  contentionMs: { instrument: 1000, lis: 20_000 },
  interruptMs: 15_000,
}

/** A frame is sent once and at most this often again (LIS1-A section 6.5.1.2). */
const repetitionsMax = 6
const bidsMax = 6

/**
 * The sender's half of a line of LIS1-A, one message at a time; no clock, no I/O. Any answer other than ACK and EOT counts
 * as NAK; EOT is ACK with the wish to interrupt, which is granted after the message.
 */
export class SenderLink {
  private state: 'neutral' | 'bidding' | 'pausing' | 'sending' = 'neutral'
  private frames: readonly Buffer[] = []
  private at = 0
  private attempts = 0
  private interrupted = false

  constructor(
    private readonly role: SenderRole = 'instrument',
    private readonly times: SenderTimes = standardTimes,
  ) {}

  /** ENQ is sent, its answer is awaited. */
  get bidding(): boolean {
    return this.state === 'bidding'
  }

  /** @throws Error while a message is under way */
  send(message: Buffer): SenderAction[] {
    if (this.state !== 'neutral') throw new Error('a message is under way')
    this.frames = framesOf(message)
    this.at = 0
    this.attempts = 0
    if (!this.interrupted) return this.bid()
    this.interrupted = false
    return this.pause(this.times.interruptMs)
  }

  bytes(chunk: Uint8Array): SenderAction[] {
    return [...chunk].flatMap((byte) => this.take(byte))
  }

  timer(): SenderAction[] {
    if (this.state === 'pausing') return this.bid()
    return this.state === 'neutral' ? [] : this.fail('no-answer')
  }

  private take(byte: number): SenderAction[] {
    if (this.state === 'bidding') {
      if (byte === ack) {
        this.state = 'sending'
        this.attempts = 0
        return this.sendFrame()
      }
      if (byte === enq) return this.pause(this.times.contentionMs[this.role])
      return ++this.attempts >= bidsMax ? this.fail('not-ready') : this.pause(this.times.notReadyMs)
    }
    if (this.state !== 'sending') return []
    if (byte === ack || byte === eot) {
      if (byte === eot) this.interrupted = true
      this.attempts = 0
      return ++this.at < this.frames.length ? this.sendFrame() : this.end({ do: 'sent' })
    }
    return ++this.attempts > repetitionsMax ? this.fail('refused') : this.sendFrame()
  }

  private bid(): SenderAction[] {
    this.state = 'bidding'
    return [
      { do: 'write', bytes: Buffer.of(enq) },
      { do: 'timer', ms: this.times.answerMs },
    ]
  }

  private pause(ms: number): SenderAction[] {
    this.state = 'pausing'
    return [{ do: 'timer', ms }]
  }

  private sendFrame(): SenderAction[] {
    return [
      { do: 'write', bytes: this.frames[this.at]! },
      { do: 'timer', ms: this.times.answerMs },
    ]
  }

  private fail(reason: 'no-answer' | 'refused' | 'not-ready'): SenderAction[] {
    return this.end({ do: 'failed', reason })
  }

  private end(outcome: SenderAction): SenderAction[] {
    this.state = 'neutral'
    return [{ do: 'write', bytes: Buffer.of(eot) }, { do: 'timer', ms: 0 }, outcome]
  }
}

/** The frames of a message: each record its own, one longer than a frame over several. */
export function framesOf(message: Buffer): readonly Buffer[] {
  const { whole, open } = cutRecords(message)
  const frames: Buffer[] = []
  for (const record of open.length === 0 ? whole : [...whole, open]) {
    for (let at = 0; at < record.length; at += frameTextMax) {
      const text = record.subarray(at, at + frameTextMax)
      frames.push(encodeFrame(frames.length + 1, text, at + frameTextMax >= record.length))
    }
  }
  return frames
}
