/**
 * How likely a text is as the text of a hospital, so that two strict readings of the same bytes can be compared. Each
 * character outside ASCII costs about the negative logarithm of its chance among the characters of its script, plus
 * what its neighbours say: a hanzi inside a Latin word and an accented letter on its own are both signs of a wrong
 * reading. Costs of two readings of the same bytes compare as a likelihood ratio in nats.
 */
export interface Plausibility {
  /** Sum over all characters outside ASCII; the lower, the likelier. */
  readonly cost: number
  /** Characters outside ASCII. */
  readonly count: number
  /** How many of them are hanzi. */
  readonly hanzi: number
}

// Frequent surnames, given names and the words of reports: the first few hundred characters of any Chinese feed.
const frequent =
  '王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金贾韦夏付方邹熊白孟秦江尹薛' +
  '闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤康易乔赖文' +
  '伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红梅春建国志海生小大永天子晓雪婷佳欣宇浩然梓涵怡思雨晨' +
  '血常规尿便生化肝肾功能电解质糖脂凝蛋白细胞红板中性粒淋巴单核嗜酸碱比率数计值浓度总直接间胆素酐氨酶转肌酸钾钠氯钙磷镁铁抗体原阴阳性弱强定量半' +
  '检验查测报告单号项目结果参考范围位异常正高低标本样采集送审核者医师院科室住门急诊病床人姓名男女年龄月日时分秒岁出区社会卫健康中心第一二三四五六七八九十百' +
  '市省县人民附属学内外妇产儿童肿瘤感染呼吸心血管神经消化泌尿骨胸腹部头颈影像超声放射描共振增强平扫所见示未明显建议复随访诊断印象描述双侧左右上下肺叶结节' +
  '器官组织形态大小清晰光滑回声密度信号的了是在有不为及和与或无可请以后前已'

type Tier = 0 | 1 | 2 | 3
let tiers: Uint8Array | undefined

/** 3 = frequent, 2 = GB 2312 level 1, 1 = level 2, 0 = any other, by U+4E00 … U+9FFF. Built once from the decoder. */
function hanziTiers(): Uint8Array {
  if (tiers !== undefined) return tiers
  const table = new Uint8Array(0x5200)
  const gb2312 = new TextDecoder('gbk')
  for (let row = 0xb0; row <= 0xf7; row++) {
    const bytes = new Uint8Array(94 * 2)
    for (let cell = 0; cell < 94; cell++) bytes.set([row, 0xa1 + cell], cell * 2)
    const tier: Tier = row <= 0xd7 ? 2 : 1
    for (const character of gb2312.decode(bytes)) {
      const at = character.charCodeAt(0) - 0x4e00
      if (at >= 0 && at < 0x5200) table[at] = tier
    }
  }
  for (const character of frequent) table[character.charCodeAt(0) - 0x4e00] = 3
  tiers = table
  return table
}

const hanziCost = [14.5, 11.5, 8.5, 6.5] as const

/** What °, ±, ² and µ in UTF-8 read as in GBK: as words these four are rare. */
const unitReadings: ReadonlySet<number> = new Set(Array.from('掳卤虏碌', (character) => character.charCodeAt(0)))

/** Dashes, quotation marks, ellipsis, trade mark of windows-1252, which is often called ISO 8859-1. */
const windowsPunctuation: ReadonlySet<number> = new Set([0x85, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x99])

const isWordly = (code: number): boolean => code === 0x20 || isAsciiLetter(code) || isDigit(code)
const isAsciiLetter = (code: number): boolean => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39
const isLatinLetter = (code: number): boolean =>
  (code >= 0xc0 && code <= 0x17f && code !== 0xd7 && code !== 0xf7) || (code >= 0x1e00 && code <= 0x1eff)
const isCyrillic = (code: number): boolean => code >= 0x400 && code <= 0x45f
const isGreek = (code: number): boolean => code >= 0x370 && code <= 0x3ff

/** One character with its neighbours (0 at the text's ends). */
function characterCost(code: number, before: number, after: number, table: Uint8Array): number {
  if (code >= 0x4e00 && code <= 0x9fff) {
    const letters = (isAsciiLetter(before) ? 1 : 0) + (isAsciiLetter(after) ? 1 : 0)
    return hanziCost[table[code - 0x4e00]! as Tier] + [0, 1, 6][letters]! + (unitReadings.has(code) ? 3 : 0)
  }
  if (code < 0xa0) return windowsPunctuation.has(code) && (isWordly(before) || isWordly(after)) ? 8 : 16
  if (code < 0xc0 || code === 0xd7 || code === 0xf7) return symbolCost(code, before, after)
  if (isLatinLetter(code)) return latinCost(code, before, after)
  if (isGreek(code)) {
    const mixed = isCyrillic(before) || isCyrillic(after) || isLatinLetter(before) || isLatinLetter(after)
    return (code >= 0x391 && code <= 0x3ce ? 7 : 12) + (mixed ? 5 : 0)
  }
  if (isCyrillic(code)) {
    const common = code >= 0x410 && code <= 0x44f
    return (common ? 6.5 : 9) + (isCyrillic(before) || isCyrillic(after) ? 0 : 5)
  }
  if ((code >= 0x5d0 && code <= 0x5ea) || (code >= 0x620 && code <= 0x64a)) {
    const near = (other: number): boolean => other >= 0x5d0 && other <= 0x64a
    return 7 + (near(before) || near(after) ? 0 : 5)
  }
  if (code < 0x800) return 13
  if (code >= 0x3400 && code < 0x4e00) return 14.5
  if (code >= 0xac00 && code <= 0xd7a3) return 10
  if (code >= 0x3040 && code <= 0x30ff) return 8.5
  if (code >= 0xd800 && code < 0xe000) return 6.5 // each half of a character beyond the BMP
  if (code >= 0xe000 && code <= 0xf8ff) return 14.5
  if (code === 0xfffd) return 12
  if (code >= 0xfff0 || (code >= 0xfdd0 && code <= 0xfdef)) return 16
  const punctuation =
    (code >= 0x2010 && code <= 0x2040) ||
    (code >= 0x2070 && code <= 0x209f) ||
    (code >= 0x2100 && code <= 0x22ff) ||
    (code >= 0x2460 && code <= 0x2473) ||
    (code >= 0x25a0 && code <= 0x2606) ||
    (code >= 0x3000 && code <= 0x3011) ||
    (code >= 0xff01 && code <= 0xff5e) ||
    code === 0x20ac
  return punctuation ? 8 : 12.5
}

/** Latin-1 punctuation: what a result is written with is cheap where it makes sense (µmol, 37 °C, m², 10³). */
function symbolCost(code: number, before: number, after: number): number {
  switch (code) {
    case 0xb5: // µ
      return isAsciiLetter(after) ? 4.5 : 9
    case 0xb0: // °
      return after === 0x43 || after === 0x46 || isDigit(before) || before === 0x20 ? 5 : 9
    case 0xb2: // ²
    case 0xb3: // ³
      return isAsciiLetter(before) || isDigit(before) ? 5 : 10
    case 0xb1: // ±
    case 0xb7: // ·
    case 0xd7: // ×
      return 6
    case 0xa0:
    case 0xa7:
    case 0xa9:
    case 0xab:
    case 0xae:
    case 0xbb:
    case 0xbc:
    case 0xbd:
    case 0xbf:
    case 0xa1:
      return 8
    default:
      return 10.5
  }
}

function latinCost(code: number, before: number, after: number): number {
  const letterBefore = isAsciiLetter(before) || isLatinLetter(before)
  const letterAfter = isAsciiLetter(after) || isLatinLetter(after)
  const lowerCaseBefore = before >= 0x61 && before <= 0x7a
  const upper = code >= 0xc0 && code <= 0xde
  let cost = code < 0x100 ? (upper ? 6.5 : 5) : 7.5
  // The French and Italian word à; any other letter on its own is a sign of a wrong reading.
  const isWord = (code === 0xe0 || code === 0xc0) && after === 0x20
  if (!letterBefore && !letterAfter) cost += isWord ? 2 : 5
  if (isLatinLetter(before)) cost += 3
  else if (before >= 0xa0) cost += 4
  if (isLatinLetter(after)) cost += 1
  if (upper && lowerCaseBefore) cost += 5
  return cost
}

/** Pure and linear in the length of the text; ASCII costs nothing. */
export function plausibility(text: string): Plausibility {
  const table = hanziTiers()
  let cost = 0
  let count = 0
  let hanzi = 0
  let before = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 0x80) {
      cost += characterCost(code, before, at + 1 < text.length ? text.charCodeAt(at + 1) : 0, table)
      count++
      if (code >= 0x4e00 && code <= 0x9fff) hanzi++
    }
    before = code
  }
  return { cost, count, hanzi }
}

/** What a closer look at a text is worth taking for; see `oddities`. */
export const oddity = { c1: 1, latinLead: 2, replacement: 4, privateUse: 8, rareHanzi: 16 } as const

/**
 * One quick pass over a text: a bit for each kind of character that a wrong decoding leaves behind. `rareHanzi` stands for
 * two hanzi in a row that are not in GB 2312 level 1, or for U+951F, which U+FFFD written in GBK reads as.
 */
export function oddities(text: string): number {
  const table = hanziTiers()
  let bits = 0
  let rareBefore = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x80) rareBefore = false
    else if (code >= 0x4e00 && code < 0xa000) {
      const rare = table[code - 0x4e00]! < 2
      if ((rare && rareBefore) || code === 0x951f) bits |= oddity.rareHanzi
      rareBefore = rare
    } else {
      rareBefore = false
      if (code < 0xa0) bits |= oddity.c1
      else if (code >= 0xc2 && code <= 0xf4) bits |= oddity.latinLead
      else if (code === 0xfffd) bits |= oddity.replacement
      else if ((code >= 0xe000 && code <= 0xf8ff) || (code >= 0xdb80 && code <= 0xdbff)) bits |= oddity.privateUse
    }
  }
  return bits
}
