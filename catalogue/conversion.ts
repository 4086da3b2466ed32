import {
  add,
  decimal,
  formatDecimal,
  magnitude,
  multiply,
  parseDecimal,
  roundToScale,
  type Decimal,
} from './decimal.js'

/** canonical = factor × x + offset, exactly. The factor is positive. */
export interface Conversion {
  readonly factor: Decimal
  readonly offset: Decimal | null
  /** Set where the factor is 10^n and nothing is added: moving the point is exact and no digit is rounded. */
  readonly powerOfTen: number | null
}

/** 10^power. */
export function powerConversion(power: number): Conversion {
  return { factor: { digits: 1n, scale: -power }, offset: null, powerOfTen: power }
}

/** From `a` or `a;b` (a·x + b) as the catalogue writes it. @throws Error where it is neither, or a is not positive */
export function parseConversion(text: string): Conversion {
  const [factorText = '', offsetText] = text.split(';')
  const factor = decimal(factorText)
  if (factor.digits <= 0n) throw new Error(`factor ${factorText} is not positive`)
  const offset = offsetText === undefined ? null : decimal(offsetText)
  const power = magnitude(factor)
  const isPower = offset === null && formatDecimal(multiply(factor, { digits: 1n, scale: power })).match(/^1(\.0*)?$/)
  return { factor, offset, powerOfTen: isPower ? power : null }
}

/** First `inner`, then `outer`; only for an inner conversion without offset. */
export function chain(outer: Conversion, innerPower: number): Conversion {
  const inner = powerConversion(innerPower)
  return {
    factor: multiply(outer.factor, inner.factor),
    offset: outer.offset,
    powerOfTen: outer.powerOfTen === null ? null : outer.powerOfTen + innerPower,
  }
}

/**
 * Converts numbers that belong together (a value, its upper end, its reference range), each in plain notation or null.
 *
 * By a power of ten the point moves and every number keeps its own digits. Otherwise the product is exact and is then
 * rounded once, all of them at one common place: the largest power of ten that is not above one last place of the
 * finest source number after conversion, and never coarser than units. One place for all keeps their order: a value
 * on a limit stays on it, a value beside it stays beside it; and the source number can be had back by rounding.
 */
export function convertTogether(conversion: Conversion, numbers: readonly (string | null)[]): (string | null)[] {
  const { powerOfTen } = conversion
  if (powerOfTen === 0) return [...numbers]
  const decimals = numbers.map((text) => (text === null ? null : parseDecimal(text)))
  if (powerOfTen !== null)
    return decimals.map((value) => (value === null ? null : formatDecimal(shift(value, powerOfTen))))
  let finest = 0
  for (const value of decimals) if (value !== null && value.scale > finest) finest = value.scale
  const scale = Math.max(0, finest - magnitude(conversion.factor))
  return decimals.map((value) => (value === null ? null : formatDecimal(roundToScale(apply(conversion, value), scale))))
}

/** Exact, without rounding. */
export function apply({ factor, offset }: Conversion, value: Decimal): Decimal {
  const product = multiply(factor, value)
  return offset === null ? product : add(product, offset)
}

function shift({ digits, scale }: Decimal, power: number): Decimal {
  return { digits, scale: scale - power }
}
