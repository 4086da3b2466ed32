/**
 * Canonical charset names of this product: WHATWG labels, except that every GB name is `gb18030`, that `iso-8859-1`
 * and `us-ascii` mean themselves and not windows-1252, and that `iso-2022-jp` covers the JIS sets of HL7 v2.5.1
 * table 0211 (ISO IR6, IR13, IR14, IR87, IR159).
 */
export type Charset = string

const aliases: Readonly<Record<string, Charset>> = {
  // HL7 v2.5.1 table 0211
  ascii: 'us-ascii',
  usascii: 'us-ascii',
  isoir6: 'us-ascii',
  '88591': 'iso-8859-1',
  '88592': 'iso-8859-2',
  '88593': 'iso-8859-3',
  '88594': 'iso-8859-4',
  '88595': 'iso-8859-5',
  '88596': 'iso-8859-6',
  '88597': 'iso-8859-7',
  '88598': 'iso-8859-8',
  '88599': 'windows-1254',
  '885915': 'iso-8859-15',
  isoir14: 'iso-2022-jp',
  isoir13: 'iso-2022-jp',
  isoir87: 'iso-2022-jp',
  isoir159: 'iso-2022-jp',
  gb180302000: 'gb18030',
  ksx1001: 'euc-kr',
  big5: 'big5',
  unicode: 'utf-8',
  unicodeutf8: 'utf-8',
  unicodeutf16: 'utf-16',
  // what senders and configurations write besides
  utf8: 'utf-8',
  isoir192: 'utf-8',
  utf16: 'utf-16',
  utf16le: 'utf-16le',
  utf16be: 'utf-16be',
  ucs2: 'utf-16',
  gb18030: 'gb18030',
  gb180302005: 'gb18030',
  gb180302022: 'gb18030',
  gbk: 'gb18030',
  gb2312: 'gb18030',
  gb231280: 'gb18030',
  euccn: 'gb18030',
  cp936: 'gb18030',
  ms936: 'gb18030',
  windows936: 'gb18030',
  '936': 'gb18030',
  isoir58: 'gb18030',
  isoir100: 'iso-8859-1',
  isoir101: 'iso-8859-2',
  isoir109: 'iso-8859-3',
  isoir110: 'iso-8859-4',
  isoir144: 'iso-8859-5',
  isoir127: 'iso-8859-6',
  isoir126: 'iso-8859-7',
  isoir138: 'iso-8859-8',
  isoir148: 'windows-1254',
  isoir149: 'euc-kr',
  latin1: 'iso-8859-1',
  iso88591: 'iso-8859-1',
  iso88592: 'iso-8859-2',
  iso88593: 'iso-8859-3',
  iso88594: 'iso-8859-4',
  iso88595: 'iso-8859-5',
  iso88596: 'iso-8859-6',
  iso88597: 'iso-8859-7',
  iso88598: 'iso-8859-8',
  iso88599: 'windows-1254',
  iso885915: 'iso-8859-15',
  cp1252: 'windows-1252',
  windows1252: 'windows-1252',
  windows1250: 'windows-1250',
  windows1251: 'windows-1251',
  windows1253: 'windows-1253',
  windows1254: 'windows-1254',
  koi8r: 'koi8-r',
  iso2022jp: 'iso-2022-jp',
  jis: 'iso-2022-jp',
  shiftjis: 'shift_jis',
  sjis: 'shift_jis',
  cp932: 'shift_jis',
  eucjp: 'euc-jp',
  euckr: 'euc-kr',
  cp949: 'euc-kr',
  cp950: 'big5',
}

/** Every name accepted for a feed's `charset`, for messages that list them. */
export const charsetNames: readonly Charset[] = [...new Set(Object.values(aliases))].sort()

/**
 * The canonical name behind one name as a sender (HL7 v2.5.1 table 0211) or a configuration writes it: letter case,
 * blanks, hyphens, slashes and underscores do not count. Undefined for a name nobody knows.
 */
export function canonicalCharset(name: string): Charset | undefined {
  const key = name.toLowerCase().replace(/[^a-z0-9]/g, '')
  return Object.hasOwn(aliases, key) ? aliases[key] : undefined
}

/**
 * What MSH-18 claims. Repetitions (v2.5.1 section 2.15.9.18) name the sets that escape sequences may switch to: any
 * Japanese set among them makes it ISO 2022, and any set counts before ASCII, which all contain. `unknown` is true where a name is in no table.
 */
export function claimedCharset(
  msh18: string,
  repetitionSeparator = '~',
): { readonly charset?: Charset; readonly unknown: boolean } {
  const names = (repetitionSeparator === '' ? [msh18] : msh18.split(repetitionSeparator)).map((name) => name.trim())
  const known = names.map((name) => (name === '' ? undefined : canonicalCharset(name)))
  const unknown = names.some((name, index) => name !== '' && known[index] === undefined)
  const charset =
    known.find((one) => one === 'iso-2022-jp') ??
    known.find((one) => one !== undefined && one !== 'us-ascii') ??
    known.find((one) => one !== undefined)
  return charset === undefined ? { unknown } : { charset, unknown }
}
