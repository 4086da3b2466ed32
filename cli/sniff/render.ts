import { ignoreReasons } from '../../core/errors.js'
import type { TypeSeen } from '../../connectors/survey/hl7-survey.js'
import type { CodeReading } from '../../connectors/survey/local-codes.js'
import type { Count } from '../../connectors/survey/tally.js'
import { table } from '../terminal.js'
import type { SniffReport } from './report.js'
import type { SniffTexts } from './texts.js'

const rowsMax = 30

/** The report for people. Texts of the sample were made fit to be shown before they came here. */
export function reportText(report: SniffReport, texts: SniffTexts): string {
  const { word } = texts
  const sections = [headText(report, texts)]
  const { hl7 } = report
  if (hl7 === null) sections.push(`${word('noHl7')}\n`)
  else {
    sections.push(
      table(summaryRows(hl7, texts)),
      `${word('types')}\n${table(hl7.types.slice(0, rowsMax).map((type) => ['  ' + (type.type || word('blank')), String(type.count), treatmentText(type), outcomesText(type)]))}`,
      identifiersText(hl7, texts),
      unitsText(hl7, texts),
      codesText(hl7.codes, texts),
    )
    if (hl7.draft.advice.length > 0)
      sections.push(`${word('advice')}\n${hl7.draft.advice.map((one) => `  - ${texts.advice(one)}\n`).join('')}`)
  }
  return sections.filter((section) => section !== '').join('\n')
}

function headText(report: SniffReport, texts: SniffTexts): string {
  const { word } = texts
  const lines: string[] = []
  if (report.line !== null) lines.push(texts.line(report.line))
  else {
    const odd = report.unreadable > 0 ? `, ${report.unreadable} ${word('unreadable')}` : ''
    lines.push(`${word('title')}: ${report.files} ${word('files')}, ${report.bytes} B${odd}`)
  }
  if (report.truncated) lines.push(word('truncated'))
  for (const { family, count, evidence } of report.families) {
    const shown = evidence.slice(0, 4).map((one) => texts.evidence(one) + (one.count > 1 ? ` ×${one.count}` : ''))
    lines.push(`${word('family')}: ${texts.family(family)} ×${count}  [${shown.join('; ')}]`)
  }
  return `${lines.join('\n')}\n`
}

type Hl7 = NonNullable<SniffReport['hl7']>

function summaryRows(hl7: Hl7, { word }: SniffTexts): string[][] {
  const { sizes, charset, controlIds, times, reportNumbers } = hl7
  const counts = (list: readonly Count[], blank = word('blank'), max = 8): string =>
    list
      .slice(0, max)
      .map(({ value, count }) => `${value === '' ? blank : value} ×${count}`)
      .join(', ') + (list.length > max ? ', …' : '')
  const charsets = [
    ...(charset.asciiOnly > 0 ? [`${word('ascii')} ×${charset.asciiOnly}`] : []),
    ...charset.claims
      .slice(0, 6)
      .map(({ claim, charset: found, count }) => `${claim || word('blank')} → ${found || '?'} ×${count}`),
  ]
  const rows = [
    [word('messages'), String(hl7.messages)],
    [word('sizes'), sizes === null ? '' : [sizes.min, sizes.median, sizes.p95, sizes.max].join(' / ')],
    [word('versions'), counts(hl7.versions)],
    [word('senders'), counts(hl7.senders)],
    [word('charset'), charsets.join(', ')],
    [word('delimiters'), counts(hl7.delimiters)],
    [word('lineEnds'), counts(hl7.lineEnds)],
    [word('acknowledgement'), counts(hl7.acknowledgement)],
    [
      word('controlIds'),
      `${word(controlIds.numbering)}; ${word('length')} ${controlIds.lengthMin}–${controlIds.lengthMax}; ${word('repeated')} ${controlIds.repeated}; ${word('reused')} ${controlIds.reused}`,
    ],
    [word('zones'), counts(times.zones, word('noZone'))],
    [word('valueTypes'), counts(hl7.valueTypes)],
    [word('resultStatus'), counts(hl7.resultStatus)],
    [word('reportStatus'), counts(hl7.reportStatus)],
    [word('sections'), counts(hl7.sections)],
  ]
  if (reportNumbers.groups > 0) {
    const { groups, obr3Blank, overPatients } = reportNumbers
    rows.push([
      word('reports'),
      `${groups} ${word('groups')}; ${word('obr3Blank')} ${obr3Blank}; ${word('shared')} ${overPatients}`,
    ])
  }
  return rows.filter(([, value]) => value !== '')
}

function treatmentText({ treatment, why }: TypeSeen): string {
  if (treatment in ignoreReasons) return `${treatment}: ${why}`
  return treatment
}

const outcomesText = ({ outcomes }: TypeSeen): string =>
  outcomes
    .slice(0, 4)
    .map(({ value, count }) => `${value} ×${count}`)
    .join(', ')

function identifiersText(hl7: Hl7, { word }: SniffTexts): string {
  if (hl7.identifiers.length === 0) return ''
  const rows = hl7.identifiers
    .slice(0, rowsMax)
    .map((place) => [
      `  ${place.field}`,
      place.type || '—',
      place.authority || '—',
      ...[place.filled, place.idNumbers, place.invalidIdNumbers, place.placeholders].map(String),
      `${place.lengthMin}–${place.lengthMax}`,
    ])
  const [field = '', ...columns] = word('identifierColumns').split(',')
  return `${word('identifiers')}\n${table([[`  ${field}`, ...columns], ...rows])}`
}

function unitsText(hl7: Hl7, { word }: SniffTexts): string {
  const rows = hl7.units
    .filter(({ value }) => value !== '')
    .slice(0, rowsMax)
    .map(({ value, count, ucum, ambiguous }) => [
      `  ${value}`,
      String(count),
      ambiguous ? word('ambiguousUnit') : (ucum ?? word('unknownUnit')),
    ])
  const blank = hl7.units.find(({ value }) => value === '')
  if (blank !== undefined) rows.push([`  ${word('blank')}`, String(blank.count), ''])
  return rows.length === 0 ? '' : `${word('units')}\n${table(rows)}`
}

function codesText(codes: readonly CodeReading[], { word }: SniffTexts): string {
  if (codes.length === 0) return ''
  const rows = codes.slice(0, rowsMax).map((seen) => {
    const { matched, proposal } = seen
    const reading =
      matched !== null
        ? `${word('mapped')} ${matched.itemId} ${matched.nameZh} (${matched.via})`
        : proposal !== null
          ? `${word('proposal')} ${proposal.itemId} ${proposal.nameZh} [${word(proposal.confidence)}: ${proposal.reasons.join(', ')}]`
          : word('nothing')
    return [`  ${seen.place}`, seen.code, seen.name, String(seen.count), reading]
  })
  const more = codes.length > rowsMax ? `  … ${codes.length - rowsMax} ${word('more')}\n` : ''
  return `${word('codes')}\n${table(rows)}${more}`
}
