import type { CountedWorkItem } from '../../repository/progress.js'
import type { Percentiles } from './freshness.js'
import type { JournalTotals } from './journal.js'
import type { DemoSource } from './setting.js'

/** What became of the messages of one source. */
export interface SourceFigures {
  readonly source: DemoSource
  /** What the simulator knows. */
  readonly journal: JournalTotals
  /** What the repository knows. */
  readonly stored: number
  readonly superseded: number
  readonly deadLettered: number
  readonly ignored: number
  /** Acknowledged and without complete receipts. */
  readonly inFlight: number
  readonly freshness: Percentiles
}

export interface DemoView {
  readonly elapsedMs: number
  readonly phase: 'starting' | 'sending' | 'settling' | 'keeping'
  readonly sources: readonly (SourceFigures & { readonly settledPerSecond: number })[]
}

export interface DemoSummary {
  readonly seed: number
  readonly seconds: number
  readonly sources: readonly SourceFigures[]
  readonly freshness: Percentiles
  readonly deadLetterCauses: readonly { readonly code: string; readonly count: number }[]
  readonly unmapped: readonly CountedWorkItem[]
  readonly reconcile: { readonly balanced: boolean; readonly discrepancies: number }
  /** For the commands to try next. */
  readonly examples: {
    readonly reportNumber: string | undefined
    readonly controlId: string | undefined
    readonly deadLetterId: number | undefined
  }
  /** The repository and the journals agree, and reconcile finds nothing missing. */
  readonly balanced: boolean
}

/** Everything acknowledged is accounted for, and nothing the simulator did not send; an unanswered attempt may be in either. */
export function addsUp({ journal, stored, superseded, deadLettered, ignored }: SourceFigures): boolean {
  const ledger = stored + superseded + deadLettered + ignored
  return ledger >= journal.acknowledgements && ledger <= journal.acknowledgements + journal.unanswered
}
