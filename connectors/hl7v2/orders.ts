import { RecordError } from '../../core/errors.js'
import { contentHash } from '../../core/ids.js'
import type { OrderEvent } from '../../schemas/types.js'
import { recordedTime } from '../clock-rules.js'
import type { ReceivedEvent } from '../connector.js'
import { staffName } from './names.js'
import type { OrderGroup, PatientGroup } from './order-groups.js'
import { encounterFacts, patientFacts } from './patient.js'
import { timeOf, type Reading } from './reading.js'
import { statedKind } from './report-kind.js'
import { specimenOf } from './specimen.js'

/** Drugs, diets and supplies ordered in an ORM are no examinations. */
const otherOrders: ReadonlySet<string> = new Set([
  'RXO',
  'RXE',
  'RXR',
  'RXC',
  'RXD',
  'RXG',
  'RXA',
  'ODS',
  'ODT',
  'RQD',
  'RQ1',
])

/**
 * Orders (ORM, OML, OMG, OMI): one event for each OBR, or ORC that stands alone as a cancellation does.
 * @throws RecordError segment-missing, patient-id-missing, field-invalid
 */
export function orderEvents(reading: Reading, patients: readonly PatientGroup[], code: string): ReceivedEvent[] {
  return patients.flatMap((patient) => {
    const numbers = new Map<string, number>()
    const groups = patient.orders.filter(
      (group) => group.obr !== null || !group.others.some((segment) => otherOrders.has(segment.name)),
    )
    return groups.map((group) => orderEvent(reading, patient, group, code, numbers))
  })
}

function orderEvent(
  reading: Reading,
  patient: PatientGroup,
  group: OrderGroup,
  code: string,
  numbers: Map<string, number>,
): ReceivedEvent {
  const { text, rules } = reading
  const { orc, obr } = group
  const fillerOrderNumber = text.stated(orc, 3) ?? text.stated(obr, 3)
  const number = text.stated(orc, 2) ?? text.stated(obr, 2) ?? fillerOrderNumber
  if (number === null) {
    const place = (orc ?? obr)?.place(2) ?? { segment: 'ORC' }
    throw new RecordError(
      'field-invalid',
      'ORC-2, OBR-2, ORC-3 and OBR-3 are all empty: the order has no number',
      place,
    )
  }
  const recorded = recordedTime(text.stated(orc, 9), reading.messageTime, rules.zoneMinutes)
  const flags = recorded.flag === null ? [...reading.flags] : [...reading.flags, recorded.flag]
  const timing = group.others.find((segment) => segment.name === 'TQ1') ?? null
  const segments = [orc, obr, ...group.specimens, ...group.notes]
  return {
    domain: 'order',
    body: {
      sourceSystem: reading.sourceSystem,
      orderNumber: unique(numbers, number),
      fillerOrderNumber,
      groupNumber: text.stated(orc, 4),
      kind: orderKind(reading, group, code),
      control: text.stated(orc, 1) ?? '',
      status: text.stated(orc, 5),
      patient: patientFacts(reading, patient),
      encounter: encounterFacts(reading, patient),
      itemCode: text.stated(obr, 4, 1),
      itemText: text.stated(obr, 4, 2),
      itemSystem: text.stated(obr, 4, 3),
      itemId: null,
      priority: text.stated(orc, 7, 6) ?? text.stated(obr, 27, 6) ?? text.stated(timing, 9),
      orderedAt: timeOf(reading, text.stated(orc, 9)),
      orderingPhysician:
        staffName(text, text.first(text.raw(orc, 12))) ?? staffName(text, text.first(text.raw(obr, 16))),
      orderingDepartment: text.coded(orc, 17) || null,
      specimenCode: specimenOf(reading, group).code,
      clinicalInformation: text.whole(obr, 13),
      recordedAt: recorded.at,
      messageTime: reading.messageTime,
      contentHash: contentHash([
        ...(patient.pid === null ? [] : [text.from(patient.pid, 2)]),
        ...segments.map((segment) => (segment === null ? '' : text.from(segment, segment === orc ? 1 : 2))),
      ]),
      flags: flags.sort(),
    },
  }
}

/** Several OBRs under one order number are told apart by `#n` in message order. */
function unique(numbers: Map<string, number>, number: string): string {
  const count = (numbers.get(number) ?? 0) + 1
  numbers.set(number, count)
  return count === 1 ? number : `${number}#${count}`
}

/** By the feed's rules and OBR-24; where neither says, OML is laboratory and OMI imaging by their definition. */
function orderKind(reading: Reading, group: OrderGroup, code: string): OrderEvent['kind'] {
  const { text, rules, msh } = reading
  const stated = statedKind(rules, text, text.stated(msh, 3) ?? '', group)
  if (stated !== null) return stated === 'imaging' ? 'imaging' : 'lab'
  if (code === 'OML') return 'lab'
  if (code === 'OMI') return 'imaging'
  return laboratory.has((text.stated(group.obr, 24) ?? '').toUpperCase()) ? 'lab' : 'other'
}

/** Laboratory sections of HL7 v2.5.1 table 0074 that are not microbiology or pathology. */
const laboratory: ReadonlySet<string> = new Set('BG BLB CG CH GE HM IMM LAB MYC PAR SR TX URN VR'.split(' '))
