/** POS, NEG, WEAK, INDETERMINATE, or a count of plus signs `1+` … `5+`. */
export type Qualitative = 'POS' | 'NEG' | 'WEAK' | 'INDETERMINATE' | '1+' | '2+' | '3+' | '4+' | '5+'

const words: Readonly<Record<Exclude<Qualitative, '1+' | '2+' | '3+' | '4+' | '5+'>, readonly string[]>> = {
  NEG: [
    '阴性',
    '阴',
    'neg',
    'neg.',
    'negative',
    '未检出',
    '未检测到',
    '未测出',
    '未发现',
    '未查见',
    '未见',
    '未找到',
    '无反应性',
    '非反应性',
    'non-reactive',
    'nonreactive',
    'notdetected',
    'undetected',
    'none',
    'notseen',
    'normal',
    'norm',
    'norm.',
    '正常',
    'absent',
    '(-)',
    '[-]',
  ],
  POS: [
    '阳性',
    '阳',
    'pos',
    'pos.',
    'positive',
    '检出',
    '已检出',
    '检测到',
    '有反应性',
    '反应性',
    'reactive',
    'detected',
    'present',
    '强阳性',
  ],
  WEAK: [
    '弱阳性',
    '弱阳',
    '弱阳性反应',
    '±',
    '(±)',
    '+-',
    '+/-',
    '-+',
    '(+-)',
    '(+/-)',
    'trace',
    'tr',
    'weakpositive',
    '微量',
    '微弱阳性',
    'weaklypositive',
    'weaklyreactive',
  ],
  INDETERMINATE: [
    '可疑',
    '可疑阳性',
    '不确定',
    '灰区',
    '临界',
    '待定',
    'indeterminate',
    'equivocal',
    'inconclusive',
    'borderline',
    'grayzone',
    'greyzone',
  ],
}

const byWord = new Map<string, Qualitative>(
  Object.entries(words).flatMap(([meaning, list]) => list.map((word) => [word, meaning as Qualitative] as const)),
)

// SNOMED CT and LOINC answer codes of HL7 feeds; nothing else is read from a code alone.
const byCode = new Map<string, Qualitative>([
  ['260385009', 'NEG'],
  ['260415000', 'NEG'],
  ['131194007', 'NEG'],
  ['10828004', 'POS'],
  ['260373001', 'POS'],
  ['11214006', 'POS'],
  ['52101004', 'POS'],
  ['260408008', 'WEAK'],
  ['82334004', 'INDETERMINATE'],
  ['419984006', 'INDETERMINATE'],
  ['LA6577-6', 'NEG'],
  ['LA11883-8', 'NEG'],
  ['LA6576-8', 'POS'],
  ['LA11882-0', 'POS'],
])

const plusRun = /^\(?(\+{1,5})\)?$/
const plusCount = /^\(?(?:([1-5])\+|\+([1-5]))\)?$/

/**
 * The ordinal reading of a folded value: words, `±`, `++`, `2+`, `+2`, with or without brackets. A lone `-` is NEG;
 * where a number is expected the caller must not ask, for there it means "none".
 */
export function readQualitative(folded: string): Qualitative | null {
  const text = folded.toLowerCase().replace(/\s+/g, '')
  if (text === '-') return 'NEG'
  const run = plusRun.exec(text)?.[1]
  if (run !== undefined) return `${run.length as 1 | 2 | 3 | 4 | 5}+`
  const count = plusCount.exec(text)
  if (count !== null) return `${(count[1] ?? count[2]) as '1' | '2' | '3' | '4' | '5'}+`
  const word = byWord.get(text)
  if (word !== undefined) return word
  return readTwice(text)
}

/** The ordinal reading of a coded answer (CE or CWE identifier), or null. */
export function readQualitativeCode(code: string | null): Qualitative | null {
  return code === null ? null : (byCode.get(code) ?? null)
}

/** `阴性(-)`, `阳性(++)`, `(-)阴性`, `-阴性`: said twice, and only taken where both agree or the signs count the word. */
function readTwice(text: string): Qualitative | null {
  const match =
    /^([^()]+)\(([^()]+)\)$/.exec(text) ??
    /^\(([^()]+)\)([^()]+)$/.exec(text) ??
    /^(-|±|\+{1,5}|[1-5]\+)([^-+±].*)$/.exec(text)
  if (match === null) return null
  const first = readSimple(match[1] ?? '')
  const second = readSimple(match[2] ?? '')
  if (first === null || second === null) return null
  if (first === second) return first
  const counted = (a: Qualitative, b: Qualitative): boolean => a === 'POS' && b.endsWith('+')
  if (counted(first, second)) return second
  return counted(second, first) ? first : null
}

function readSimple(text: string): Qualitative | null {
  if (text === '-') return 'NEG'
  const run = plusRun.exec(text)?.[1]
  if (run !== undefined) return `${run.length as 1 | 2 | 3 | 4 | 5}+`
  const count = plusCount.exec(text)
  if (count !== null) return `${(count[1] ?? count[2]) as '1' | '2' | '3' | '4' | '5'}+`
  return byWord.get(text) ?? null
}

/** S, I, R, SDD or NS. */
export type Susceptibility = 'S' | 'I' | 'R' | 'SDD' | 'NS'

const susceptibilities = new Map<string, Susceptibility>([
  ['s', 'S'],
  ['敏感', 'S'],
  ['susceptible', 'S'],
  ['sensitive', 'S'],
  ['i', 'I'],
  ['中介', 'I'],
  ['中敏', 'I'],
  ['intermediate', 'I'],
  ['r', 'R'],
  ['耐药', 'R'],
  ['resistant', 'R'],
  ['sdd', 'SDD'],
  ['剂量依赖敏感', 'SDD'],
  ['剂量依赖性敏感', 'SDD'],
  ['ns', 'NS'],
  ['非敏感', 'NS'],
  ['不敏感', 'NS'],
])

/** CLSI category of a folded word or letter, or null. HL7 table 0078 has S, I and R among the abnormal flags. */
export function readSusceptibility(folded: string): Susceptibility | null {
  return susceptibilities.get(folded.trim().toLowerCase()) ?? null
}
