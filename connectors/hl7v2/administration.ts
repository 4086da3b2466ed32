import { RecordError } from '../../core/errors.js'
import { contentHash } from '../../core/ids.js'
import { recordedTime, type RecordedTime } from '../clock-rules.js'
import type { ReceivedEvent } from '../connector.js'
import type { Segment } from './message.js'
import type { Administration } from './message-types.js'
import { staffName } from './names.js'
import type { PatientGroup } from './order-groups.js'
import { patientFacts, preferredNumbers, visitNumberOf } from './patient.js'
import { timeOf, type Reading } from './reading.js'

/**
 * Patient administration (ADT): a patient event for each PID, an encounter event where the trigger says something of a
 * visit; for a merge an event for each number that is given up.
 * @throws RecordError segment-missing, patient-id-missing, merge-incomplete, field-invalid
 */
export function administrationEvents(
  reading: Reading,
  patients: readonly PatientGroup[],
  administration: Administration,
  trigger: string,
): ReceivedEvent[] {
  const evn = firstNamed(patients, 'EVN')
  const { text } = reading
  const recorded = recordedTime(
    text.stated(evn, 6) ?? text.stated(evn, 2),
    reading.messageTime,
    reading.rules.zoneMinutes,
  )
  if (patients.every((patient) => patient.pid === null)) {
    throw new RecordError('segment-missing', `ADT^${trigger} names no patient`, { segment: 'PID' })
  }
  const named = patients.filter((patient) => patient.pid !== null)
  return administration.action === 'merge'
    ? named.flatMap((patient) => merges(reading, patient, recorded))
    : named.flatMap((patient) => statement(reading, patient, administration.encounter, trigger, recorded))
}

function statement(
  reading: Reading,
  group: PatientGroup,
  visit: Exclude<Administration, { action: 'merge' }>['encounter'],
  trigger: string,
  recorded: RecordedTime,
): ReceivedEvent[] {
  const patient = patientFacts(reading, group)
  const status = visit === 'stated' ? statedStatus(reading, group.pv1) : visit === 'none' ? null : visit
  const visitNumber = status === null ? null : visitNumberOf(reading, group)
  const flags = flagsOf(reading, recorded, status !== null && visitNumber === null ? ['visit-number-missing'] : [])
  const events: ReceivedEvent[] = [
    {
      domain: 'patient',
      body: {
        action: 'state',
        patient,
        priorId: null,
        priorAuthority: null,
        recordedAt: recorded.at,
        messageTime: reading.messageTime,
        contentHash: hashOf(reading, [group.pid]),
        flags,
      },
    },
  ]
  if (status === null || visitNumber === null) return events
  const { text } = reading
  const { pv1 } = group
  const diagnosis = group.others.find((segment) => segment.name === 'DG1') ?? null
  events.push({
    domain: 'encounter',
    body: {
      visitNumber,
      status,
      patient,
      patientClass: text.stated(pv1, 2),
      department: text.stated(pv1, 3) ?? text.stated(pv1, 10),
      ward: text.whole(pv1, 3) || null,
      bed: text.stated(pv1, 3, 3),
      attendingPhysician: staffName(text, text.first(text.raw(pv1, 7))),
      admittedAt: timeOf(reading, text.stated(pv1, 44)),
      dischargedAt: timeOf(reading, text.stated(pv1, 45)),
      diagnosisCode: text.stated(diagnosis, 3, 1),
      diagnosisText: text.stated(diagnosis, 3, 2) ?? text.stated(diagnosis, 4),
      recordedAt: recorded.at,
      messageTime: reading.messageTime,
      contentHash: hashOf(reading, [group.pid, pv1, diagnosis], trigger),
      flags,
    },
  })
  return events
}

/** What an update (A08) says of its visit: discharged once PV1-45 is filled, admitted for class I, else registered; null without times. */
function statedStatus(reading: Reading, pv1: Segment | null): string | null {
  const { text } = reading
  if (text.stated(pv1, 45) !== null) return 'discharged'
  if (text.stated(pv1, 44) === null) return null
  return text.stated(pv1, 2) === 'I' ? 'admitted' : 'registered'
}

/**
 * One event for each number that MRG-1 gives up: of its repetitions those of the class the feed prefers, so that a second
 * identifier of the same prior patient is not taken for a second patient. MRG-4 counts where MRG-1 is empty.
 */
function merges(reading: Reading, group: PatientGroup, recorded: RecordedTime): ReceivedEvent[] {
  const { text } = reading
  const mergeSegments = group.others.filter((segment) => segment.name === 'MRG')
  if (mergeSegments.length === 0) {
    throw new RecordError(
      'merge-incomplete',
      'no MRG segment follows this PID',
      group.pid?.place() ?? { segment: 'MRG' },
    )
  }
  const patient = patientFacts(reading, group)
  return mergeSegments.flatMap((mrg) => {
    const prior = preferredNumbers(reading, text.raw(mrg, 1))
    const numbers = prior.length > 0 ? prior : preferredNumbers(reading, text.raw(mrg, 4))
    if (numbers.length === 0) throw new RecordError('merge-incomplete', 'MRG-1 is empty', mrg.place(1))
    return numbers.map(({ id, authority }): ReceivedEvent => {
      if (id === patient.id && authority === patient.authority) {
        throw new RecordError('field-invalid', 'MRG-1 gives up the very number that PID-3 keeps', mrg.place(1))
      }
      return {
        domain: 'patient',
        body: {
          action: 'merge',
          patient,
          priorId: id,
          priorAuthority: authority,
          recordedAt: recorded.at,
          messageTime: reading.messageTime,
          contentHash: hashOf(reading, [group.pid, mrg]),
          flags: flagsOf(
            reading,
            recorded,
            authority === '' && patient.authority !== '' ? ['merge-authority-missing'] : [],
          ),
        },
      }
    })
  })
}

function hashOf(reading: Reading, segments: readonly (Segment | null)[], more = ''): number {
  const parts = segments.map((segment) =>
    segment === null ? '' : reading.text.from(segment, segment.name === 'MRG' ? 1 : 2),
  )
  return contentHash(more === '' ? parts : [...parts, more])
}

function flagsOf(reading: Reading, recorded: RecordedTime, more: readonly string[]): string[] {
  const flags = recorded.flag === null ? [...reading.flags, ...more] : [...reading.flags, ...more, recorded.flag]
  return flags.sort()
}

function firstNamed(patients: readonly PatientGroup[], name: string): Segment | null {
  for (const patient of patients) {
    const found = patient.others.find((segment) => segment.name === name)
    if (found !== undefined) return found
  }
  return null
}
