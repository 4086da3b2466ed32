/**
 * The small part of UCUM (The Unified Code for Units of Measure, case-sensitive form) that laboratories use: enough to
 * tell a valid unit and to see that two units differ by a power of ten. Anything else is compared as text.
 */
export interface MetricUnit {
  /** The unit is 10^power times its dimension. */
  readonly power: number
  /** Base units and annotations, numerator then denominators: `g/L`, `#/L` for counts, `#` for pure numbers. */
  readonly dimension: string
}

const prefixPowers: Readonly<Record<string, number>> = {
  M: 6,
  G: 9,
  P: 15,
  k: 3,
  d: -1,
  c: -2,
  m: -3,
  u: -6,
  n: -9,
  p: -12,
  f: -15,
}
const prefixed = /^([MGPkdcmunpf])?(g|mol|L|l|U|\[IU\]|\[arb'U\]|eq|kat|osm|Pa|m)([23])?$/
const bare = /^(?:s|min|h|d|a|wk|mo|Cel|\[HPF\]|\[LPF\]|\[pH\]|\[ppth\]|mm\[Hg\]|\(24\.h\))$/
const component = /^(?:10\*(-?\d{1,2}))?([^{}]*)((?:\{[^{}]*\})?)$/

/** How `unit` is built, or null where it is not of this part of UCUM. */
export function readMetricUnit(unit: string): MetricUnit | null {
  const parts = splitQuotient(unit)
  let power = 0
  const names: string[] = []
  for (const [index, part] of parts.entries()) {
    const read = readComponent(part, index === 0)
    if (read === null) return null
    power += index === 0 ? read.power : -read.power
    names.push(read.name)
  }
  // A volume of a volume (haematocrit in L/L) is a pure number; mol/mol and g/g are not, for 1 mmol/mol is no 0.1 %.
  const dimension = names.join('/')
  return { power, dimension: dimension === 'L/L' ? '#' : dimension }
}

/** The unit without its annotations: `mg/L{FEU}` → `mg/L`. */
export function withoutAnnotation(unit: string): string {
  return unit.replace(/\{[^{}]*\}/g, '')
}

function readComponent(part: string, first: boolean): { power: number; name: string } | null {
  const match = component.exec(part)
  if (match === null) return null
  const [, tens, body = '', annotation = ''] = match
  const power = tens === undefined ? 0 : Number(tens)
  if (body === '') {
    if (annotation !== '') return { power, name: tens === undefined ? annotation : `#${annotation}` }
    return first || tens !== undefined ? { power, name: '#' } : null
  }
  if (tens !== undefined) return null
  if (body === '1' && annotation === '') return { power: 0, name: '#' }
  if (body === '%') return { power: -2, name: `#${annotation}` }
  if (bare.test(body)) return { power: 0, name: body + annotation }
  const unit = prefixed.exec(body)
  if (unit === null) return null
  const prefix = unit[1] === undefined ? 0 : (prefixPowers[unit[1]] ?? 0)
  const atom = unit[2] ?? ''
  if (unit[3] !== undefined) {
    if (atom !== 'm') return null
    // 1 m3 = 10^3 L, so that um3 is fL and mm3 is uL.
    return unit[3] === '3'
      ? { power: 3 * prefix + 3, name: `L${annotation}` }
      : { power: 2 * prefix, name: `m2${annotation}` }
  }
  return { power: prefix, name: (atom === 'l' ? 'L' : atom) + annotation }
}

function splitQuotient(unit: string): string[] {
  const parts: string[] = []
  let start = 0
  let depth = 0
  for (let index = 0; index < unit.length; index++) {
    const character = unit[index]
    if (character === '{' || character === '(') depth++
    else if (character === '}' || character === ')') depth--
    else if (character === '/' && depth === 0) {
      parts.push(unit.slice(start, index))
      start = index + 1
    }
  }
  parts.push(unit.slice(start))
  return parts
}
