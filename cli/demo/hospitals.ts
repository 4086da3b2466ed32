import { fileURLToPath } from 'node:url'

export type HospitalCode = 'H001' | 'H002' | 'H003'

/** A demonstration hospital: it exists nowhere. */
export interface DemoHospital {
  readonly code: HospitalCode
  readonly nameZh: string
  readonly nameEn: string
  /** Name of its feed. */
  readonly feed: string
  readonly transport: 'mllp' | 'files'
  readonly dialectZh: string
  readonly dialectEn: string
  /** What its feed's configuration says of how its messages are read. */
  readonly parseSettings: Readonly<Record<string, unknown>>
  /** Share of all messages of a demonstration. */
  readonly share: number
}

export const demoHospitals: readonly DemoHospital[] = [
  {
    code: 'H001',
    nameZh: '互通示范第一医院',
    nameEn: 'Hutong Demonstration Hospital No. 1',
    feed: 'h001-lis',
    transport: 'mllp',
    dialectZh: 'HL7 2.5 / UTF-8 / MLLP',
    dialectEn: 'HL7 2.5, UTF-8, MLLP',
    // Its RIS writes the section in Chinese (心电), which no table knows: the sending application tells.
    parseSettings: {
      patientAuthority: 'H001',
      localReportTypes: [{ kind: 'imaging', sendingApplications: ['RIS'] }],
    },
    share: 0.45,
  },
  {
    code: 'H002',
    nameZh: '互通示范第二医院',
    nameEn: 'Hutong Demonstration Hospital No. 2',
    feed: 'h002-lis',
    transport: 'mllp',
    dialectZh: 'HL7 2.3.1 / GBK / MLLP',
    dialectEn: 'HL7 2.3.1, GBK, MLLP',
    // MSH-18 is blank or lies: what the sender really writes is declared here.
    parseSettings: { charset: 'GB18030', patientAuthority: 'H002' },
    share: 0.35,
  },
  {
    code: 'H003',
    nameZh: '互通示范第三医院',
    nameEn: 'Hutong Demonstration Hospital No. 3',
    feed: 'h003-files',
    transport: 'files',
    dialectZh: 'HL7 2.4 / UTF-8 / 批文件',
    dialectEn: 'HL7 2.4, UTF-8, batch files',
    parseSettings: { patientAuthority: 'H003' },
    share: 0.2,
  },
]

/** @throws RangeError where nobody is called so */
export function demoHospital(code: HospitalCode): DemoHospital {
  const found = demoHospitals.find((hospital) => hospital.code === code)
  if (found === undefined) throw new RangeError(`no demonstration hospital ${code}`)
  return found
}

/** Path of a data file of the catalogue, beside the sources as in the built product. */
export const catalogueFile = (name: string): string =>
  fileURLToPath(new URL(`../../catalogue/data/${name}`, import.meta.url))

/** The mapping files of the three hospitals. */
export const demoMappingFiles = (): string[] =>
  demoHospitals.map(({ code }) => catalogueFile(`mappings/demo-${code.toLowerCase()}.tsv`))
