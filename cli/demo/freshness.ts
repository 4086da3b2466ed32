/** Milliseconds from the acknowledgement to the row; null where nothing was stored. */
export interface Percentiles {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly count: number
}

export const noPercentiles: Percentiles = { p50: null, p95: null, p99: null, count: 0 }

const samplesMax = 100_000

/** Freshness as it was measured, by feed; the latest 100,000 of each. */
export class FreshnessSamples {
  readonly #byFeed = new Map<string, { values: number[]; next: number; count: number }>()

  add(feed: string, ms: number): void {
    let samples = this.#byFeed.get(feed)
    if (samples === undefined) {
      samples = { values: [], next: 0, count: 0 }
      this.#byFeed.set(feed, samples)
    }
    samples.values[samples.next] = ms
    samples.next = (samples.next + 1) % samplesMax
    samples.count++
  }

  /** Forgets what was measured so far. */
  reset(): void {
    this.#byFeed.clear()
  }

  /** Of one feed, or of all. */
  percentiles(feed?: string): Percentiles {
    const chosen = [...this.#byFeed]
      .filter(([name]) => feed === undefined || name === feed)
      .map(([, samples]) => samples)
    const sorted = chosen.flatMap(({ values }) => values).sort((a, b) => a - b)
    const at = (share: number): number | null => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null
    const count = chosen.reduce((sum, samples) => sum + samples.count, 0)
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99), count }
  }
}

/** Upper bound in seconds to cumulative count. */
type Buckets = ReadonlyMap<number, number>

/**
 * Reads `hutong_freshness_seconds` of a Prometheus page, the feeds named summed up, less what an earlier page of the same
 * process had counted.
 */
export function freshnessOf(page: string, feeds: readonly string[], earlierPage = ''): Percentiles {
  const earlier = bucketsOf(earlierPage, feeds)
  const buckets = new Map(
    [...bucketsOf(page, feeds)].map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)]),
  )
  const count = buckets.get(Infinity) ?? 0
  const at = (share: number): number | null => (count === 0 ? null : quantile(buckets, share * count))
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), count }
}

function bucketsOf(page: string, feeds: readonly string[]): Buckets {
  const buckets = new Map<number, number>()
  for (const match of page.matchAll(/^hutong_freshness_seconds_bucket\{([^}]*)\} (\d+)/gm)) {
    const [, labels = '', count = '0'] = match
    const feed = /feed="([^"]*)"/.exec(labels)?.[1]
    const bound = /le="([^"]*)"/.exec(labels)?.[1]
    if (feed === undefined || bound === undefined || !feeds.includes(feed)) continue
    const seconds = bound === '+Inf' ? Infinity : Number(bound)
    buckets.set(seconds, (buckets.get(seconds) ?? 0) + Number(count))
  }
  return buckets
}

/** Within a bucket values are taken to lie evenly; beyond the last bound they are that bound. */
function quantile(buckets: Buckets, rank: number): number {
  let below = 0
  let lower = 0
  for (const [bound, cumulative] of [...buckets].sort(([a], [b]) => a - b)) {
    if (cumulative >= rank) {
      if (bound === Infinity) return lower * 1000
      const share = cumulative === below ? 1 : (rank - below) / (cumulative - below)
      return (lower + (bound - lower) * share) * 1000
    }
    below = cumulative
    lower = bound
  }
  return lower * 1000
}
