import type { LedgerPosition } from '../core/ids.js'

/** What a receiver hands to the spool. */
export interface SpoolMessage {
  readonly feed: string
  readonly content: Buffer
  /** ms since 1970-01-01T00:00:00Z */
  readonly receivedAt: number
  readonly controlId?: string
  readonly sourceName?: string
  readonly sourceIndex?: number
}

export interface SpooledMessage extends SpoolMessage, LedgerPosition {
  readonly messageId: string
  /** Key that encrypts the content on disk; null where it is not encrypted. */
  readonly keyId: string | null
}

export interface SpoolStatistics {
  /** Accepted and not yet forwarded. */
  readonly depth: number
  readonly depthBytes: number
  /** Receipt of the oldest message not yet forwarded, ms; null when there is none. */
  readonly oldestUnforwardedAt: number | null
  readonly diskBytes: number
  readonly diskFreeBytes: number
  readonly accepting: boolean
}

/**
 * Store-and-forward: what `accept` resolved for survives kill -9 and a power cut. Numbers are dense and in order per
 * (feed, epoch). One process at a time holds a spool's folder.
 */
export interface Spool {
  /** Durable when it resolves; concurrent calls share a disk flush. @throws RefusedError('disk-full' | 'stopping') */
  accept(message: SpoolMessage): Promise<LedgerPosition>
  /** Messages not yet forwarded, in order, waiting for new ones until `signal` aborts; cut at `bytesMax`. */
  unforwarded(
    signal: AbortSignal,
    options?: { readonly bytesMax?: number; readonly recordsMax?: number; readonly holds?: Holds },
  ): AsyncIterable<SpooledBatch>
  /** Highest accepted number of each feed and epoch. */
  watermarks(): readonly LedgerPosition[]
  /** Reads a retained message; undefined where retention has removed it. @throws RecordError where its bytes are damaged */
  read(position: LedgerPosition): Promise<SpooledMessage | undefined>
  /** Verifies every retained record: dense, undamaged. Yields what is not. */
  verify(): AsyncIterable<{ readonly position: LedgerPosition; readonly problem: 'missing' | 'damaged' }>
  statistics(): SpoolStatistics
  close(): Promise<void>
}

export interface SpooledBatch {
  readonly messages: readonly SpooledMessage[]
  /** Positions among these that were accepted and cannot be read any more: nothing will ever settle them. */
  readonly damaged?: readonly LedgerPosition[]
  /**
   * The log holds them durably, but for these and what follows each of them in its feed, which come again once the feed
   * is not held; the others are not delivered again, except after a crash before this became durable.
   */
  forwarded(except?: readonly LedgerPosition[]): Promise<void>
}

/** Feeds whose messages stay in the spool for now, while those of others go on. */
export interface Holds {
  has(feed: string): boolean
  /** Told of each change; returns the end of it. */
  subscribe(changed: () => void): () => void
}
