export interface Found<T> {
  readonly start: number
  readonly value: string
  readonly entry: T
}

/**
 * Finds any of many values in a text. A place of the text costs as many look-ups as there are lengths among the values
 * that begin as it does, however many values there are.
 */
export class ValueIndex<T> {
  readonly #values = new Map<string, T>()
  /** Lengths, longest first, of the values that begin with these four units, or two where a value is shorter. */
  readonly #lengths = new Map<string, number[]>()

  get size(): number {
    return this.#values.size
  }

  has(value: string): boolean {
    return this.#values.has(value)
  }

  /** The first entry of a value stays. @throws RangeError for a value of fewer than two units */
  add(value: string, entry: T): void {
    if (value.length < 2) throw new RangeError('a value of one character is found everywhere')
    if (this.#values.has(value)) return
    this.#values.set(value, entry)
    const key = value.slice(0, value.length < long ? 2 : long)
    const lengths = this.#lengths.get(key)
    if (lengths === undefined) this.#lengths.set(key, [value.length])
    else if (!lengths.includes(value.length))
      lengths.splice(0, lengths.length, ...[...lengths, value.length].sort(down))
  }

  /** Values that stand at this place of the text, the longest first. */
  *at(text: string, start: number): Generator<Found<T>> {
    for (const keyLength of [long, 2]) {
      const lengths = this.#lengths.get(text.slice(start, start + keyLength))
      if (lengths === undefined) continue
      for (const length of lengths) {
        const value = text.slice(start, start + length)
        const entry = this.#values.get(value)
        if (entry !== undefined) yield { start, value, entry }
      }
    }
  }

  /** All values in the text, also where they overlap. */
  *in(text: string): Generator<Found<T>> {
    for (let start = 0; start + 1 < text.length; start++) {
      if (this.#lengths.has(text.slice(start, start + long)) || this.#lengths.has(text.slice(start, start + 2))) {
        yield* this.at(text, start)
      }
    }
  }
}

const long = 4
const down = (a: number, b: number): number => b - a
