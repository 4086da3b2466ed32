import { RecordError } from '../../core/errors.js'
import type { EncounterFacts, Identifier, PatientFacts } from '../../schemas/types.js'
import type { FieldPath } from './feed-rules.js'
import type { Segment } from './message.js'
import { personName, preferredName } from './names.js'
import type { PatientGroup } from './order-groups.js'
import { readPath, type Reading } from './reading.js'

/** One CX of a patient with the class its type and authority put it in; a lower class is preferred. */
export interface PatientNumber {
  readonly id: string
  readonly authority: string
  readonly preference: number
}

/**
 * The patient of a group as the message states him. Not stated is null; HL7 null (`""`), which deletes what the
 * repository holds, is ''. @throws RecordError segment-missing, patient-id-missing
 */
export function patientFacts(reading: Reading, group: PatientGroup): PatientFacts {
  const { pid } = group
  if (pid === null) {
    throw new RecordError('segment-missing', 'there is no PID segment before the order group', { segment: 'PID' })
  }
  const { text } = reading
  const number = patientNumber(reading, pid)
  if (number === null) {
    const fields = reading.rules.patientIdFrom.map((path) => path.text).join(', ')
    throw new RecordError('patient-id-missing', `${fields} of PID are all empty`, {
      ...pid.place(),
      field: reading.rules.patientIdFrom[0]?.text ?? 'PID-3',
    })
  }
  const name = preferredName(text, text.raw(pid, 5))
  return {
    id: number.id,
    authority: number.authority,
    identifiers: identifiers(reading, pid, group.others),
    name: name === '' ? null : personName(text, name),
    sex: text.of(pid, 8),
    birthDate: text.of(pid, 7),
    phone: phone(reading, pid),
    address: address(reading, pid),
    sexCode: null,
    birthDateIso: null,
    idNumber: null,
    nameFolded: null,
    flags: [],
  }
}

/** The visit of a group; null where PV1 states nothing of it. */
export function encounterFacts(reading: Reading, group: PatientGroup): EncounterFacts | null {
  const { text } = reading
  const visitNumber = visitNumberOf(reading, group)
  const patientClass = text.stated(group.pv1, 2)
  const department = text.stated(group.pv1, 3) ?? text.stated(group.pv1, 10)
  if (visitNumber === null && patientClass === null && department === null) return null
  return { visitNumber, patientClass, department }
}

/** The first filled field of those the feed reads the visit number from. */
export function visitNumberOf(reading: Reading, group: PatientGroup): string | null {
  const segments = (name: string): Segment | null => (name === 'PID' ? group.pid : name === 'PV1' ? group.pv1 : null)
  for (const path of reading.rules.visitNumberFrom) {
    const number = readPath(reading, path, segments)
    if (number !== null) return number
  }
  return null
}

/** The hospital patient number: of the first filled field, the repetition the feed prefers. Null where all are empty. */
export function patientNumber(reading: Reading, pid: Segment): PatientNumber | null {
  for (const path of reading.rules.patientIdFrom) {
    if (path.segment !== 'PID') continue
    const best = preferredNumbers(reading, reading.text.raw(pid, path.field), path)[0]
    if (best !== undefined) return best
  }
  return null
}

/** The numbers of one CX field that stand in its best class, in message order. */
export function preferredNumbers(reading: Reading, field: string, path: FieldPath | null = null): PatientNumber[] {
  const { text, rules } = reading
  let best: PatientNumber[] = []
  if (field === '') return best
  for (const cx of text.repetitions(field)) {
    const component = text.component(cx, path?.component ?? 1)
    const id = text.read(
      path !== null && path.subcomponent > 0 ? text.subcomponent(component, path.subcomponent) : component,
    )
    if (id === null || id === '') continue
    const type = text.read(text.component(cx, 5))
    const stated = assigningAuthority(reading, cx)
    const preference = classOf(rules.patientIdTypes, type) + 100 * rankIn(rules.patientIdAuthorities, stated ?? '')
    if (best[0] !== undefined && preference > best[0].preference) continue
    const number = { id, authority: rules.patientAuthority ?? stated ?? '', preference }
    if (best[0] === undefined || preference < best[0].preference) best = [number]
    else best.push(number)
  }
  return best
}

/** Listed types by rank, then no type, then any other. */
function classOf(types: readonly string[], type: string | null): number {
  if (type === null || type === '') return types.length
  const rank = types.indexOf(type)
  return rank < 0 ? types.length + 1 : rank
}

function rankIn(list: readonly string[], value: string): number {
  const rank = list.indexOf(value)
  return rank < 0 ? list.length : rank
}

/** CX.4 (HD): the namespace, else the universal id; null where neither is stated. */
function assigningAuthority(reading: Reading, cx: string): string | null {
  const { text } = reading
  const authority = text.component(cx, 4)
  return text.read(text.subcomponent(authority, 1)) || text.read(text.subcomponent(authority, 2)) || null
}

/**
 * All identifiers stated: PID-3, PID-2, PID-4, the account number (PID-18, type AN), PID-19 (type SS: where Chinese
 * systems put the citizen ID number), and those of the mother (PID-21, NK1-33 with NK1-3 = MTH), whose type starts with
 * `mother` so that nobody takes them for the patient's own.
 */
function identifiers(reading: Reading, pid: Segment, others: readonly Segment[]): Identifier[] {
  const { text } = reading
  const found: Identifier[] = []
  const add = (field: string, type: string | null, mother: boolean): void => {
    if (field === '') return
    for (const cx of text.repetitions(field)) {
      const value = text.read(text.component(cx, 1))
      if (value === null || value === '') continue
      const stated = text.read(text.component(cx, 5)) || type
      found.push({
        assigner: assigningAuthority(reading, cx),
        type: mother ? (stated === null ? 'mother' : `mother:${stated}`) : stated,
        value,
      })
    }
  }
  add(text.raw(pid, 3), null, false)
  add(text.raw(pid, 2), null, false)
  add(text.raw(pid, 4), null, false)
  add(text.raw(pid, 18), 'AN', false)
  add(text.raw(pid, 19), 'SS', false)
  add(text.raw(pid, 21), null, true)
  for (const segment of others) {
    if (segment.name === 'NK1' && text.of(segment, 3) === 'MTH') add(text.raw(segment, 33), null, true)
  }
  return found
}

/** PID-13 (XTN): the number as written, else area and local number, else the unformatted one. */
function phone(reading: Reading, pid: Segment): string | null {
  const { text } = reading
  const field = text.raw(pid, 13)
  if (field === '' || text.isNull(field)) return text.read(field)
  const xtn = text.first(field)
  const written = text.read(text.component(xtn, 1))
  if (written !== null) return written
  const local = text.read(text.component(xtn, 7))
  if (local === null) return text.read(text.component(xtn, 12))
  const area = text.read(text.component(xtn, 6))
  return area === null ? local : `${area}-${local}`
}

/** PID-11 (XAD): the stated parts of the first address, in the order sent. */
function address(reading: Reading, pid: Segment): string | null {
  const { text } = reading
  const field = text.raw(pid, 11)
  if (field === '' || text.isNull(field)) return text.read(field)
  const xad = text.first(field)
  const parts = [1, 2, 3, 4, 5, 6]
    .map((number) =>
      text.read(number === 1 ? text.subcomponent(text.component(xad, 1), 1) : text.component(xad, number)),
    )
    .filter((part): part is string => part !== null && part !== '')
  return parts.length === 0 ? null : parts.join(' ')
}
