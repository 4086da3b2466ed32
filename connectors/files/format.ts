import type { RefusalReason } from '../../core/errors.js'

/** One message of a file, cut from the stream of its bytes. */
export interface CutMessage {
  /** From 1, over the messages of the file. */
  readonly index: number
  /** Byte offset in the file. */
  readonly offset: number
  /** The message; only its beginning where it is too large. */
  readonly content: Buffer
  readonly tooLarge: boolean
}

/** What a whole file turned out to be. */
export interface CutSummary {
  readonly messages: number
  /** Bytes outside messages and what frames them that are no blanks. */
  readonly junkBytes: number
  /** What the file states of itself, as a count in a trailer, differs from what stands in it. */
  readonly batchTruncated: boolean
}

/** Cuts a file that arrives in chunks, the same way however it is chunked, holding little more than a message. */
export interface FileCutter {
  /** Messages that are complete with this chunk. */
  push(chunk: Buffer): readonly CutMessage[]
  /** The messages that end with the file. */
  end(): readonly CutMessage[]
  summary(): CutSummary
}

/** How files of a format come apart into messages. */
export interface FileFormat {
  /** Names that are read where a feed names none. */
  readonly patterns: readonly string[]
  cutter(maxMessageBytes: number): FileCutter
  /**
   * What is read of a message before it is handed over.
   * @throws RefusedError where the same bytes could never become a message
   */
  facts(content: Buffer): { readonly controlId?: string }
  /** What a message says of who sent it, in the characters of a feed's name; undefined where it does not. */
  sender?(content: Buffer): string | undefined
  /** Reasons of `facts` for which the same bytes would be refused again. */
  readonly refusedForGood: readonly RefusalReason[]
}

/** The messages of a whole file. */
export function cutFile({ cutter }: FileFormat, content: Buffer): readonly CutMessage[] {
  const cutting = cutter(Infinity)
  return [...cutting.push(content), ...cutting.end()]
}

/** A whole file is one message. */
export function wholeFileFormat(patterns: readonly string[]): FileFormat {
  return {
    patterns,
    cutter: (max) => wholeFileCutter(max, (content) => [content]),
    facts: () => ({}),
    refusedForGood: [],
  }
}

/** Holds a file until its end and cuts it then, for files that are no larger than a message or little more. */
export function wholeFileCutter(contentBytesMax: number, cut: (content: Buffer) => readonly Buffer[]): FileCutter {
  return new WholeFileCutter(contentBytesMax, cut)
}

const headBytesMax = 4096

class WholeFileCutter implements FileCutter {
  private parts: Buffer[] = []
  private bytes = 0
  private count = 0

  constructor(
    private readonly contentBytesMax: number,
    private readonly cut: (content: Buffer) => readonly Buffer[],
  ) {}

  push(chunk: Buffer): readonly CutMessage[] {
    const wasTooLarge = this.bytes > this.contentBytesMax
    this.bytes += chunk.length
    if (!wasTooLarge) this.parts.push(chunk)
    // Only the beginning is told of what is too large.
    if (this.bytes > this.contentBytesMax) this.parts = [Buffer.concat(this.parts).subarray(0, headBytesMax)]
    return []
  }

  end(): readonly CutMessage[] {
    const content = Buffer.concat(this.parts)
    this.parts = []
    if (content.every((byte) => blanks.has(byte))) return []
    const tooLarge = this.bytes > this.contentBytesMax
    const messages = tooLarge ? [content] : this.cut(content)
    this.count = messages.length
    // Where in the file a message of another cutter stands is known to it alone.
    return messages.map((message, at) => ({ index: at + 1, offset: 0, content: message, tooLarge }))
  }

  summary(): CutSummary {
    return { messages: this.count, junkBytes: 0, batchTruncated: false }
  }
}

/** Space, tab, CR, LF, NUL and byte order marks: a file of these alone holds no message. */
const blanks = new Set([0x20, 0x09, 0x0d, 0x0a, 0, 0xef, 0xbb, 0xbf, 0xfe, 0xff])
