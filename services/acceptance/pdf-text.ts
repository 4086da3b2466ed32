import type { Face, ReportFonts, Run, Weight } from './font.js'

export interface TextSpace {
  /** Points; where left out, or with `oneLine`, the text stays on one line. */
  readonly width?: number
  /** Between lines, points. */
  readonly lineGap?: number
  readonly oneLine?: boolean
}

/** Sets text in a document, each character in the first face that has it. */
export class PdfText {
  private readonly registered = new Set<Face>()

  constructor(
    private readonly doc: PDFKit.PDFDocument,
    private readonly fonts: ReportFonts,
  ) {}

  /** At x and y, where given, in the size and colour that the document has; the document goes on below it. */
  write(text: string, weight: Weight, space: TextSpace = {}, x?: number, y?: number): void {
    const { doc } = this
    const { width, lineGap = 0, oneLine = false } = space
    const runs = this.runs(text, weight)
    this.use(weight)
    if (runs.length === 1) {
      const options = { lineGap, ...(width !== undefined && { width }) }
      doc.text(runs[0]!.text, x, y, { ...options, ...(oneLine && { lineBreak: false, ellipsis: width !== undefined }) })
      return
    }
    const left = x ?? doc.x
    let top = y ?? doc.y
    for (const line of this.lines(
      runs,
      oneLine ? Infinity : (width ?? doc.page.width - left - doc.page.margins.right),
    )) {
      const height = doc.currentLineHeight(true) + lineGap
      if (!oneLine && top + height > doc.page.height - doc.page.margins.bottom) {
        doc.addPage()
        top = doc.page.margins.top
      }
      let at = left
      for (const run of line) {
        this.use(run.face).text(run.text, at, top, { lineBreak: false })
        at += doc.widthOfString(run.text)
      }
      top += height
    }
    this.use(weight)
    doc.x = left
    doc.y = top
  }

  /** Height that `write` takes, points. */
  heightOf(text: string, weight: Weight, { width = Infinity, lineGap = 0 }: TextSpace): number {
    const runs = this.runs(text, weight)
    this.use(weight)
    if (runs.length === 1) return this.doc.heightOfString(runs[0]!.text, { width, lineGap })
    return this.lines(runs, width).length * (this.doc.currentLineHeight(true) + lineGap)
  }

  /** Makes a face the font of the document. */
  use(face: Face): PDFKit.PDFDocument {
    if (!this.registered.has(face)) this.doc.registerFont(face, this.fonts.bytesOf(face))
    this.registered.add(face)
    return this.doc.font(face)
  }

  private runs(text: string, weight: Weight): readonly Run[] {
    return this.fonts.runs(text === '' ? ' ' : text, weight)
  }

  /** As many characters to a line as there is width for, words of ASCII kept whole where one fits into a line. */
  private lines(runs: readonly Run[], width: number): readonly (readonly Run[])[] {
    let line: Run[] = []
    const lines = [line]
    let used = 0
    const put = (face: Face, text: string): void => {
      const wide = this.use(face).widthOfString(text)
      if (wide > width && Array.from(text).length > 1) {
        for (const character of text) put(face, character)
        return
      }
      if (text === '\n' || (used > 0 && used + wide > width)) {
        lines.push((line = []))
        used = 0
        if (text === '\n' || text === ' ') return
      }
      const last = line.at(-1)
      if (last?.face === face) line[line.length - 1] = { face, text: last.text + text }
      else line.push({ face, text })
      used += wide
    }
    for (const { face, text } of runs) for (const [word] of text.matchAll(/[!-~]+|[^]/gu)) put(face, word)
    return lines
  }
}
