/**
 * Holds requests back that come often and bring little: a few in a row go at once, those that keep coming are spread,
 * so that each carries what arrived meanwhile. A lone record is not delayed, a steady flow by one interval at most.
 */
export class Pacer {
  private tokens: number
  private filledAt: number

  constructor(
    private readonly options: {
      readonly intervalMs: number
      /** How many may go before the spreading begins. */
      readonly burst: number
      /** ms of any monotonic clock. */
      readonly now?: () => number
    },
  ) {
    this.tokens = options.burst
    this.filledAt = this.now()
  }

  /** Counts one request; how many ms the next one should wait. */
  take(): number {
    const { intervalMs, burst } = this.options
    const now = this.now()
    this.tokens = Math.min(burst, this.tokens + (now - this.filledAt) / intervalMs) - 1
    this.filledAt = now
    return this.tokens >= 0 ? 0 : -this.tokens * intervalMs
  }

  private now(): number {
    return this.options.now?.() ?? performance.now()
  }
}
