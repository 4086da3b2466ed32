import PDFDocument from 'pdfkit'
import { expect, test } from 'vitest'
import { openReportFonts, type Weight } from '../../../services/acceptance/font.js'
import { PdfText } from '../../../services/acceptance/pdf-text.js'

const fonts = openReportFonts()
const weights: readonly Weight[] = ['regular', 'bold']
const gb18030 = new TextDecoder('gb18030', { fatal: true })

/** Hanzi of the two-byte codes whose bytes lie within the bounds. */
function hanziOf(first: readonly [number, number], second: readonly [number, number]): string {
  let text = ''
  for (let lead = first[0]; lead <= first[1]; lead++) {
    for (let trail = second[0]; trail <= second[1]; trail++) {
      if (trail !== 0x7f) text += gb18030.decode(Uint8Array.of(lead, trail))
    }
  }
  return Array.from(text)
    .filter((character) => /\p{Script=Han}/u.test(character))
    .join('')
}

test.each(weights)('the first face prints GB 2312, GBK and extension A whole, %s', (weight) => {
  // GB 2312-1980, rows 16 to 87: level 1 and 2
  const gb2312 = hanziOf([0xb0, 0xf7], [0xa1, 0xfe])
  expect(gb2312).toHaveLength(6763)
  const gbk = hanziOf([0x81, 0xa0], [0x40, 0xfe]) + hanziOf([0xaa, 0xfe], [0x40, 0xa0])
  expect(gbk.length).toBeGreaterThan(13_000)
  const extensionA = Array.from({ length: 0x4db5 - 0x3400 + 1 }, (_, index) => String.fromCodePoint(0x3400 + index))
  for (const text of [gb2312, gbk, extensionA.join('')])
    expect(fonts.runs(text, weight)).toEqual([{ face: weight, text }])
})

test('names are printed by the first face that has them, and by code point where none has', () => {
  // 𬱖 and 𫖮 are of 通用规范汉字表, table 3
  expect(fonts.runs('㼆䶮龘镕喆堃垚𬱖𫖮', 'regular')).toEqual([{ face: 'regular', text: '㼆䶮龘镕喆堃垚𬱖𫖮' }])
  expect(fonts.runs('李𠮷\u{20104}某\u0007\t≥', 'bold')).toEqual([
    { face: 'bold', text: '李' },
    { face: 'further', text: '𠮷' },
    { face: 'bold', text: '〔U+20104〕某〔U+0007〕 ≥' },
  ])
})

test('a line with a character of another face stands where it would stand without it', () => {
  const doc = new PDFDocument({ size: 'A4', margin: 40 })
  doc.resume()
  const text = new PdfText(doc, fonts)
  const heights = (['regular', 'bold', 'further'] as const).map((face) => text.use(face).currentLineHeight(true))
  expect(new Set(heights).size).toBe(1)
  const options = { width: 60, lineGap: 1 }
  const linesOf = (words: string): number => {
    doc.fontSize(8)
    const height = text.heightOf(words, 'regular', options)
    text.write(words, 'regular', options, 40, 100)
    expect(doc.y).toBeCloseTo(100 + height, 5)
    return Math.round(height / (doc.currentLineHeight(true) + 1))
  }
  expect(linesOf('由国某某甲乙丙丁戊己庚辛')).toBe(2)
  expect(linesOf('由𠮷某某甲乙丙𠮷戊己庚𠮷')).toBe(2)
  expect(linesOf('𠮷')).toBe(1)
  expect(linesOf('𠮷\n𠮷 0123456789abcdef0123456789abcdef')).toBeGreaterThan(3)
  doc.end()
})
