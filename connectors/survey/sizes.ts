/** Sizes of messages, bytes; the middle ones over the first hundred thousand. */
export interface Sizes {
  readonly min: number
  readonly median: number
  readonly p95: number
  readonly max: number
}

export class SizeMeter {
  readonly #kept: number[] = []
  #min = Infinity
  #max = 0

  add(size: number): void {
    if (this.#kept.length < 100_000) this.#kept.push(size)
    this.#min = Math.min(this.#min, size)
    this.#max = Math.max(this.#max, size)
  }

  read(): Sizes | null {
    if (this.#kept.length === 0) return null
    const sorted = Float64Array.from(this.#kept).sort()
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    return { min: this.#min, median: at(0.5), p95: at(0.95), max: this.#max }
  }
}
