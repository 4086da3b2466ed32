import { chain, convertTogether, powerConversion, type Conversion } from './conversion.js'
import type { NormaliseFlag } from './flags.js'
import type { CatalogueItem } from './items.js'
import { readMetricUnit, withoutAnnotation } from './ucum.js'
import type { UnitSpellings } from './unit-spellings.js'

/** What is known beside the spelling when a unit is read. */
export interface UnitContext {
  /** Null where the code is unmapped: then a unit is named, but nothing is converted. */
  readonly item: CatalogueItem | null
  /** UCUM unit the mapping gives for a blank or ambiguous spelling. */
  readonly override: string | null
  /** One unit of the property that the sender's LOINC code states. */
  readonly loincUnit: string | null
}

/** One way to read a unit, and what follows for the number. */
export interface UnitOption {
  /** UCUM, as sent. */
  readonly source: string
  /** UCUM, as normalised. */
  readonly target: string
  /** Null where the number stays as it is. */
  readonly conversion: Conversion | null
  /** The target is the item's canonical unit, so that its bounds apply. */
  readonly canonical: boolean
}

/** How numbers under one spelling of one item are treated. */
export interface UnitPlan {
  /** Empty: no number is given. More than one: see `byBounds`. */
  readonly options: readonly UnitOption[]
  /** Capitals have blurred the spelling: an option holds only for numbers within the item's bounds. */
  readonly byBounds: boolean
  readonly flags: readonly NormaliseFlag[]
}

const nothing: UnitPlan = { options: [], byBounds: false, flags: [] }
const refuse = (flag: NormaliseFlag): UnitPlan => ({ options: [], byBounds: false, flags: [flag] })
const only = (option: UnitOption, ...flags: NormaliseFlag[]): UnitPlan => ({
  options: [option],
  byBounds: false,
  flags,
})

/**
 * Decides, from the spelling and the item alone, how a unit is read (DOMAIN "Units → UCUM"): a sure spelling that
 * leads to the item's unit is converted, a sure one that does not stays as sent and is flagged, a blurred one waits
 * for the bounds, an unknown one gives no number. `spelling` null or blank means the sender gave none.
 */
export function planUnit(spellings: UnitSpellings, spelling: string | null, context: UnitContext): UnitPlan {
  const { item, override } = context
  const reading = spelling === null || spelling.trim() === '' ? null : spellings.read(spelling)
  if (reading === null || reading.candidates[0] === '') return planBlank(context)
  if (reading.candidates.length === 0) return refuse('unmapped-unit')
  if (item === null) {
    const [source = ''] = reading.candidates
    return reading.ambiguous ? refuse('ambiguous-unit') : only(asSent(source))
  }
  if (reading.ambiguous) {
    if (override !== null) return planOverride(item, override)
    const options = reading.candidates.map((unit) => towards(item, unit)).filter((option) => option !== null)
    return options.length === 0 ? refuse('ambiguous-unit') : { options, byBounds: true, flags: [] }
  }
  return planCertain(item, reading.candidates[0] ?? '', context)
}

/**
 * The option that holds for these numbers, or null where none or more than one does. Two readings that come to the
 * same numbers (zero is zero in milli and mega) are one.
 */
export function chooseOption(
  plan: UnitPlan,
  item: CatalogueItem | null,
  numbers: readonly (string | null)[],
): UnitOption | null {
  const [first = null] = plan.options
  if (!plan.byBounds || first === null) return first
  if (numbers.every((number) => number === null)) return null
  const within = plan.options.filter((option) => allWithin(item, convertBy(option, numbers)))
  const [likeliest = null, ...others] = within
  if (likeliest === null || others.length === 0) return likeliest
  const result = convertBy(likeliest, numbers).map(Number).join()
  return others.every((option) => convertBy(option, numbers).map(Number).join() === result) ? likeliest : null
}

/** Numbers of the source unit in the target unit. */
export function convertBy({ conversion }: UnitOption, numbers: readonly (string | null)[]): (string | null)[] {
  return conversion === null ? [...numbers] : convertTogether(conversion, numbers)
}

/** Whether a number in the canonical unit lies within the item's bounds; an item without bounds has no opinion. */
export function isPlausible(item: CatalogueItem, number: string): boolean {
  const value = Number(number)
  if (item.plausibleMin !== null && value < item.plausibleMin) return false
  return item.plausibleMax === null || value <= item.plausibleMax
}

function allWithin(item: CatalogueItem | null, numbers: readonly (string | null)[]): boolean {
  return item !== null && numbers.every((number) => number === null || isPlausible(item, number))
}

function planBlank({ item, override }: UnitContext): UnitPlan {
  if (item === null) return nothing
  if (override !== null) return planOverride(item, override)
  if (item.valueType !== 'NM' || item.ucum === null) return nothing
  // Ratios, INR and pH are commonly sent without a unit; a blank % is not one of them (0.45 or 45).
  if (/^(?:1|\{.*\}|\[pH\])$/.test(item.ucum)) return only(unchanged(item.ucum))
  return refuse('unit-missing')
}

function planOverride(item: CatalogueItem, override: string): UnitPlan {
  return only(towards(item, override) ?? asSent(override))
}

function planCertain(item: CatalogueItem, unit: string, { override, loincUnit }: UnitContext): UnitPlan {
  const flags: NormaliseFlag[] =
    loincUnit !== null && !sameLoincProperty(unit, loincUnit) ? ['loinc-unit-conflict'] : []
  const option = towards(item, unit)
  if (option !== null) return only(option, ...flags)
  if (item.ucum === null) return only(asSent(unit), ...flags, ...ordinalConflict(item, unit))
  // mg/L where FEU and DDU differ, mg/dL where urea and BUN do: only a stated form decides.
  const forms = [item.ucum, ...item.alternates.keys()].filter((known) => known !== withoutAnnotation(known))
  const stated = [override, loincUnit].find(
    (known) => known !== null && forms.some((form) => sameProperty(form, known)),
  )
  if (stated !== undefined && stated !== null && sameProperty(unit, withoutAnnotation(stated))) {
    const annotated = towards(item, unit + stated.slice(withoutAnnotation(stated).length))
    if (annotated !== null) return only(annotated)
  }
  if (forms.some((form) => sameProperty(unit, withoutAnnotation(form)))) return only(asSent(unit), 'ambiguous-unit')
  // Enzymes are printed in IU as often as in U; for them the two are one unit.
  const enzyme = unit.replace('[IU]', 'U')
  const enzymeOption = enzyme !== unit && /(?:^|[a-z])U\//.test(item.ucum) ? towards(item, enzyme) : null
  if (enzymeOption !== null) return only(enzymeOption)
  return only(asSent(unit), 'unit-not-convertible')
}

/** The way from `unit` to the item's unit: the same, listed, a power of ten away, or a power of ten and listed. */
function towards(item: CatalogueItem, unit: string): UnitOption | null {
  if (item.ucum === null) return null
  if (unit === item.ucum) return unchanged(unit)
  const option = (conversion: Conversion): UnitOption => {
    const identity = conversion.powerOfTen === 0
    return { source: unit, target: item.ucum ?? unit, conversion: identity ? null : conversion, canonical: true }
  }
  const listed = item.alternates.get(unit)
  if (listed !== undefined) return option(listed)
  const metric = readMetricUnit(unit)
  if (metric === null) return null
  const canonical = readMetricUnit(item.ucum)
  if (canonical?.dimension === metric.dimension) return option(powerConversion(metric.power - canonical.power))
  for (const [name, conversion] of item.alternates) {
    const alternate = readMetricUnit(name)
    if (alternate?.dimension === metric.dimension) return option(chain(conversion, metric.power - alternate.power))
  }
  return null
}

/** HBsAg and its like: a signal ratio belongs to the ordinal item, international units are the quantitative one. */
function ordinalConflict(item: CatalogueItem, unit: string): NormaliseFlag[] {
  return item.valueType === 'ORD' && unit.includes('[IU]') ? ['unit-not-convertible'] : []
}

function sameProperty(a: string, b: string): boolean {
  if (a === b) return true
  const dimension = readMetricUnit(a)?.dimension
  const other = readMetricUnit(b)?.dimension
  if (dimension === undefined || other === undefined) return false
  return dimension === other || (withoutAnnotation(dimension) === withoutAnnotation(other) && !dimension.includes('{'))
}

/** LOINC has one property for all arbitrary units (ACnc), one for enzyme activity (CCnc), one for mol and eq (SCnc). */
function sameLoincProperty(unit: string, loincUnit: string): boolean {
  const property = (text: string): string =>
    text
      .replace(/\[IU\]|\[arb'U\]/g, 'U')
      .replace('kat', 'U')
      .replace(/eq\b/, 'mol')
  return sameProperty(property(unit), property(loincUnit))
}

const unchanged = (unit: string): UnitOption => ({ source: unit, target: unit, conversion: null, canonical: true })
const asSent = (unit: string): UnitOption => ({ source: unit, target: unit, conversion: null, canonical: false })
