import { assemble, heldBytes, nothing, remainder, type Assembled } from './assembly.js'
import { ack, nak } from './control.js'
import { FrameReader, type Frame, type Token } from './frame-reader.js'

/** What the receiver of a line is to do, in this order. */
export type LinkAction =
  | { readonly do: 'write'; readonly byte: typeof ack | typeof nak }
  /** Starts the timer anew, or stops it (`ms` 0); when it runs out `timer` is called with its name. */
  | { readonly do: 'timer'; readonly name: TimerName; readonly ms: number }
  /** These messages are complete; the answer to their last frame waits for `settled`. */
  | { readonly do: 'offer'; readonly messages: readonly Buffer[] }
  /** The sender has ended what it was told is received, without an L record; nothing waits for an answer any more. */
  | { readonly do: 'keep'; readonly remainder: Buffer }
  | { readonly do: 'note'; readonly note: LinkNote }

export type TimerName = 'frame' | 'answer' | 'tail'

/** What is counted of a line; says nothing of content. */
export type LinkNote =
  | 'session'
  | 'repeated'
  | 'bad-checksum'
  | 'bad-frame'
  | 'frame-too-long'
  | 'message-too-large'
  | 'wrong-number'
  | 'outside-session'
  | 'timed-out'
  | 'abandoned'
  | 'not-ready'

export interface LinkSettings {
  readonly maxFrameBytes: number
  readonly maxMessageBytes: number
  /** `ignore` takes any number; a frame that equals the one before is a repetition all the same. */
  readonly frameNumbers: 'check' | 'ignore'
  /** Longest wait for the next frame (LIS1-A section 6.5.2.3: 30 s). */
  readonly frameTimeoutMs: number
  /** A frame whose message is not durable by then is answered NAK, before its sender gives up (LIS1-A section 6.5.2.2: 15 s). */
  readonly answerTimeoutMs: number
  /** Silence that ends a frame without CR LF. */
  readonly endGraceMs: number
}

/** A frame that completes messages, from its receipt until they are stored or refused. */
interface Pending {
  readonly frame: Frame
  readonly rest: Assembled
  /** The sender waits for an answer to it now. */
  awaited: boolean
}

/**
 * The receiver's half of a line of LIS1-A: bytes, timers and settlements in, answers and messages out; no clock, no I/O.
 * The frame that completes a message is answered ACK once the message is durable and NAK where it is not; earlier frames
 * at once. A frame that is repeated because its answer was lost is answered again and counts once.
 */
export class ReceiverLink {
  /** ENQ is answered NAK: the sender asks again after 10 s (LIS1-A section 6.2.7.1). */
  busy = false
  private readonly reader: FrameReader
  /** Between ENQ and EOT. */
  inSession = false
  private rest: Assembled = nothing
  private lastFrame: Frame | undefined
  private lastAnswer: number = ack
  private pending: Pending | undefined

  constructor(private readonly settings: LinkSettings) {
    this.reader = new FrameReader(settings.maxFrameBytes)
  }

  get junkBytes(): number {
    return this.reader.junkBytes
  }

  bytes(chunk: Uint8Array): LinkAction[] {
    const actions = this.tokens(this.reader.push(chunk))
    actions.push({ do: 'timer', name: 'tail', ms: this.reader.awaitsTail ? this.settings.endGraceMs : 0 })
    return actions
  }

  timer(name: TimerName): LinkAction[] {
    if (name === 'tail') return this.tokens(this.reader.flush())
    if (name === 'answer') {
      if (this.pending?.awaited !== true) return []
      this.pending.awaited = false
      return this.answer(nak)
    }
    if (!this.inSession || this.pending !== undefined) return []
    return [{ do: 'note', note: 'timed-out' }, ...this.leave()]
  }

  /** The messages of the last `offer` are all durable, or at least one is not and all count as not received. */
  settled(stored: boolean): LinkAction[] {
    const { pending } = this
    if (pending === undefined) return []
    this.pending = undefined
    if (stored) this.commit(pending.frame, pending.rest)
    // Where the session has ended meanwhile the sender learns by sending again; `rest` belongs to nothing then.
    if (!this.inSession) this.rest = nothing
    return pending.awaited ? this.answer(stored ? ack : nak) : []
  }

  /** The connection is gone. */
  closed(): LinkAction[] {
    const actions = this.tokens(this.reader.flush())
    if (this.pending !== undefined) this.pending.awaited = false
    actions.push(...this.leave())
    return actions
  }

  private tokens(tokens: readonly Token[]): LinkAction[] {
    return tokens.flatMap((token) => {
      switch (token.kind) {
        case 'enquiry':
          return this.enquiry()
        case 'end':
          if (this.pending !== undefined) this.pending.awaited = false
          return this.inSession ? this.leave() : []
        case 'bad-frame':
          return this.badFrame(token.reason)
        case 'frame':
          return this.frame(token.frame)
      }
    })
  }

  private enquiry(): LinkAction[] {
    const left = this.inSession ? this.leave() : []
    if (this.busy || this.pending !== undefined || left.some((action) => action.do === 'keep')) {
      return [...left, { do: 'note', note: 'not-ready' }, { do: 'write', byte: nak }]
    }
    this.inSession = true
    this.lastFrame = undefined
    return [...left, { do: 'note', note: 'session' }, ...this.answer(ack)]
  }

  private badFrame(reason: 'checksum' | 'format' | 'too-long'): LinkAction[] {
    const note = { checksum: 'bad-checksum', format: 'bad-frame', 'too-long': 'frame-too-long' } as const
    if (!this.inSession) return [{ do: 'note', note: 'outside-session' }]
    // A repetition of the frame that is being stored, damaged this time: its answer is on the way.
    if (this.pending?.awaited === true) return [{ do: 'note', note: note[reason] }]
    return [{ do: 'note', note: note[reason] }, ...this.answer(nak)]
  }

  private frame(frame: Frame): LinkAction[] {
    if (!this.inSession) return [{ do: 'note', note: 'outside-session' }]
    const { pending, settings } = this
    if (pending !== undefined) {
      if (!sameFrame(frame, pending.frame)) return [{ do: 'note', note: 'wrong-number' }]
      pending.awaited = true
      return [{ do: 'note', note: 'repeated' }, this.answerTimer()]
    }
    if (this.lastFrame !== undefined && sameFrame(frame, this.lastFrame)) {
      return [{ do: 'note', note: 'repeated' }, ...this.answer(ack)]
    }
    if (!this.isNext(frame.number)) return [{ do: 'note', note: 'wrong-number' }, ...this.answer(nak)]
    const { messages, rest } = assemble(this.rest, frame)
    const tooLarge = heldBytes(rest) > settings.maxMessageBytes
    if (tooLarge || messages.some((message) => message.length > settings.maxMessageBytes)) {
      return [{ do: 'note', note: 'message-too-large' }, ...this.answer(nak)]
    }
    if (messages.length === 0) {
      this.commit(frame, rest)
      return this.answer(ack)
    }
    this.pending = { frame, rest, awaited: true }
    return [{ do: 'timer', name: 'frame', ms: 0 }, this.answerTimer(), { do: 'offer', messages }]
  }

  /** The first frame of a session has number 1 (LIS1-A section 6.3.1.1); senders that begin at 0 are understood. */
  private isNext(number: number): boolean {
    if (this.settings.frameNumbers === 'ignore') return true
    return this.lastFrame === undefined ? number <= 1 : number === ((this.lastFrame.number + 1) & 7)
  }

  private commit(frame: Frame, rest: Assembled): void {
    this.lastFrame = frame
    this.rest = rest
  }

  private answer(byte: typeof ack | typeof nak): LinkAction[] {
    this.lastAnswer = byte
    const actions: LinkAction[] = [
      { do: 'timer', name: 'answer', ms: 0 },
      { do: 'write', byte },
    ]
    if (this.inSession) actions.push({ do: 'timer', name: 'frame', ms: this.settings.frameTimeoutMs })
    return actions
  }

  private answerTimer(): LinkAction {
    return { do: 'timer', name: 'answer', ms: this.settings.answerTimeoutMs }
  }

  /**
   * Back to neutral. Text whose every frame was acknowledged is kept, for its sender may forget it; after a NAK the sender
   * knows that the message did not arrive and owns it still.
   */
  private leave(): LinkAction[] {
    const left = this.pending === undefined ? remainder(this.rest) : undefined
    this.inSession = false
    this.rest = nothing
    this.lastFrame = undefined
    const actions: LinkAction[] = [
      { do: 'timer', name: 'frame', ms: 0 },
      { do: 'timer', name: 'answer', ms: 0 },
    ]
    if (left === undefined) return actions
    return [...actions, this.lastAnswer === ack ? { do: 'keep', remainder: left } : { do: 'note', note: 'abandoned' }]
  }
}

const sameFrame = (a: Frame, b: Frame): boolean => a.number === b.number && a.last === b.last && a.text.equals(b.text)
