import type { FoundFile } from './folder-listing.js'

/** One file being read. */
export interface OpenFile {
  /** As `FoundFile.identity`, of what is open. */
  readonly identity: string
  /** Bytes. */
  readonly size: number
  /** The first `size` bytes, or what there is of them; each chunk is its own memory. */
  chunks(size: number): AsyncIterable<Buffer>
  close(): Promise<void>
}

/**
 * Where a folder stands: on this machine or on another. What fails for a reason outside throws an error with a `code` (ENOENT
 * where there is no such file); the receiver tries again.
 */
export interface FileStore {
  /** The files that are complete as far as their names and markers say, in the configured order. */
  list(): Promise<readonly FoundFile[]>
  open(file: FoundFile): Promise<OpenFile>
  /** What identifies a file and its content without reading it; undefined where there is no such file. */
  identity(file: FoundFile): Promise<string | undefined>
  /**
   * Moves a file to another folder under its own name, or under a unique one where that is taken: nothing is ever
   * overwritten. `identity` is that of the file that was read: where another one has come under its name since, nothing is
   * moved. Resolves with the new path, undefined where the file is not the one that was read.
   */
  moveAway(file: FoundFile, identity: string, folder: string, now: number): Promise<string | undefined>
  /** Writes a note for people beside a file that was moved. */
  writeNote(moved: string, note: unknown): Promise<void>
  remove(path: Buffer): Promise<void>
  /** Says earlier than the next poll that something has changed; undefined where nobody can say so. */
  hints(changed: () => void): { close(): void } | undefined
  close(): Promise<void>
}
