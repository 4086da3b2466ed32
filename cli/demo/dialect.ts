import { encode } from '../../connectors/hl7v2/encode.js'
import type { HospitalCode } from './hospitals.js'
import { examsOf, panelsOf, type Exam, type Panel } from './panels.js'
import type { Person } from './persons.js'
import type { Random } from './random.js'

/** A stay or an outpatient visit. */
export interface Visit {
  readonly number: string
  /** I inpatient, O outpatient, E emergency (HL7 table 0004). */
  readonly patientClass: 'I' | 'O' | 'E'
  readonly department: string
  readonly bed: string
  readonly admittedAt: number
  readonly dischargedAt?: number
}

/** How one hospital's systems write HL7. */
export interface Dialect {
  readonly hospital: HospitalCode
  readonly panels: readonly Panel[]
  readonly exams: readonly Exam[]
  encode(text: string): Buffer
  /** Message time, OBR and OBX times. */
  time(at: number): string
  msh(application: string, type: string, at: number, controlId: string, random: Random): string
  pid(person: Person): string
  pv1(visit: Visit | undefined): string
  /** OBX-3 or OBR-4. */
  code(item: { readonly code: string; readonly text: string; readonly system: string }): string
  /** OBX-8 of below, within and above the range. */
  flag(abnormality: -1 | 0 | 1): string
  /** OBR-32 and its like. */
  staff(random: Random): string
}

/** Escapes the delimiters of HL7 v2 (v2.5.1 section 2.7). */
export const escaped = (text: string): string =>
  text.replace(/[\\|^&~]/g, (delimiter) => `\\${'EFSTR'.charAt('\\|^&~'.indexOf(delimiter))}\\`)

/** A segment from its fields by number; trailing empty ones are left out. */
export function segment(name: string, fields: Readonly<Record<number, string>>): string {
  const cells = [name]
  for (const [number, text] of Object.entries(fields)) {
    if (text === '') continue
    while (cells.length < Number(number)) cells.push('')
    cells[Number(number)] = text
  }
  return cells.join('|')
}

/** YYYYMMDDHHMMSS at +08:00. */
export const localTime = (at: number): string =>
  new Date(at + 8 * 3_600_000).toISOString().slice(0, 19).replace(/[-:T]/g, '')

const staffNames = ['检验甲', '检验乙', '审核丙', '审核丁', '医师戊']
const staffOf = (random: Random): { readonly number: string; readonly name: string } => {
  const index = random.integer(0, staffNames.length - 1)
  return { number: String(1001 + index), name: staffNames[index] ?? '' }
}

function visitSegment(visit: Visit | undefined, physician: string): string {
  if (visit === undefined) return segment('PV1', { 1: '1', 2: 'O', 3: '检验科门诊' })
  const { number, patientClass, department, bed, admittedAt, dischargedAt } = visit
  return segment('PV1', {
    1: '1',
    2: patientClass,
    3: `${department}^^${bed}`,
    7: physician,
    19: number,
    44: localTime(admittedAt),
    45: dischargedAt === undefined ? '' : localTime(dischargedAt),
  })
}

const h001: Omit<Dialect, 'panels' | 'exams'> = {
  hospital: 'H001',
  encode: (text) => Buffer.from(text, 'utf8'),
  time: (at) => `${localTime(at)}+0800`,
  msh: (application, type, at, controlId) =>
    `MSH|^~\\&|${application}|H001|HUTONG|PROVINCE|${localTime(at)}+0800||${type}|${controlId}|P|2.5|||AL|NE|CHN|UNICODE UTF-8`,
  pid({ patientNumber, name, sex, birthDate, idNumber, phone, address }) {
    return segment('PID', {
      1: '1',
      3: `${patientNumber}^^^H001^MR~${idNumber}^^^MPS^NNCHN`,
      5: `${name.slice(0, 1)}^${name.slice(1)}^^^^^L`,
      7: birthDate,
      8: sex,
      11: `^^${address}`,
      13: `^PRN^PH^^^^${phone}`,
    })
  },
  pv1: (visit) => visitSegment(visit, '1005^医师^戊'),
  code: ({ code, text, system }) => `${escaped(code)}^${escaped(text)}^${system}`,
  flag: (abnormality) => (abnormality < 0 ? 'L' : abnormality > 0 ? 'H' : 'N'),
  staff(random) {
    const { number, name } = staffOf(random)
    return `${number}&${name}`
  },
}

const h002: Omit<Dialect, 'panels' | 'exams'> = {
  hospital: 'H002',
  encode: (text) => encode(text, 'gb18030'),
  time: localTime,
  // MSH-18 is blank, or claims what the bytes are not.
  msh(application, type, at, controlId, random) {
    const version = application === 'LIS' ? '2.3.1' : '2.4'
    const claim = random.pick(['', '', '', '||||||UNICODE UTF-8', '||||||ASCII'])
    return `MSH|^~\\&|${application}|H002|HUTONG||${localTime(at)}||${type}|${controlId}|P|${version}${claim}`
  },
  pid: ({ patientNumber, name, sex, birthDate, idNumber, phone, address }) =>
    segment('PID', {
      1: '1',
      2: patientNumber,
      3: patientNumber,
      5: name,
      7: birthDate,
      8: sex === 'M' ? '男' : '女',
      11: address,
      13: phone,
      19: idNumber,
    }),
  pv1: (visit) => visitSegment(visit, '医师戊'),
  code: ({ code, text }) => `${code}^${text}`,
  flag: (abnormality) => (abnormality < 0 ? '↓' : abnormality > 0 ? '↑' : ''),
  staff: (random) => staffOf(random).name,
}

const h003: Omit<Dialect, 'panels' | 'exams'> = {
  hospital: 'H003',
  encode: (text) => Buffer.from(text, 'utf8'),
  time: localTime,
  msh: (application, type, at, controlId) =>
    `MSH|^~\\&|${application}|H003|HUTONG||${localTime(at)}||${type}|${controlId}|P|2.4||||||UNICODE UTF-8`,
  pid: ({ patientNumber, name, sex, birthDate, idNumber, phone, address }) =>
    segment('PID', {
      1: '1',
      3: `${patientNumber}^^^H003~${idNumber}^^^^NI`,
      5: name,
      7: birthDate,
      8: sex,
      11: address,
      13: phone,
    }),
  pv1: h001.pv1,
  code: ({ code, text, system }) => `${escaped(code)}^${escaped(text)}^${system}`,
  flag: (abnormality) => (abnormality < 0 ? 'L' : abnormality > 0 ? 'H' : ''),
  staff: h001.staff,
}

/** How a hospital writes, with the panels and examinations it offers. */
export function dialectOf(hospital: HospitalCode): Dialect {
  const dialect = { H001: h001, H002: h002, H003: h003 }[hospital]
  return { ...dialect, panels: panelsOf(hospital), exams: examsOf(hospital) }
}
