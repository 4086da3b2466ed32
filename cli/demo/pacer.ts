/** Lets so many things through a second, evenly; all of them where no rate is given. */
export class Pacer {
  #tokens = 1
  #at = performance.now()

  constructor(private readonly perSecond: number | undefined) {}

  /** True where the next one may go now; it then counts. */
  allow(): boolean {
    if (this.perSecond === undefined) return true
    const now = performance.now()
    const burst = Math.max(1, this.perSecond / 20)
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * this.perSecond) / 1000)
    this.#at = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
