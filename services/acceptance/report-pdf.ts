import PDFDocument from 'pdfkit'
import { openReportFonts } from './font.js'
import type { AcceptanceReport, ItemResult, ReportItem } from './report.js'
import { PdfTable } from './pdf-table.js'
import { PdfText } from './pdf-text.js'

const margin = 48
const ink = '#1a1a1a'
const grey = '#666666'
const resultNames: Readonly<Record<ItemResult, string>> = {
  passed: '通过',
  failed: '不通过',
  'not-shown': '未验证',
  waived: '豁免',
}
const resultColours: Readonly<Record<ItemResult, string>> = {
  passed: '#1b6e3c',
  failed: '#b3261e',
  'not-shown': '#8a5a00',
  waived: '#5b3fa0',
}

/** The report in Chinese, A4, fonts embedded; ends with the lines the two parties sign on. */
export function reportPdf(report: AcceptanceReport): Promise<Buffer> {
  const fonts = openReportFonts()
  const doc = new PDFDocument({
    size: 'A4',
    margin,
    bufferPages: true,
    lang: 'zh-CN',
    info: {
      Title: `联调测试报告 ${report.hospital} ${report.feed}`,
      Author: 'Hutong',
      CreationDate: new Date(report.generatedAt),
    },
  })
  const parts: Buffer[] = []
  doc.on('data', (part: Buffer) => parts.push(part))
  const done = new Promise<Buffer>((resolve, reject) => {
    doc.on('end', () => resolve(Buffer.concat(parts)))
    doc.on('error', reject)
  })
  const page = new Page(doc, new PdfText(doc, fonts))
  writeHead(page, report)
  writeChecklist(page, report)
  writeFigures(page, report)
  writeSignatures(page, report)
  writeFooters(doc, page, report)
  doc.end()
  return done
}

/** The document with the few ways in which text is set. */
class Page {
  constructor(
    readonly doc: PDFKit.PDFDocument,
    readonly text: PdfText,
  ) {}

  get width(): number {
    return this.doc.page.width - 2 * margin
  }

  heading(text: string): void {
    this.keep(70)
    this.doc.moveDown(0.9)
    this.doc.fontSize(12).fillColor(ink)
    this.text.write(text, 'bold', {}, margin)
    this.doc.moveDown(0.35)
  }

  line(text: string, size = 9, colour = ink): void {
    this.doc.fontSize(size).fillColor(colour)
    this.text.write(text, 'regular', { width: this.width, lineGap: 2 }, margin)
  }

  /** Starts a new page where less than this height is left, points. */
  keep(height: number): void {
    if (this.doc.y + height > this.doc.page.height - margin - 16) this.doc.addPage()
  }

  table(widths: readonly number[], head: readonly string[], rows: readonly (readonly string[])[]): PdfTable {
    const table = new PdfTable(this.doc, { left: margin, widths, bottom: margin + 16, text: this.text })
    table.write(head, rows)
    return table
  }
}

function writeHead(page: Page, report: AcceptanceReport): void {
  const { doc } = page
  page.text.use('bold').fontSize(20).fillColor(ink)
  doc.text('医院数据接入联调测试报告', margin, 60, { width: page.width, align: 'center' })
  page.text.use('regular').fontSize(9).fillColor(grey)
  doc.text(`互通 Hutong ${report.product}　检查表第 ${report.checklist} 版`, { width: page.width, align: 'center' })
  doc.moveDown(1)
  const hospital = report.hospitalName === null ? report.hospital : `${report.hospitalName}（${report.hospital}）`
  page.table(
    [90, page.width - 90],
    [],
    [
      ['医院', hospital],
      ['平台', report.platformName ?? '—'],
      ['来源（feed）', `${report.feed}　连接器 ${report.connector}　环境 ${report.environment}`],
      ['测试期间', `${report.period.from} 至 ${report.period.to}　共 ${report.evidence.messages} 条消息`],
      ['出具', `${localTime(report.generatedAt)}　${report.generatedBy}`],
      ['配置指纹', report.configurationSha256],
    ],
  )
  const passed = report.conclusion === 'passed'
  const colour = passed ? resultColours.passed : resultColours.failed
  const counts = (['passed', 'waived', 'not-shown', 'failed'] as const)
    .map((result) => `${resultNames[result]} ${report.items.filter((item) => item.result === result).length}`)
    .join('　')
  doc.moveDown(0.8)
  const top = doc.y
  doc.roundedRect(margin, top, page.width, 44, 4).lineWidth(1.2).strokeColor(colour).stroke()
  page.text.use('bold').fontSize(14).fillColor(colour)
  doc.text(`结论：${passed ? '通过，可申请启用正式环境' : '未通过'}`, margin + 12, top + 7, { lineBreak: false })
  page.text.use('regular').fontSize(9).fillColor(grey)
  doc.text(`${report.items.length} 项：${counts}`, margin + 12, top + 27, { lineBreak: false })
  doc.x = margin
  doc.y = top + 50
}

function writeChecklist(page: Page, { items }: AcceptanceReport): void {
  page.heading('一、检查表')
  const widths = [20, 68, 130, 44, page.width - 262]
  const table = new PdfTable(page.doc, {
    left: margin,
    widths,
    bottom: margin + 16,
    text: page.text,
    colourOf: (row, column) => (column === 3 ? resultColours[items[row]!.result] : undefined),
  })
  table.write(
    ['', '项目', '要求', '结果', '依据'],
    items.map((item, index) => [
      String(index + 1),
      item.title.zh + (item.isOptional ? '（选做）' : ''),
      item.requirement.zh,
      resultNames[item.result],
      ground(item),
    ]),
  )
  page.doc.moveDown(0.3)
  page.line(
    '“依据”中的编号为消息标识（来源与字节的 SHA-256）前 12 位，完整编号见同名 JSON 文件；本报告不含患者信息。',
    7.5,
    grey,
  )
}

function ground({ finding, messages, waiver }: ReportItem): string {
  const ids =
    messages.length === 0
      ? ''
      : `\n消息 ${messages
          .slice(0, 3)
          .map((id) => id.slice(0, 12))
          .join(' ')}`
  return finding.zh + ids + (waiver === null ? '' : `\n豁免：${waiver.by}，${waiver.reason}`)
}

function writeFigures(page: Page, { evidence }: AcceptanceReport): void {
  const { days, kinds, results, deadLetters, outages, declaredOutages, patients, charset } = evidence
  page.heading('二、逐日平账')
  if (days.length === 0) page.line('期间没有消息。')
  else {
    page.table(
      [76, 46, 46, 46, 46, 46, 46, 46, 54, page.width - 452],
      ['日期', '接收', '入库', '被取代', '死信', '忽略', '在途', '重复', '医院计数', '平账'],
      days.map((day) => [
        day.day,
        ...[day.received, day.stored, day.superseded, day.deadLettered, day.ignored, day.inFlight].map(String),
        String(day.duplicates),
        day.hospitalCount === null ? '—' : String(day.hospitalCount),
        day.balanced ? '是' : '否',
      ]),
    )
  }
  page.heading('三、数据概况')
  const list = (entries: readonly { readonly name: string; readonly count: number }[]): string =>
    entries.length === 0 ? '无' : entries.map(({ name, count }) => `${name}（${count}）`).join('；')
  page.table(
    [110, page.width - 110],
    [],
    [
      ['消息类型', list(kinds)],
      ['字符集', list(charset.used)],
      [
        '检验结果',
        `共 ${results.total}，已对照 ${results.mapped}；数值 ${results.numeric}，单位可识别 ${results.unitRead}`,
      ],
      ['未对照代码（前 20）', list(results.unmapped)],
      ['未识别单位（前 20）', list(results.unitRefused)],
      ['患者', `共 ${patients.total}，有效身份证号 ${patients.validIdNumber}；${list(patients.problems)}`],
      [
        '死信',
        deadLetters.length === 0
          ? '无'
          : list(deadLetters.map(({ code, state, count }) => ({ name: `${code} ${states[state] ?? state}`, count }))),
      ],
      [
        '断线续传',
        outages.length + declaredOutages.length === 0
          ? '无'
          : [...outages, ...declaredOutages]
              .map(
                (one) => `${localTime(one.from)} 至 ${localTime(one.to)}，补传 ${one.messages} 条，缺 ${one.missing}`,
              )
              .join('；'),
      ],
    ],
  )
}

const states: Readonly<Record<string, string>> = { open: '未处理', redriven: '已重投', resolved: '已解决' }

function writeSignatures(page: Page, report: AcceptanceReport): void {
  page.keep(150)
  page.heading('四、确认')
  page.line('双方确认以上结果属实。本报告的 JSON 文件带有平台的 Ed25519 数字签名，其中记录了本 PDF 文件的 SHA-256。')
  const { doc } = page
  const half = page.width / 2
  const top = doc.y + 18
  const parties = [
    [margin, `医院：${report.hospitalName ?? report.hospital}`],
    [margin + half, `平台：${report.platformName ?? ''}`],
  ] as const
  for (const [left, name] of parties) {
    doc.fontSize(10).fillColor(ink)
    page.text.write(name, 'regular', { width: half - 20, oneLine: true }, left, top)
    for (const [index, label] of ['签字（盖章）', '日期'].entries()) {
      const y = top + 34 + index * 34
      doc.text(label, left, y, { lineBreak: false })
      doc
        .moveTo(left + 70, y + 13)
        .lineTo(left + half - 30, y + 13)
        .lineWidth(0.6)
        .strokeColor(grey)
        .stroke()
    }
  }
}

function writeFooters(doc: PDFKit.PDFDocument, page: Page, report: AcceptanceReport): void {
  const { start, count } = doc.bufferedPageRange()
  for (let index = start; index < start + count; index++) {
    doc.switchToPage(index)
    // text below the bottom margin would otherwise open a page
    doc.page.margins.bottom = 0
    doc.fontSize(7.5).fillColor(grey)
    const y = doc.page.height - margin + 8
    const place = `${report.hospital}　${report.feed}　${report.period.from} 至 ${report.period.to}`
    page.text.write(place, 'regular', { oneLine: true }, margin, y)
    doc.text(`第 ${index + 1} 页　共 ${count} 页`, margin, y, { width: page.width, align: 'right', lineBreak: false })
  }
}

const localTime = (ms: number): string => new Date(ms + 8 * 3_600_000).toISOString().slice(0, 16).replace('T', ' ')
