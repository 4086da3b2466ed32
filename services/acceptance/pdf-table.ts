import type { Weight } from './font.js'
import type { PdfText } from './pdf-text.js'

export interface PdfTableOptions {
  /** Left edge, points. */
  readonly left: number
  /** Of each column, points. */
  readonly widths: readonly number[]
  /** Kept free at the foot of a page, points. */
  readonly bottom: number
  readonly text: PdfText
  /** Colour of a cell; the usual one where undefined. */
  readonly colourOf?: (row: number, column: number) => string | undefined
}

const padding = 4
const fontSize = 8

/** A ruled table whose rows are never cut by the end of a page; its head stands again on every page. */
export class PdfTable {
  constructor(
    private readonly doc: PDFKit.PDFDocument,
    private readonly options: PdfTableOptions,
  ) {}

  /** An empty head is left out; the first column of such a table is set bold. */
  write(head: readonly string[], rows: readonly (readonly string[])[]): void {
    const { doc, options } = this
    const hasHead = head.length > 0
    if (hasHead) this.row(head, () => 'bold', '#f0f2f5')
    for (const [index, cells] of rows.entries()) {
      const weightOf = (column: number): Weight =>
        (!hasHead && column === 0) || options.colourOf?.(index, column) !== undefined ? 'bold' : 'regular'
      const height = this.heightOf(cells, weightOf)
      if (doc.y + height > doc.page.height - options.bottom) {
        doc.addPage()
        if (hasHead) this.row(head, () => 'bold', '#f0f2f5')
      }
      this.row(cells, weightOf, undefined, index)
    }
    doc.x = options.left
  }

  private heightOf(cells: readonly string[], weightOf: (column: number) => Weight): number {
    const { doc, options } = this
    const heights = cells.map((cell, column) => {
      doc.fontSize(fontSize)
      return options.text.heightOf(cell, weightOf(column), this.textOptions(column))
    })
    return Math.max(...heights) + 2 * padding
  }

  private textOptions(column: number): { readonly width: number; readonly lineGap: number } {
    return { width: (this.options.widths[column] ?? 0) - 2 * padding, lineGap: 1 }
  }

  private row(cells: readonly string[], weightOf: (column: number) => Weight, fill?: string, index = -1): void {
    const { doc, options } = this
    const top = doc.y
    const height = this.heightOf(cells, weightOf)
    let left = options.left
    for (const [column, cell] of cells.entries()) {
      const width = options.widths[column] ?? 0
      doc.rect(left, top, width, height).lineWidth(0.5).strokeColor('#b8bec6')
      if (fill === undefined) doc.stroke()
      else doc.fillAndStroke(fill, '#b8bec6')
      doc.fontSize(fontSize).fillColor((index < 0 ? undefined : options.colourOf?.(index, column)) ?? '#1a1a1a')
      options.text.write(cell, weightOf(column), this.textOptions(column), left + padding, top + padding)
      left += width
    }
    doc.y = top + height
  }
}
