/** One message's own time (MSH-7) against its receipt. */
export interface ClockSample {
  readonly receivedAt: number
  /** Both ms since 1970-01-01T00:00:00Z. */
  readonly messageTime: number
}

/** The sender's clock moved by `byMs` (positive: it went ahead) and has stayed there; seen `at`, ms. */
export interface ClockJump {
  readonly byMs: number
  readonly at: number
}

const recentCount = 5
const baseCount = 10
/** Samples worth keeping: what `findClockJump` looks at. */
export const samplesMax = 40

/**
 * The newest lasting move of the sender's clock: five samples agree with each other to half the bound and differ by more
 * than the bound from the median of the ten before them. A backlog being worked off does not agree with itself, for its
 * delay shrinks; a constant wrong zone never moves. Any order of samples gives the same answer.
 */
export function findClockJump(samples: readonly ClockSample[], boundMs: number): ClockJump | undefined {
  const ordered = [...samples].sort((a, b) => a.receivedAt - b.receivedAt || a.messageTime - b.messageTime)
  const offsets = ordered.map(({ messageTime, receivedAt }) => messageTime - receivedAt)
  let found: ClockJump | undefined
  for (let start = offsets.length - recentCount; start >= baseCount; start--) {
    const recent = offsets.slice(start, start + recentCount)
    const byMs = median(recent) - median(offsets.slice(start - baseCount, start))
    const moved = Math.abs(byMs) > boundMs && Math.max(...recent) - Math.min(...recent) <= boundMs / 2
    // the same move also shows some samples after it began
    if (moved && (found === undefined || byMs > 0 === found.byMs > 0)) found = { byMs, at: ordered[start]!.receivedAt }
    else if (found !== undefined) break
  }
  return found
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
