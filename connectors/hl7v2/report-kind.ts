import type { FeedRules, ReportKind } from './feed-rules.js'
import type { FieldText } from './field-text.js'
import type { OrderGroup } from './order-groups.js'

/**
 * Diagnostic service sections (OBR-24, HL7 v2.5.1 table 0074) that are examinations, microbiology or pathology, and the
 * DICOM modalities (PS3.3 C.7.3.1.1.1) that senders put there instead. PT is physical therapy in the one and PET in the
 * other: a feed that means PET says so under localReportTypes.
 */
const sections: ReadonlyMap<string, ReportKind> = new Map([
  ...entries('imaging', 'RAD CT CTH CUS EC EN IMG NMR NMS OUS RUS RX VUS XRC'),
  ...entries('imaging', 'CR DR DX ECG EKG ES MG MR NM RF US XA'),
  ...entries('microbiology', 'MB MCB MYC'),
  ...entries('pathology', 'PAT SP CP'),
])

function entries(kind: ReportKind, codes: string): [string, ReportKind][] {
  return codes.split(' ').map((code) => [code, kind])
}

/** Codes that only an imaging report's first result bears: LOINC for its parts and the whole, DCM 113014 for its study. */
const imagingParts: ReadonlySet<string> = new Set(['18782-3', '19005-8', '59776-5', '59777-3', '18748-4', '113014'])

/** What an order group is by the feed's own rules, the service section or its structure; null where none of them says. */
export function statedKind(
  rules: FeedRules,
  text: FieldText,
  application: string,
  group: OrderGroup,
): ReportKind | null {
  const code = text.stated(group.obr, 4) ?? ''
  const section = text.stated(group.obr, 24) ?? ''
  for (const type of rules.localReportTypes) {
    if (type.sendingApplications !== null && !type.sendingApplications.has(application)) continue
    if (type.sections !== null && !type.sections.has(section)) continue
    if (type.codes !== null && !type.codes.has(code)) continue
    if (type.codePrefixes !== null && !type.codePrefixes.some((prefix) => code.startsWith(prefix))) continue
    return type.kind
  }
  const known = section === '' ? undefined : sections.get(section.toUpperCase())
  if (known !== undefined) return known
  if (section !== '') return null
  if (group.others.some((segment) => segment.name === 'ZDS' || segment.name === 'IPC')) return 'imaging'
  const first = group.results[0]
  return first !== undefined && imagingParts.has(text.stated(first.obx, 3) ?? '') ? 'imaging' : null
}

const strength: Readonly<Record<ReportKind, number>> = { lab: 0, microbiology: 1, pathology: 2, imaging: 3 }

/** The kind of a report is the most particular among its order groups. */
export function strongerKind(a: ReportKind, b: ReportKind): ReportKind {
  return strength[b] > strength[a] ? b : a
}
