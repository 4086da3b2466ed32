// Superscripts go first: NFKC alone would turn ×10⁹/L into ×109/L.
const superscriptRun = /[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+/g
const superscripts: Readonly<Record<string, string>> = {
  '⁰': '0',
  '¹': '1',
  '²': '2',
  '³': '3',
  '⁴': '4',
  '⁵': '5',
  '⁶': '6',
  '⁷': '7',
  '⁸': '8',
  '⁹': '9',
  '⁺': '+',
  '⁻': '-',
}
const plain = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/**
 * One spelling for one text: superscripts as `^9`, full-width forms narrow (Unicode NFKC), every dash as `-`, every
 * tilde as `~`, comparison signs in ASCII, no space at the ends. For reading only; the verbatim text is kept.
 */
export function foldText(text: string): string {
  if (plain.test(text)) return text
  return text
    .replace(superscriptRun, (run) => `^${Array.from(run, (character) => superscripts[character]).join('')}`)
    .normalize('NFKC')
    .replace(/[‐‑‒–—―−─━ー﹣]/g, '-')
    .replace(/[∼〜˜∽]/g, '~')
    .replace(/[≤≦⩽]/g, '<=')
    .replace(/[≥≧⩾]/g, '>=')
    .replace(/[\u200b-\u200f\u202a-\u202e\ufeff]/g, '')
    .trim()
}
