/**
 * Writes GB18030, for simulators that play a GBK sender; the product itself only reads. One- and two-byte codes come from
 * the platform's decoder turned round, so both agree by construction; four-byte codes of the supplementary planes are
 * linear from 0x90308130 (GB 18030-2022 section 5), those of the basic plane are found in the decoder as well.
 */
let basicPlane: Map<number, number> | undefined

/** The bytes of `text` in GB18030. @throws RangeError on a lone surrogate, which no charset holds */
export function encodeGb18030(text: string): Buffer {
  basicPlane ??= readDecoder()
  const bytes = Buffer.allocUnsafe(text.length * 4)
  let at = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.codePointAt(index) ?? 0
    if (code < 0x80) {
      bytes[at++] = code
      continue
    }
    if (code > 0xffff) {
      index++
      at = bytes.writeUInt32BE(fourBytes(code - 0x10000, 0x90), at)
      continue
    }
    const found = basicPlane.get(code)
    if (found === undefined) throw new RangeError(`U+${code.toString(16)} is no character`)
    at = found > 0xffff ? bytes.writeUInt32BE(found, at) : bytes.writeUInt16BE(found, at)
  }
  return bytes.subarray(0, at)
}

function fourBytes(linear: number, lead: number): number {
  const last = 0x30 + (linear % 10)
  const third = 0x81 + (Math.floor(linear / 10) % 126)
  const second = 0x30 + (Math.floor(linear / 1260) % 10)
  const first = lead + Math.floor(linear / 12600)
  return ((first << 24) | (second << 16) | (third << 8) | last) >>> 0
}

function readDecoder(): Map<number, number> {
  const decoder = new TextDecoder('gb18030', { fatal: true })
  const codes = new Map<number, number>()
  const add = (bytes: Uint8Array, value: number): void => {
    let text: string
    try {
      text = decoder.decode(bytes)
    } catch {
      return
    }
    const code = text.codePointAt(0) ?? 0
    // A two-byte code wins over a four-byte one for the same character: it is what senders write.
    if (text.length === 1 && code >= 0x80 && !codes.has(code)) codes.set(code, value)
  }
  for (let lead = 0x81; lead <= 0xfe; lead++) {
    for (let trail = 0x40; trail <= 0xfe; trail++) add(Uint8Array.of(lead, trail), (lead << 8) | trail)
  }
  const four = Buffer.alloc(4)
  for (let linear = 0; linear <= 39_419; linear++) {
    const value = fourBytes(linear, 0x81)
    four.writeUInt32BE(value)
    add(four, value)
  }
  return codes
}
