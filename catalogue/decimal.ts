/** An exact decimal number: digits × 10^-scale. Never a binary float. */
export interface Decimal {
  readonly digits: bigint
  readonly scale: number
}

// Beyond this a "number" is an identifier or an attack, and expanding it would cost memory.
const digitsMax = 40
const exponentMax = 40

const plainNumber = /^-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?$/
const anyNumber = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/

/** The exact decimal that `text` writes (`3.50`, `.5`, `+007`, `1.2E-3`), or null where it writes none. */
export function parseDecimal(text: string): Decimal | null {
  const match = anyNumber.exec(text)
  if (match === null) return null
  const whole = match[2] ?? ''
  const fraction = match[3] ?? ''
  const exponent = Number(match[4] ?? '0')
  if (whole.length + fraction.length === 0 || whole.length + fraction.length > digitsMax) return null
  if (Math.abs(exponent) > exponentMax) return null
  const digits = BigInt(whole + fraction)
  return { digits: match[1] === '-' ? -digits : digits, scale: fraction.length - exponent }
}

/** Plain notation, every digit of the scale kept: `3.50`, `120000`, `-0.02`; minus zero has no sign. */
export function formatDecimal({ digits, scale }: Decimal): string {
  if (scale <= 0) return (digits * 10n ** BigInt(-scale)).toString()
  const negative = digits < 0n
  const text = (negative ? -digits : digits).toString().padStart(scale + 1, '0')
  const point = text.length - scale
  return `${negative ? '-' : ''}${text.slice(0, point)}.${text.slice(point)}`
}

/** `text` in plain notation with its own digits (`+3.50` → `3.50`, `1E3` → `1000`), or null where it is no number. */
export function canonicalDecimal(text: string): string | null {
  if (plainNumber.test(text) && text.charCodeAt(0) !== 45) return text
  const decimal = parseDecimal(text)
  return decimal === null ? null : formatDecimal(decimal)
}

/** @throws Error where `text` is no number: for constants of the product and checked files */
export function decimal(text: string): Decimal {
  const value = parseDecimal(text)
  if (value === null) throw new Error(`${text} is not a decimal number`)
  return value
}

export function multiply(a: Decimal, b: Decimal): Decimal {
  return { digits: a.digits * b.digits, scale: a.scale + b.scale }
}

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale)
  return { digits: atScale(a, scale) + atScale(b, scale), scale }
}

/** Negative, 0 or positive as `a` is less than, equal to or greater than `b`. */
export function compareDecimals(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale)
  const difference = atScale(a, scale) - atScale(b, scale)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

/** Rounded to `scale` digits after the point, half to even (GB/T 8170-2008, 3.2); exact where none are lost. */
export function roundToScale(value: Decimal, scale: number): Decimal {
  if (value.scale <= scale) return { digits: atScale(value, scale), scale }
  const divisor = 10n ** BigInt(value.scale - scale)
  const quotient = value.digits / divisor
  const twice = 2n * (value.digits % divisor)
  const size = twice < 0n ? -twice : twice
  const up = size > divisor || (size === divisor && quotient % 2n !== 0n)
  return { digits: up ? quotient + (value.digits < 0n ? -1n : 1n) : quotient, scale }
}

/** Exponent of the largest power of ten not above |value|: 88.4 → 1, 0.05551 → -2. @throws Error for zero */
export function magnitude({ digits, scale }: Decimal): number {
  if (digits === 0n) throw new Error('zero has no magnitude')
  return (digits < 0n ? -digits : digits).toString().length - 1 - scale
}

function atScale({ digits, scale }: Decimal, wanted: number): bigint {
  return wanted === scale ? digits : digits * 10n ** BigInt(wanted - scale)
}
