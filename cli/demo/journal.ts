import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { messageId } from '../../core/ids.js'

/** What a simulated message is. */
export type MessageKind =
  | 'original'
  | 'preliminary'
  | 'correction'
  | 'withdrawal'
  | 're-verification'
  | 'duplicate'
  | 'adt'
  | 'merge'
  | 'order'
  | 'imaging'
  | 'microbiology'
  | 'pathology'
  | 'unused'
  | 'broken'

/** One message as a simulator sends it. */
export interface SimulatedMessage {
  /** MSH-10 */
  readonly controlId: string
  readonly kind: MessageKind
  /** Between the bytes of MLLP: 0x0B, the message, 0x1C 0x0D. */
  readonly frame: Buffer
  readonly reportNumber?: string
}

/** The message without its framing. */
export const contentOf = (message: SimulatedMessage): Buffer => message.frame.subarray(1, -2)

/** Puts a message between the bytes of MLLP. */
export function framed(content: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(content.length + 3)
  frame[0] = 0x0b
  content.copy(frame, 1)
  frame[frame.length - 2] = 0x1c
  frame[frame.length - 1] = 0x0d
  return frame
}

/** What the sender knows of one message; a line of the journal file. */
export interface JournalEntry {
  readonly controlId: string
  readonly kind: MessageKind
  readonly reportNumber?: string
  /** SHA-256 of the message without framing, 64 hex digits; '' where the journal keeps no hashes. */
  readonly sha256: string
  /** The product's id of the message (core/ids.ts), where the feed is known. */
  readonly messageId?: string
  /** How often it was sent. */
  attempts: number
  /** How many of them were answered AA or CA, or put into the archive. */
  acknowledgements: number
  /** When the sender was first told that the message is safe, ms; null while it was not. */
  acknowledgedAt: number | null
  /** The last answer: MSA-1, or `archived` and `error` for files; null without any. */
  code: string | null
}

export interface JournalTotals {
  /** Messages taken up for sending. */
  readonly sent: number
  readonly attempts: number
  /** Messages that were acknowledged at least once. */
  readonly acknowledged: number
  /** Positive answers, those to repeated attempts included: what the receiver must have in its ledger. */
  readonly acknowledgements: number
  /** Attempts without an answer: they may or may not be in the receiver's ledger. */
  readonly unanswered: number
  /** Attempts answered with a refusal. */
  readonly refused: number
}

export interface JournalOptions {
  /** Appends one NDJSON line for each settled message; what was appended survives the process. */
  readonly file?: string
  /** Feed of the receiver, for `messageId`. */
  readonly feed?: string
  /** False: count only, keep no entry and no hash (load tests; default true). */
  readonly entries?: boolean
}

/** A simulator's own record of what it sent and what it was told. */
export class Journal {
  readonly entries: JournalEntry[] = []
  readonly #fd: number | undefined
  readonly #counts = { sent: 0, attempts: 0, acknowledged: 0, acknowledgements: 0, unanswered: 0, refused: 0 }
  #lines: string[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(private readonly options: JournalOptions = {}) {
    this.#fd = options.file === undefined ? undefined : openSync(options.file, 'a')
  }

  totals(): JournalTotals {
    return { ...this.#counts }
  }

  /** A message is taken up. */
  open(message: SimulatedMessage): JournalEntry {
    this.#counts.sent++
    const { controlId, kind, reportNumber } = message
    const keep = this.options.entries !== false
    const hash = keep || this.#fd !== undefined
    const { feed } = this.options
    const entry: JournalEntry = {
      controlId,
      kind,
      ...(reportNumber !== undefined && { reportNumber }),
      sha256: hash ? createHash('sha256').update(contentOf(message)).digest('hex') : '',
      ...(hash && feed !== undefined && { messageId: messageId(feed, contentOf(message)) }),
      attempts: 0,
      acknowledgements: 0,
      acknowledgedAt: null,
      code: null,
    }
    if (keep) this.entries.push(entry)
    return entry
  }

  attempt(entry: JournalEntry): void {
    entry.attempts++
    this.#counts.attempts++
    this.#counts.unanswered++
  }

  /** An answer arrived; `positive` where the receiver says it has the message. */
  answer(entry: JournalEntry, code: string, positive: boolean): void {
    this.#counts.unanswered--
    entry.code = code
    if (!positive) {
      this.#counts.refused++
      return
    }
    this.#counts.acknowledgements++
    entry.acknowledgements++
    if (entry.acknowledgements === 1) {
      this.#counts.acknowledged++
      entry.acknowledgedAt = Date.now()
    }
  }

  /** The sender is done with the message: its line is written. */
  settle(entry: JournalEntry): void {
    if (this.#fd === undefined) return
    this.#lines.push(JSON.stringify(entry))
    if (this.#lines.length >= 256) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), 20)
  }

  /** Writes the lines of all settled messages. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#fd === undefined || this.#lines.length === 0) return
    const text = this.#lines.map((line) => `${line}\n`).join('')
    this.#lines = []
    writeSync(this.#fd, text)
  }

  close(): void {
    this.flush()
    if (this.#fd !== undefined) closeSync(this.#fd)
  }
}
