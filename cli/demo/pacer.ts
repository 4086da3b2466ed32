/** Lets so many things through a second, evenly; all of them where no rate is given. */
export class Pacer {
  #tokens = 1
  #at = performance.now()

  /** @param perSecond a fixed rate, or one that is asked for each time */
  constructor(private readonly perSecond: number | (() => number) | undefined) {}

  /** True where the next one may go now; it then counts. */
  allow(): boolean {
    if (this.perSecond === undefined) return true
    const perSecond = typeof this.perSecond === 'function' ? this.perSecond() : this.perSecond
    const now = performance.now()
    const burst = Math.max(1, perSecond / 20)
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * perSecond) / 1000)
    this.#at = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
