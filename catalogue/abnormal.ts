import { foldText } from './fold.js'

/** HL7 v2.5.1 table 0078, as far as it says how a value lies. */
export type AbnormalFlag = 'L' | 'H' | 'LL' | 'HH' | '<' | '>' | 'N' | 'A' | 'AA'

export interface AbnormalReading {
  readonly flag: AbnormalFlag | null
  /** Something is stated that cannot be read. */
  readonly unknown: boolean
}

const marks: Readonly<Record<AbnormalFlag, readonly string[]>> = {
  H: ['h', '↑', '高', '偏高', '升高', '增高', 'high', 'hi', '+h'],
  L: ['l', '↓', '低', '偏低', '降低', '减低', 'low', 'lo'],
  HH: ['hh', '↑↑', '极高', '过高', '危急高', '危急高值', 'h!', 'hh!', 'criticalhigh'],
  LL: ['ll', '↓↓', '极低', '过低', '危急低', '危急低值', 'l!', 'll!', 'criticallow'],
  '<': ['<'],
  '>': ['>'],
  N: ['n', '正常', 'normal', '--', '-', '—', 'z', '阴性', 'neg'],
  A: ['a', '*', '异常', '阳性', '+', 'abnormal', 'abn', 'pos', '弱阳性', 'p', '±'],
  AA: ['aa', '**', '危急', '危急值', '!', '!!', 'critical', 'crit', 'c!'],
}
const byMark = new Map(
  Object.entries(marks).flatMap(([flag, list]) => list.map((mark) => [mark, flag as AbnormalFlag] as const)),
)
const severity: readonly AbnormalFlag[] = ['N', 'A', 'L', 'H', '<', '>', 'AA', 'LL', 'HH']
// Trends, and the interpretations of susceptibility tests, say nothing about how the value lies.
const otherwiseKnown = new Set([
  'u',
  'd',
  'b',
  'w',
  's',
  'i',
  'r',
  'ms',
  'vs',
  'sdd',
  'ns',
  'q',
  'null',
  '""',
  'm',
  '0',
])

const none: AbnormalReading = { flag: null, unknown: false }

/** Reads OBX-8; of several (`H~A`) the gravest. A flag is never worked out from value and range. */
export function readAbnormal(flags: string | null): AbnormalReading {
  if (flags === null || flags === '' || flags === 'N') return flags === 'N' ? { flag: 'N', unknown: false } : none
  let flag: AbnormalFlag | null = null
  let unknown = false
  for (const part of splitFlags(flags)) {
    const mark = foldText(part).replace(/\s+/g, '').toLowerCase()
    if (mark === '' || otherwiseKnown.has(mark)) continue
    const read = byMark.get(mark)
    if (read === undefined) unknown = true
    else if (flag === null || severity.indexOf(read) > severity.indexOf(flag)) flag = read
  }
  return { flag, unknown }
}

/** Single flags of OBX-8: repetitions stand on `~` or on lines, a coded flag (CWE) before its `^`. */
export function splitFlags(flags: string): string[] {
  return flags.split(/[~\n]/).map((part) => part.split('^')[0] ?? '')
}
