/**
 * ISO 2022 with the JIS sets that HL7 v2.5.1 table 0211 names, and GB 2312 and KS X 1001 in G1 as DICOM senders use
 * them. Text outside escape sequences is ASCII.
 */
type Set = 'ascii' | 'roman' | 'katakana' | 'jis0208' | 'jis0212'

const g0: Readonly<Record<string, Set>> = {
  '(B': 'ascii',
  '(J': 'roman',
  '(I': 'katakana',
  '$@': 'jis0208',
  $B: 'jis0208',
  '$(B': 'jis0208',
  '$(D': 'jis0212',
}
/** Designations to G1 change what bytes above 0x9F mean. */
const g1: Readonly<Record<string, string>> = {
  '$)A': 'gb18030',
  '$)B': 'euc-jp',
  '$)C': 'euc-kr',
  ')I': 'katakana',
  '-A': 'latin1',
  ')B': 'none',
  ')J': 'none',
}
const designation = /^(?:\$\([BD]|\$\)[ABC]|\$[@B]|\([BIJ]|\)[BIJ]|-A)/

const eucJp = new TextDecoder('euc-jp', { fatal: true, ignoreBOM: true })

/** Bytes 0x21–0x7E of one G0 set as text. @throws TypeError on a code the set does not have */
export function decodeG0(set: Set, bytes: Uint8Array): string {
  if (set === 'ascii') return Buffer.from(bytes).toString('latin1')
  // JIS X 0201: the Roman half differs from ASCII in two places
  if (set === 'roman') return Buffer.from(bytes).toString('latin1').replaceAll('\\', '¥').replaceAll('~', '‾')
  const euc: number[] = []
  if (set === 'katakana') for (const byte of bytes) euc.push(0x8e, byte | 0x80)
  else {
    if (bytes.length % 2 !== 0) throw new TypeError('half a double-byte character')
    for (let at = 0; at < bytes.length; at += 2) {
      if (set === 'jis0212') euc.push(0x8f)
      euc.push(bytes[at]! | 0x80, bytes[at + 1]! | 0x80)
    }
  }
  return eucJp.decode(Uint8Array.from(euc))
}

/** The set that an escape sequence (what follows ESC) designates to G0, if it is one of ours. */
export function g0SetOf(sequence: string): Set | undefined {
  return Object.hasOwn(g0, sequence) ? g0[sequence] : undefined
}

/** True where the bytes switch sets by ISO 2022 escape sequences to a multi-byte set (ESC $). */
export function hasIso2022Escape(bytes: Buffer): boolean {
  return bytes.includes(0x1b) && bytes.includes('\x1b$', 0, 'latin1')
}

/**
 * Decodes strictly. A line end returns to ASCII, as ISO-2022-JP asks of senders (RFC 1468) though not all do so.
 * @throws TypeError on an unknown designation or code
 */
export function decodeIso2022(bytes: Buffer): string {
  let text = ''
  let set: Set = 'ascii'
  let high = 'none'
  let at = 0
  while (at < bytes.length) {
    const byte = bytes[at]!
    if (byte === 0x1b) {
      const sequence = designation.exec(bytes.toString('latin1', at + 1, at + 4))?.[0]
      if (sequence === undefined) throw new TypeError('unknown ISO 2022 escape sequence')
      const low = g0SetOf(sequence)
      if (low !== undefined) set = low
      else high = g1[sequence]!
      at += 1 + sequence.length
      continue
    }
    if (byte <= 0x20) {
      if (byte === 0x0d || byte === 0x0a) set = 'ascii'
      text += String.fromCharCode(byte)
      at++
      continue
    }
    let end = at + 1
    if (byte < 0x7f) {
      while (end < bytes.length && bytes[end]! > 0x20 && bytes[end]! < 0x7f) end++
      text += decodeG0(set, bytes.subarray(at, end))
    } else {
      while (end < bytes.length && bytes[end]! >= 0x80) end++
      text += decodeHigh(high, bytes.subarray(at, end))
    }
    at = end
  }
  return text
}

function decodeHigh(high: string, bytes: Buffer): string {
  if (high === 'none') throw new TypeError('a byte above 0x7F without a set in G1')
  if (high === 'latin1') return bytes.toString('latin1')
  if (high === 'katakana') return decodeG0('katakana', bytes)
  return new TextDecoder(high, { fatal: true, ignoreBOM: true }).decode(bytes)
}

let jisCodes: Map<string, number> | undefined

/** JIS X 0208 by character, built once: row << 8 | cell in the 7-bit form. */
function jis0208(): Map<string, number> {
  if (jisCodes !== undefined) return jisCodes
  jisCodes = new Map()
  for (let row = 0x21; row < 0x7f; row++) {
    for (let cell = 0x21; cell < 0x7f; cell++) {
      try {
        const character = eucJp.decode(Uint8Array.of(row | 0x80, cell | 0x80))
        if (!jisCodes.has(character)) jisCodes.set(character, (row << 8) | cell)
      } catch {
        // an unassigned cell
      }
    }
  }
  return jisCodes
}

/** ASCII and JIS X 0208 as ISO-2022-JP; undefined where a character is in neither. */
export function encodeIso2022(text: string): Buffer | undefined {
  const bytes: number[] = []
  let wide = false
  for (const character of text) {
    const code = character.codePointAt(0)!
    const jis = code < 0x80 ? undefined : jis0208().get(character)
    if (code >= 0x80 && jis === undefined) return undefined
    if (wide !== (jis !== undefined)) {
      bytes.push(0x1b, ...(wide ? [0x28, 0x42] : [0x24, 0x42]))
      wide = !wide
    }
    if (jis === undefined) bytes.push(code)
    else bytes.push(jis >> 8, jis & 0xff)
  }
  if (wide) bytes.push(0x1b, 0x28, 0x42)
  return Buffer.from(bytes)
}
