import { isAscii, isUtf8 } from 'node:buffer'
import { RecordError, UsageError } from '../../core/errors.js'
import { canonicalCharset, charsetNames, claimedCharset, type Charset } from './charset-names.js'
import { sniffUnicode } from './framing.js'
import { readHeader } from './header.js'
import { decodeIso2022, hasIso2022Escape } from './iso2022.js'
import { hasUtf8ReadAsGbk, isDoubled, undoubled } from './mojibake.js'
import { oddities, oddity, plausibility, type Plausibility } from './plausibility.js'

export type CharsetFlag =
  /** MSH-18 names another charset than the one the bytes are in. */
  | 'charset-header-lies'
  /** MSH-18 names a charset that is in no table. */
  | 'charset-header-unknown'
  /** Some segments are UTF-8 though the feed declares GB18030: those read as noise. */
  | 'charset-mixed'
  /** Neither the feed nor MSH-18 settled it: found by detection. */
  | 'charset-detected'
  /** Text that was decoded wrongly before it was sent. */
  | 'mojibake'
  /** U+FFFD in the source: a character was lost before it was sent. */
  | 'replacement-character'
  /** Private-use characters: what they mean is between the sender and its font. */
  | 'private-use'
  /** U+0080–U+009F, usually windows-1252 called ISO 8859-1. */
  | 'c1-controls'
  | 'bom'
  | 'utf-16'

export interface Decoded {
  /** Without a byte order mark. */
  readonly text: string
  readonly charset: Charset
  readonly flags: readonly CharsetFlag[]
  /** Bytes of the byte order mark before `text`. */
  readonly bomBytes: number
}

// Node's decoders follow the WHATWG Encoding Standard: gb18030 in the 2022 edition, 0x80 read as U+20AC.
const decoders = new Map<Charset, InstanceType<typeof TextDecoder>>()

function decoder(charset: Charset): InstanceType<typeof TextDecoder> {
  let found = decoders.get(charset)
  if (found === undefined) {
    found = new TextDecoder(charset, { fatal: true, ignoreBOM: true })
    decoders.set(charset, found)
  }
  return found
}

/** The text of bytes that are wholly valid in this charset, else undefined. */
export function decodeStrictly(bytes: Buffer, charset: Charset): string | undefined {
  switch (charset) {
    case 'us-ascii':
      return isAscii(bytes) ? bytes.toString('latin1', 0, bytes.length) : undefined
    case 'iso-8859-1':
      return bytes.toString('latin1', 0, bytes.length)
    case 'utf-8':
      return isUtf8(bytes) ? bytes.toString('utf8', 0, bytes.length) : undefined
  }
  try {
    if (charset === 'iso-2022-jp') return decodeIso2022(bytes)
    const text = decoder(charset).decode(bytes)
    return charset.startsWith('utf-16') && /\p{Surrogate}/u.test(text) ? undefined : text
  } catch {
    return undefined
  }
}

/**
 * Decodes a message strictly, before anything is split. The feed's declared charset decides; without one MSH-18, if the
 * bytes decode in it and read plausibly; without that, detection between UTF-8 and GB18030, and ISO 8859-1 for plainly
 * Western text. A byte order mark, UTF-16 and ISO 2022 escape sequences speak for themselves.
 * @throws RecordError('charset-undecodable' | 'charset-ambiguous'), UsageError on a declared name nobody knows
 */
export function decode(bytes: Uint8Array, declared?: string): Decoded {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const declaredCharset = declared === undefined ? undefined : canonicalCharset(declared)
  if (declared !== undefined && declaredCharset === undefined) {
    throw new UsageError(`charset: '${declared}' is not known; one of ${charsetNames.join(', ')}`)
  }
  const { utf16, bom } = sniffUnicode(buffer)
  const body = bom === 0 ? buffer : buffer.subarray(bom)
  if (utf16 !== undefined) return decodeUtf16(body, utf16, bom)
  const bomFlags: readonly CharsetFlag[] = bom === 0 ? [] : ['bom']

  // ASCII reads the same under every charset that is left, except where escape sequences switch sets.
  if (isAscii(body) && !hasIso2022Escape(body)) {
    const claim = declaredCharset === undefined ? claimOf(body) : undefined
    const charset = declaredCharset ?? (bom > 0 ? 'utf-8' : (claim?.charset ?? 'us-ascii'))
    const flags: CharsetFlag[] = [...bomFlags]
    if (claim?.unknown === true) flags.push('charset-header-unknown')
    return { text: body.toString('latin1', 0, body.length), charset: eightBit(charset), flags, bomBytes: bom }
  }

  const claim = claimOf(body)
  const chosen =
    declaredCharset !== undefined
      ? { ...declaredReading(body, eightBit(declaredCharset)), detected: false }
      : bom > 0 && isUtf8(body)
        ? { text: body.toString('utf8', 0, body.length), charset: 'utf-8', detected: false }
        : undeclaredReading(body, claim.charset === undefined ? undefined : eightBit(claim.charset))
  const flags: CharsetFlag[] = [...bomFlags]
  const mixedAt =
    chosen.charset === 'gb18030' || chosen.charset === 'iso-8859-1' ? utf8LineIn(body, chosen.charset) : -1
  if (mixedAt >= 0) {
    if (declaredCharset === undefined) {
      throw new RecordError(
        'charset-undecodable',
        `some segments are UTF-8, others ${chosen.charset}; the one named here is UTF-8`,
        placeIn(body.toString('latin1', 0, mixedAt)),
      )
    }
    flags.push('charset-mixed')
  }
  if (claim.unknown) flags.push('charset-header-unknown')
  if (claim.charset !== undefined && claimLies(body, eightBit(claim.charset), chosen)) flags.push('charset-header-lies')
  if (chosen.detected) flags.push('charset-detected')
  flags.push(...textFlags(chosen.text))
  return { text: chosen.text, charset: chosen.charset, flags, bomBytes: bom }
}

/** Bytes that turned out not to be sixteen-bit units cannot be UTF-16, whatever is claimed: UTF-8 is meant. */
const eightBit = (charset: Charset): Charset => (charset.startsWith('utf-16') ? 'utf-8' : charset)

interface Reading {
  readonly text: string
  readonly charset: Charset
}

function decodeUtf16(body: Buffer, utf16: 'utf-16le' | 'utf-16be', bom: number): Decoded {
  const text = body.length % 2 === 0 ? decodeStrictly(body, utf16) : undefined
  if (text === undefined) {
    throw new RecordError('charset-undecodable', `${utf16} by its first bytes, but it is cut or has lone surrogates`)
  }
  const flags: CharsetFlag[] = bom > 0 ? ['bom', 'utf-16'] : ['utf-16']
  flags.push(...textFlags(text))
  return { text, charset: utf16, flags, bomBytes: bom }
}

function claimOf(body: Buffer): ReturnType<typeof claimedCharset> {
  try {
    const header = readHeader(body)
    return header.characterSet === ''
      ? { unknown: false }
      : claimedCharset(header.characterSet, header.repetitionSeparator)
  } catch {
    return { unknown: false } // no readable MSH: the reader says so with a better name
  }
}

function declaredReading(body: Buffer, charset: Charset): Reading {
  const text = decodeStrictly(body, charset)
  if (text !== undefined) return { text, charset }
  throw new RecordError(
    'charset-undecodable',
    `the feed declares ${charset}, but ${faultIn(body, charset)}`,
    placeOfFault(body, charset),
  )
}

/** Where a claim and the bytes disagree: they do not decode in it, or to another text. */
function claimLies(body: Buffer, claim: Charset, chosen: Reading): boolean {
  return claim !== chosen.charset && decodeStrictly(body, claim) !== chosen.text
}

/** Mean cost of a character above which a text reads as noise (plausibility.ts). */
const costMax = { 'utf-8': 12.2, gb18030: 12.8, 'iso-8859-1': 9.2, other: 12.2 } as const

/** Two readings closer than this (nats) are not told apart. */
const marginMin = 3

function isPlausible(charset: Charset, { cost, count }: Plausibility): boolean {
  const limit = charset in costMax ? costMax[charset as keyof typeof costMax] : costMax.other
  return count === 0 || cost / count <= limit
}

interface Candidate extends Reading {
  readonly score: Plausibility
}

function candidate(body: Buffer, charset: Charset): Candidate | undefined {
  const text = decodeStrictly(body, charset)
  if (text === undefined) return undefined
  const score = charset === 'utf-8' && isDoubled(text) ? plausibilityOfDoubled(text) : plausibility(text)
  if (!isPlausible(charset, score)) return undefined
  const surprise = charset === 'gb18030' && score.hanzi <= 3 ? Math.min(4, westernWords(text) / 4) : 0
  return { text, charset, score: { ...score, cost: score.cost + surprise } }
}

/** A hanzi or two are the less likely the more words in small Latin letters stand around them. */
function westernWords(text: string): number {
  return text.match(/[a-z]{4,}/g)?.length ?? 0
}

/** Text that was encoded twice is judged by what it meant, at a price for each such character. */
function plausibilityOfDoubled(text: string): Plausibility {
  const meant = undoubled(text)
  const { cost, count, hanzi } = plausibility(meant.text)
  return { cost: cost + 3 * meant.count, count: Math.max(1, count), hanzi }
}

function undeclaredReading(body: Buffer, claim: Charset | undefined): Reading & { readonly detected: boolean } {
  if (hasIso2022Escape(body)) {
    const text = decodeStrictly(body, 'iso-2022-jp')
    if (text !== undefined) return { text, charset: 'iso-2022-jp', detected: claim !== 'iso-2022-jp' }
  }
  const claimed = claim === undefined ? undefined : candidate(body, claim)
  // Many hanzi that are all common: no other reading of the same bytes comes near.
  if (claimed !== undefined && isEvident(claimed)) return { ...claimed, detected: false }
  const others: Candidate[] = []
  for (const charset of ['utf-8', 'gb18030']) {
    const one = charset === claim ? undefined : candidate(body, charset)
    if (one === undefined) continue
    if (claimed === undefined && isEvident(one)) return { ...one, detected: true }
    others.push(one)
  }
  if (!isUtf8(body) && claim !== 'iso-8859-1') {
    const western = candidate(body, 'iso-8859-1')
    if (western !== undefined) others.push(western)
  }
  others.sort((a, b) => a.score.cost - b.score.cost)
  const best = others[0]
  if (claimed !== undefined && (best === undefined || best.score.cost > claimed.score.cost - marginMin)) {
    return { ...claimed, detected: false }
  }
  if (best === undefined) {
    const noise = utf8Noise(body)
    if (noise !== undefined) return { ...noise, detected: claim !== 'utf-8' }
    throw new RecordError(
      'charset-undecodable',
      `tried utf-8 (${faultIn(body, 'utf-8')}), gb18030 (${faultIn(body, 'gb18030')}), iso-8859-1 (reads as noise)`,
      placeOfFault(body, 'utf-8', 'gb18030'),
    )
  }
  const second = others[1]
  if (second !== undefined && second.text !== best.text && second.score.cost - best.score.cost < marginMin) {
    throw new RecordError(
      'charset-ambiguous',
      `${best.charset} and ${second.charset} both read it as plausible text`,
      placeOfDifference(best.text),
    )
  }
  return { ...best, detected: true }
}

/**
 * Bytes that are valid UTF-8 and whose text is garbled all the same: garbled before it was written, so that UTF-8 is
 * still what they are in, unless they read no worse as GB18030.
 */
function utf8Noise(body: Buffer): Reading | undefined {
  const text = decodeStrictly(body, 'utf-8')
  if (text === undefined) return undefined
  const gb = decodeStrictly(body, 'gb18030')
  const worse = gb === undefined || plausibility(gb).cost - plausibility(text).cost > marginMin
  return worse ? { text, charset: 'utf-8' } : undefined
}

function isEvident({ charset, score }: Candidate): boolean {
  return charset !== 'iso-8859-1' && score.hanzi >= 8 && score.cost / score.count < 9
}

/**
 * Offset of the first text outside ASCII in a line that is UTF-8 and Chinese, in a message read in another charset; -1
 * if there is none. Line ends are part of no character, so lines can be read apart.
 */
function utf8LineIn(body: Buffer, charset: Charset): number {
  for (let start = 0; start < body.length;) {
    const end = nextLineEnd(body, start)
    const line = body.subarray(start, end)
    if (!isAscii(line) && isUtf8(line)) {
      const asUtf8 = plausibility(line.toString('utf8'))
      const asRead = plausibility(decodeStrictly(line, charset) ?? '')
      if (asUtf8.hanzi >= 2 && isPlausible('utf-8', asUtf8) && asRead.cost - asUtf8.cost > 4 * marginMin) {
        return start + line.findIndex((byte) => byte >= 0x80)
      }
    }
    start = end + 1
  }
  return -1
}

/** One sentence on why the bytes do not decode. */
function faultIn(body: Buffer, charset: Charset): string {
  const at = faultOffset(body, charset)
  if (at < 0) return 'reads as noise'
  const byte = body[at]
  return byte === undefined
    ? `the bytes end inside a character`
    : `byte 0x${byte.toString(16).toUpperCase().padStart(2, '0')} at offset ${at} is not valid there`
}

/** Offset of the first byte that is not part of a valid character; -1 if all are. */
function faultOffset(body: Buffer, charset: Charset): number {
  if (decodeStrictly(body, charset) !== undefined) return -1
  let start = 0
  // Line ends are never part of a character, so the fault lies in the first line that does not decode.
  for (;;) {
    const end = nextLineEnd(body, start)
    const line = body.subarray(start, end)
    if (decodeStrictly(line, charset) === undefined) return start + faultInLine(line, charset)
    if (end >= body.length) return body.length
    start = end + 1
  }
}

function nextLineEnd(body: Buffer, from: number): number {
  for (let at = from; at < body.length; at++) if (body[at] === 0x0d || body[at] === 0x0a) return at
  return body.length
}

/** The longest prefix that decodes when cut characters at its end are allowed; bisection keeps it cheap. */
function faultInLine(line: Buffer, charset: Charset): number {
  const decodes = (length: number): boolean => {
    for (let cut = 0; cut < 4 && cut <= length; cut++) {
      if (decodeStrictly(line.subarray(0, length - cut), charset) !== undefined) return true
    }
    return false
  }
  let low = 0
  let high = line.length
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (decodes(middle)) low = middle
    else high = middle - 1
  }
  while (low > 0 && decodeStrictly(line.subarray(0, low), charset) === undefined) low--
  return low
}

/** Segment and field by counting separators in the bytes before the fault: near enough to look at. */
function placeOfFault(body: Buffer, ...charsets: readonly Charset[]): { segment?: string; field?: string } {
  // The charset that goes furthest is the one that was meant.
  const at = Math.max(...charsets.map((charset) => faultOffset(body, charset)))
  return at < 0 ? {} : placeIn(body.toString('latin1', 0, at))
}

function placeOfDifference(text: string): { segment?: string; field?: string } {
  const at = text.search(/[^\0-\x7f]/)
  return at < 0 ? {} : placeIn(text.slice(0, at))
}

function placeIn(before: string): { segment?: string; field?: string } {
  const lines = before.split(/[\r\n]+/)
  const line = lines[lines.length - 1]!
  const name = line.slice(0, 3)
  const separator = before.slice(3, 4)
  if (!/^[A-Z][A-Z0-9]{2}$/.test(name) || separator === '') return {}
  const ordinal = lines.filter((one) => one.startsWith(name + separator)).length
  const number = line.split(separator).length - (name === 'MSH' ? 0 : 1)
  return { segment: `${name}[${ordinal}]`, field: `${name}-${number}` }
}

function textFlags(text: string): CharsetFlag[] {
  const odd = oddities(text)
  if (odd === 0) return []
  const flags: CharsetFlag[] = []
  const doubled = (odd & oddity.latinLead) !== 0 && isDoubled(text)
  // U+FFFD written in GBK: two of them read as these three hanzi.
  const lost = (odd & oddity.rareHanzi) !== 0 && (text.includes('锟斤拷') || hasUtf8ReadAsGbk(text))
  if (doubled || lost) flags.push('mojibake')
  if (odd & oddity.replacement) flags.push('replacement-character')
  if (odd & oddity.privateUse) flags.push('private-use')
  if (odd & oddity.c1) flags.push('c1-controls')
  return flags
}
