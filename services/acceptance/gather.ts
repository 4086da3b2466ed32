import type { Catalogue } from '../../catalogue/catalogue.js'
import type { Parser } from '../../connectors/connector.js'
import { RecordError } from '../../core/errors.js'
import { unpackContent, type ContentStores } from '../../pipelines/content.js'
import {
  evidenceDeadLetters,
  evidenceMessages,
  evidenceReports,
  type ReportStanding,
} from '../../repository/acceptance-evidence.js'
import type { Database } from '../../repository/database.js'
import { dayStart } from '../../repository/months.js'
import { reconcile } from '../../repository/reconcile.js'
import type { DayFigures, Evidence, Seen } from './evidence.js'
import { dayOf, Observer, type MessageEvidence, type Revision } from './observe.js'

export interface GatherOptions {
  readonly db: Database
  readonly stores: ContentStores
  readonly feed: { readonly id: number; readonly name: string; readonly hospital: string; readonly environment: string }
  readonly parser: Parser
  readonly catalogue: Catalogue
  /** As the feed declares it; null where it does not. */
  readonly charset: string | null
  readonly kindsDeclared: readonly string[]
  /** Receipt, ms; the end excluded. */
  readonly from: number
  readonly to: number
  /** The hospital's own counts by day (YYYY-MM-DD, +08:00). */
  readonly hospitalCounts: ReadonlyMap<string, number>
  /** ms */
  readonly now: number
}

const dayMs = 86_400_000

/** Reads everything the checklist asks for. Only reads; days are whole days of +08:00. @throws RetryableError */
export async function gatherEvidence(options: GatherOptions): Promise<Evidence> {
  const { db, feed, from, to } = options
  const observer = new Observer({ ...options, ...feed, feed: feed.name })
  for await (const message of evidenceMessages(db, feed.id, from, to)) {
    const content = await unpackContent(message, options.stores).catch((error: unknown) => {
      // its bytes cannot be had: it is a dead letter, and reconciliation counts it
      if (error instanceof RecordError) return undefined
      throw error
    })
    if (content !== undefined) observer.add({ ...message, content })
  }
  const { corrections, withdrawals, duplicatesByDay, ...shown } = observer.finish()
  const ids = [...new Set([...corrections, ...withdrawals].flatMap(({ reportIds }) => reportIds))]
  const standings = new Map((await evidenceReports(db, ids)).map((standing) => [standing.id, standing]))
  const split = (revisions: readonly Revision[], has: (standing: ReportStanding) => boolean): readonly [Seen, Seen] => {
    const isShown = ({ reportIds }: Revision): boolean =>
      reportIds.some((id) => {
        const standing = standings.get(id)
        return standing !== undefined && has(standing)
      })
    return [seen(revisions.filter(isShown)), seen(revisions.filter((one) => !isShown(one)))]
  }
  const [corrected, uncorrected] = split(corrections, ({ isRevised }) => isRevised)
  const [withdrawn, notWithdrawn] = split(withdrawals, ({ isWithdrawn }) => isWithdrawn)
  const letters = await evidenceDeadLetters(db, feed.id, from, to)
  return {
    ...shown,
    kindsDeclared: options.kindsDeclared,
    corrections: corrected,
    correctionsWithoutEffect: uncorrected,
    withdrawals: withdrawn,
    withdrawalsWithoutEffect: notWithdrawn,
    deadLetters: letters.map(({ messageIds, ...letter }) => ({ ...letter, messages: messageIds })),
    ...(await reconcileDays(options, duplicatesByDay)),
  }
}

const seen = (revisions: readonly Revision[]): Seen => ({
  count: revisions.length,
  messages: revisions.slice(0, 5).map(({ messageId }) => messageId),
})

async function reconcileDays(
  { db, feed, from, to, now, hospitalCounts }: GatherOptions,
  duplicatesByDay: MessageEvidence['duplicatesByDay'],
): Promise<Pick<Evidence, 'days' | 'discrepancies'>> {
  const days: DayFigures[] = []
  let discrepancies = 0
  for (let at = dayStart(dayOf(from)); at < to; at += dayMs) {
    const day = dayOf(at)
    const result = await reconcile(db, { feed: feed.name, day, now })
    const own = result.days.find(
      ({ hospital, environment }) => hospital === feed.hospital && environment === feed.environment,
    )
    discrepancies += result.discrepancyCount
    const hospitalCount = hospitalCounts.get(day) ?? null
    if (own === undefined && hospitalCount === null) continue
    const { received = 0, stored = 0, superseded = 0, deadLettered = 0, ignored = 0, inFlight = 0 } = own ?? {}
    const figures = { received, stored, superseded, deadLettered, ignored, inFlight }
    const balanced = own?.balanced ?? result.discrepancyCount === 0
    days.push({ day, ...figures, balanced, duplicates: duplicatesByDay.get(day) ?? 0, hospitalCount })
  }
  return { days, discrepancies }
}
