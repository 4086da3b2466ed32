/** Start of block (SB), MLLP release 1. */
export const startBlock = 0x0b
/** End of block (EB), followed by a carriage return. */
export const endBlock = 0x1c

const carriageReturn = 0x0d
const lineFeed = 0x0a
const restart = Buffer.from('\x0bMSH')

/** What one block of the stream came to. */
export interface Frame {
  /** The bytes between start and end; of a block that is too large only its beginning, to read the header from. */
  readonly content: Buffer
  /** Bytes the block had, kept or not. */
  readonly size: number
  readonly tooLarge: boolean
  /** Bytes of a block the sender began before this one and gave up, 0 where there is none. */
  readonly abandonedBytes: number
}

/**
 * Cuts a byte stream into MLLP blocks (HL7 v2 transport specification: MLLP release 1, `0x0B content 0x1C 0x0D`). Any
 * split of the same bytes into chunks gives the same blocks. Tolerated: a block that ends in 0x1C alone, in 0x1C 0x0A,
 * or directly before the next start; anything between blocks, counted as junk; repeated starts; a start followed by
 * `MSH` inside a block, which means that the sender gave the former one up. A 0x1C followed by anything else belongs to
 * the content, so that a message is never cut short and acknowledged.
 *
 * Memory: at most `contentBytesMax` of a block are held, in one buffer that doubles; the rest of a larger one is counted
 * and dropped. A block that lies within one chunk is a view on that chunk.
 */
export class FrameReader {
  /** Bytes outside blocks other than CR and LF. */
  junkBytes = 0
  /** Blocks without content; some senders keep a connection alive with them. */
  emptyFrames = 0

  private chunk: Buffer | undefined
  private at = 0
  private inside = false
  private endSeen = false
  private held: Buffer | undefined
  private heldLength = 0
  /** Total size of a block that has grown too large, else 0. */
  private oversize = 0

  constructor(
    private readonly contentBytesMax: number,
    private readonly headBytesMax = 4096,
  ) {}

  /** True from a start byte to the end of its block. */
  get withinFrame(): boolean {
    return this.inside
  }

  /** True after 0x1C where the next byte decides whether the block ends there. */
  get awaitsEnd(): boolean {
    return this.endSeen
  }

  /** Memory held for the block that is not complete. */
  get heldBytes(): number {
    return this.held?.length ?? 0
  }

  /** Hands over the next bytes of the stream; take what they hold with `next` until it returns undefined. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    const rest = this.chunk
    this.chunk = rest === undefined ? chunk : Buffer.concat([rest.subarray(this.at), chunk])
    this.at = 0
  }

  /** The next complete block; undefined when the stream must go on first. */
  next(): Frame | undefined {
    while (this.chunk !== undefined) {
      const frame = this.inside ? this.readInside(this.chunk) : this.readOutside(this.chunk)
      if (this.chunk !== undefined && this.at >= this.chunk.length) this.chunk = undefined
      if (frame !== undefined) return frame
    }
    return undefined
  }

  /** Ends the block whose 0x1C was the last byte, for the sender is silent or has closed. */
  endOfSilence(): Frame | undefined {
    return this.inside && this.endSeen ? this.complete(Buffer.alloc(0)) : undefined
  }

  /** Gives up the incomplete block, if there is one; what had arrived of it. */
  abandon(): { readonly head: Buffer; readonly size: number } | undefined {
    if (!this.inside) return undefined
    const given = { head: this.heldContent(), size: this.size() }
    this.reset()
    return given
  }

  private readOutside(chunk: Buffer): Frame | undefined {
    const start = chunk.indexOf(startBlock, this.at)
    const end = start < 0 ? chunk.length : start
    for (let i = this.at; i < end; i++) {
      const byte = chunk[i]
      if (byte !== carriageReturn && byte !== lineFeed) this.junkBytes++
    }
    this.at = end + 1
    this.inside = start >= 0
    return undefined
  }

  private readInside(chunk: Buffer): Frame | undefined {
    if (this.endSeen) return this.decideEnd(chunk)
    while (this.heldLength === 0 && chunk[this.at] === startBlock) {
      this.at++
      this.junkBytes++
    }
    let search = this.at
    for (;;) {
      const end = chunk.indexOf(endBlock, search)
      if (end < 0) {
        this.hold(chunk.subarray(this.at))
        this.at = chunk.length
        return undefined
      }
      if (end + 1 === chunk.length) {
        this.hold(chunk.subarray(this.at, end))
        this.at = chunk.length
        this.endSeen = true
        return undefined
      }
      if (endsBlock(chunk[end + 1])) {
        const tail = chunk.subarray(this.at, end)
        this.at = chunk[end + 1] === startBlock ? end + 1 : end + 2
        return this.complete(tail)
      }
      search = end + 1
    }
  }

  private decideEnd(chunk: Buffer): Frame | undefined {
    const byte = chunk[this.at]
    if (endsBlock(byte)) {
      if (byte !== startBlock) this.at++
      return this.complete(Buffer.alloc(0))
    }
    this.endSeen = false
    this.hold(Buffer.of(endBlock))
    return undefined
  }

  private complete(tail: Buffer): Frame | undefined {
    const whole = this.oversize === 0 && this.heldLength === 0
    if (!whole || tail.length > this.contentBytesMax) this.hold(tail)
    const tooLarge = this.oversize > 0
    const size = whole && !tooLarge ? tail.length : this.size()
    let content = whole && !tooLarge ? tail : this.heldContent()
    this.reset()
    if (size === 0) {
      this.emptyFrames++
      return undefined
    }
    const again = content.lastIndexOf(restart)
    if (again >= 0) content = content.subarray(again + 1)
    return { content, size, tooLarge, abandonedBytes: again < 0 ? 0 : again }
  }

  private hold(part: Buffer): void {
    if (part.length === 0) return
    if (this.oversize > 0) {
      this.oversize += part.length
      return
    }
    const length = this.heldLength + part.length
    if (length > this.contentBytesMax) {
      this.oversize = length
      this.keepHead(part)
      return
    }
    if (this.held === undefined || length > this.held.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.contentBytesMax, Math.max(1024, length * 2)))
      this.held?.copy(grown, 0, 0, this.heldLength)
      this.held = grown
    }
    part.copy(this.held, this.heldLength)
    this.heldLength = length
  }

  private keepHead(part: Buffer): void {
    const head = Buffer.allocUnsafeSlow(Math.min(this.headBytesMax, this.contentBytesMax))
    const kept = this.held?.copy(head, 0, 0, this.heldLength) ?? 0
    part.copy(head, kept)
    this.held = head
    this.heldLength = head.length
  }

  private heldContent(): Buffer {
    return this.held === undefined ? Buffer.alloc(0) : this.held.subarray(0, this.heldLength)
  }

  private size(): number {
    return this.oversize > 0 ? this.oversize : this.heldLength
  }

  private reset(): void {
    this.inside = false
    this.endSeen = false
    this.held = undefined
    this.heldLength = 0
    this.oversize = 0
  }
}

const endsBlock = (byte: number | undefined): boolean =>
  byte === carriageReturn || byte === lineFeed || byte === startBlock
