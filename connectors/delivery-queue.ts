import type { Delivery } from './connector.js'

const compactAfter = 1024

/**
 * Hands deliveries from the callbacks of a receiver to the one loop that takes them. Unbounded: the receiver bounds what
 * it has in flight.
 */
export class DeliveryQueue {
  private items: Delivery[] = []
  private head = 0
  private waiting: ((result: IteratorResult<Delivery>) => void)[] = []
  private ended = false
  private failure: Error | undefined

  get length(): number {
    return this.items.length - this.head
  }

  push(delivery: Delivery): void {
    const taker = this.waiting.shift()
    if (taker !== undefined) taker({ done: false, value: delivery })
    else this.items.push(delivery)
  }

  /** What nobody has taken yet, removed. */
  drain(): readonly Delivery[] {
    const rest = this.items.slice(this.head)
    this.items = []
    this.head = 0
    return rest
  }

  /** No more deliveries; the taker's loop ends, or throws `failure`. */
  end(failure?: Error): void {
    this.ended = true
    this.failure ??= failure
    for (const taker of this.waiting.splice(0)) taker({ done: true, value: undefined })
  }

  async next(): Promise<IteratorResult<Delivery>> {
    if (this.head < this.items.length) {
      const value = this.items[this.head]!
      this.items[this.head++] = undefined as never
      if (this.head >= compactAfter || this.head === this.items.length) {
        this.items = this.items.slice(this.head)
        this.head = 0
      }
      return { done: false, value }
    }
    if (!this.ended) {
      const result = await new Promise<IteratorResult<Delivery>>((resolve) => this.waiting.push(resolve))
      if (!result.done) return result
    }
    if (this.failure !== undefined) {
      const failure = this.failure
      this.failure = undefined
      throw failure
    }
    return { done: true, value: undefined }
  }
}
