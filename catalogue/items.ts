import { parseConversion, type Conversion } from './conversion.js'
import { readTsv, type FileProblem } from './tsv.js'

export type ItemKind = 'lab' | 'imaging' | 'panel'

/** NM number, ORD ordinal, ORG organism, SUS susceptibility, REPORT imaging report, PANEL group of items. */
export type ItemValueType = 'NM' | 'ORD' | 'ORG' | 'SUS' | 'REPORT' | 'PANEL'

/** One row of unified-items.tsv. */
export interface CatalogueItem {
  readonly id: string
  readonly kind: ItemKind
  readonly nameZh: string
  readonly nameEn: string
  readonly aliases: readonly string[]
  readonly category: string
  readonly specimenOrBodyPart: string
  /** DICOM PS3.3 C.7.3.1.1.1, imaging only. */
  readonly modality: string | null
  readonly valueType: ItemValueType
  /** Canonical UCUM unit; null for items without one. */
  readonly ucum: string | null
  /** Units that are no power of ten away, by unit. */
  readonly alternates: ReadonlyMap<string, Conversion>
  readonly loinc: string | null
  /** 0: never offered for recognition. */
  readonly validityDays: number
  /** Limits of a living human in the canonical unit, for flags only; not a reference range. */
  readonly plausibleMin: number | null
  readonly plausibleMax: number | null
}

const columns = [
  'item_id',
  'kind',
  'name_zh',
  'name_en',
  'aliases',
  'category',
  'specimen_or_body_part',
  'dicom_modality',
  'value_type',
  'ucum',
  'alt_unit',
  'alt_to_ucum_factor',
  'loinc',
  'loinc_check',
  'validity_days',
  'validity_basis',
  'plaus_min',
  'plaus_max',
  'note',
]
const kinds = new Set<string>(['lab', 'imaging', 'panel'])
const valueTypes = new Set<string>(['NM', 'ORD', 'ORG', 'SUS', 'REPORT', 'PANEL'])

/** Reads unified-items.tsv and says everything that is wrong with it. */
export function readItems(
  file: string,
  text: string,
): { items: ReadonlyMap<string, CatalogueItem>; version: string; problems: readonly FileProblem[] } {
  const table = readTsv(file, text, columns)
  const problems = [...table.problems]
  const items = new Map<string, CatalogueItem>()
  const loincLines = new Map<string, number>()
  for (const { line, cells } of table.rows) {
    const problem = (message: string): void => void problems.push({ file, line, message })
    const cell = (name: string): string => cells[name] ?? ''
    const id = cell('item_id')
    if (id === '') problem('item_id is empty')
    if (items.has(id)) problem(`item ${id} stands twice`)
    if (!kinds.has(cell('kind'))) problem(`kind "${cell('kind')}" is none of ${[...kinds].join(', ')}`)
    if (!valueTypes.has(cell('value_type')))
      problem(`value_type "${cell('value_type')}" is none of ${[...valueTypes].join(', ')}`)
    const loinc = cell('loinc')
    if (loinc !== '') {
      if (!isLoinc(loinc)) problem(`LOINC ${loinc} fails its check digit`)
      const other = loincLines.get(loinc)
      if (other !== undefined) problem(`LOINC ${loinc} also stands on line ${other}`)
      loincLines.set(loinc, line)
    }
    for (const name of ['plaus_min', 'plaus_max', 'validity_days'])
      if (cell(name) !== '' && !/^-?\d+(\.\d+)?$/.test(cell(name))) problem(`${name} "${cell(name)}" is no number`)
    items.set(id, {
      id,
      kind: cell('kind') as ItemKind,
      nameZh: cell('name_zh'),
      nameEn: cell('name_en'),
      aliases: list(cell('aliases')),
      category: cell('category'),
      specimenOrBodyPart: cell('specimen_or_body_part'),
      modality: cell('dicom_modality') || null,
      valueType: cell('value_type') as ItemValueType,
      ucum: cell('ucum') || null,
      alternates: readAlternates(list(cell('alt_unit')), list(cell('alt_to_ucum_factor')), problem),
      loinc: loinc || null,
      validityDays: Number(cell('validity_days') || '0'),
      plausibleMin: cell('plaus_min') === '' ? null : Number(cell('plaus_min')),
      plausibleMax: cell('plaus_max') === '' ? null : Number(cell('plaus_max')),
    })
  }
  const version = table.properties['version'] ?? ''
  if (version === '') problems.push({ file, line: 0, message: 'no "# version: …" line at the head' })
  return { items, version, problems }
}

/** LOINC code with its check digit (mod 10, "Luhn") right. */
export function isLoinc(code: string): boolean {
  const match = /^(\d{1,7})-(\d)$/.exec(code)
  if (match === null) return false
  let sum = 0
  for (const [index, character] of [...(match[1] ?? '')].reverse().entries()) {
    const digit = Number(character) * (index % 2 === 0 ? 2 : 1)
    sum += digit > 9 ? digit - 9 : digit
  }
  return (10 - (sum % 10)) % 10 === Number(match[2])
}

function readAlternates(
  units: readonly string[],
  factors: readonly string[],
  problem: (message: string) => void,
): ReadonlyMap<string, Conversion> {
  const alternates = new Map<string, Conversion>()
  if (units.length !== factors.length) problem(`${units.length} alt_unit, but ${factors.length} alt_to_ucum_factor`)
  for (const [index, unit] of units.entries()) {
    try {
      alternates.set(unit, parseConversion(factors[index] ?? ''))
    } catch (error) {
      problem(`alt_to_ucum_factor of ${unit}: ${(error as Error).message}`)
    }
  }
  return alternates
}

const list = (cell: string): string[] => cell.split('|').filter((part) => part !== '')
