import type { RefusalReason } from '../../core/errors.js'

/** Why a message was refused, or a file that has none. */
export type FileRefusal = RefusalReason | 'no-message' | 'retry-later'

/** Counters since the receiver started, and what is under way now. No content, no file names. */
export interface FilesStatistics {
  /** Files that match and wait: not stable yet, no marker, or behind others. */
  readonly filesWaiting: number
  /** Files being read, or read and not settled. */
  readonly filesOpen: number
  readonly filesDone: number
  /** Files moved to the error folder. */
  readonly filesInError: number
  /** Attempts put off because a file or folder was locked or could not be read. */
  readonly retries: number
  /** Files gone before they could be read. */
  readonly filesVanished: number
  /** Files that went on where an earlier attempt had stopped. */
  readonly filesResumed: number
  /** Files whose batch trailers do not match what stands in them; their messages are taken. */
  readonly batchesTruncated: number
  /** Messages handed over or refused. */
  readonly received: number
  readonly receivedBytes: number
  readonly accepted: number
  readonly refused: Readonly<Record<FileRefusal, number>>
  /** Bytes outside messages and batch lines. */
  readonly junkBytes: number
  readonly inFlight: number
  readonly inFlightBytes: number
}

/** The mutable side of FilesStatistics. */
export class FilesCounters {
  filesWaiting = 0
  filesOpen = 0
  filesDone = 0
  filesInError = 0
  retries = 0
  filesVanished = 0
  filesResumed = 0
  batchesTruncated = 0
  received = 0
  receivedBytes = 0
  accepted = 0
  readonly refused: Record<FileRefusal, number> = {
    'too-large': 0,
    'no-readable-msh': 0,
    stopping: 0,
    'disk-full': 0,
    'not-allowed': 0,
    'bad-frame': 0,
    validation: 0,
    'no-message': 0,
    'retry-later': 0,
  }
  junkBytes = 0
  inFlight = 0
  inFlightBytes = 0

  /** A copy that later events do not change. */
  snapshot(): FilesStatistics {
    return { ...this, refused: { ...this.refused } }
  }
}

/**
 * What a receiver reports as it happens. `file` is the first 12 hex digits of SHA-256 over the name below the folder: a
 * name may carry a patient's, so that it stays out of logs (`printf %s NAME | sha256sum`).
 */
export type FilesEvent =
  | { readonly event: 'folder-unavailable'; readonly code: string }
  | { readonly event: 'file-started'; readonly file: string; readonly bytes: number; readonly fromIndex: number }
  | {
      readonly event: 'file-done'
      readonly file: string
      readonly messages: number
      readonly batchTruncated: boolean
      readonly junkBytes: number
      /** Messages of it that were refused; the file is in the error folder where there are any. */
      readonly refused: number
    }
  | { readonly event: 'file-retry'; readonly file: string; readonly code: string }
  | { readonly event: 'file-vanished'; readonly file: string }
  | {
      readonly event: 'refused'
      readonly file: string
      readonly index: number
      readonly reason: FileRefusal
      readonly controlId?: string
    }

export type FilesListener = (event: FilesEvent) => void
