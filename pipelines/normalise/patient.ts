import type { Catalogue } from '../../catalogue/catalogue.js'
import { readBirthDate } from '../../catalogue/birth-date.js'
import type { NormaliseFlag } from '../../catalogue/flags.js'
import { foldIdNumber, readIdNumber, type IdNumberReading } from '../../catalogue/id-number.js'
import { readPersonName, type NameProblem } from '../../catalogue/person-name.js'
import { readSex } from '../../catalogue/sex.js'
import type { Identifier, PatientEvent, PatientFacts } from '../../schemas/types.js'
import { withDerivation, withFlags } from './event.js'

/** Pure. Patient facts beside their verbatim form. @throws nothing */
export function normalisePatient(event: PatientEvent, _catalogue: Catalogue, derivation: number): PatientEvent {
  return {
    ...event,
    envelope: withDerivation(event.envelope, derivation),
    patient: normalisePatientFacts(event.patient),
  }
}

/**
 * Reads sex, birth date, ID number and name of a patient. What cannot be read stays null and is flagged; nothing is
 * filled from another field: a birth date that is not stated is not taken from the ID number.
 */
export function normalisePatientFacts(patient: PatientFacts): PatientFacts {
  const flags: NormaliseFlag[] = []
  const sexCode = readSexCode(patient.sex, flags)
  const birthDateIso = readBirthDateIso(patient.birthDate, flags)
  const id = chooseIdNumber(patient.identifiers, flags)
  const nameFolded = readNameFolded(patient.name, flags)
  if (id !== null) {
    if (id.upgraded) flags.push('id-number-upgraded')
    if (birthDateIso !== null && id.birthDate !== null && !id.birthDate.startsWith(birthDateIso))
      flags.push('birth-date-conflict')
    if ((sexCode === '1' || sexCode === '2') && id.sexCode !== null && sexCode !== id.sexCode)
      flags.push('sex-conflict')
  }
  const idNumber = id?.number ?? null
  return { ...patient, sexCode, birthDateIso, idNumber, nameFolded, flags: withFlags(patient.flags, flags) }
}

function readSexCode(sex: string | null, flags: NormaliseFlag[]): string | null {
  if (isAbsent(sex)) return null
  const code = readSex(sex)
  if (code === null) flags.push('sex-unreadable')
  return code
}

function readBirthDateIso(birthDate: string | null, flags: NormaliseFlag[]): string | null {
  if (isAbsent(birthDate)) return null
  const { iso, problem } = readBirthDate(birthDate)
  if (problem === 'unreadable') flags.push('birth-date-unreadable')
  else if (problem === 'placeholder') flags.push('birth-date-placeholder')
  return iso
}

const nameFlags: Readonly<Record<NameProblem, NormaliseFlag>> = {
  placeholder: 'name-placeholder',
  garbled: 'name-garbled',
  newborn: 'name-of-newborn',
}

function readNameFolded(name: string | null, flags: NormaliseFlag[]): string | null {
  if (isAbsent(name)) return null
  const { folded, problem } = readPersonName(name)
  if (problem !== null) flags.push(nameFlags[problem])
  return folded
}

// HL7 v2.5.1 table 0203 (NI, NNCHN), WS 364 CV02.01.101 (01) and what Chinese systems write.
const idTypes =
  /^(?:NI|NN|NNCHN|NNCN|SS|SSN|01|ID|IDCARD|IDNO|IDENTITY|SFZ|SFZH|GMSFHM|CN-?ID|身份证号?码?|居民身份证|二代身份证|公民身份号码)$/i
const otherDocuments =
  /^(?:PPN|PASSPORT|DL|MI|BC|0[2-79]|护照|军官证|驾驶证|港澳通行证|台湾通行证|出生医学证明|户口簿)$/i
const untyped = /^(?:|PI|PT|MR|PN|AN|XX|U)$/i

/**
 * The citizen ID number among the identifiers. One that is said to be one counts, valid or not; one without a type, or
 * under a patient number's, counts only when everything about it is right, for a hospital number may look like one.
 */
function chooseIdNumber(identifiers: readonly Identifier[], flags: NormaliseFlag[]): IdNumberReading | null {
  let chosen: IdNumberReading | null = null
  for (const identifier of identifiers) {
    const type = (identifier.type ?? '').trim()
    const declared = idTypes.test(type) || idTypes.test((identifier.assigner ?? '').trim())
    // A newborn carries its mother's identifiers (PID-21, NK1-33) as identifiers of that type: never its own.
    if (type.startsWith('mother')) continue
    if (isAbsent(identifier.value) || otherDocuments.test(type) || !(declared || untyped.test(type))) continue
    if (!declared && foldIdNumber(identifier.value).length !== 18) continue
    const read = readIdNumber(identifier.value)
    if (read.kind === 'citizen' || read.kind === 'residence-permit') {
      if (chosen !== null && chosen.number !== read.number) {
        flags.push('id-number-conflict')
        return null
      }
      chosen ??= read
    } else if (declared) flags.push(problemFlag(read))
  }
  return chosen
}

function problemFlag({ kind }: IdNumberReading): NormaliseFlag {
  if (kind === 'placeholder') return 'id-number-placeholder'
  return kind === 'foreign-resident' || kind === 'foreign-resident-old'
    ? 'id-number-foreign-resident'
    : 'id-number-invalid'
}

function isAbsent(text: string | null): text is null {
  return text === null || text.trim() === '' || text === '""'
}
