import { isUtf8 } from 'node:buffer'
import { encode } from './encode.js'
import { plausibility } from './plausibility.js'

/**
 * UTF-8 that somebody took for Latin-1 or windows-1252 and encoded once more: the character of a lead byte, then those
 * of its continuation bytes.
 */
const windows1252 = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ'
const continuation = `[\u0080-\u00bf${windows1252}]`
const doubled = `[\u00c2-\u00df]${continuation}|[\u00e0-\u00ef]${continuation}{2}|[\u00f0-\u00f4]${continuation}{3}`
const doubledOnce = new RegExp(doubled)
const doubledAll = new RegExp(doubled, 'g')

/** True where some of the text was encoded in UTF-8 twice. */
export function isDoubled(text: string): boolean {
  return doubledOnce.test(text)
}

/** The text with what was encoded twice decoded once more, and how many characters that were. */
export function undoubled(text: string): { readonly text: string; readonly count: number } {
  let count = 0
  const undone = text.replace(doubledAll, (sequence) => {
    const bytes = Buffer.from(Array.from(sequence, byteOf))
    const character = bytes.toString('utf8')
    if (character.includes('\ufffd')) return sequence
    count++
    return character
  })
  return { text: undone, count }
}

let windowsBytes: Map<string, number> | undefined

function byteOf(character: string): number {
  const code = character.charCodeAt(0)
  if (code < 0x100) return code
  if (windowsBytes === undefined) {
    windowsBytes = new Map()
    const decoder = new TextDecoder('windows-1252')
    for (let byte = 0x80; byte < 0xa0; byte++) windowsBytes.set(decoder.decode(Uint8Array.of(byte)), byte)
  }
  return windowsBytes.get(character) ?? 0x3f
}

/** Text of UTF-8 bytes that somebody took for GBK: three hanzi or more, rare ones, whose GBK bytes are UTF-8 of common ones. */
export function hasUtf8ReadAsGbk(text: string): boolean {
  for (const [run] of text.matchAll(/[\u4e00-\u9fff\ue000-\uf8ff]{3,}/g)) {
    const score = plausibility(run)
    if (score.cost / score.count < 10.5) continue
    const meant = utf8Of(run)
    if (meant !== undefined && plausibility(meant).cost < score.cost) return true
  }
  return false
}

function utf8Of(run: string): string | undefined {
  let bytes: Buffer
  try {
    bytes = encode(run, 'gb18030')
  } catch {
    return undefined // a private-use character that GB18030 has no code for
  }
  // The last character may have lost a byte on the way.
  for (let cut = 0; cut < 3; cut++) {
    const whole = bytes.subarray(0, bytes.length - cut)
    if (isUtf8(whole)) return whole.toString('utf8')
  }
  return undefined
}
