import { foldText } from './fold.js'

/** GB/T 2261.1-2003: 0 unknown, 1 male, 2 female, 9 unstated. */
export type SexCode = '0' | '1' | '2' | '9'

const spellings: Readonly<Record<SexCode, readonly string[]>> = {
  '0': ['0', 'u', 'unknown', '未知', '未知的性别', '不详', '性别不详'],
  '1': ['1', 'm', 'male', '男', '男性', '1男'],
  '2': ['2', 'f', 'female', '女', '女性', '2女'],
  // HL7 table 0001: O other, A ambiguous, N not applicable. GB/T 2261.1 has no code of theirs; the original is kept.
  '9': ['9', 'o', 'a', 'n', 'other', 'ambiguous', '未说明', '未说明的性别', '其他', '其它'],
}
const bySpelling = new Map(
  Object.entries(spellings).flatMap(([code, list]) => list.map((text) => [text, code as SexCode] as const)),
)

/** Reads GB/T 2261.1, HL7 v2.5.1 table 0001 and words; null where it is none of them. Coded forms: before the `^`. */
export function readSex(sex: string): SexCode | null {
  const text = foldText(sex.split('^')[0] ?? '')
    .replace(/[\s.-]+/g, '')
    .toLowerCase()
  return bySpelling.get(text) ?? null
}
