import { nearest } from '../core/nearest.js'
import { foldText } from './fold.js'
import type { CatalogueItem } from './items.js'
import { readMetricUnit } from './ucum.js'
import { readTsv, type FileProblem } from './tsv.js'

/** One row of a mapping file: what one hospital calls an item of ours. */
export interface LocalMapping {
  readonly hospital: string
  /** The system within the hospital (LabReport.sourceSystem), or `*` for all of them. */
  readonly sourceSystem: string
  readonly code: string
  /** Where given, the row holds only for a result sent under this name: guards against reused codes. */
  readonly text: string | null
  readonly itemId: string
  /** UCUM unit for results whose unit is blank or ambiguous; null where the sender's unit stands. */
  readonly unit: string | null
  readonly file: string
  readonly line: number
}

const required = ['hospital', 'source_system', 'local_code', 'item_id']
const optional = ['local_text', 'unit', 'note']

/** Reads one mapping file (docs/mappings.md) and says everything that is wrong with it, with the nearest valid name. */
export function readMappings(
  file: string,
  text: string,
  items: ReadonlyMap<string, CatalogueItem>,
): { mappings: readonly LocalMapping[]; problems: readonly FileProblem[] } {
  const table = readTsv(file, text, required, optional)
  const problems = [...table.problems]
  const mappings: LocalMapping[] = []
  const lines = new Map<string, number>()
  for (const { line, cells } of table.rows) {
    const cell = (name: string): string => cells[name] ?? ''
    for (const name of required) if (cell(name) === '') problems.push({ file, line, message: `${name} is empty` })
    const item = items.get(cell('item_id'))
    if (item === undefined && cell('item_id') !== '') problems.push(unknownItem(file, line, cell('item_id'), items))
    const unit = cell('unit') || null
    if (unit !== null && item !== undefined) problems.push(...checkUnit(file, line, unit, item))
    const key = [cell('hospital'), cell('source_system'), cell('local_code'), foldText(cell('local_text'))].join('\x1f')
    const other = lines.get(key)
    if (other !== undefined)
      problems.push({ file, line, message: `code ${cell('local_code')} is already mapped on line ${other}` })
    lines.set(key, other ?? line)
    if (item === undefined) continue
    mappings.push({
      hospital: cell('hospital'),
      sourceSystem: cell('source_system'),
      code: cell('local_code'),
      text: cell('local_text') || null,
      itemId: item.id,
      unit,
      file,
      line,
    })
  }
  return { mappings, problems: problems.sort((a, b) => a.line - b.line) }
}

/** `file:line: message (did you mean …?)`, one problem a line. */
export function formatProblems(problems: readonly FileProblem[]): string {
  return problems
    .map(({ file, line, message, nearest: name }) => {
      const place = line === 0 ? file : `${file}:${line}`
      return `${place}: ${message}${name === undefined ? '' : ` (did you mean ${name}?)`}`
    })
    .join('\n')
}

function unknownItem(
  file: string,
  line: number,
  itemId: string,
  items: ReadonlyMap<string, CatalogueItem>,
): FileProblem {
  const message = `item_id "${itemId}" is not in the catalogue`
  for (const item of items.values()) {
    const names = [item.nameZh, item.nameEn, item.loinc ?? '', ...item.aliases]
    if (names.some((name) => name.toLowerCase() === itemId.toLowerCase()))
      return { file, line, message, nearest: `${item.id} ${item.nameZh}` }
  }
  const near = nearest(itemId, items.keys())
  return near === undefined ? { file, line, message } : { file, line, message, nearest: near }
}

function checkUnit(file: string, line: number, unit: string, item: CatalogueItem): FileProblem[] {
  const metric = readMetricUnit(unit)
  const known = [...(item.ucum === null ? [] : [item.ucum]), ...item.alternates.keys()]
  if (item.ucum === null || known.includes(unit)) return []
  const comparable = known.some((name) => readMetricUnit(name)?.dimension === metric?.dimension)
  if (metric !== null && comparable) return []
  const message = `unit "${unit}" cannot be brought to ${item.ucum}, the unit of ${item.id} ${item.nameZh}`
  const near = nearest(unit, known) ?? item.ucum
  return [{ file, line, message, nearest: near }]
}
