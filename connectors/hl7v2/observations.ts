import { contentHash } from '../../core/ids.js'
import type { Observation } from '../../schemas/types.js'
import type { FieldText } from './field-text.js'
import type { Segment } from './message.js'
import { staffName } from './names.js'
import type { ResultLine } from './order-groups.js'
import { timeOf, type Reading } from './reading.js'

/** OBX-5 in the forms an observation carries. */
export interface ValueForms {
  /** Escapes resolved, repetitions on lines; null where absent, '' for HL7 null. */
  readonly value: string | null
  /** As it stands, where that differs. */
  readonly valueRaw: string | null
  readonly valueCode: string | null
  readonly valueSystem: string | null
}

const absent: ValueForms = { value: null, valueRaw: null, valueCode: null, valueSystem: null }

/**
 * Reads OBX-5 by OBX-2 (HL7 v2.5.1 table 0125). Coded types read as their text, SN as it is written on paper, DTM as its
 * time, RP as its pointer; in every other type separators that a sender forgot to escape (`10^9`, `阳性&弱`) are kept as
 * characters. ED has no value: the document stands in the report's documents.
 */
export function readValue(text: FieldText, valueType: string | null, field: string): ValueForms {
  if (field === '' || valueType === 'ED') return absent
  if (field === '""') return { value: '', valueRaw: field, valueCode: null, valueSystem: null }
  const coded = valueType === 'CWE' || valueType === 'CE' || valueType === 'CNE' || valueType === 'CF'
  const value = text.repeats(field)
    ? text
        .repetitions(field)
        .map((repetition) => readRepetition(text, valueType, repetition) ?? '')
        .join('\n')
    : readRepetition(text, valueType, field)
  const first = coded ? text.first(field) : ''
  return {
    value,
    valueRaw: value === field ? null : field,
    valueCode: coded ? text.read(text.component(first, 1)) : null,
    valueSystem: coded ? text.read(text.component(first, 3)) : null,
  }
}

function readRepetition(text: FieldText, valueType: string | null, repetition: string): string | null {
  switch (valueType) {
    case 'CE':
    case 'CWE':
    case 'CNE':
    case 'CF':
      return codedText(text, repetition)
    case 'SN':
      return structuredNumeric(text, repetition)
    case 'RP':
    case 'TS':
    case 'DTM':
      return text.read(text.component(repetition, 1))
    default:
      return text.read(repetition)
  }
}

/** CE/CWE for reading: text, else original text (CWE.9), else alternate text, else a code. */
function codedText(text: FieldText, coded: string): string | null {
  if (!coded.includes(text.separators.component)) return text.read(coded)
  for (const component of [2, 9, 5, 1, 4]) {
    const read = text.read(text.component(coded, component))
    if (read !== null && read !== '') return read
  }
  return null
}

/** SN (comparator^number^separator^number) as it is written: `<0.01`, `1:128`, `3-5`, `2+`. */
function structuredNumeric(text: FieldText, sn: string): string | null {
  if (!sn.includes(text.separators.component)) return text.read(sn)
  const read = [1, 2, 3, 4].map((component) => text.read(text.component(sn, component)) ?? '').join('')
  return read === '' ? null : read
}

/**
 * OBX-6 (CE): the unit's code, else its text. `10^9/L`, whose power a sender forgot to escape, arrives as two
 * components and is put together again.
 */
export function readUnit(text: FieldText, field: string): string | null {
  if (field === '') return null
  if (!field.includes(text.separators.component)) return text.read(field)
  const unit = text.first(field)
  const code = text.component(unit, 1)
  const second = text.component(unit, 2)
  const power = second.charCodeAt(0)
  if (code.endsWith('10') && power >= 48 && power <= 57)
    return text.read(`${code}${text.separators.component}${second}`)
  return text.read(code) || text.read(second)
}

/** Text of notes (NTE-3), one line for each; null where there is none. */
export function notesText(text: FieldText, notes: readonly Segment[]): string | null {
  if (notes.length === 0) return null
  const lines = notes.flatMap((note) => text.repetitions(text.raw(note, 3)).map((line) => text.read(line) ?? ''))
  const joined = lines.join('\n').trimEnd()
  return joined === '' ? null : joined
}

/**
 * What names the item of a result: OBX-3.1, else the alternate code, else a text, so that a sender who fills the text
 * alone still has one key for each item. '' where OBX-3 is empty.
 */
export function itemCode(text: FieldText, obx3: string): string {
  const code = text.read(text.component(obx3, 1))
  if (code !== null && code !== '') return code
  for (const component of [4, 2, 5]) {
    const other = text.read(text.component(obx3, component))
    if (other !== null && other !== '') return other
  }
  return ''
}

/** One OBX as an observation of a panel; `document` is its index into the report's documents. */
export function observation(
  reading: Reading,
  line: ResultLine,
  panel: number,
  occurrences: Map<string, number>,
  document: number | null,
): Observation {
  const { text } = reading
  const fields = line.obx.fields()
  const field = (number: number): string => fields[number - 1] ?? ''
  const valueType = text.read(field(2))
  const identifier = text.first(field(3))
  const { component } = text.separators
  const parts = component !== '' && identifier.includes(component) ? identifier.split(component) : [identifier]
  const part = (number: number): string | null => text.read(parts[number - 1] ?? '')
  const code = part(1) || part(4) || part(2) || part(5) || ''
  const subId = text.read(field(4)) ?? ''
  const { value, valueRaw, valueCode, valueSystem } = readValue(text, valueType, field(5))
  return {
    panel,
    code,
    text: part(2),
    system: part(3),
    altCode: part(4),
    altText: part(5),
    altSystem: part(6),
    subId,
    occurrence: nextOccurrence(occurrences, subId === '' ? code : `${code}\x1f${subId}`),
    valueType,
    value,
    valueRaw,
    valueCode,
    valueSystem,
    unit: readUnit(text, field(6)),
    range: text.read(field(7)),
    abnormalFlags: text.read(field(8)),
    status: text.read(field(11)),
    observedAt: timeOf(reading, text.component(text.first(field(14)), 1)),
    method: codedField(text, field(17)),
    equipment: firstComponent(text, field(18)),
    performer: firstComponent(text, field(23)) || codedField(text, field(15)),
    notes: notesText(text, line.notes),
    document,
    contentHash: contentHash([
      text.from(line.obx, 2),
      ...line.notes.map((note) => text.from(note, 2)),
      // A document stays in its message, so where it stands there is part of what is said.
      ...(document === null ? [] : [String(line.obx.ordinal)]),
    ]),
    unified: null,
  }
}

function nextOccurrence(occurrences: Map<string, number>, key: string): number {
  const occurrence = occurrences.get(key) ?? 0
  occurrences.set(key, occurrence + 1)
  return occurrence
}

function firstComponent(text: FieldText, field: string): string | null {
  return field === '' ? null : text.read(text.component(text.first(field), 1))
}

/** CE, CWE: the text, else the code. */
function codedField(text: FieldText, field: string): string | null {
  if (field === '') return null
  const coded = text.first(field)
  return text.read(text.component(coded, 2)) || text.read(text.component(coded, 1))
}

/** OBX-16 as a name. */
export function observerOf(reading: Reading, line: ResultLine): string | null {
  return staffName(reading.text, reading.text.first(reading.text.raw(line.obx, 16)))
}
