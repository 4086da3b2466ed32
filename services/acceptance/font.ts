import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { create, type Font } from 'fontkit'
import { UsageError } from '../../core/errors.js'
import { sfntOfWoff } from './woff.js'

export type Weight = 'regular' | 'bold'
/** A font file of the report: one for each weight, and one for what these two lack. */
export type Face = Weight | 'further'

/** Characters in a row that one face prints. */
export interface Run {
  readonly face: Face
  readonly text: string
}

/** The fonts of the report, the first that has a character printing it. */
export interface ReportFonts {
  /** The text in runs; what no face has a glyph for stands as its code point, `〔U+20104〕`. Faces as few as need be. */
  runs(text: string, weight: Weight): readonly Run[]
  /** sfnt; all faces have the line height and the base line of `regular`. */
  bytesOf(face: Face): Buffer
}

interface Loaded {
  readonly bytes: Buffer
  readonly font: Font
}

const files: Readonly<Record<Face, { readonly built: string; readonly source: string }>> = {
  regular: {
    built: 'noto-sans-sc-400.ttf',
    source: '@expo-google-fonts/noto-sans-sc/400Regular/NotoSansSC_400Regular.ttf',
  },
  bold: { built: 'noto-sans-sc-700.ttf', source: '@expo-google-fonts/noto-sans-sc/700Bold/NotoSansSC_700Bold.ttf' },
  further: {
    built: 'lxgw-wenkai-500.woff',
    source: '@fontsource/lxgw-wenkai/files/lxgw-wenkai-latin-500-normal.woff',
  },
}

/**
 * Noto Sans SC (OFL-1.1) has what GB 18030-2022 asks of level 2: GBK, extension A and 通用规范汉字表, 27,774 hanzi; LXGW WenKai
 * (OFL-1.1) prints 1,500 further ones of names, as 𠮷. Files are read when first needed. @throws UsageError where the
 * installation has none, as an edge
 */
export function openReportFonts(): ReportFonts {
  const loaded = new Map<Face, Loaded>()
  const load = (face: Face): Loaded => {
    const known = loaded.get(face)
    if (known !== undefined) return known
    const file = readFileSync(fontFile(face))
    const bytes = face === 'further' ? inLineWith(load('regular').bytes, sfntOfWoff(file)) : file
    const entry = { bytes, font: create(bytes) as Font }
    loaded.set(face, entry)
    return entry
  }
  const has = (face: Face, character: string): boolean =>
    load(face).font.hasGlyphForCodePoint(character.codePointAt(0)!)
  const settle = (character: string, weight: Weight): Run => {
    const plain = character === '\t' || character === '\r' ? ' ' : character
    if (plain === '\n') return { face: weight, text: plain }
    if (!/\p{Cc}|\p{Cs}/u.test(plain)) {
      for (const face of [weight, 'further'] as const) if (has(face, plain)) return { face, text: plain }
    }
    const code = plain.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')
    return { face: weight, text: `〔U+${code}〕` }
  }
  const settled = { regular: new Map<string, Run>(), bold: new Map<string, Run>() }
  return {
    runs(text, weight) {
      const runs: Run[] = []
      for (const character of text) {
        const one = settled[weight].get(character) ?? settle(character, weight)
        settled[weight].set(character, one)
        const last = runs.at(-1)
        if (last?.face === one.face) runs[runs.length - 1] = { face: one.face, text: last.text + one.text }
        else runs.push(one)
      }
      return runs
    },
    bytesOf: (face) => load(face).bytes,
  }
}

/** The font with the ascender, descender and line gap of another of the same units per em (OpenType 1.9, table hhea). */
function inLineWith(other: Buffer, font: Buffer): Buffer {
  const made = Buffer.from(font)
  other.copy(made, tableAt(made, 'hhea') + 4, tableAt(other, 'hhea') + 4, tableAt(other, 'hhea') + 10)
  return made
}

/** Offset of a table (OpenType 1.9, table directory). @throws Error where the font has none */
function tableAt(font: Buffer, tag: string): number {
  for (let index = 0; index < font.readUInt16BE(4); index++) {
    const entry = 12 + 16 * index
    if (font.toString('latin1', entry, entry + 4) === tag) return font.readUInt32BE(entry + 8)
  }
  throw new Error(`the font has no table ${tag}`)
}

/** Beside this file as built, in the package it is copied from where the sources run as they are (tests). */
function fontFile(face: Face): string {
  const { built, source } = files[face]
  const beside = fileURLToPath(new URL(`./font/${built}`, import.meta.url))
  if (existsSync(beside)) return beside
  try {
    return createRequire(import.meta.url).resolve(source)
  } catch (error) {
    throw new UsageError(`the font ${built} is not here: reports are written in the province, not at an edge`, {
      cause: error,
    })
  }
}
