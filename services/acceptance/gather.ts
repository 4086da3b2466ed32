import type { Catalogue } from '../../catalogue/catalogue.js'
import type { Parser } from '../../connectors/connector.js'
import { RecordError } from '../../core/errors.js'
import { unpackContent, type ContentStores } from '../../pipelines/content.js'
import {
  evidenceDeadLetters,
  evidenceEpochs,
  evidenceMessages,
  evidenceReports,
  type EvidenceMessage,
  type ReportStanding,
} from '../../repository/acceptance-evidence.js'
import type { Database } from '../../repository/database.js'
import { dayStart } from '../../repository/months.js'
import { reconcile } from '../../repository/reconcile.js'
import type { DayFigures, Evidence, Seen } from './evidence.js'
import type { OutageWindow } from './declared-outage.js'
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
  /** Times in which the tester says the way to the province was down. */
  readonly outageWindows: readonly OutageWindow[]
  /** The hospital's own counts by day (YYYY-MM-DD, +08:00). */
  readonly hospitalCounts: ReadonlyMap<string, number>
}

const dayMs = 86_400_000

/** Evidence that grows with the archive: each message is read once, however often it is asked for. */
export interface EvidenceReader {
  /** Reads what has come since. @throws RetryableError */
  gather(now: number): Promise<Evidence>
}

/** Reads everything the checklist asks for. Only reads; days are whole days of +08:00. @throws RetryableError */
export const gatherEvidence = (options: GatherOptions & { readonly now: number }): Promise<Evidence> =>
  openEvidence(options).gather(options.now)

/**
 * A message is taken when the numbers before it were and it has its receipts, or after `patienceMs` (default 0: at once), for
 * its place among the others counts. What became of it later is not read again, nor are days before today that balance and
 * got nothing new.
 */
export function openEvidence(options: GatherOptions, patienceMs = 0): EvidenceReader {
  const { db, feed, from, to } = options
  const observer = new Observer({ ...options, ...feed, feed: feed.name })
  const taken = new Map<number, number>()
  const waiting = new Map<number, { readonly seq: number; readonly since: number }>()
  const settledDays = new Map<string, DayFigures>()

  const mayTake = ({ epoch, seq, receipts }: EvidenceMessage, now: number): boolean => {
    const before = taken.get(epoch)
    const isNext = before === undefined || seq === before + 1
    if (isNext && receipts.length > 0 && receipts.length >= receipts[0]!.eventCount) return true
    const waited = waiting.get(epoch)
    if (waited?.seq !== seq) waiting.set(epoch, { seq, since: now })
    return now - (waited?.seq === seq ? waited.since : now) >= patienceMs
  }

  const take = async (epoch: number, now: number): Promise<void> => {
    const place = { epoch, after: taken.get(epoch) ?? -1 }
    for await (const message of evidenceMessages(db, feed.id, { from, to }, place)) {
      if (!mayTake(message, now)) return
      taken.set(epoch, message.seq)
      settledDays.delete(dayOf(message.receivedAt))
      const content = await unpackContent(message, options.stores).catch((error: unknown) => {
        // its bytes cannot be had: it is a dead letter, and reconciliation counts it
        if (error instanceof RecordError) return undefined
        throw error
      })
      if (content !== undefined) observer.add({ ...message, content })
    }
  }

  return {
    async gather(now) {
      for (const epoch of await evidenceEpochs(db, feed.id, from, to)) await take(epoch, now)
      const { corrections, withdrawals, duplicatesByDay, ...shown } = observer.finish()
      const ids = [...new Set([...corrections, ...withdrawals].flatMap(({ reportIds }) => reportIds))]
      const standings = new Map((await evidenceReports(db, ids)).map((standing) => [standing.id, standing]))
      const [corrected, uncorrected] = split(corrections, standings, ({ isRevised }) => isRevised)
      const [withdrawn, notWithdrawn] = split(withdrawals, standings, ({ isWithdrawn }) => isWithdrawn)
      const letters = await evidenceDeadLetters(db, feed.id, from, to)
      return {
        ...shown,
        kindsDeclared: options.kindsDeclared,
        corrections: corrected,
        correctionsWithoutEffect: uncorrected,
        withdrawals: withdrawn,
        withdrawalsWithoutEffect: notWithdrawn,
        deadLetters: letters.map(({ messageIds, ...letter }) => ({ ...letter, messages: messageIds })),
        ...(await reconcileDays(options, duplicatesByDay, settledDays, now)),
      }
    },
  }
}

/** Those whose reports stand so, and the others. */
function split(
  revisions: readonly Revision[],
  standings: ReadonlyMap<number, ReportStanding>,
  has: (standing: ReportStanding) => boolean,
): readonly [Seen, Seen] {
  const isShown = ({ reportIds }: Revision): boolean =>
    reportIds.some((id) => {
      const standing = standings.get(id)
      return standing !== undefined && has(standing)
    })
  return [seen(revisions.filter(isShown)), seen(revisions.filter((one) => !isShown(one)))]
}

const seen = (revisions: readonly Revision[]): Seen => ({
  count: revisions.length,
  messages: revisions.slice(0, 5).map(({ messageId }) => messageId),
})

/** Days in `settled` are not reconciled again; those that settle are put there. */
async function reconcileDays(
  { db, feed, from, to, hospitalCounts }: GatherOptions,
  duplicatesByDay: MessageEvidence['duplicatesByDay'],
  settled: Map<string, DayFigures>,
  now: number,
): Promise<Pick<Evidence, 'days' | 'discrepancies'>> {
  const days: DayFigures[] = []
  let discrepancies = 0
  for (let at = dayStart(dayOf(from)); at < to; at += dayMs) {
    const day = dayOf(at)
    const known = settled.get(day)
    if (known !== undefined) {
      days.push(known)
      continue
    }
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
    const entry = { day, ...figures, balanced, duplicates: duplicatesByDay.get(day) ?? 0, hospitalCount }
    days.push(entry)
    if (balanced && inFlight === 0 && result.discrepancyCount === 0 && at + dayMs <= now) settled.set(day, entry)
  }
  return { days, discrepancies }
}
