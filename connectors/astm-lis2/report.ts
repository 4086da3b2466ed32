import { RecordError } from '../../core/errors.js'
import { reportStatus } from '../../core/version.js'
import { isChinese } from '../hl7v2/names.js'
import type { StatedCode, StatedIdentifier, StatedPanel, StatedPatient, StatedResult } from '../stated/stated.js'
import { readTime } from '../times.js'
import type { Commented, OrderGroup } from './groups.js'
import type { AstmRules, FieldPath } from './parse-options.js'
import type { AstmRecord } from './records.js'

/** Records a setting may name fields of. */
export interface Context {
  readonly header: AstmRecord
  readonly patient: AstmRecord | null
  readonly group: OrderGroup
}

/** @throws RecordError patient-id-missing */
export function patientOf(context: Context, rules: AstmRules): StatedPatient {
  const { patient } = context
  const found = rules.patientIdFrom.find((path) => fieldAt(context, path) !== null)
  if (found === undefined) {
    const named = rules.patientIdFrom.map(({ text }) => text).join(', ')
    const hint = rules.patientIdFrom.some(({ letter }) => letter === 'O')
      ? ''
      : ' (O-3 takes the specimen number for it)'
    throw new RecordError(
      'patient-id-missing',
      `${named} ${rules.patientIdFrom.length === 1 ? 'is' : 'are'} empty; name the field that has it under patientIdFrom${hint}`,
      (context.group.order?.record ?? context.header).place(),
    )
  }
  const id = fieldAt(context, found)
  // P-5 is whatever a site agreed on: only a feed that names it reads numbers there.
  const identifiers: StatedIdentifier[] = [3, 4].flatMap((field) => {
    const value = patient?.component(field) ?? null
    return value === null || value === id ? [] : [{ value, type: field === 3 ? 'PI' : 'LR' }]
  })
  return {
    id,
    identifiers,
    name: nameOf(patient),
    sex: patient?.component(9) ?? null,
    birthDate: patient?.component(8) ?? null,
    phone: patient?.component(13) ?? null,
    address: patient === null ? null : joined(patient.components(11)),
  }
}

/** @throws RecordError report-number-missing */
export function reportNumberOf(context: Context, { reportNumberFrom }: AstmRules): string {
  const { group } = context
  const [first, ...others] = reportNumberFrom.map((path) => {
    if (path.letter !== 'O' || path.field !== 5 || path.text.includes('.')) return fieldAt(context, path)
    const order = group.order?.record
    return order === undefined || order.repeats(5).length > 1 ? null : (testOf(order, 5).code ?? null)
  })
  if (first === null || first === undefined) {
    throw new RecordError(
      'report-number-missing',
      `${reportNumberFrom[0]!.text} is empty; name the field that has it under reportNumberFrom`,
      (group.order?.record ?? group.results[0]?.record ?? context.header).place(),
    )
  }
  return [first, ...others.filter((part) => part !== null)].join('-')
}

/** An O record with its results. */
export function panelOf({ order, results }: OrderGroup, rules: AstmRules): StatedPanel {
  const read = results.map((result) => resultOf(result, rules))
  if (order === null) return { results: read }
  const { record, comments } = order
  const reported = statusOf(record.component(26))
  return {
    ...(record.repeats(5).length === 1 && { item: testOf(record, 5) }),
    specimen: { code: record.component(16), text: record.component(16, 2), id: record.component(3) },
    collectedAt: record.component(8),
    specimenReceivedAt: record.component(15),
    status: reported ?? reportStatus(read.map(({ status }) => status ?? null)),
    recordedAt: record.component(23) ?? latest(results, rules),
    notes: notesOf(comments),
    results: read,
  }
}

function resultOf({ record, comments }: Commented, rules: AstmRules): StatedResult {
  const { fields } = rules
  const stated = record.component(fields.status)
  return {
    item: testOf(record, 3, rules.testCodeComponent),
    value: valueOf(record, rules),
    unit: record.whole(fields.unit),
    range: record.whole(fields.range),
    abnormalFlags:
      record
        .repeats(fields.abnormalFlags)
        .map((flag) => flag.trim())
        .filter((flag) => flag !== '')
        .join('~') || null,
    status: stated === null ? rules.statusWhenAbsent : (statusOf(stated) ?? rules.statusWhenAbsent),
    observedAt: record.component(fields.completed) ?? record.component(fields.started),
    performer: joined(record.components(fields.operator)),
    equipment: record.whole(fields.instrument),
    notes: notesOf(comments),
  }
}

/**
 * R-9 (LIS2-A2 section 9.9) and O-26 (section 8.4.26) as HL7 tables 0085 and 0123. Letters that mean something else there:
 * R (sent before) and Q (answers a query) say nothing of the result, which is final; V (verified) and M (MIC level) are
 * final; W (validity in doubt) and N (needs another run) are not final, for W there would withdraw; Y and Z (no order, no
 * patient of that number) and X are no result. Null for a letter in neither.
 */
export function statusOf(letter: string | null): string | null {
  switch (letter?.toUpperCase()) {
    case 'F':
    case 'R':
    case 'Q':
    case 'V':
    case 'M':
      return 'F'
    case 'C':
      return 'C'
    case 'P':
    case 'W':
      return 'P'
    case 'S':
      return 'S'
    case 'I':
    case 'N':
    case 'O':
      return 'I'
    case 'X':
    case 'Y':
    case 'Z':
      return 'X'
    default:
      return null
  }
}

/**
 * A universal test ID (LIS2-A2 section 5.6.1: identifier^name^type^manufacturer's code…) in the forms analysers send:
 * `^^^WBC`, `^^^^WBC^1`, `^^^t2^sIgE^1`, `!!!WBC!33256-9`, `ABO`, `CBC^Complete Blood Count`.
 */
export function testOf(
  record: AstmRecord,
  field: number,
  codeComponent?: number,
): StatedCode & { readonly altCode?: string | null; readonly altSystem?: string | null } {
  const parts = record.components(field)
  const at = (number: number): string | null => parts[number - 1] ?? null
  const place = codeComponent ?? [4, 5, 1, 2].find((number) => at(number) !== null) ?? 4
  const code = at(place)
  const universal = place === 1 ? null : at(1)
  const loinc = parts.slice(3).find((part) => part !== null && part !== code && /^\d{1,5}-\d$/.test(part)) ?? null
  const following = place === 4 && at(5) !== loinc && !/^\d+$/.test(at(5) ?? '') ? at(5) : null
  return {
    code,
    text: (place === 2 ? null : at(2)) ?? following,
    system: place === 1 ? at(3) : null,
    altCode: universal ?? loinc,
    altSystem: universal !== null ? at(3) : loinc === null ? null : 'LN',
  }
}

/** Several filled components mean what their maker says (`-1^0.45`: negative, and a ratio): no part is chosen unasked. */
function valueOf(record: AstmRecord, { valueComponent }: AstmRules): string | null {
  if (valueComponent !== undefined) return record.component(4, valueComponent)
  if (record.repeats(4).length > 1) return record.whole(4)
  const filled = record.components(4).filter((part) => part !== null)
  return filled.length > 1 ? record.whole(4) : (filled[0] ?? null)
}

/** `family^given^middle` or the whole name in the first component; no blank between Chinese names. */
const nameOf = (patient: AstmRecord | null): string | null => joinedName((patient?.components(6) ?? []).slice(0, 3))

/** A physician's name, `id^family^given`, or what stands alone. */
export function physicianOf(record: AstmRecord | null | undefined, field: number): string | null {
  const [id = null, ...names] = record?.components(field) ?? []
  return joinedName(names.slice(0, 3)) ?? id
}

function joinedName(components: readonly (string | null)[]): string | null {
  const parts = components.filter((part) => part !== null)
  return parts.length === 0 ? null : parts.join(parts.every(isChinese) ? '' : ' ')
}

/** C-4: the text, after its code where it has one. */
function notesOf(comments: readonly AstmRecord[]): string | null {
  const texts = comments.map((comment) => joined(comment.components(4))).filter((text) => text !== null)
  return texts.length === 0 ? null : texts.join('\n')
}

/** The last completion of the results, as it is written. */
function latest(results: readonly Commented[], { zoneMinutes, fields }: AstmRules): string | null {
  let best: { readonly text: string; readonly at: number } | undefined
  for (const { record } of results) {
    const text = record.component(fields.completed)
    const at = text === null ? null : readTime(text, zoneMinutes)
    if (text !== null && at !== null && at > (best?.at ?? -Infinity)) best = { text, at }
  }
  return best?.text ?? null
}

function fieldAt({ header, patient, group }: Context, { letter, field, component }: FieldPath): string | null {
  const record = letter === 'H' ? header : letter === 'P' ? patient : group.order?.record
  return record?.component(field, component) ?? null
}

function joined(parts: readonly (string | null)[]): string | null {
  const filled = parts.filter((part) => part !== null)
  return filled.length === 0 ? null : filled.join(' ')
}
