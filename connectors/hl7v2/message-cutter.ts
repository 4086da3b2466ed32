import type { CutMessage, CutSummary, FileCutter } from '../files/format.js'
import { cutMessages, type BatchLine } from './framing.js'

const headBytesMax = 4096
/** What must be kept of bytes without a header line, for one may have begun in them. */
const seamBytes = 15

/**
 * Cuts a file that arrives in chunks into the messages that `cutMessages` finds in the whole, holding no more than a
 * message and a chunk. A message above `contentBytesMax` is given with its beginning only and the rest is passed over.
 */
export class MessageCutter implements FileCutter {
  private window: Buffer = Buffer.alloc(0)
  private arrived: Buffer[] = []
  private arrivedBytes = 0
  /** Offset in the file of the first byte of the window. */
  private base = 0
  private scanAt = 0
  private count = 0
  private junk = 0
  private skipping = false
  /** The window begins with a filler, so that the middle of a line is not taken for the beginning of the file. */
  private filler = false
  private readonly batch = new BatchCheck()

  constructor(private readonly contentBytesMax: number) {}

  /** Messages that are complete with this chunk. */
  push(chunk: Buffer): readonly CutMessage[] {
    this.arrived.push(chunk)
    this.arrivedBytes += chunk.length
    // Searching again from the message's start pays only when the window has doubled: linear over the file.
    return this.window.length + this.arrivedBytes < this.scanAt ? [] : this.scan(false)
  }

  /** The messages that end with the file. */
  end(): readonly CutMessage[] {
    return this.scan(true)
  }

  summary(): CutSummary {
    return { messages: this.count, junkBytes: this.junk, batchTruncated: this.batch.truncated() }
  }

  private scan(last: boolean): readonly CutMessage[] {
    const [only, ...others] = this.arrived
    if (only !== undefined) {
      this.window = this.window.length + others.length === 0 ? only : Buffer.concat([this.window, ...this.arrived])
    }
    this.arrived = []
    this.arrivedBytes = 0
    const framed = cutMessages(this.window)
    const start = this.window.byteOffset
    const lines = framed.batchLines.map((line) => ({ line, at: line.bytes.byteOffset - start }))
    const lastMessage = framed.messages.at(-1)
    const lastLine = lines.at(-1)
    const lastHeader = Math.max(lastMessage?.offset ?? -1, lastLine?.at ?? -1)
    if (!last && lastLine !== undefined && lastLine.at + 3 === this.window.length) {
      // The next byte says whether this is a batch line at all.
      this.scanAt = this.window.length + 1
      return []
    }
    const keepFrom = last ? this.window.length : lastHeader
    const firstHeader = Math.min(framed.messages[0]?.offset ?? Infinity, lines[0]?.at ?? Infinity)
    if (!this.skipping) this.noteJunk(this.window.subarray(0, Math.min(firstHeader, this.window.length)), last)
    const complete: CutMessage[] = []
    let lineAt = 0
    const passLines = (before: number): void => {
      while (lineAt < lines.length && lines[lineAt]!.at < Math.min(before, keepFrom)) {
        this.batch.pass(lines[lineAt++]!.line, this.count)
      }
    }
    for (const message of framed.messages) {
      if (message.offset >= keepFrom) break
      passLines(message.offset)
      complete.push(this.cut(message.offset, message.bytes))
    }
    passLines(Infinity)
    if (firstHeader !== Infinity) this.skipping = false
    if (last) this.drop(this.window.length)
    else if (lastHeader < 0) this.keepSeam()
    else this.drop(lastHeader)
    if (
      !last &&
      !this.skipping &&
      this.openMessageTooLarge(lastMessage !== undefined && lastMessage.offset === lastHeader)
    ) {
      complete.push(this.cut(0, this.window))
      this.skipping = true
      this.keepSeam()
    }
    return complete
  }

  private cut(at: number, bytes: Buffer): CutMessage {
    const tooLarge = bytes.length > this.contentBytesMax
    return {
      index: ++this.count,
      offset: this.base + at,
      content: tooLarge ? Buffer.from(bytes.subarray(0, headBytesMax)) : bytes,
      tooLarge,
    }
  }

  private openMessageTooLarge(startsWithMessage: boolean): boolean {
    // Blanks at the end of the window may yet turn out not to belong to the message.
    return startsWithMessage && this.window.length > this.contentBytesMax + 64 * 1024
  }

  private drop(bytes: number): void {
    this.window = this.window.subarray(bytes)
    this.base += bytes
    this.filler = false
    this.scanAt = this.window.length * 2
  }

  /** Keeps what may be the beginning of a header line. */
  private keepSeam(): void {
    const from = Math.max(0, this.window.length - seamBytes)
    if (from === 0) return
    const seam = Buffer.concat([Buffer.from('?'), this.window.subarray(from)])
    this.base += from - 1
    this.filler = true
    this.window = seam
    this.scanAt = 0
  }

  private noteJunk(bytes: Buffer, last: boolean): void {
    const to = last || this.window.length !== bytes.length ? bytes.length : Math.max(0, bytes.length - seamBytes)
    const from = this.filler ? 1 : 0
    for (let i = from; i < to; i++) if (!blank.has(bytes[i]!)) this.junk++
  }
}

/** Space, tab, CR, LF, the MLLP bytes, NUL and byte order marks. */
const blank = new Set([0x20, 0x09, 0x0d, 0x0a, 0x0b, 0x1c, 0, 0xef, 0xbb, 0xbf, 0xfe, 0xff])

/** Holds the trailers of a file to its headers (HL7 v2.5.1 section 2.10.3). */
class BatchCheck {
  private wrong = false
  private openFile = false
  private openBatch = false
  private opened = 0

  pass(line: BatchLine, messagesBefore: number): void {
    if (line.name === 'FHS') {
      this.openFile = true
    } else if (line.name === 'BHS') {
      if (this.openBatch) this.wrong = true
      this.openBatch = true
      this.opened = messagesBefore
    } else if (line.name === 'BTS') {
      const [stated = ''] = line.bytes.toString('latin1', 4).split(line.bytes.toString('latin1', 3, 4))
      if (stated.trim() !== '' && Number(stated) !== messagesBefore - this.opened) this.wrong = true
      this.openBatch = false
      this.opened = messagesBefore
    } else {
      if (this.openBatch) this.wrong = true
      this.openBatch = false
      this.openFile = false
    }
  }

  truncated(): boolean {
    return this.wrong || this.openBatch || this.openFile
  }
}
