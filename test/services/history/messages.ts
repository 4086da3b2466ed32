import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** A synthetic white cell count of one day (`YYYY-MM-DD`): report number, patient and control id all from `number`. */
export function whiteCellCount(day: string, number: number): string {
  const date = day.replaceAll('-', '')
  return [
    `MSH|^~\\&|LIS|H001|HUTONG|PROVINCE|${date}0930${String(number % 60).padStart(2, '0')}||ORU^R01^ORU_R01|HIST${number}|P|2.4|||AL|NE|CHN|UNICODE UTF-8`,
    `PID|1||${1_000_000 + (number % 50)}^^^H001^PI||测试^某${number % 50}||19850307|M`,
    `OBR|1||R${number}|XCG^血常规^L|||${date}083000|||||||||||||||${date}093000|||F`,
    `OBX|1|NM|WBC^白细胞^L||6.${number % 10}|10*9/L|3.5-9.5|N|||F|||${date}093000`,
    '',
  ].join('\r')
}

/** Writes files below a folder, name to messages. */
export async function writeHistory(folder: string, files: Readonly<Record<string, readonly string[]>>): Promise<void> {
  for (const [name, messages] of Object.entries(files)) {
    const file = join(folder, ...name.split('/'))
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, messages.join('\n'))
  }
}

/** Messages of a day numbered from `first`. */
export const ofDay = (day: string, first: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => whiteCellCount(day, first + index))
