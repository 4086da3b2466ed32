import { foldText } from './fold.js'
import { readMetricUnit } from './ucum.js'

/** What a spelling of a unit can mean. */
export interface UnitReading {
  /** UCUM units, the likeliest first; empty where the spelling is unknown. */
  readonly candidates: readonly string[]
  /** Capitals have blurred the prefix (M milli or mega, G gram or giga): only an item and its bounds can tell. */
  readonly ambiguous: boolean
}

/** A reviewed spelling of the unit table. */
export interface UnitSpelling {
  readonly spelling: string
  readonly ucum: string
  /** `exact`: as written; `any`: in any mixture of capitals. */
  readonly letters: 'exact' | 'any'
}

const unknown: UnitReading = { candidates: [], ambiguous: false }
const certain = (ucum: string): UnitReading => ({ candidates: [ucum], ambiguous: false })

/**
 * Reads unit spellings: first the reviewed table as written and in any capitals, then UCUM itself, then powers of ten in their many forms, then prefix and unit letter by letter. Never by similarity.
 */
export class UnitSpellings {
  readonly #exact = new Map<string, string>()
  readonly #folded = new Map<string, string>()

  constructor(spellings: Iterable<UnitSpelling>) {
    for (const { spelling, ucum, letters } of spellings) {
      const key = foldUnit(spelling)
      if (letters === 'exact') this.#exact.set(key, ucum)
      else this.#folded.set(key.toLowerCase(), ucum)
    }
  }

  read(text: string): UnitReading {
    const folded = foldUnit(text)
    if (folded === '' || folded.length > 40) return unknown
    const found = this.#readFolded(folded)
    if (found.candidates.length > 0) return found
    const inner = /^[([]([^()[\]]+)[)\]]$/.exec(folded)?.[1]
    return inner === undefined ? found : this.#readFolded(inner)
  }

  #readFolded(folded: string): UnitReading {
    const written = this.#exact.get(folded)
    if (written !== undefined) return certain(written)
    const listed = this.#folded.get(folded.toLowerCase())
    if (listed !== undefined) return certain(listed)
    if (/[[\]{}*%]|^1$/.test(folded) && isUcum(folded)) return certain(folded)
    const count = readCount(folded)
    if (count !== null) return certain(count)
    return readQuotient(folded)
  }
}

/** Folded text with `μ` as `u`, every multiplication sign as `x`, every slash as `/`, and no spaces. */
export function foldUnit(text: string): string {
  return foldText(text)
    .replace(/[μµ]/g, 'u')
    .replace(/[×✕✖╳]/g, 'x')
    .replace(/[⁄∕]/g, '/')
    .replace(/[·•・⋅∙]/g, '.')
    .replace(/ˆ/g, '^')
    .replace(/\s+/g, '')
}

// UCUM has mega and giga, but senders who write capitals seldom mean them: capital prefixes go the cautious way.
function isUcum(text: string): boolean {
  return readMetricUnit(text) !== null && !/(?:^|\/)[MGP](?:g|mol|L|l|U|\[|eq|kat)/.test(text)
}

const countVolumes: Readonly<Record<string, string>> = {
  l: 'L',
  升: 'L',
  dl: 'dL',
  ml: 'mL',
  毫升: 'mL',
  ul: 'uL',
  微升: 'uL',
  mm3: 'uL',
  'mm^3': 'uL',
  cumm: 'uL',
}
const countPattern =
  /^[x*.]?10(\^|\*\*?|e\+?|e\^)?(0?[1-9]|1[0-2])(?:个|cells?|copies)?\/(l|升|dl|ml|毫升|ul|微升|mm\^?3|cumm)$/

/** `×10^9/L`, `10E9/L`, `10*9/L`, `X10^9/l`, `109/L` (an exponent that lost its height: 3, 6, 9 and 12 only). */
function readCount(folded: string): string | null {
  const match = countPattern.exec(folded.toLowerCase())
  if (match === null) return null
  const exponent = Number(match[2])
  if (match[1] === undefined && exponent % 3 !== 0) return null
  if (folded.toLowerCase().includes('copies')) return null
  return `10*${exponent}/${countVolumes[match[3] ?? ''] ?? ''}`
}

const atoms: Readonly<Record<string, string>> = {
  g: 'g',
  gm: 'g',
  mol: 'mol',
  l: 'L',
  u: 'U',
  iu: '[IU]',
  eq: 'eq',
  kat: 'kat',
  osm: 'osm',
  osmol: 'osm',
  m: 'm',
  pa: 'Pa',
}
const prefixedAtom = /^([kdcmunpf])(g|gm|mol|l|u|iu|eq|kat|osm|osmol|m|pa)$/
const denominators: Readonly<Record<string, string>> = {
  l: 'L',
  升: 'L',
  dl: 'dL',
  分升: 'dL',
  '100ml': 'dL',
  ml: 'mL',
  毫升: 'mL',
  ul: 'uL',
  微升: 'uL',
  mm3: 'uL',
  'mm^3': 'uL',
  cumm: 'uL',
  g: 'g',
  克: 'g',
  kg: 'kg',
  mg: 'mg',
  mol: 'mol',
  mmol: 'mmol',
  umol: 'umol',
  h: 'h',
  hr: 'h',
  小时: 'h',
  '24h': '(24.h)',
  '24小时': '(24.h)',
  d: 'd',
  day: 'd',
  min: 'min',
  分: 'min',
  分钟: 'min',
  s: 's',
  hp: '[HPF]',
  hpf: '[HPF]',
  高倍视野: '[HPF]',
  高倍: '[HPF]',
  lp: '[LPF]',
  lpf: '[LPF]',
  低倍视野: '[LPF]',
  低倍: '[LPF]',
}
const chineseNumerators: Readonly<Record<string, string>> = {
  克: 'g',
  毫克: 'mg',
  微克: 'ug',
  纳克: 'ng',
  皮克: 'pg',
  摩尔: 'mol',
  毫摩尔: 'mmol',
  毫摩: 'mmol',
  微摩尔: 'umol',
  微摩: 'umol',
  纳摩尔: 'nmol',
  皮摩尔: 'pmol',
  毫升: 'mL',
  国际单位: '[IU]',
  毫国际单位: 'm[IU]',
  微国际单位: 'u[IU]',
  单位: 'U',
  毫米: 'mm',
  飞升: 'fL',
  个: '',
  次: '',
  万: '10*4',
  千: '10*3',
  百万: '10*6',
  亿: '10*8',
}

/** Prefix and unit, each letter in either height; capitals M, P, G and T leave a second candidate. */
function readQuotient(folded: string): UnitReading {
  const [numeratorText = '', ...denominatorTexts] = folded.split('/')
  const tail: string[] = []
  for (const text of denominatorTexts) {
    const [body = '', annotation = ''] = splitAnnotation(text)
    const denominator = denominators[body.toLowerCase()]
    if (denominator === undefined) return unknown
    tail.push(`/${denominator}${annotation}`)
  }
  const [body = '', annotation = ''] = splitAnnotation(numeratorText)
  const numerators = readNumerator(body, tail.length > 0)
  if (numerators.length === 0) return unknown
  // Giga or tera alone count things per volume; alone without one they mean nothing here.
  const candidates = numerators.map((numerator) => `${numerator}${annotation}${tail.join('')}`)
  if (candidates.some((candidate) => candidate === '')) return unknown
  return { candidates, ambiguous: /^(?:[MPT]|G$)/.test(body) && !/^(?:m|p)$/i.test(body) }
}

function readNumerator(body: string, perSomething: boolean): string[] {
  const chinese = chineseNumerators[body]
  if (chinese !== undefined) return chinese === '' && !perSomething ? [] : [chinese]
  if (body === '') return perSomething ? [''] : []
  if (body === 'T') return perSomething ? ['10*12'] : []
  const lower = body.toLowerCase()
  if (body === 'G') return perSomething ? ['g', '10*9'] : ['g']
  if (lower === 'mcg') return ['ug']
  if (lower === 'cells' || lower === 'cell') return perSomething ? [''] : []
  const whole = atoms[lower]
  if (whole !== undefined && whole !== 'm' && whole !== 'L') return [whole]
  const match = prefixedAtom.exec(lower)
  if (match === null) return []
  const atom = atoms[match[2] ?? ''] ?? ''
  const likely = `${match[1]}${atom}`
  const capital = body[0]
  return capital === 'M' || capital === 'P' ? [likely, `${capital}${atom}`] : [likely]
}

function splitAnnotation(text: string): [string, string] {
  const match = /^(.*?)(\{[^{}]*\})?$/.exec(text)
  return [match?.[1] ?? text, match?.[2] ?? '']
}
