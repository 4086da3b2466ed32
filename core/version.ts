/**
 * What makes one version of a report or an observation newer than another (docs/newer.md). The order is the row
 * comparison (finality, recordedAt, messageTime, statusRank, contentHash, derivation); SQL compares the same columns.
 */
export interface Version {
  /** 0 for preliminary kinds, 1 for final kinds: a preliminary never replaces a final. */
  readonly finality: number
  /** ms since 1970-01-01T00:00:00Z */
  readonly recordedAt: number
  /** ms since 1970-01-01T00:00:00Z */
  readonly messageTime: number
  /** F 0 < C 1 < W, D, X 2; preliminary kinds 0. */
  readonly statusRank: number
  /** First 52 bits of SHA-256 over the verbatim content. */
  readonly contentHash: number
  readonly derivation: number
}

const statuses: Readonly<Record<string, readonly [finality: number, rank: number]>> = {
  // HL7 v2.5.1 table 0085 (OBX-11) and table 0123 (OBR-25); where the tables differ the meaning agrees in class.
  P: [0, 0],
  R: [0, 0],
  S: [0, 0],
  I: [0, 0],
  O: [0, 0],
  A: [0, 0],
  N: [0, 0],
  F: [1, 0],
  U: [1, 0],
  V: [1, 0],
  B: [1, 0],
  C: [1, 1],
  W: [1, 2],
  D: [1, 2],
  X: [1, 2],
}

/** Finality class and rank of a result status; an empty or unknown status counts as final (most feeds leave it out). */
export function statusOrder(status: string | null): { readonly finality: number; readonly statusRank: number } {
  const [finality, statusRank] = statuses[status?.trim().toUpperCase() ?? ''] ?? [1, 0]
  return { finality, statusRank }
}

/**
 * The status of a report whose groups differ: preliminary while one group is; else the highest in rank that is not
 * withdrawn (C before F); withdrawn (W, D, X) only where every group is. Null where none states one.
 */
export function reportStatus(statuses: readonly (string | null)[]): string | null {
  const stated = statuses.filter((status): status is string => status !== null)
  let best: string | null = null
  for (const status of stated) {
    const { finality, statusRank } = statusOrder(status)
    if (finality === 0) return status
    if (best === null) best = status
    else {
      const bestRank = statusOrder(best).statusRank
      if (statusRank < 2 && (bestRank === 2 || statusRank > bestRank)) best = status
    }
  }
  return best !== null && stated.length < statuses.length && statusOrder(best).statusRank === 2 ? null : best
}

/** Negative when `a` is older than `b`, positive when newer, 0 when they are the same version. */
export function compareVersions(a: Version, b: Version): number {
  return (
    a.finality - b.finality ||
    a.recordedAt - b.recordedAt ||
    a.messageTime - b.messageTime ||
    a.statusRank - b.statusRank ||
    a.contentHash - b.contentHash ||
    a.derivation - b.derivation
  )
}
