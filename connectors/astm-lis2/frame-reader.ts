import { checksum, cr, enq, eot, etb, etx, lf, stx } from './control.js'

export interface Frame {
  /** 0 to 7 */
  readonly number: number
  readonly text: Buffer
  /** Closed by ETX: the end of a record; ETB says that the next frame goes on. */
  readonly last: boolean
}

/** What the bytes of a line say, one after the other. */
export type Token =
  | { readonly kind: 'enquiry' }
  | { readonly kind: 'end' }
  | { readonly kind: 'frame'; readonly frame: Frame }
  | { readonly kind: 'bad-frame'; readonly reason: 'checksum' | 'format' | 'too-long' }

/**
 * Reads the stream of a sender of LIS1-A: chunk boundaries say nothing, and bytes that belong to nothing are counted and
 * passed over. Holds at most one frame of `frameBytesMax` bytes of text.
 */
export class FrameReader {
  /** Bytes outside frames other than ENQ, EOT, CR and LF. */
  junkBytes = 0
  private phase: 'idle' | 'text' | 'check' | 'tail' = 'idle'
  private text: Buffer = Buffer.alloc(0)
  private length = 0
  private sum = 0
  private last = false
  private check = ''
  private tooLong = false

  constructor(private readonly frameBytesMax: number) {}

  /** The frame is complete but for its CR LF: after a short silence `flush` ends it. */
  get awaitsTail(): boolean {
    return this.phase === 'tail'
  }

  push(chunk: Uint8Array): Token[] {
    const tokens: Token[] = []
    for (const byte of chunk) this.take(byte, tokens)
    return tokens
  }

  /** Ends a frame whose sender leaves out CR LF. */
  flush(): Token[] {
    const tokens: Token[] = []
    if (this.phase === 'tail') this.finish(tokens)
    return tokens
  }

  private take(byte: number, tokens: Token[]): void {
    if (byte === enq || byte === eot || byte === stx) {
      // None of the three may stand in a frame (LIS1-A section 6.3.1.2): the frame before it was cut off, or complete.
      if (this.phase === 'tail') this.finish(tokens)
      this.reset()
      if (byte === stx) this.phase = 'text'
      else tokens.push({ kind: byte === enq ? 'enquiry' : 'end' })
      return
    }
    switch (this.phase) {
      case 'idle':
        if (byte !== cr && byte !== lf) this.junkBytes++
        return
      case 'text':
        this.sum += byte
        if (byte === etx || byte === etb) {
          this.last = byte === etx
          this.phase = 'check'
        } else this.append(byte)
        return
      case 'check':
        if (isHexDigit(byte)) {
          this.check += String.fromCharCode(byte).toUpperCase()
          if (this.check.length === 2) this.phase = 'tail'
        } else {
          tokens.push({ kind: 'bad-frame', reason: 'format' })
          this.reset()
        }
        return
      case 'tail':
        if (byte === cr) return
        this.finish(tokens)
        if (byte !== lf) this.junkBytes++
    }
  }

  /** The frame number is the first byte of the text here. */
  private append(byte: number): void {
    if (this.length > this.frameBytesMax) {
      this.tooLong = true
      return
    }
    if (this.length === this.text.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.frameBytesMax + 1, Math.max(256, 2 * this.text.length)))
      this.text.copy(grown)
      this.text = grown
    }
    this.text[this.length++] = byte
  }

  private finish(tokens: Token[]): void {
    const number = this.length === 0 ? -1 : this.text[0]! - 0x30
    if (this.tooLong) tokens.push({ kind: 'bad-frame', reason: 'too-long' })
    else if (number < 0 || number > 7) tokens.push({ kind: 'bad-frame', reason: 'format' })
    else if (this.check !== checksum(this.sum)) tokens.push({ kind: 'bad-frame', reason: 'checksum' })
    else {
      const text = Buffer.from(this.text.subarray(1, this.length))
      tokens.push({ kind: 'frame', frame: { number, text, last: this.last } })
    }
    this.reset()
  }

  private reset(): void {
    this.phase = 'idle'
    this.length = 0
    this.sum = 0
    this.check = ''
    this.tooLong = false
    // One frame that was long leaves no buffer of its size with every quiet connection.
    if (this.text.length > 4096) this.text = Buffer.alloc(0)
  }
}

const isHexDigit = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)
