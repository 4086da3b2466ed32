import { escaped, localTime, segment, type Dialect } from './dialect.js'
import { abnormality, drawValue, type Exam, type Panel } from './panels.js'
import type { Person } from './persons.js'
import type { Random } from './random.js'

/** A laboratory report that is sent once or, with another status or other values, several times. */
export interface LabOrder {
  readonly person: Person
  readonly panel: Panel
  readonly reportNumber: string
  readonly placerNumber: string
  readonly collectedAt: number
  /** One for each item of the panel. */
  readonly values: readonly string[]
  readonly staff: string
}

/** Draws the values of an order. */
export const drawValues = (random: Random, panel: Panel): string[] => panel.items.map((item) => drawValue(random, item))

/** The segments after PID and PV1 of a panel's results; `status` is OBX-11 and OBR-25, `recordedAt` OBR-22. */
export function panelSegments(dialect: Dialect, order: LabOrder, status: string, recordedAt: number): string[] {
  const { panel, reportNumber, placerNumber, collectedAt, values, person, staff } = order
  const urine = panel.id === 'PNL007'
  const specimen = urine ? '尿液' : panel.id === 'PNL001' ? '全血' : '血清'
  const service = dialect.code({ code: panel.code, text: panel.text, system: panel.system })
  const [collected, recorded] = [dialect.time(collectedAt), dialect.time(recordedAt)]
  const lines = [
    segment('ORC', { 1: 'RE', 2: placerNumber, 3: reportNumber }),
    segment('OBR', {
      1: '1',
      2: placerNumber,
      3: reportNumber,
      4: service,
      7: collected,
      14: collected,
      15: specimen,
      22: recorded,
      25: status,
      32: staff,
    }),
  ]
  for (const [index, item] of panel.items.entries()) {
    const value = values[index] ?? ''
    const type = item.choices.length > 0 ? 'ST' : 'NM'
    const flag = dialect.flag(abnormality(item, value, person.sex))
    lines.push(
      `OBX|${index + 1}|${type}|${dialect.code(item)}||${escaped(value)}|${escaped(item.unit)}|${escaped(item.range)}|${flag}|||${status}|||${recorded}`,
    )
  }
  return lines
}

interface Antibiotic {
  readonly mnemonic: string
  readonly loinc: string
  readonly text: string
}
const antibiotics: readonly Antibiotic[] = [
  { mnemonic: 'AMK', loinc: '18860-7', text: '阿米卡星' },
  { mnemonic: 'AMP', loinc: '18864-9', text: '氨苄西林' },
  { mnemonic: 'CRO', loinc: '18895-3', text: '头孢曲松' },
  { mnemonic: 'CIP', loinc: '18906-8', text: '环丙沙星' },
  { mnemonic: 'GEN', loinc: '18928-2', text: '庆大霉素' },
  { mnemonic: 'IPM', loinc: '18932-4', text: '亚胺培南' },
]
const organisms = ['大肠埃希菌', '肺炎克雷伯菌', '金黄色葡萄球菌', '铜绿假单胞菌']

interface ReportFacts {
  readonly random: Random
  readonly reportNumber: string
  readonly collectedAt: number
  readonly recordedAt: number
}

/** Culture with an organism and its susceptibilities, linked by OBR-26 and OBR-29; or no growth. */
export function microbiologySegments(dialect: Dialect, facts: ReportFacts): string[] {
  const { random, reportNumber } = facts
  const [collected, recorded] = [dialect.time(facts.collectedAt), dialect.time(facts.recordedAt)]
  const loinc = dialect.hospital === 'H003'
  const culture = loinc ? '634-6^Bacteria identified^LN' : 'XJPY^细菌培养及鉴定^L'
  const service = loinc ? culture : 'P12^细菌培养+药敏^L'
  const staff = dialect.staff(random)
  const obr = (set: number, code: string, parents: Readonly<Record<number, string>>): string =>
    segment('OBR', {
      1: String(set),
      3: reportNumber,
      4: code,
      7: collected,
      14: collected,
      15: '中段尿',
      22: recorded,
      24: 'MB',
      25: 'F',
      32: staff,
      ...parents,
    })
  const lines = [obr(1, service, {})]
  if (random.chance(0.3)) return [...lines, `OBX|1|ST|${culture}|1|培养48小时无细菌生长||||||F|||${recorded}`]
  const organism = random.pick(organisms)
  const parentCode = culture.replaceAll('^', '&')
  lines.push(
    `OBX|1|CE|${culture}|1|^${organism}^L||||||F|||${recorded}`,
    obr(2, loinc ? '29576-6^Susceptibility panel^LN' : 'P12^药敏试验^L', {
      26: `${parentCode}^1^${organism}`,
      29: `^${reportNumber}`,
    }),
  )
  for (const [index, drug] of antibiotics.entries()) {
    const step = random.integer(-2, 6)
    const code = loinc ? `${drug.loinc}^${drug.text}^LN` : `${drug.mnemonic}^${drug.text}^L`
    const interpretation = step <= 0 ? 'S' : step <= 2 ? 'I' : 'R'
    lines.push(
      `OBX|${index + 1}|SN|${code}|1|${step === -2 ? '<=' : step === 6 ? '>=' : ''}^${2 ** step}|ug/mL||${interpretation}|||F|||${recorded}`,
    )
  }
  return lines
}

const findings: readonly (readonly [findings: string, impression: string])[] = [
  ['双肺纹理清晰，未见明确实变影；纵隔居中，心影不大。', '未见明显异常。'],
  ['右肺下叶见小斑片状密度增高影，边界模糊；余肺野清晰。', '右肺下叶炎症可能，建议治疗后复查。'],
  ['肝脏形态大小正常，回声细密；胆囊壁光滑，腔内见强回声光团 8mm×6mm，后伴声影。', '胆囊结石。'],
  ['各序列未见异常信号；脑室系统无扩张，中线结构居中。', '平扫未见明显异常。'],
]

/** An examination report with findings, impression and the study it is about (ZDS). */
export function imagingSegments(dialect: Dialect, exam: Exam, facts: ReportFacts): string[] {
  const { random, reportNumber } = facts
  const recorded = dialect.time(facts.recordedAt)
  const [seen, impression] = random.pick(findings)
  const staff = dialect.staff(random)
  const loinc = dialect.hospital === 'H003'
  const part = (code: string, suffix: string, title: string): string =>
    loinc ? `${code}^${title}^LN` : `${exam.code}&${suffix}^${title}`
  return [
    segment('OBR', {
      1: '1',
      3: reportNumber,
      4: dialect.code(exam),
      7: dialect.time(facts.collectedAt),
      15: `^^^${exam.bodyPart}`,
      18: `A${reportNumber}`,
      22: recorded,
      24: exam.modality,
      25: 'F',
      32: staff,
      33: staff,
    }),
    `OBX|1|TX|${part('59776-5', 'GDT', '检查所见')}||${escaped(seen)}||||||F|||${recorded}`,
    `OBX|2|TX|${part('19005-8', 'IMP', '诊断意见')}||${escaped(impression)}||||||F|||${recorded}`,
    `ZDS|2.25.${random.integer(1, 9)}${random.digits(30)}^HUTONGDEMO^Application^DICOM`,
  ]
}

/** A pathology report with the sheet as an embedded PDF. */
export function pathologySegments(dialect: Dialect, facts: ReportFacts): string[] {
  const { reportNumber } = facts
  const recorded = dialect.time(facts.recordedAt)
  const staff = dialect.staff(facts.random)
  const system = dialect.hospital === 'H003' ? '99XH' : 'L'
  return [
    segment('OBR', {
      1: '1',
      3: reportNumber,
      4: `BL01^活检病理诊断^${system}`,
      7: dialect.time(facts.collectedAt),
      14: dialect.time(facts.collectedAt),
      15: '胃窦黏膜',
      22: recorded,
      24: 'SP',
      25: 'F',
      32: staff,
      33: staff,
    }),
    `OBX|1|TX|BL-RY^肉眼所见^${system}||灰白色黏膜组织两块，直径约0.2cm。||||||F|||${recorded}`,
    `OBX|2|TX|BL-JX^镜下所见^${system}||黏膜慢性炎，固有层淋巴细胞浸润，未见肠上皮化生。||||||F|||${recorded}`,
    `OBX|3|TX|BL-ZD^病理诊断^${system}||（胃窦）黏膜慢性炎。||||||F|||${recorded}`,
    `OBX|4|ED|BL-PDF^报告单^${system}||^application^pdf^Base64^${sheet(reportNumber).toString('base64')}||||||F|||${recorded}`,
  ]
}

/** A one-page PDF that says which report it stands for. */
function sheet(reportNumber: string): Buffer {
  const stream = `BT /F1 18 Tf 60 760 Td (Hutong demonstration, report ${reportNumber}) Tj ET`
  const objects = [
    '<</Type/Catalog/Pages 2 0 R>>',
    '<</Type/Pages/Kids[3 0 R]/Count 1>>',
    '<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>',
    `<</Length ${stream.length}>>stream\n${stream}\nendstream`,
    '<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>',
  ]
  let text = '%PDF-1.4\n'
  const offsets = objects.map((object, index) => {
    const offset = text.length
    text += `${index + 1} 0 obj${object}endobj\n`
    return offset
  })
  const table = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('')
  text += `xref\n0 6\n0000000000 65535 f \n${table}trailer<</Size 6/Root 1 0 R>>\nstartxref\n${text.length}\n%%EOF\n`
  return Buffer.from(text, 'latin1')
}

/** The order of a panel as the hospital's HIS announces it. */
export function orderSegments(dialect: Dialect, panel: Panel, placerNumber: string, at: number): string[] {
  const service = dialect.code({ code: panel.code, text: panel.text, system: panel.system })
  return [
    segment('ORC', { 1: 'NW', 2: placerNumber, 9: localTime(at), 12: '1005^医师^戊' }),
    segment('OBR', { 1: '1', 2: placerNumber, 4: service, 7: localTime(at) }),
  ]
}
