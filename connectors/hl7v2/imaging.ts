import type { EmbeddedDocument, ReportSection } from '../../schemas/types.js'
import type { ReceivedEvent } from '../connector.js'
import { documentsOf } from './documents.js'
import type { FieldText } from './field-text.js'
import { notesText, observerOf, readUnit, readValue } from './observations.js'
import type { ResultLine } from './order-groups.js'
import { timeOf, type Reading } from './reading.js'
import { firstOf, segmentsOf, type ReportGroup } from './report-groups.js'
import { headerHash, interpreter, reportFlags, reportHeader } from './report-header.js'

/** An examination report: its parts as text, its documents, and where the study is. @throws RecordError segment-missing, patient-id-missing */
export function imagingReport(reading: Reading, report: ReportGroup): ReceivedEvent {
  const { text } = reading
  const header = reportHeader(reading, report)
  const groups = report.orders.map((order) => order.group)
  const lines = [...report.unordered, ...groups.flatMap((group) => group.results)]
  const documents: EmbeddedDocument[] = lines.flatMap((line) => documentsOf(text, line))
  const [first, ...more] = groups
  const sections = sectionsOf(
    reading,
    lines.filter((line) => !isStudyLine(text, line)),
  )
  for (const { obr } of more) {
    const code = text.stated(obr, 4)
    if (obr === null || code === text.stated(first?.obr ?? null, 4)) continue
    sections.push({ kind: 'other', code, title: text.stated(obr, 4, 2), text: null, status: text.stated(obr, 25) })
  }
  for (const group of groups) {
    const notes = notesText(text, group.notes)
    if (notes !== null) sections.push({ kind: 'other', code: null, title: null, text: notes, status: null })
  }
  const extra = (name: string) => {
    return firstOf(groups, (group) => segmentsOf(reading, report.patient, group)(name))
  }
  const ipc = extra('IPC')
  const obr = first?.obr ?? null
  return {
    domain: 'imaging-report',
    body: {
      ...header,
      reporter: header.reporter ?? firstOf(groups, (group) => interpreter(reading, group.obr, 35)),
      verifier: header.verifier ?? firstOf(lines, (line) => observerOf(reading, line)),
      contentHash: headerHash(text, report, true),
      accessionNumber: text.stated(ipc, 1) ?? firstOf(groups, (group) => text.stated(group.obr, 18)),
      studyInstanceUid:
        text.stated(extra('ZDS'), 1) ?? text.stated(ipc, 3) ?? firstOf(lines, (line) => studyUidOf(text, line)),
      examCode: text.stated(obr, 4, 1),
      examText: text.stated(obr, 4, 2),
      examSystem: text.stated(obr, 4, 3),
      modality: text.stated(ipc, 5) ?? firstOf(groups, (group) => text.stated(group.obr, 24)),
      bodyPart: firstOf(groups, (group) => bodyPartOf(text, group.obr)),
      examinedAt: firstOf(groups, (group) => timeOf(reading, text.stated(group.obr, 7))),
      sections,
      documents,
      abnormalFlags: firstOf(lines, (line) => text.read(text.raw(line.obx, 8)) || null),
      itemId: null,
      modalityCode: null,
      flags: reportFlags(reading, report, more.length > 0 ? ['several-examinations'] : []),
    },
  }
}

/** Lines that follow each other under one heading are one part. */
function sectionsOf(reading: Reading, lines: readonly ResultLine[]): ReportSection[] {
  const { text } = reading
  const sections: ReportSection[] = []
  for (const line of lines) {
    const { obx } = line
    const valueType = text.read(text.raw(obx, 2))
    if (valueType === 'ED') continue
    const code = text.stated(obx, 3, 1)
    const title = text.stated(obx, 3, 2)
    const status = text.read(text.raw(obx, 11))
    const kind = sectionKind(text, text.raw(obx, 3))
    const body = lineText(text, line, valueType)
    const last = sections.at(-1)
    if (
      last !== undefined &&
      last.kind === kind &&
      last.code === code &&
      last.title === title &&
      last.status === status
    ) {
      sections[sections.length - 1] = { ...last, text: [last.text, body].map((part) => part ?? '').join('\n') }
    } else sections.push({ kind, code, title, text: body, status })
  }
  return sections
}

function lineText(text: FieldText, line: ResultLine, valueType: string | null): string | null {
  const { value } = readValue(text, valueType, text.raw(line.obx, 5))
  const unit = readUnit(text, text.raw(line.obx, 6))
  const notes = notesText(text, line.notes)
  const measured = value !== null && value !== '' && unit !== null && unit !== '' ? `${value} ${unit}` : value
  return notes === null ? measured : [measured ?? '', notes].join('\n')
}

/** Suffixes of OBX-3.1 (HL7 v2.5.1 section 7.4.2.3.1), LOINC and DICOM part codes that name a part of a report. */
const codedParts: ReadonlyMap<string, string> = new Map([
  ['GDT', 'findings'],
  ['IMP', 'impression'],
  ['REC', 'recommendation'],
  ['TCM', 'technique'],
  ['PRC', 'technique'],
  ['HIS', 'history'],
  ['59776-5', 'findings'],
  ['18782-3', 'findings'],
  ['121070', 'findings'],
  ['19005-8', 'impression'],
  ['59777-3', 'impression'],
  ['121072', 'impression'],
  ['121076', 'impression'],
  ['18783-1', 'recommendation'],
  ['121074', 'recommendation'],
  ['55111-9', 'technique'],
  ['11329-0', 'history'],
  ['55752-0', 'history'],
])

/** Words of headings, the first match counts: 临床诊断 is history, 诊断意见 the impression. */
const wordedParts: readonly (readonly [kind: string, words: readonly string[]])[] = [
  ['history', ['临床诊断', '临床资料', '病史', '主诉', 'history', 'clinical information']],
  ['findings', ['所见', '描述', '表现', 'finding']],
  ['impression', ['印象', '诊断', '结论', '意见', '提示', 'impression', 'conclusion', 'diagnosis']],
  ['recommendation', ['建议', 'recommendation']],
  ['technique', ['技术', '方法', 'technique', 'procedure description']],
]

/** findings, impression, recommendation, technique, history or other, by the codes of OBX-3, then by its words. */
export function sectionKind(text: FieldText, obx3: string): string {
  const identifier = text.first(obx3)
  for (const number of [1, 4]) {
    const code = text.component(identifier, number)
    const kind = codedParts.get(text.subcomponent(code, 2)) ?? codedParts.get(text.subcomponent(code, 1))
    if (kind !== undefined) return kind
  }
  for (const number of [2, 5, 1]) {
    const words = text.read(text.component(identifier, number))?.toLowerCase()
    if (!words) continue
    for (const [kind, parts] of wordedParts) if (parts.some((part) => words.includes(part))) return kind
  }
  return 'other'
}

/** DCM 113014 (DICOM Study), 110180 (Study Instance UID) and what senders write for them. */
function isStudyLine(text: FieldText, line: ResultLine): boolean {
  const valueType = text.read(text.raw(line.obx, 2))
  const code = text.of(line.obx, 3, 1)
  const title = text.of(line.obx, 3, 2)?.toLowerCase().replaceAll(' ', '') ?? ''
  return (
    code === '113014' ||
    code === '110180' ||
    title === 'studyinstanceuid' ||
    (valueType === 'HD' && studyUidOf(text, line) !== null)
  )
}

/** A DICOM UID in OBX-5: bare, an HD's universal id, or the studyUID of a WADO pointer (DICOM PS3.18 section 9). */
function studyUidOf(text: FieldText, line: ResultLine): string | null {
  const field = text.first(text.raw(line.obx, 5))
  if (field === '') return null
  const valueType = text.read(text.raw(line.obx, 2))
  if (valueType === 'RP') {
    const pointer = text.read(text.component(field, 1)) ?? ''
    const named = /[?&]studyUID=([0-9.]+)/i.exec(pointer) ?? /\/studies\/([0-9.]+)/.exec(pointer)
    return named?.[1] ?? null
  }
  if (valueType === 'HD') return uidIn(text, [text.component(field, 1), text.component(field, 2)])
  const code = text.of(line.obx, 3, 1)
  const title = text.of(line.obx, 3, 2)?.toLowerCase().replaceAll(' ', '') ?? ''
  return code === '113014' || code === '110180' || title === 'studyinstanceuid'
    ? uidIn(text, [text.component(field, 1), text.component(field, 2)])
    : null
}

function uidIn(text: FieldText, parts: readonly string[]): string | null {
  for (const part of parts) {
    const uid = text.read(part)
    if (uid !== null && uid.length <= 64 && /^[0-9]+(\.[0-9]+)+$/.test(uid)) return uid
  }
  return null
}

/** OBR-15.4 (SPS body site), else the text of OBR-15.1. */
function bodyPartOf(text: FieldText, obr: ReportGroup['orders'][number]['group']['obr']): string | null {
  if (obr === null) return null
  const source = text.first(text.raw(obr, 15))
  for (const component of [text.component(source, 4), text.component(source, 1)]) {
    const part = text.read(text.subcomponent(component, 2)) || text.read(text.subcomponent(component, 1))
    if (part) return part
  }
  return null
}
