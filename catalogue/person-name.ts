import { foldText } from './fold.js'

export type NameProblem = 'placeholder' | 'garbled' | 'newborn'

export interface PersonNameReading {
  /** For comparing; null where nothing is left. */
  readonly folded: string | null
  readonly problem: NameProblem | null
}

// U+00B7, U+2022, U+30FB (NFKC brings U+FF65 to it), U+2027, U+2219, U+22C5, U+0387, U+16EB: one dot to a reader.
const dots = /\s*[\u00b7\u2022\u30fb\u2027\u2219\u22c5\u0387\u16eb]\s*/g
const letterDot = /(?<=[\p{L}])\s*\.\s*(?=[\p{L}])/gu
const hanziSpace = /(?<=\p{Script=Han})\s+(?=\p{Script=Han})/gu

const placeholders =
  /^(?:无名氏?|未知|不详|姓名不详|无名[男女]?性?|未知姓名|患者|病人|测试.*|test.*|匿名|(?:无名|未知)[氏女男]?\d*|x+|\d+)$/i

/**
 * A name as it is compared: full-width forms narrow, middle dots of every kind and a dot between letters as U+00B7, no
 * space between hanzi, one between words, Latin letters in capitals, HL7 components joined.
 */
export function readPersonName(name: string): PersonNameReading {
  const joined = name.replace(/\^+/g, ' ').replace(/\s+/g, ' ')
  const folded = foldText(joined)
    .replace(dots, '·')
    .replace(letterDot, '·')
    .replace(/\s+/g, ' ')
    .replace(hanziSpace, '')
    .trim()
    .toUpperCase()
  if (folded === '' || folded === '""') return { folded: null, problem: null }
  return { folded, problem: problemOf(folded) }
}

function problemOf(folded: string): NameProblem | null {
  if (/[?\ufffd]/.test(folded)) return 'garbled'
  if (placeholders.test(folded)) return 'placeholder'
  return /\p{Script=Han}(?:之[子女婴]|之[长次大小][子女]|[大小]?(?:婴儿?|毛毛|宝宝))[一二AB12]?$/u.test(folded)
    ? 'newborn'
    : null
}
