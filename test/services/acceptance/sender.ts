import { encode } from '../../../connectors/hl7v2/encode.js'

/** A hospital of ours for acceptance: writes GB18030, states ID numbers, codes of the demonstration mapping H002. */
export interface Lab {
  readonly controlId: string
  /** MSH-7, ms. */
  readonly at: number
  readonly report: string
  readonly status?: string
  readonly patient?: number
  readonly name?: string
  readonly values?: readonly (readonly [code: string, value: string, unit: string])[]
  readonly msh18?: string
  /** No ID number is stated. */
  readonly anonymous?: boolean
}

const usual = [
  ['BXB', '6.1', '10^9/L'],
  ['HXB', '4.52', '10^12/L'],
] as const

const time = (at: number): string => new Date(at + 8 * 3_600_000).toISOString().slice(0, 19).replace(/[-:T]/g, '')

export function labMessage(lab: Lab): Buffer {
  const {
    controlId,
    at,
    report,
    status = 'F',
    patient = 1,
    name = '测试甲',
    values = usual,
    msh18 = 'GB 18030-2000',
  } = lab
  const lines = [
    `MSH|^~\\&|LIS|H002|HUTONG|P|${time(at)}||ORU^R01|${controlId}|P|2.3.1||||||${msh18}`,
    pid(patient, name, lab.anonymous === true),
    `OBR|1||${report}|XCG^血常规|||${time(at - 3_600_000)}|||||||||||||||${time(at)}|||${status}`,
    ...values.map(
      ([code, value, unit], index) =>
        `OBX|${index + 1}|NM|${code}||${value}|${unit.replaceAll('^', '\\S\\')}|||||${status}`,
    ),
  ]
  return Buffer.from(encode(`${lines.join('\r')}\r`, 'gb18030'))
}

export function patientMessage({
  controlId,
  at,
  anonymous = false,
}: Pick<Lab, 'controlId' | 'at' | 'anonymous'>): Buffer {
  const lines = [
    `MSH|^~\\&|LIS|H002|HUTONG|P|${time(at)}||ADT^A08|${controlId}|P|2.3.1||||||GB 18030-2000`,
    `EVN|A08|${time(at)}`,
    pid(1, '测试甲', anonymous),
  ]
  return Buffer.from(encode(`${lines.join('\r')}\r`, 'gb18030'))
}

function pid(patient: number, name: string, anonymous: boolean): string {
  const number = anonymous ? '' : `~${idNumber(patient)}^^^^NI`
  return `PID|1||P${patient}^^^H002^MR${number}||${name}||19800101|${patient % 2 === 1 ? 'M' : 'F'}`
}

/** GB 11643-1999: numbers 001 to 010 of a day and place, with the check digit; no person is meant. */
export function idNumber(patient: number): string {
  const digits = `11010119800101${String(patient).padStart(3, '0')}`
  const weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
  const sum = weights.reduce((total, weight, index) => total + weight * Number(digits[index]), 0)
  return digits + '10X98765432'.charAt(sum % 11)
}
