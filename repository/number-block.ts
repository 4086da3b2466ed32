import type { Transaction } from './transaction.js'

/** Numbers a sequence (`INCREMENT BY 1000`) hands out in blocks; what a process does not use is never used. */
export class NumberBlock {
  private next_ = 0
  private end = 0

  constructor(private readonly sequence: 'receipt_number' | 'report_number') {}

  /** A number nobody else has. Sequences do not roll back, so neither does this. */
  async next(tx: Transaction): Promise<number> {
    if (this.next_ === this.end) {
      const [row] = await tx.query<{ first: number }>(`SELECT nextval('${this.sequence}') AS first`)
      this.next_ = row!.first
      this.end = this.next_ + 1000
    }
    return this.next_++
  }
}
