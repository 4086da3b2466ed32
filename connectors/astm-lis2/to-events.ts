import { RecordError } from '../../core/errors.js'
import type { IgnoreReason } from '../../core/errors.js'
import type { Parsed, Parser, RawInput, ReceivedEvent } from '../connector.js'
import { decode } from '../hl7v2/charset.js'
import { hl7v2Parser } from '../hl7v2/to-events.js'
import type { StatedLabReport } from '../stated/stated.js'
import { labReportEvent, type StatedMessage } from '../stated/to-events.js'
import { readTime } from '../times.js'
import { groupRecords, type OrderGroup, type PatientGroup } from './groups.js'
import { astmRules, type AstmParseOptions, type AstmRules } from './parse-options.js'
import { readRecords, type AstmMessage, type AstmRecord } from './records.js'
import { panelOf, patientOf, physicianOf, reportNumberOf, statusOf } from './report.js'

/**
 * Compiles a feed's configuration; what it returns turns one message of LIS2-A2 into laboratory reports, or says why it
 * carries none. A message that begins with MSH is read as HL7 v2: some analysers send it in frames of LIS1-A.
 * @throws TypeError where an option does not have the form its declaration asks for
 */
export function astmParser(options: AstmParseOptions): Parser {
  const rules = astmRules(options)
  const { charset, timezone, sourceSystem, reportNumberRecycles, allowMove, updates } = options
  const hl7 = hl7v2Parser({
    ...(charset !== undefined && { charset }),
    ...(timezone !== undefined && { timezone }),
    ...(sourceSystem !== undefined && { sourceSystem }),
    ...(reportNumberRecycles !== undefined && { reportNumberRecycles }),
    ...(allowMove !== undefined && { allowMove }),
    ...(updates !== undefined && { updates }),
  })
  return (input) =>
    /^\s*MSH[^A-Za-z0-9]/.test(input.content.toString('latin1', 0, 64)) ? hl7(input) : parse(input, rules)
}

function parse(input: RawInput, rules: AstmRules): Parsed {
  const { text, flags } = decode(input.content, rules.charset)
  const message = readRecords(text)
  if (!message.complete) {
    throw new RecordError('astm-unfinished', 'there is no L record', message.records.at(-1)!.place())
  }
  const { header } = message
  const said = { controlId: header.component(3), messageType: messageType(message) }
  const ignored = (reason: IgnoreReason, detail: string): Parsed => ({
    ...said,
    events: [],
    ignored: { reason, detail },
  })

  const processing = header.component(12)?.toUpperCase()
  if ((processing === 'T' || processing === 'D') && input.environment === 'production') {
    return ignored('test-message', `H-12 is ${processing}`)
  }
  if (processing === 'Q') return ignored('no-content', 'H-12 is Q: results of controls, not of patients')
  const hasResults = message.records.some(({ letter }) => letter === 'R')
  if (!hasResults && message.records.some(({ letter }) => letter === 'Q')) {
    return ignored('query-or-acknowledgement', 'Q asks for orders or results')
  }
  const stated: StatedMessage = { input, rules, madeAt: madeAt(header, rules), flags, place: header.place() }
  const patients = groupRecords(message.records)
  const events = patients.flatMap((patient) => reportEvents(stated, header, patient, rules))
  if (events.length > 0) return { ...said, events }
  const controls = patients.some(({ orders }) => orders.some((order) => isControl(order, rules)))
  return ignored(
    'no-content',
    controls
      ? 'the specimens are controls (O-12 is Q, or by controlSpecimens), not a patient’s'
      : 'no O record has results',
  )
}

/** H-14; the field before it where a sender is one field short. */
function madeAt(header: AstmRecord, { zoneMinutes }: AstmRules): string | null {
  const stated = header.component(14)
  if (stated !== null) return stated
  const before = [header.component(13), header.component(12)]
  return (
    before.find((text) => text !== null && /^\d{12,14}$/.test(text) && readTime(text, zoneMinutes) !== null) ?? null
  )
}

/** The letters of its records, as a type of message: `ASTM PORC`. */
function messageType({ records }: AstmMessage): string {
  const letters = new Set(records.map(({ letter }) => letter).filter((letter) => letter !== 'H' && letter !== 'L'))
  return `ASTM ${[...letters].join('')}`.trim()
}

/** Orders of one report number make one report. */
function reportEvents(
  stated: StatedMessage,
  header: AstmRecord,
  { patient, orders }: PatientGroup,
  rules: AstmRules,
): readonly ReceivedEvent[] {
  const reports = new Map<string, { group: OrderGroup; report: StatedLabReport }>()
  for (const group of orders) {
    if (isControl(group, rules) || !(group.results.length > 0 || isCancelled(group))) continue
    const number = reportNumberOf({ header, patient, group }, rules)
    const panel = panelOf(group, rules)
    const known = reports.get(number)
    if (known !== undefined) {
      reports.set(number, { ...known, report: { ...known.report, panels: [...known.report.panels, panel] } })
      continue
    }
    const order = group.order?.record
    const report: StatedLabReport = {
      reportNumber: number,
      patient: patientOf({ header, patient, group }, rules),
      orderingPhysician: physicianOf(order, 17) ?? physicianOf(patient, 14),
      ...(patient !== null && { visit: { department: patient.whole(26) } }),
      panels: [panel],
    }
    reports.set(number, { group, report })
  }
  return [...reports.values()].map(({ group, report }) => {
    const record = group.order?.record
    return labReportEvent({ ...stated, ...(record !== undefined && { place: record.place() }) }, report)
  })
}

/** O-12 (LIS2-A2 section 8.4.12): Q, a control. */
function isControl({ order }: OrderGroup, { controlSpecimens }: AstmRules): boolean {
  if (order === null) return false
  const specimen = order.record.component(3) ?? ''
  const marked = order.record.repeats(12).some((code) => code.trim().toUpperCase() === 'Q')
  return marked || controlSpecimens.some((prefix) => specimen.startsWith(prefix))
}

/** O-12 C, and O-26 says that nothing will follow: the withdrawal of a report, with a status alone. */
function isCancelled({ order }: OrderGroup): boolean {
  if (order === null) return false
  const cancelled = order.record.component(12)?.toUpperCase() === 'C'
  return cancelled && statusOf(order.record.component(26)) === 'X'
}
