import { encode } from '../encode.js'

/** Hanzi that GB 2312, Big5, JIS X 0208 and KS X 1001 all have, so that they can be written in every charset of the field. */
const familyNames = [...'王李林高何郭宋唐曹江田方石金白毛秋武戴夏朱胡黄董']
const givenNames = [...'文玉春秀平立志永安和明光正大中天成山海思美月新元青雨子世家松竹梅雪花星心仁信義']
const pools: Readonly<Record<string, readonly string[]>> = {
  family: familyNames,
  han: givenNames,
  digit: [...'0123456789'],
  consonant: [...'bcdfghklmnprstvw'],
  vowel: [...'aeiou'],
  CONSONANT: [...'BCDFGHKLMNPRSTVW'],
  VOWEL: [...'AEIOU'],
  'wide-digit': [...'０１２３４５６７８９'],
  'wide-upper': [...'ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰ'],
  'wide-lower': [...'ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐ'],
  'latin-1 upper': [...'ÀÁÂÈÉÊÌÍÎÒÓÔÙÚÛ'],
  'latin-1 lower': [...'àáâèéêìíîòóôùúû'],
  hiragana: [...'あいうえおかきくけこさしすせそたちつてと'],
  katakana: [...'アイウエオカキクケコサシスセソタチツテト'],
  'half katakana': [...'ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄ'],
  hangul: [...'김이박최정강조윤장임한오서신권황안송류전'],
  'cyrillic upper': [...'АВЕИКЛМНОПРСТ'],
  'cyrillic lower': [...'авеиклмнопрст'],
  'greek upper': [...'ΑΒΓΔΕΗΙΚΛΜΝΟΠ'],
  'greek lower': [...'αβγδεηικλμνοπ'],
}

const han = /\p{Script=Han}/u
const hanPools = new Map<string, readonly string[]>()
const hanClasses = new Map<string, string>()

/**
 * What an odd character is odd by: hanzi whose second GB byte is ASCII (0x5C, 0x5E, 0x7C and 0x7E break readers that
 * split before they decode) by that byte, hanzi of four GB 18030 bytes by plane. All others are `han`.
 */
function hanClass(character: string): string {
  let found = hanClasses.get(character)
  if (found === undefined) {
    const bytes = encode(character, 'gb18030')
    const trail = bytes[1] ?? 0
    if (bytes.length === 4) found = character.length === 2 ? 'han four supplementary' : 'han four'
    else found = trail < 0x80 ? `han trail ${trail}` : 'han'
    hanClasses.set(character, found)
  }
  return found
}

function hanPool(name: string): readonly string[] {
  if (name === 'han') return givenNames
  let pool = hanPools.get(name)
  if (pool === undefined) {
    const candidates =
      name === 'han four'
        ? Array.from({ length: 64 }, (_, at) => String.fromCodePoint(0x3440 + at))
        : name === 'han four supplementary'
          ? Array.from({ length: 64 }, (_, at) => String.fromCodePoint(0x20000 + at))
          : Array.from({ length: 32 }, (_, at) =>
              new TextDecoder('gb18030').decode(Uint8Array.of(0x81 + at, Number(name.slice('han trail '.length)))),
            )
    pool = candidates.filter((one) => han.test(one) && hanClass(one) === name)
    if (pool.length === 0) pool = givenNames
    hanPools.set(name, pool)
  }
  return pool
}

/**
 * Characters that may stand for this one: of the same script, case and, for hanzi, the same kind of code in GB 18030.
 * Empty for what is no letter and no digit: punctuation, blanks and controls stay.
 */
export function alternatives(character: string, asFamilyName = false): readonly string[] {
  const code = character.codePointAt(0) ?? 0
  if (code < 0x80) {
    if (/[0-9]/.test(character)) return pools['digit']!
    if (/[aeiou]/.test(character)) return pools['vowel']!
    if (/[AEIOU]/.test(character)) return pools['VOWEL']!
    if (/[a-z]/.test(character)) return pools['consonant']!
    return /[A-Z]/.test(character) ? pools['CONSONANT']! : []
  }
  if (han.test(character)) {
    const found = hanClass(character)
    return found === 'han' && asFamilyName ? familyNames : hanPool(found)
  }
  if (!/[\p{L}\p{M}\p{N}]/u.test(character)) return []
  if (code >= 0xff10 && code <= 0xff19) return pools['wide-digit']!
  if (code >= 0xff21 && code <= 0xff3a) return pools['wide-upper']!
  if (code >= 0xff41 && code <= 0xff5a) return pools['wide-lower']!
  if (code >= 0xff66 && code <= 0xff9f) return pools['half katakana']!
  if (code >= 0x3041 && code <= 0x309f) return pools['hiragana']!
  if (code >= 0x30a0 && code <= 0x30ff) return pools['katakana']!
  if (code >= 0xac00 && code <= 0xd7a3) return pools['hangul']!
  const upper = character !== character.toLowerCase()
  if (/\p{Script=Latin}/u.test(character)) return pools[upper ? 'latin-1 upper' : 'latin-1 lower']!
  if (/\p{Script=Cyrillic}/u.test(character)) return pools[upper ? 'cyrillic upper' : 'cyrillic lower']!
  if (/\p{Script=Greek}/u.test(character)) return pools[upper ? 'greek upper' : 'greek lower']!
  // Of any other script: its neighbours of the same kind.
  const kind = /\p{N}/u.test(character) ? /\p{N}/u : /\p{M}/u.test(character) ? /\p{M}/u : /\p{L}/u
  return Array.from({ length: 16 }, (_, at) => String.fromCodePoint((code & ~0xf) + at)).filter((one) => kind.test(one))
}

/** What stands for a letter that says nothing: `某`, `x`, `X`, 0, or the first of its kind. */
export function filler(character: string): string {
  if (/[a-z]/.test(character)) return 'x'
  if (/[A-Z]/.test(character)) return 'X'
  if (han.test(character) && hanClass(character) === 'han') return '某'
  return alternatives(character)[0] ?? character
}

/** For comparing: full-width forms narrow, Latin letters in capitals; as many UTF-16 units as before, so that places agree. */
export function foldInPlace(text: string): string {
  let folded = ''
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x80) folded += code >= 0x61 && code <= 0x7a ? String.fromCharCode(code - 32) : text[at]!
    else if (code >= 0xff01 && code <= 0xff5e) folded += String.fromCharCode(code - 0xfee0).toUpperCase()
    else {
      const upper = text[at]!.toUpperCase()
      folded += upper.length === 1 ? upper : text[at]!
    }
  }
  return folded
}

export const isHan = (text: string): boolean => text !== '' && /^[\p{Script=Han}·]+$/u.test(text)

/** Nothing but filler characters: names that whoever wrote the message took out already. */
export const isBlanked = (text: string): boolean => /^[某XxＸ*＊0?？\s·.-]*$/u.test(text)

/** The character, or one of its kind that this charset has. */
export function writable(character: string, charset: string): string {
  for (const one of [character, han.test(character) ? '王' : '', /\p{Lu}/u.test(character) ? 'X' : 'x']) {
    if (one === '') continue
    try {
      encode(one, charset)
      return one
    } catch {
      // the next one
    }
  }
  return 'x'
}
