import type { RawMessage } from '../../schemas/types.js'

type Numbered = Pick<RawMessage, 'feed' | 'epoch' | 'seq' | 'messageId'>

const batchesPerEdge = 2

/**
 * What this instance has appended lately, by edge: a batch that comes again because its answer was lost is known.
 * Bounded; what it has forgotten is appended twice, which the receipts make harmless.
 */
export class TakenMessages {
  private readonly byEdge = new Map<string, ReadonlySet<string>[]>()
  private count = 0

  constructor(private readonly messagesMax = 200_000) {}

  has(edge: string, message: Numbered): boolean {
    const mark = markOf(message)
    return this.byEdge.get(edge)?.some((batch) => batch.has(mark)) ?? false
  }

  remember(edge: string, messages: readonly Numbered[]): void {
    if (messages.length === 0) return
    const batches = this.byEdge.get(edge) ?? []
    batches.push(new Set(messages.map(markOf)))
    this.count += messages.length
    if (batches.length > batchesPerEdge) this.count -= batches.shift()?.size ?? 0
    // The edge heard of last stands last.
    this.byEdge.delete(edge)
    this.byEdge.set(edge, batches)
    for (const [oldest, forgotten] of this.byEdge) {
      if (this.count <= this.messagesMax || oldest === edge) break
      this.byEdge.delete(oldest)
      for (const batch of forgotten) this.count -= batch.size
    }
  }
}

/** With the bytes' hash: a number that stands for other bytes is no repetition. */
const markOf = ({ feed, epoch, seq, messageId }: Numbered): string =>
  `${feed}/${epoch}/${seq}/${messageId.slice(0, 16)}`
