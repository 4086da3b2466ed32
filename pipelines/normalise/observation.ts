import { readAbnormal } from '../../catalogue/abnormal.js'
import type { CodeScope, ItemMatch } from '../../catalogue/catalogue.js'
import type { NormaliseFlag } from '../../catalogue/flags.js'
import { foldText } from '../../catalogue/fold.js'
import { readQualitative, readQualitativeCode } from '../../catalogue/qualitative.js'
import { noRange, type RangeReading } from '../../catalogue/ranges.js'
import { chooseOption, convertBy, isPlausible, type UnitOption } from '../../catalogue/units.js'
import { readStructured, readValue, type ValueReading } from '../../catalogue/values.js'
import type { Observation, UnifiedObservation } from '../../schemas/types.js'
import { codeFlags } from './event.js'
import { categoryOf, type CulturePart } from './microbiology.js'

/**
 * The unified reading of one result.
 *
 * A number is given exactly where its unit is known (or the value is a titre): a number without a unit would be compared
 * with others it has nothing to do with. The same holds for the ends of the reference range; a range that cannot be
 * given as an interval in that unit is kept as text.
 */
export function normaliseObservation(
  observation: Observation,
  scope: CodeScope,
  sexCode: string | null,
  part: CulturePart | null,
): UnifiedObservation {
  const match = matchOf(observation, scope)
  const flags = codeFlags(observation.code, match)
  const value = readByType(observation, match, part)
  const kind = kindOf(observation, match, value, part)
  if (isWanting(observation, match, value, kind)) flags.push('not-numeric')
  if (part?.kind === 'susceptibility' && !part.linked) flags.push('organism-unlinked')
  const range = observation.range === null ? noRange : match.range(observation.range, sexCode)
  if (range.inverted) flags.push('range-unreadable')
  const numbers =
    kind === 'titre'
      ? titreNumbers(value, range, observation.range)
      : numbersOf(observation, match, value, range, flags)
  const abnormal = readAbnormal(observation.abnormalFlags ?? value.mark)
  if (abnormal.unknown) flags.push('abnormal-flag-unmapped')
  return {
    itemId: match.item?.id ?? null,
    kind,
    number: numbers.number,
    numberHigh: numbers.numberHigh,
    comparator: numbers.number === null ? null : value.comparator,
    unit: numbers.unit,
    rangeLow: numbers.rangeLow,
    rangeHigh: numbers.rangeHigh,
    rangeText: numbers.rangeText,
    qualitative: kind === 'susceptibility' ? (value.qualitative ?? categoryOf(observation)) : value.qualitative,
    abnormal: abnormal.flag,
    flags: flags.length > 1 ? [...new Set(flags)] : flags,
  }
}

function matchOf(observation: Observation, scope: CodeScope): ItemMatch {
  const { code, text, system, altCode, altText, altSystem } = observation
  if (altCode === null) return scope.match({ code, text, system })
  return scope.match({ code, text, system }, { code: altCode, text: altText, system: altSystem })
}

/** OBX-2 says how to take the value apart; what it is, its content says (senders put `<15` under NM and numbers under ST). */
function readByType(observation: Observation, { item }: ItemMatch, part: CulturePart | null): ValueReading {
  const { value, valueRaw, valueType, valueCode, document } = observation
  if (document !== null || part?.kind === 'organism') return verbatim
  const numberExpected = item === null ? valueType === 'NM' : item.valueType === 'NM'
  switch (valueType) {
    case 'SN': {
      const raw = valueRaw ?? value
      return raw !== null && raw.includes('^') ? readStructured(raw, numberExpected) : readValue(value, numberExpected)
    }
    case 'CE':
    case 'CWE':
    case 'CNE': {
      const qualitative = readQualitativeCode(valueCode) ?? (value === null ? null : readQualitative(foldText(value)))
      if (qualitative !== null || valueCode !== null) return { ...verbatim, qualitative }
      return readValue(value, numberExpected)
    }
    case 'DT':
    case 'TM':
    case 'TS':
    case 'DTM':
      return value === null || value === '' ? readValue(value, false) : verbatim
    default:
      return readValue(value, numberExpected)
  }
}

const verbatim: ValueReading = {
  kind: 'text',
  number: null,
  numberHigh: null,
  comparator: null,
  qualitative: null,
  unit: null,
  mark: null,
}

type UnifiedKind =
  | 'numeric'
  | 'coded'
  | 'text'
  | 'titre'
  | 'range'
  | 'semi-quantitative'
  | 'susceptibility'
  | 'organism'
  | 'document'
  | 'empty'

function kindOf(
  observation: Observation,
  { item }: ItemMatch,
  value: ValueReading,
  part: CulturePart | null,
): UnifiedKind {
  const { valueType, valueCode, document } = observation
  if (document !== null) return 'document'
  if (value.kind === 'empty') return 'empty'
  if (part !== null) return part.kind
  if (item?.valueType === 'SUS' && (value.number !== null || categoryOf(observation) !== null)) return 'susceptibility'
  const coded = (valueType === 'CE' || valueType === 'CWE' || valueType === 'CNE') && valueCode !== null
  if (item?.valueType === 'ORG' && value.qualitative === null && value.number === null) return 'organism'
  if (coded) return 'coded'
  // A category outside a culture is only a letter.
  if (value.kind === 'susceptibility') return item?.valueType === 'SUS' ? 'susceptibility' : 'text'
  return value.kind
}

/** A number was declared or is expected, and something else is there. */
function isWanting({ valueType }: Observation, { item }: ItemMatch, value: ValueReading, kind: UnifiedKind): boolean {
  if (kind !== 'text' && kind !== 'semi-quantitative' && kind !== 'coded') return false
  if (value.number !== null) return false
  return item === null ? valueType === 'NM' && kind !== 'coded' : item.valueType === 'NM'
}

type Numbers = Pick<UnifiedObservation, 'number' | 'numberHigh' | 'unit' | 'rangeLow' | 'rangeHigh' | 'rangeText'>

/** A titre has no unit of its own and no bounds; its range stays text. */
function titreNumbers(value: ValueReading, range: RangeReading, rangeAsSent: string | null): Numbers {
  return {
    number: value.number,
    numberHigh: value.numberHigh,
    unit: '{titer}',
    rangeLow: null,
    rangeHigh: null,
    rangeText: textOf(range, rangeAsSent),
  }
}

/** Value and range in the item's unit where the way there is known, else in the unit as sent, else none. */
function numbersOf(
  observation: Observation,
  match: ItemMatch,
  value: ValueReading,
  range: RangeReading,
  flags: NormaliseFlag[],
): Numbers {
  const spelling = isBlank(observation.unit) ? (value.unit ?? null) : observation.unit
  const hasNumber = value.number !== null
  const hasRange = range.low !== null || range.high !== null
  const nothing = {
    number: null,
    numberHigh: null,
    unit: null,
    rangeLow: null,
    rangeHigh: null,
    rangeText: textOf(range, observation.range),
  }
  if (!hasNumber && !hasRange) return nothing
  const plan = match.unitPlan(isBlank(spelling) ? range.unit : spelling)
  // Without a number only a range is at stake, and that has its text: no work item.
  if (hasNumber) flags.push(...plan.flags)
  const option = chooseOption(plan, match.item, [value.number, value.numberHigh, range.low, range.high])
  if (option === null) {
    if (plan.byBounds && hasNumber) flags.push('ambiguous-unit')
    return nothing
  }
  if (value.unit !== null && !isSameUnit(match, value.unit, option)) {
    flags.push('ambiguous-unit')
    return nothing
  }
  const sameRangeUnit = range.unit === null || isSameUnit(match, range.unit, option)
  if (!sameRangeUnit) flags.push('range-unit-differs')
  const ends = sameRangeUnit ? [range.low, range.high] : [null, null]
  const [number = null, numberHigh = null, rangeLow = null, rangeHigh = null] =
    option.conversion === null
      ? [value.number, value.numberHigh, ...ends]
      : convertBy(option, [value.number, value.numberHigh, ...ends])
  if (option.canonical && isOutside(match, number, numberHigh)) flags.push('implausible')
  const rangeText = rangeLow === null && rangeHigh === null ? textOf(range, observation.range) : null
  return {
    number,
    numberHigh,
    unit: number === null && rangeText !== null ? null : option.target,
    rangeLow,
    rangeHigh,
    rangeText,
  }
}

function isOutside({ item }: ItemMatch, number: string | null, numberHigh: string | null): boolean {
  if (item === null) return false
  return (number !== null && !isPlausible(item, number)) || (numberHigh !== null && !isPlausible(item, numberHigh))
}

/** Whether another spelling (inside the value or the range) can mean the unit that was chosen. */
function isSameUnit(match: ItemMatch, spelling: string, option: UnitOption): boolean {
  return match.unitPlan(spelling).options.some(({ source }) => source === option.source)
}

function textOf(range: RangeReading, asSent: string | null): string | null {
  if (range.text !== null && !range.inverted) return range.text
  return range.low === null && range.high === null && !range.inverted ? null : (asSent?.trim() ?? null)
}

function isBlank(text: string | null): boolean {
  return text === null || text.trim() === ''
}
