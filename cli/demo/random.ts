/**
 * Repeatable chance: the same seed and label give the same sequence on every machine (sfc32, seeded from FNV-1a of the
 * label). Not for secrets.
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(
    readonly seed: number,
    readonly label = '',
  ) {
    let hash = 0x811c9dc5
    for (const character of `${seed}/${label}`) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193)
    this.#a = hash | 0
    this.#b = seed | 0
    this.#c = Math.imul(hash, 0x9e3779b9) | 0
    for (let round = 0; round < 15; round++) this.#next()
  }

  /** An independent sequence that drawing from this one does not move. */
  fork(label: string): Random {
    return new Random(this.seed, `${this.label}/${label}`)
  }

  /** In [0, 1). */
  float(): number {
    return this.#next() / 0x1_0000_0000
  }

  /** Whole number from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.float() * (max - min + 1))
  }

  chance(probability: number): boolean {
    return this.float() < probability
  }

  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.float() * items.length)]
    if (item === undefined) throw new RangeError('nothing to pick from')
    return item
  }

  /** `length` decimal digits. */
  digits(length: number): string {
    let text = ''
    while (text.length < length) text += String(this.integer(0, 9))
    return text
  }

  /** Near-normal (sum of four), mean 0, deviation 1. */
  normal(): number {
    return (this.float() + this.float() + this.float() + this.float() - 2) * Math.sqrt(3)
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + sum) | 0
    return sum >>> 0
  }
}
