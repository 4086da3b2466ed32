import { foldText } from '../../catalogue/fold.js'
import { readSusceptibility, type Susceptibility } from '../../catalogue/qualitative.js'
import { splitFlags } from '../../catalogue/abnormal.js'
import { readValue } from '../../catalogue/values.js'
import type { LabReport, Observation } from '../../schemas/types.js'

/** What an observation of a culture is. Null: an ordinary result (a count of colonies, a remark). */
export interface CulturePart {
  readonly kind: 'organism' | 'susceptibility'
  /** For a susceptibility: its organism is in the report. */
  readonly linked: boolean
}

/**
 * Tells organisms from susceptibilities. The link is OBR-26 (HL7 v2.5.1 4.5.3.26: parent code ^ parent OBX-4 ^ value) and
 * OBX-4: either a panel of susceptibilities points at the organism, or, with many Chinese laboratories, all stand in
 * one panel and share OBX-4 (`1` with `1`, `1.1`, `1-2`).
 */
export function cultureParts(report: LabReport): readonly (CulturePart | null)[] {
  const parents = report.panels.map((panel) => readParent(panel.parentObservation))
  if (report.kind !== 'microbiology' && parents.every((parent) => parent === null)) return []
  const categories = report.observations.map(categoryOf)
  const isSusceptibility = report.observations.map((observation, index) => {
    const parent = parents[observation.panel] ?? null
    return categories[index] !== null || (parent !== null && hasMeasuredValue(observation))
  })
  const stems = new Set<string>()
  for (const [index, observation] of report.observations.entries())
    if (isSusceptibility[index] === true) stems.add(linkOf(observation))
  const isOrganism = report.observations.map(
    (observation, index) =>
      isSusceptibility[index] !== true &&
      namesSomething(observation) &&
      (parents.some((parent) => parent !== null && pointsAt(parent, observation)) ||
        (observation.subId !== '' && stems.has(linkOf(observation)))),
  )
  return report.observations.map((observation, index) => {
    if (isOrganism[index] === true) return { kind: 'organism', linked: true }
    if (isSusceptibility[index] !== true) return null
    const parent = parents[observation.panel] ?? null
    const linked = report.observations.some(
      (other, at) =>
        isOrganism[at] === true && (parent === null ? linkOf(other) === linkOf(observation) : pointsAt(parent, other)),
    )
    return { kind: 'susceptibility', linked }
  })
}

/** S, I, R, SDD or NS, from the value itself or from OBX-8 (HL7 v2.5.1 table 0078). */
export function categoryOf({ value, abnormalFlags }: Observation): Susceptibility | null {
  if (value !== null && value.length <= 24) {
    const read = readSusceptibility(foldText(value))
    if (read !== null) return read
    const { kind, qualitative } = readValue(value, false)
    if (kind === 'susceptibility') return qualitative as Susceptibility
  }
  if (abnormalFlags === null) return null
  for (const flag of splitFlags(abnormalFlags)) {
    const read = readSusceptibility(flag)
    if (read !== null) return read
  }
  return null
}

interface Parent {
  readonly code: string
  readonly subId: string
}

function readParent(parentObservation: string | null): Parent | null {
  if (parentObservation === null) return null
  const [identifier = '', subId = ''] = parentObservation.split('^')
  const code = identifier.split('&')[0] ?? ''
  return code === '' && subId === '' ? null : { code, subId }
}

function pointsAt(parent: Parent, { code, subId }: Observation): boolean {
  return (parent.code === '' || parent.code === code) && (parent.subId === '' || parent.subId === subId)
}

/** The part of OBX-4 that names the organism. */
function linkOf({ subId }: Observation): string {
  return /^[^.\-_]*/.exec(subId)?.[0] ?? ''
}

/** An inhibitory concentration or a zone: `<=0.5`, `18`. */
function hasMeasuredValue({ value, valueType }: Observation): boolean {
  return valueType === 'SN' || (value !== null && /^\s*(?:<=?|>=?|[<>＜＞≤≥])?\s*\d/.test(value))
}

function namesSomething({ value, valueType, document }: Observation): boolean {
  if (value === null || document !== null || valueType === 'NM' || valueType === 'SN') return false
  return /\p{L}{2}/u.test(value)
}
