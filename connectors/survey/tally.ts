/** One counted value. */
export interface Count {
  readonly value: string
  readonly count: number
}

/** Counts of values, bounded: what does not fit is counted together, so that no input takes all the memory. */
export class Tally {
  readonly #counts = new Map<string, number>()
  /** Occurrences of values that came when the tally was full. */
  others = 0
  total = 0

  constructor(private readonly distinctMax = 2000) {}

  add(value: string, times = 1): void {
    this.total += times
    const count = this.#counts.get(value)
    if (count !== undefined) this.#counts.set(value, count + times)
    else if (this.#counts.size < this.distinctMax) this.#counts.set(copied(value), times)
    else this.others += times
  }

  get distinct(): number {
    return this.#counts.size
  }

  of(value: string): number {
    return this.#counts.get(value) ?? 0
  }

  /** Most frequent first, equal ones by value. */
  list(): Count[] {
    return Array.from(this.#counts, ([value, count]) => ({ value, count })).sort(
      (a, b) => b.count - a.count || (a.value < b.value ? -1 : 1),
    )
  }
}

/** A cut string may hold the whole message it was cut from in memory; this one does not. */
export const copied = (text: string): string => Buffer.from(text, 'utf16le').toString('utf16le')
