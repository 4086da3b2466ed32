import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { create, type Font } from 'fontkit'
import { sfntOfWoff } from './woff.js'

/** A font of the report with what it can print. */
export interface ReportFont {
  /** sfnt */
  readonly bytes: Buffer
  /** The text as this font prints it: what it has no glyph for stands as its code point, `〔U+3F06〕`. */
  printable(text: string): string
}

/** Noto Sans SC (OFL-1.1), about 7,900 characters. @throws Error where the installation is incomplete */
export function loadReportFont(weight: 400 | 700): ReportFont {
  const bytes = sfntOfWoff(readFileSync(fontFile(`noto-sans-sc-chinese-simplified-${weight}-normal.woff`)))
  const font = create(bytes) as Font
  const printed = new Map<string, string>()
  const has = (character: string): boolean => font.hasGlyphForCodePoint(character.codePointAt(0)!)
  const printOne = (character: string): string => {
    if (character === '\n') return character
    if (has(character) && !/\p{Cc}|\p{Cs}/u.test(character)) return character
    const likeness = likenesses[character]
    if (likeness !== undefined && [...likeness].every(has)) return likeness
    return `〔U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}〕`
  }
  return {
    bytes,
    printable: (text) =>
      Array.from(text, (character) => {
        const known = printed.get(character)
        if (known !== undefined) return known
        const shown = printOne(character)
        printed.set(character, shown)
        return shown
      }).join(''),
  }
}

/** What is read the same by everybody. */
const likenesses: Readonly<Record<string, string>> = {
  ...{ μ: 'µ', '≥': '>=', '≤': '<=', '∅': '（无）', Ω: 'Ω', '−': '-', '\t': ' ', '\r': ' ' },
}

/** Beside this file as built, in the package it is copied from where the sources run as they are (tests). */
function fontFile(name: string): string {
  const built = fileURLToPath(new URL(`./font/${name}`, import.meta.url))
  return existsSync(built) ? built : createRequire(import.meta.url).resolve(`@fontsource/noto-sans-sc/files/${name}`)
}
