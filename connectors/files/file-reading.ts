import { createHash } from 'node:crypto'
import { RefusedError, type RetryableError } from '../../core/errors.js'
import type { Delivery, IncomingMessage } from '../connector.js'
import type { FilesSettings } from './config.js'
import type { FileStore, OpenFile } from './file-store.js'
import type { FoundFile } from './folder-listing.js'
import type { CutMessage, CutSummary, FileFormat } from './format.js'
import type { Progress, ProgressStore } from './progress.js'
import type { FileRefusal, FilesCounters, FilesListener } from './statistics.js'

/** What the reading of a file needs of the receiver. */
export interface ReadingHost {
  readonly store: FileStore
  readonly format: FileFormat
  readonly settings: FilesSettings
  readonly counters: FilesCounters
  readonly progress: ProgressStore
  readonly report: FilesListener
  now(): number
  /** Resolves when another message may be read, false when the receiver stops. */
  room(): Promise<boolean>
  /** A message is settled: there is room for another. */
  settled(): void
}

/** What became of a file. */
export interface FileOutcome {
  /** Every message is accepted or refused for good; otherwise it is to be read again from where it stopped. */
  readonly complete: boolean
  /** As `FoundFile.identity`, of what was read. */
  readonly identity: string
  readonly refusals: readonly FileRefusalNote[]
  readonly summary: CutSummary
}

export interface FileRefusalNote {
  readonly index: number
  readonly reason: FileRefusal
  readonly controlId?: string
}

/** The last message of a file may go on when the file grows, so that it is read again then. */
const resumeAfterGrowth = (progress: Progress): number => Math.max(1, progress.nextIndex - (progress.complete ? 1 : 0))

const saveEvery = 100

/**
 * Reads one file: gives a delivery for each message that no earlier attempt has settled, and remembers how far all of
 * them are settled without a gap. A message is refused for good where sending the same bytes again cannot help
 * (too large, validation, what the format says); any other refusal ends the reading, to be taken up again later.
 */
export class FileReading {
  private readonly refusals: FileRefusalNote[] = []
  /** Settled messages beyond the first that is not. */
  private readonly ahead = new Set<number>()
  private nextIndex = 1
  private unsettled = 0
  private interrupted = false
  private savedIndex = 1
  private saving: Promise<void> = Promise.resolve()
  private allSettled: (() => void) | undefined
  private sha256 = ''
  private size = 0
  private identity = ''

  constructor(
    readonly file: FoundFile,
    private readonly host: ReadingHost,
  ) {}

  /** @throws system errors of the file: it may be gone or locked */
  async *deliveries(): AsyncGenerator<FileDelivery, CutSummary> {
    const opened = await this.host.store.open(this.file)
    try {
      this.identity = opened.identity
      this.size = opened.size
      await this.takeUp(opened)
      this.host.report({
        event: 'file-started',
        file: this.file.id,
        bytes: this.size,
        fromIndex: this.nextIndex,
      })
      return yield* this.read(opened)
    } finally {
      await opened.close()
    }
  }

  /** Waits until everything handed over is settled. */
  async outcome(summary: CutSummary | undefined): Promise<FileOutcome> {
    if (this.unsettled > 0) await new Promise<void>((resolve) => (this.allSettled = resolve))
    await this.saving
    const complete = summary !== undefined && !this.interrupted && this.nextIndex > summary.messages
    return {
      complete,
      identity: this.identity,
      refusals: this.refusals,
      summary: summary ?? { messages: 0, junkBytes: 0, batchTruncated: false },
    }
  }

  /** Remembers how far the file is settled. */
  async save(complete: boolean): Promise<void> {
    this.savedIndex = this.nextIndex
    const state: Progress = {
      size: this.size,
      sha256: this.sha256,
      identity: this.identity,
      nextIndex: this.nextIndex,
      complete,
      refusals: [...this.refusals],
      savedAt: this.host.now(),
    }
    this.saving = this.saving.then(() => this.host.progress.save(this.file.id, state))
    await this.saving
  }

  /** Nothing more of the file is read in this attempt. */
  interrupt(): void {
    this.interrupted = true
  }

  get isInterrupted(): boolean {
    return this.interrupted
  }

  settle(index: number, bytes: number, error: RefusedError | RetryableError | undefined, controlId?: string): void {
    this.unsettled--
    this.host.counters.inFlight--
    this.host.counters.inFlightBytes -= bytes
    if (error === undefined) {
      this.host.counters.accepted++
      this.passed(index)
    } else {
      this.refused(index, error instanceof RefusedError ? error.reason : 'retry-later', controlId)
    }
    this.host.settled()
    if (this.unsettled === 0) this.allSettled?.()
  }

  /** Hashes what will be read; where an earlier attempt read the same beginning, goes on where it stopped. */
  private async takeUp(opened: OpenFile): Promise<void> {
    const earlier = this.host.progress.get(this.file.id)
    const hash = createHash('sha256')
    let beginning: string | undefined
    let at = 0
    const cutAt = earlier !== undefined && earlier.size <= this.size ? earlier.size : this.size
    for await (const chunk of opened.chunks(this.size)) {
      if (at < cutAt && at + chunk.length >= cutAt) {
        hash.update(chunk.subarray(0, cutAt - at))
        beginning = hash.copy().digest('hex')
        hash.update(chunk.subarray(cutAt - at))
      } else {
        hash.update(chunk)
      }
      at += chunk.length
    }
    this.size = at
    this.sha256 = hash.digest('hex')
    if (earlier === undefined || beginning !== earlier.sha256) return
    this.nextIndex = earlier.size === this.size ? earlier.nextIndex : resumeAfterGrowth(earlier)
    this.savedIndex = this.nextIndex
    const kept = earlier.refusals.filter((refusal) => refusal.index < this.nextIndex)
    this.refusals.push(...(kept as FileRefusalNote[]))
    if (this.nextIndex > 1) this.host.counters.filesResumed++
  }

  private async *read(opened: OpenFile): AsyncGenerator<FileDelivery, CutSummary> {
    const from = this.nextIndex
    const cutter = this.host.format.cutter(this.host.settings.maxMessageBytes)
    for await (const chunk of opened.chunks(this.size)) {
      yield* this.handOver(cutter.push(chunk), from)
      if (this.interrupted) return cutter.summary()
    }
    yield* this.handOver(cutter.end(), from)
    return cutter.summary()
  }

  private async *handOver(messages: readonly CutMessage[], from: number): AsyncGenerator<FileDelivery> {
    for (const message of messages) {
      if (message.index < from) continue
      if (!(await this.host.room())) this.interrupted = true
      if (this.interrupted) return
      const delivery = this.delivery(message)
      if (delivery !== undefined) yield delivery
      if (this.nextIndex - this.savedIndex >= saveEvery) await this.save(false)
    }
  }

  private delivery(cut: CutMessage): FileDelivery | undefined {
    const { counters } = this.host
    counters.received++
    counters.receivedBytes += cut.content.length
    let controlId: string | undefined
    try {
      controlId = this.host.format.facts(cut.content).controlId
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error
      this.refused(cut.index, cut.tooLarge ? 'too-large' : error.reason)
      return undefined
    }
    if (cut.tooLarge) {
      this.refused(cut.index, 'too-large', controlId)
      return undefined
    }
    this.unsettled++
    counters.inFlight++
    counters.inFlightBytes += cut.content.length
    return new FileDelivery(
      {
        content: cut.content,
        ...(controlId !== undefined && { controlId }),
        sourceName: this.file.name,
        sourceIndex: cut.index,
        receivedAt: this.host.now(),
      },
      this,
    )
  }

  private refused(index: number, reason: FileRefusal, controlId?: string): void {
    this.host.counters.refused[reason]++
    const note = { index, reason, ...(controlId !== undefined && { controlId }) }
    this.host.report({ event: 'refused', file: this.file.id, ...note })
    if (this.isForGood(reason)) {
      this.refusals.push(note)
      this.passed(index)
    } else {
      this.interrupted = true
    }
  }

  /** Whether the same bytes would be refused again, however often they are read. */
  private isForGood(reason: FileRefusal): boolean {
    if (reason === 'too-large' || reason === 'validation') return true
    return this.host.format.refusedForGood.some((one) => one === reason)
  }

  private passed(index: number): void {
    this.ahead.add(index)
    while (this.ahead.delete(this.nextIndex)) this.nextIndex++
  }
}

/** One message of a file. */
export class FileDelivery implements Delivery {
  private done = false

  constructor(
    readonly message: IncomingMessage,
    private readonly reading: FileReading,
  ) {}

  accept(): Promise<void> {
    return this.settle(undefined)
  }

  refuse(error: RefusedError | RetryableError): Promise<void> {
    return this.settle(error)
  }

  private async settle(error: RefusedError | RetryableError | undefined): Promise<void> {
    if (this.done) throw new Error('a delivery was settled twice')
    this.done = true
    const { sourceIndex, content, controlId } = this.message
    this.reading.settle(sourceIndex!, content.length, error, controlId)
  }
}
