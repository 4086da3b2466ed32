import { readFileSync } from 'node:fs'
import { readTsv } from '../../catalogue/tsv.js'
import { catalogueFile, type HospitalCode } from './hospitals.js'
import type { Random } from './random.js'

interface Bounds {
  readonly low: number
  readonly high: number
}

/** One item of a panel as its hospital states it. */
export interface PanelItem {
  readonly code: string
  readonly text: string
  readonly system: string
  readonly unit: string
  readonly range: string
  readonly bounds: Readonly<Record<'M' | 'F', Bounds>>
  readonly low: number
  readonly high: number
  readonly decimals: number
  /** Answers to draw from; empty for numbers. */
  readonly choices: readonly string[]
}

export interface Panel {
  /** Of the catalogue: PNL001 is the blood count. */
  readonly id: string
  readonly code: string
  readonly text: string
  readonly system: string
  readonly items: readonly PanelItem[]
}

export interface Exam {
  readonly code: string
  readonly text: string
  readonly system: string
  readonly modality: string
  readonly bodyPart: string
}

/** The panels of a hospital in catalogue order, by `catalogue/data/demo-codes.tsv`. */
export function panelsOf(hospital: HospitalCode): readonly Panel[] {
  const panels = new Map<string, Panel & { items: PanelItem[] }>()
  for (const cells of rowsOf('demo-codes.tsv', codeColumns, hospital)) {
    const id = cells['panel_id'] ?? ''
    const system = cells['coding_system'] ?? ''
    let panel = panels.get(id)
    if (panel === undefined) {
      const code = cells['panel_code'] ?? ''
      const panelSystem = hospital !== 'H003' ? system : /^\d+-\d$/.test(code) ? 'LN' : '99XH'
      panel = { id, code, text: cells['panel_text'] ?? '', system: panelSystem, items: [] }
      panels.set(id, panel)
    }
    const choices = cells['choices'] ?? ''
    const range = cells['range'] ?? ''
    panel.items.push({
      code: cells['local_code'] ?? '',
      text: cells['local_text'] ?? '',
      system,
      unit: cells['unit'] ?? '',
      range,
      bounds: { M: boundsOf(range, 'M'), F: boundsOf(range, 'F') },
      low: Number(cells['typical_low'] ?? 0),
      high: Number(cells['typical_high'] ?? 0),
      decimals: Number(cells['decimals'] ?? 0),
      choices: choices === '' ? [] : choices.split('|'),
    })
  }
  return [...panels.values()]
}

/** The examinations of a hospital, by `catalogue/data/demo-exams.tsv`. */
export function examsOf(hospital: HospitalCode): readonly Exam[] {
  return rowsOf('demo-exams.tsv', examColumns, hospital).map((cells) => ({
    code: cells['local_code'] ?? '',
    text: cells['local_text'] ?? '',
    system: cells['coding_system'] ?? '',
    modality: cells['modality'] ?? '',
    bodyPart: cells['body_part'] ?? '',
  }))
}

/** A value of the item, near the middle of its typical span more often than at its ends. */
export function drawValue(random: Random, item: PanelItem): string {
  if (item.choices.length > 0) return random.pick(item.choices)
  const share = Math.min(1, Math.max(0, 0.5 + random.normal() * 0.2))
  return (item.low + share * (item.high - item.low)).toFixed(item.decimals)
}

/** -1 below the printed range, 1 above it or not the expected answer, 0 within or where nothing can be said. */
export function abnormality(item: PanelItem, value: string, sex: 'M' | 'F'): -1 | 0 | 1 {
  if (item.choices.length > 0) return /^(-|阴性|正常|Neg|Normal)/.test(value) ? 0 : 1
  const { low, high } = item.bounds[sex]
  const number = Number(value)
  if (number < low) return -1
  return number > high ? 1 : 0
}

/** `130-175`, `130--175`, `130 - 175`, `<35.0`, `<= 35.0`; `男:130-175 女:115-150` by sex. */
function boundsOf(range: string, sex: 'M' | 'F'): Bounds {
  const bySex = new RegExp(`${sex === 'M' ? '男' : '女'}:(\\S+)`).exec(range)?.[1] ?? range
  const upper = /^<=?\s*([\d.]+)$/.exec(bySex)
  if (upper !== null) return { low: -Infinity, high: Number(upper[1]) }
  const span = /^([\d.]+)\s*--?\s*([\d.]+)$/.exec(bySex)
  return span === null ? { low: -Infinity, high: Infinity } : { low: Number(span[1]), high: Number(span[2]) }
}

const codeColumns =
  'hospital panel_id panel_code panel_text item_id local_code local_text coding_system unit range typical_low typical_high decimals choices'
const examColumns = 'hospital item_id local_code local_text coding_system modality body_part'

function rowsOf(name: string, columns: string, hospital: string): Readonly<Record<string, string>>[] {
  const file = catalogueFile(name)
  const { rows, problems } = readTsv(file, readFileSync(file, 'utf8'), columns.split(' '))
  const [problem] = problems
  if (problem !== undefined) throw new Error(`${problem.file}:${problem.line}: ${problem.message}`)
  return rows.map((row) => row.cells).filter((cells) => cells['hospital'] === hospital)
}
