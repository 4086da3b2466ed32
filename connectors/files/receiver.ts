import { systemClock, type Clock } from '../../core/clock.js'
import { RefusedError } from '../../core/errors.js'
import type { Delivery } from '../connector.js'
import { filesSettings, type FilesReceiveConfig, type FilesSettings } from './config.js'
import { FileReading, type FileOutcome, type FileRefusalNote, type ReadingHost } from './file-reading.js'
import type { FileStore } from './file-store.js'
import type { FoundFile } from './folder-listing.js'
import type { CutSummary, FileFormat } from './format.js'
import { localFiles } from './local-files.js'
import { ProgressStore } from './progress.js'
import { sftpFiles } from './sftp-files.js'
import { FilesCounters, type FilesListener, type FilesStatistics } from './statistics.js'

export interface FilesReceiveOptions {
  readonly clock?: Clock
  /** Told of files as they come and go. */
  readonly onEvent?: FilesListener
}

/** The deliveries of one folder, and what can be seen of it from outside. */
export interface FilesReceiver extends AsyncIterable<Delivery> {
  stats(): FilesStatistics
}

/**
 * Reads a folder until `signal` aborts. A file leaves the folder only when each of its messages is accepted, or refused
 * for good; after a crash it is read again from the last remembered message on. Polling decides; what the system says
 * about changes only makes a poll come earlier. One receiver at a time reads a folder.
 */
export function receiveFiles(
  config: FilesReceiveConfig,
  format: FileFormat,
  signal: AbortSignal,
  options: FilesReceiveOptions = {},
): FilesReceiver {
  return new Receiver(filesSettings(config, format.patterns), format, signal, options)
}

/** Files whose messages are not all settled yet while later ones are read. */
const openFilesMax = 64

class Receiver implements FilesReceiver, ReadingHost {
  readonly counters = new FilesCounters()
  readonly progress: ProgressStore
  readonly store: FileStore
  readonly report: FilesListener

  private readonly clock: Clock
  /** When a file was first seen as it is now. */
  private readonly seen = new Map<string, { readonly identity: string; readonly since: number }>()
  private readonly closing = new Map<string, Promise<void>>()
  private readonly troubled = new Map<string, string>()
  private wake: (() => void) | undefined
  private roomWaiters: (() => void)[] = []
  /** Something outside is not there just now: nothing is read before this time. */
  private pausedUntil = 0
  private failure: { readonly error: unknown } | undefined

  constructor(
    readonly settings: FilesSettings,
    readonly format: FileFormat,
    private readonly signal: AbortSignal,
    options: FilesReceiveOptions,
  ) {
    this.clock = options.clock ?? systemClock
    this.report = options.onEvent ?? (() => undefined)
    this.progress = new ProgressStore(settings.stateFolder)
    this.store = settings.sftp === undefined ? localFiles(settings) : sftpFiles(settings, settings.sftp)
  }

  stats(): FilesStatistics {
    return this.counters.snapshot()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery, void> {
    const onAbort = (): void => this.onChange()
    this.signal.addEventListener('abort', onAbort)
    const hints = this.store.hints(() => this.wake?.())
    let loaded = false
    try {
      while (!this.signal.aborted) {
        if (!loaded) loaded = await this.load()
        const due = loaded ? await this.poll() : []
        for (const file of due) {
          if (this.signal.aborted || this.pausedUntil > this.now()) break
          yield* this.readFile(file)
        }
        if (this.failure !== undefined) throw this.failure.error
        await this.sleep(this.nextPollMs())
      }
    } finally {
      hints?.close()
      this.signal.removeEventListener('abort', onAbort)
      await this.waitForOpenFiles()
      await this.store.close()
    }
    if (this.failure !== undefined) throw this.failure.error
  }

  now(): number {
    return this.clock.now()
  }

  async room(): Promise<boolean> {
    while (!this.signal.aborted && !this.hasRoom()) {
      await new Promise<void>((resolve) => this.roomWaiters.push(resolve))
    }
    return !this.signal.aborted
  }

  settled(): void {
    if (!this.hasRoom() && !this.signal.aborted) return
    for (const resolve of this.roomWaiters.splice(0)) resolve()
  }

  private hasRoom(): boolean {
    const { inFlight, inFlightBytes } = this.counters
    return inFlight < this.settings.maxInFlightMessages && inFlightBytes < this.settings.maxInFlightBytes
  }

  private onChange(): void {
    this.wake?.()
    for (const resolve of this.roomWaiters.splice(0)) resolve()
  }

  private async load(): Promise<boolean> {
    try {
      await this.store.list()
      await this.progress.load()
      return true
    } catch (error) {
      this.folderTrouble(error)
      return false
    }
  }

  /** The files that may be read now. */
  private async poll(): Promise<readonly FoundFile[]> {
    let found: readonly FoundFile[]
    try {
      found = await this.store.list()
      this.troubled.delete('')
    } catch (error) {
      this.folderTrouble(error)
      return []
    }
    const ids = new Set(found.map((file) => file.id))
    for (const id of this.seen.keys()) if (!ids.has(id)) this.seen.delete(id)
    await this.progress.prune(ids, this.now())
    const due = found.filter((file) => !this.closing.has(file.id) && !this.isKept(file) && this.isStable(file))
    this.counters.filesWaiting = found.length - found.filter((f) => this.closing.has(f.id) || this.isKept(f)).length
    return due
  }

  private isKept(file: FoundFile): boolean {
    if (this.settings.after !== 'keep') return false
    const progress = this.progress.get(file.id)
    return progress?.complete === true && progress.identity === file.identity
  }

  private isStable(file: FoundFile): boolean {
    const seen = this.seen.get(file.id)
    if (seen?.identity !== file.identity) this.seen.set(file.id, { identity: file.identity, since: this.now() })
    if (file.marker !== undefined) return true
    return this.now() - this.seen.get(file.id)!.since >= this.settings.stableForMs
  }

  private async *readFile(file: FoundFile): AsyncGenerator<Delivery> {
    if (this.closing.size >= openFilesMax) await Promise.race(this.closing.values())
    const reading = new FileReading(file, this)
    this.counters.filesOpen++
    let summary: CutSummary | undefined
    let finished = false
    try {
      summary = yield* reading.deliveries()
      finished = true
    } catch (error) {
      finished = true
      reading.interrupt()
      this.fileTrouble(file, error)
    } finally {
      // Also where the taker leaves in the middle: what it holds may still be settled.
      if (!finished) reading.interrupt()
      const closing = this.close(file, reading, summary).finally(() => {
        this.counters.filesOpen--
        this.closing.delete(file.id)
      })
      this.closing.set(file.id, closing)
    }
  }

  /** When all its messages are settled: puts the file away, or remembers where to go on. */
  private async close(file: FoundFile, reading: FileReading, summary: CutSummary | undefined): Promise<void> {
    try {
      const outcome = await reading.outcome(summary)
      if (!outcome.complete) {
        if (reading.isInterrupted) this.pausedUntil = this.now() + this.settings.pollIntervalMs
        if (summary !== undefined) await reading.save(false)
        return
      }
      await reading.save(true)
      await this.putAway(file, outcome)
    } catch (error) {
      this.fileTrouble(file, error)
    }
  }

  private async putAway(file: FoundFile, outcome: FileOutcome): Promise<void> {
    const { settings, store } = this
    if ((await store.identity(file)) !== outcome.identity) {
      // It grew, was replaced or has gone while it was read: the next poll sees what is there.
      this.seen.delete(file.id)
      return
    }
    const refusals: readonly FileRefusalNote[] =
      outcome.summary.messages === 0 ? [{ index: 0, reason: 'no-message' }] : outcome.refusals
    if (refusals.length > 0) {
      const moved = await store.moveAway(file, outcome.identity, settings.errorFolder, this.now())
      if (moved === undefined) return
      await store.writeNote(moved, { file: file.name, messages: outcome.summary.messages, refused: refusals })
      this.counters.filesInError++
      if (outcome.summary.messages === 0) this.counters.refused['no-message']++
    } else if (settings.after === 'archive') {
      await store.moveAway(file, outcome.identity, settings.archiveFolder, this.now())
    } else if (settings.after === 'delete') {
      await store.remove(file.path)
    }
    if (refusals.length > 0 || settings.after !== 'keep') {
      if (file.marker !== undefined) await store.remove(file.marker).catch(() => undefined)
      await this.progress.forget(file.id)
    }
    this.done(file, outcome, refusals.length)
  }

  private done(file: FoundFile, { summary }: FileOutcome, refused: number): void {
    this.troubled.delete(file.id)
    this.counters.filesDone++
    this.counters.junkBytes += summary.junkBytes
    if (summary.batchTruncated) this.counters.batchesTruncated++
    this.report({
      event: 'file-done',
      file: file.id,
      messages: summary.messages,
      batchTruncated: summary.batchTruncated,
      junkBytes: summary.junkBytes,
      refused,
    })
  }

  /** Gone, locked or unreadable: nothing is lost, it is tried again. Anything else is a bug. */
  private fileTrouble(file: FoundFile, error: unknown): void {
    const code = systemCode(error)
    if (code === undefined) {
      this.failure ??= { error }
      this.wake?.()
    } else if (code === 'ENOENT') {
      this.counters.filesVanished++
      this.report({ event: 'file-vanished', file: file.id })
    } else {
      this.counters.retries++
      if (this.troubled.get(file.id) !== code) this.report({ event: 'file-retry', file: file.id, code })
      this.troubled.set(file.id, code)
    }
  }

  private folderTrouble(error: unknown): void {
    const code = systemCode(error)
    if (code === undefined) throw error
    this.counters.retries++
    if (this.troubled.get('') !== code) this.report({ event: 'folder-unavailable', code })
    this.troubled.set('', code)
  }

  private nextPollMs(): number {
    const now = this.now()
    if (this.pausedUntil > now) return this.pausedUntil - now
    let next: number = this.settings.pollIntervalMs
    for (const { since } of this.seen.values()) {
      const due = since + this.settings.stableForMs - now
      if (due > 0) next = Math.min(next, due)
    }
    return next
  }

  private async sleep(ms: number): Promise<void> {
    if (this.signal.aborted) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(10, ms))
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.wake = undefined
  }

  private async waitForOpenFiles(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, this.settings.stopTimeoutMs)))
    await Promise.race([Promise.all(this.closing.values()), timeout])
    clearTimeout(timer)
  }
}

/** The code of a system error; undefined for anything else. */
const systemCode = (error: unknown): string | undefined =>
  error instanceof RefusedError ? undefined : (error as NodeJS.ErrnoException | undefined)?.code
