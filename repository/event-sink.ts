import { RecordError, RetryableError } from '../core/errors.js'
import type { Clock } from '../core/clock.js'
import { systemClock } from '../core/clock.js'
import type { Envelope } from '../schemas/types.js'
import { ColumnSet, unnest, type ColumnType } from './array-column.js'
import { resolveDeadLetters } from './dead-letter-rows.js'
import { DataError, type Database } from './database.js'
import { Dictionaries } from './dictionaries.js'
import { healReports, healRegisters } from './heal.js'
import { NumberBlock } from './number-block.js'
import { dispositionOf, LedgerBatch, readReceipts, type Draft, type ExistingReceipt } from './ledger-batch.js'
import { monthOf } from './months.js'
import { PartitionKeeper } from './partitions.js'
import { prepareRedrive } from './redrive-receipts.js'
import { registerStatements, writeRegister } from './registers.js'
import { resolveImagingReport, resolveLabReport, type ResolvedReport } from './report-rows.js'
import { reportStatements } from './report-statements.js'
import { conflictDetail, settleConflicts } from './report-conflicts.js'
import {
  checkEvent,
  storable,
  takesTimeFromReceipt,
  withFirstReceipt,
  type Outcome,
  type SinkEvent,
} from './sink-event.js'
import type { Transaction } from './transaction.js'
import { newer, type Guard } from './versions.js'
import { countWorkItems, workItemsOf, type WorkItem } from './work-items.js'
import * as patients from './write-patients.js'
import { RaceError, roundsOf, writeReportRound, type ReportEffects, type ReportItem } from './write-reports.js'

export interface EventSinkOptions {
  readonly clock?: Clock
  /** What decides that one version is newer; only tests replace it, to prove that they would notice. */
  readonly guard?: Guard
}

/** Writes normalised events. Any repetition or reordering of the same events leaves the same rows. */
export interface EventSink {
  /**
   * Writes up to about 1,000 events in one transaction with their receipts. An event the database refuses is isolated
   * by halving the batch and becomes a dead letter; the others are stored. Outcomes stand in the order of the events.
   * @throws RetryableError when the database is away: nothing was written, or all of it and the events come again
   */
  write(events: readonly SinkEvent[]): Promise<readonly Outcome[]>
}

interface Item {
  readonly event: SinkEvent
  /** The event must not be written, for this reason. */
  readonly refusal: RecordError | null
}

interface Prepared extends Item {
  readonly hospitalId: number
  readonly feedId: number
  readonly sourceSystemId: number | null
  readonly unifiedItemId: number | null
  readonly report: ResolvedReport | null
}

const attemptsMax = 12

/**
 * Every statement of the sink finds its rows by key. Without statistics (a new partition, PGlite) the planner would
 * rather hash a whole table for a batch of a few hundred keys.
 */
export const lookUpByIndex =
  'SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off; SET LOCAL jit = off'

const firstReceiptTypes = {
  feed_id: 'int4',
  message_id: 'bytea',
  received_at: 'timestamptz',
} as const satisfies Record<string, ColumnType>
export const firstReceiptSql = `INSERT INTO first_receipt AS f (feed_id, message_id, received_at)
SELECT feed_id, message_id, received_at FROM ${unnest(firstReceiptTypes, 'i')}
ON CONFLICT (feed_id, message_id) DO UPDATE SET received_at = LEAST(f.received_at, excluded.received_at)
RETURNING encode(message_id, 'hex') AS message_id, feed_id, epoch_ms(received_at) AS received_at`

/** A sink on a database; keeps dictionaries and number blocks, so make one per process and use it throughout. */
export function eventSink(db: Database, options: EventSinkOptions = {}): EventSink {
  return new RepositorySink(db, options.clock ?? systemClock, options.guard ?? newer)
}

class RepositorySink implements EventSink {
  private readonly dictionaries: Dictionaries
  private readonly partitions: PartitionKeeper
  private readonly receiptNumbers = new NumberBlock('receipt_number')
  private readonly reportNumbers = new NumberBlock('report_number')
  private resolving: Promise<unknown> = Promise.resolve()
  private readonly reports
  private readonly patients
  private readonly merges
  private readonly encounters
  private readonly orders

  constructor(
    private readonly db: Database,
    clock: Clock,
    guard: Guard,
  ) {
    this.dictionaries = new Dictionaries(db)
    this.partitions = new PartitionKeeper(db, () => clock.now())
    this.reports = reportStatements(guard)
    this.patients = registerStatements(patients.patientSpec, guard)
    this.merges = registerStatements(patients.mergeSpec, guard)
    this.encounters = registerStatements(patients.encounterSpec, guard)
    this.orders = registerStatements(patients.orderSpec, guard)
  }

  async write(events: readonly SinkEvent[]): Promise<readonly Outcome[]> {
    const items = events.map((event): Item => ({ event, refusal: refusalOf(event) }))
    const outcomes = await this.writeIsolated(items)
    // Events are handed back as they came, not as they were cleaned.
    return outcomes.map((outcome, index) => ({ ...outcome, event: events[index]! }))
  }

  private async writeIsolated(items: readonly Item[]): Promise<readonly Outcome[]> {
    if (items.length === 0) return []
    try {
      return await this.writeTogether(items)
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      const cleaned = items.map(({ event, refusal }): Item => ({ event: storable(event), refusal }))
      if (cleaned.some(({ event }, index) => event !== items[index]!.event)) return this.writeIsolated(cleaned)
      if (items.length > 1) {
        const half = items.length >> 1
        const first = await this.writeIsolated(items.slice(0, half))
        return [...first, ...(await this.writeIsolated(items.slice(half)))]
      }
      if (items[0]!.refusal !== null) throw error
      const refusal = new RecordError(
        'row-refused',
        `SQLSTATE ${error.sqlState}: ${error.message}`,
        {},
        { cause: error },
      )
      return this.writeTogether([{ event: items[0]!.event, refusal }])
    }
  }

  private async writeTogether(items: readonly Item[]): Promise<readonly Outcome[]> {
    const prepared = await this.prepare(items)
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.db.transaction((tx) => this.writeIn(tx, prepared))
      } catch (error) {
        if (!isRace(error)) throw error
        if (attempt === attemptsMax) throw new RetryableError('other transactions kept coming first', { cause: error })
      }
    }
  }

  /** Ids and partitions, in transactions of their own. */
  private async prepare(items: readonly Item[]): Promise<readonly Prepared[]> {
    const stated = await this.takeFirstReceipts(items)
    const complete = await this.resolveAll(stated)
    await this.partitions.ensure(
      complete.flatMap(({ report, event }) => (report === null ? [] : [monthOf(event.event.recordedAt)])),
      ['observation', 'observation_history'],
    )
    await this.partitions.ensure(
      complete.map(({ event }) => monthOf(event.event.envelope.receivedAt)),
      ['receipt'],
    )
    return complete
  }

  /**
   * Writes of one sink may overlap, yet use the dictionaries one after the other: an entry the database refuses then
   * fails the write it belongs to and no other.
   */
  private alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.resolving.then(work)
    this.resolving = done.catch(() => undefined)
    return done
  }

  private resolveAll(items: readonly Item[]): Promise<readonly Prepared[]> {
    return this.alone(async () => {
      for (;;) {
        const prepared = items.map((item) => this.resolve(item))
        if (prepared.every((item) => item !== undefined)) return prepared
        await this.dictionaries.resolve()
      }
    })
  }

  private async takeFirstReceipts(items: readonly Item[]): Promise<readonly Item[]> {
    const taking = new Set<number>()
    for (const [index, { event, refusal }] of items.entries()) {
      if (refusal === null && takesTimeFromReceipt(event.event)) taking.add(index)
    }
    if (taking.size === 0) return items
    const feedIds = await this.alone(async () => {
      for (;;) {
        const ids = items.map(({ event }) => this.feedId(event.event.envelope))
        if (ids.every((id) => id !== undefined)) return ids
        await this.dictionaries.resolve()
      }
    })
    const earliest = new Map<string, { readonly feedId: number; readonly messageId: string; receivedAt: number }>()
    const nameOf = (feed: number, messageId: string): string => `${feed} ${messageId}`
    for (const [index, { event }] of items.entries()) {
      const { envelope } = event.event
      if (!taking.has(index)) continue
      const id = feedIds[index]!
      const name = nameOf(id, envelope.messageId)
      const known = earliest.get(name)
      if (known === undefined)
        earliest.set(name, { feedId: id, messageId: envelope.messageId, receivedAt: envelope.receivedAt })
      else known.receivedAt = Math.min(known.receivedAt, envelope.receivedAt)
    }
    const set = new ColumnSet(firstReceiptTypes, earliest.size)
    for (const name of [...earliest.keys()].sort()) {
      const { feedId: id, messageId, receivedAt } = earliest.get(name)!
      set.push([id, Buffer.from(messageId, 'hex'), receivedAt])
    }
    const values = set.finish()
    const rows = await this.db.transaction((tx) =>
      tx.query<{ message_id: string; feed_id: number; received_at: number }>(firstReceiptSql, values),
    )
    const first = new Map(rows.map((row) => [nameOf(row.feed_id, row.message_id), row.received_at]))
    return items.map((item, index) => {
      if (!taking.has(index)) return item
      const { envelope } = item.event.event
      const firstMs = first.get(nameOf(feedIds[index]!, envelope.messageId)) ?? envelope.receivedAt
      return { ...item, event: withFirstReceipt(item.event, firstMs) }
    })
  }

  private feedId({ feed, hospital, environment }: Envelope): number | undefined {
    const hospitalId = this.dictionaries.hospital(hospital)
    return hospitalId === undefined ? undefined : this.dictionaries.feed(feed, hospitalId, environment)
  }

  private resolve(item: Item): Prepared | undefined {
    const { event, refusal } = item
    const { envelope } = event.event
    const hospitalId = this.dictionaries.hospital(envelope.hospital)
    const feedId =
      hospitalId === undefined ? undefined : this.dictionaries.feed(envelope.feed, hospitalId, envelope.environment)
    if (hospitalId === undefined || feedId === undefined) return undefined
    const base = { ...item, hospitalId, feedId, sourceSystemId: null, unifiedItemId: null, report: null }
    if (refusal !== null) return base
    switch (event.domain) {
      case 'lab-report': {
        const report = resolveLabReport(event.event, this.dictionaries)
        return report === undefined ? undefined : { ...base, report }
      }
      case 'imaging-report': {
        const report = resolveImagingReport(event.event, this.dictionaries)
        return report === undefined ? undefined : { ...base, report }
      }
      case 'order': {
        const { itemId, sourceSystem } = event.event
        const sourceSystemId = this.dictionaries.sourceSystem(hospitalId, sourceSystem)
        const unifiedItemId = itemId === null ? null : this.dictionaries.unifiedItem(itemId)
        if (sourceSystemId === undefined || unifiedItemId === undefined) return undefined
        return { ...base, sourceSystemId, unifiedItemId }
      }
      default:
        return base
    }
  }

  private async writeIn(tx: Transaction, all: readonly Prepared[]): Promise<readonly Outcome[]> {
    await tx.script(lookUpByIndex)
    const counted = all.filter(({ event }) => event.event.envelope.purpose !== 'heal')
    const heals = all.filter(({ event }) => event.event.envelope.purpose === 'heal')
    const ledger = new LedgerBatch()
    const places = counted.map(({ event, feedId }) => ({ envelope: event.event.envelope, feedId }))
    await prepareRedrive(tx, places)
    const receipts = await readReceipts(tx, places)
    const outcomes = new Map<Prepared, Outcome>()
    const drafts = new Map<Prepared, Draft>()
    const byPlace = new Map<string, Prepared>()
    const repeated: Prepared[] = []
    for (const [index, item] of counted.entries()) {
      const { envelope } = item.event.event
      const place = `${item.feedId} ${envelope.epoch} ${envelope.seq} ${envelope.eventIndex}`
      const existing = receipts.get(index)
      if (existing !== undefined && !givesWay(existing, envelope)) {
        outcomes.set(item, { event: item.event, ...existing, isRedelivery: true })
      } else if (byPlace.has(place)) repeated.push(item)
      else {
        byPlace.set(place, item)
        const number = existing === undefined ? await this.receiptNumbers.next(tx) : 0
        drafts.set(item, ledger.draft(envelope, item.feedId, number, existing))
      }
    }
    await this.writeFacts(tx, drafts, ledger)
    for (const [item, draft] of drafts) {
      const { disposition, reason } = dispositionOf(draft)
      outcomes.set(item, { event: item.event, disposition, reason, rows: draft.rows, isRedelivery: false })
    }
    for (const item of repeated) {
      const { envelope } = item.event.event
      const first = byPlace.get(`${item.feedId} ${envelope.epoch} ${envelope.seq} ${envelope.eventIndex}`)!
      outcomes.set(item, { ...outcomes.get(first)!, event: item.event, isRedelivery: true })
    }
    for (const item of heals) outcomes.set(item, await this.heal(tx, item))
    return all.map((item) => outcomes.get(item)!)
  }

  private async writeFacts(tx: Transaction, drafts: ReadonlyMap<Prepared, Draft>, ledger: LedgerBatch): Promise<void> {
    await endRefusedAndSuppressed(tx, drafts)
    const live = [...drafts].filter(([, { ending }]) => ending === undefined)
    const patientIds = await this.writePatients(tx, live, ledger)
    const idOf = ({ event, hospitalId }: Prepared): number => {
      const { authority, id } = event.event.patient
      return patientIds.get(patients.patientName({ hospitalId, authority, id }))!
    }
    await this.writeRegisters(tx, live, idOf, ledger)
    const effects: ReportEffects = { standings: new Map(), ties: new Set() }
    const reportItems = live.flatMap(([item, draft]): ReportItem[] => {
      const { event, report } = item
      if (report === null) return []
      if (event.domain === 'lab-report') {
        const { kind, snapshot } = event.event
        return [{ report: event.event, kind, snapshot, resolved: report, patientId: idOf(item), draft }]
      }
      if (event.domain !== 'imaging-report') return []
      return [{ report: event.event, kind: 'imaging', snapshot: false, resolved: report, patientId: idOf(item), draft }]
    })
    const newReportId = (): Promise<number> => this.reportNumbers.next(tx)
    for (const round of roundsOf(reportItems)) {
      await writeReportRound(tx, this.reports, round, newReportId, ledger, effects)
    }
    for (const [, draft] of live) {
      if (
        draft.targetId === null ||
        effects.standings.get(draft.targetId)?.now !== 'conflict' ||
        draft.target !== 'report'
      )
        continue
      draft.ending = {
        disposition: 'dead-lettered',
        reason: 'report-key-conflict',
        detail: conflictDetail,
        place: { segment: 'OBR', field: 'OBR-3' },
      }
    }
    if (!(await ledger.write(tx))) throw new RaceError('another process wrote the receipt of the same event')
    await settleConflicts(tx, effects.standings)
    await this.closeDeadLetters(tx, drafts)
    const workItems: WorkItem[] = []
    for (const [{ event, hospitalId, refusal }, draft] of drafts) {
      if (!draft.replaces && refusal === null)
        workItems.push(...workItemsOf(event, hospitalId, draft, effects.ties.has(draft)))
    }
    await countWorkItems(tx, workItems)
  }

  private async closeDeadLetters(tx: Transaction, drafts: ReadonlyMap<Prepared, Draft>): Promise<void> {
    const closed = [...drafts.values()].filter(
      ({ replaces, ending }) => replaces && ending?.disposition !== 'dead-lettered',
    )
    await resolveDeadLetters(
      tx,
      closed.map(({ envelope, feedId }) => ({ ...envelope, feedId })),
    )
  }

  private async writePatients(
    tx: Transaction,
    live: readonly (readonly [Prepared, Draft])[],
    ledger: LedgerBatch,
  ): Promise<ReadonlyMap<string, number>> {
    const stated = live.flatMap(([{ event, hospitalId }, draft]) =>
      event.domain === 'patient' ? [patients.statedPatient(event.event, hospitalId, draft)] : [],
    )
    const statedIds = await patients.writeStatedPatients(tx, this.patients, stated, ledger)
    const carried = live.flatMap(([{ event, hospitalId }]) =>
      event.domain === 'patient' ? [] : [patients.carriedPatient(event.event, hospitalId)],
    )
    const carriedIds = await patients.writeCarriedPatients(tx, this.patients, carried)
    return new Map([...statedIds, ...carriedIds])
  }

  private async writeRegisters(
    tx: Transaction,
    live: readonly (readonly [Prepared, Draft])[],
    idOf: (item: Prepared) => number,
    ledger: LedgerBatch,
  ): Promise<void> {
    const merges = live.flatMap(([item, draft]) =>
      item.event.domain === 'patient' && item.event.event.action === 'merge'
        ? [patients.mergeOf(item.event.event, item.hospitalId, idOf(item), draft)]
        : [],
    )
    await writeRegister(tx, patients.mergeSpec, this.merges, merges, ledger)
    const encounters = live.flatMap(([item, draft]) =>
      item.event.domain === 'encounter'
        ? [patients.encounterOf(item.event.event, item.hospitalId, idOf(item), draft)]
        : [],
    )
    await writeRegister(tx, patients.encounterSpec, this.encounters, encounters, ledger)
    const orders = live.flatMap(([item, draft]) =>
      item.event.domain === 'order'
        ? [patients.orderOf(item.event.event, { ...item, sourceSystemId: item.sourceSystemId! }, idOf(item), draft)]
        : [],
    )
    await writeRegister(tx, patients.orderSpec, this.orders, orders, ledger)
  }

  /** A derivation: no receipt, no new row, the owner stays. */
  private async heal(tx: Transaction, item: Prepared): Promise<Outcome> {
    const none: Outcome = { event: item.event, disposition: 'ignored', reason: 'heal', rows: 0, isRedelivery: false }
    if (item.refusal !== null) return { ...none, disposition: 'dead-lettered', reason: item.refusal.code }
    const rows =
      item.report === null
        ? await healRegisters(tx, item, { patients: this.patients, orders: this.orders })
        : await healReports(tx, this.reports, item.event, item.report)
    return rows === 0 ? none : { ...none, disposition: 'stored', rows }
  }
}

function refusalOf(event: SinkEvent): RecordError | null {
  try {
    checkEvent(event)
    return null
  } catch (error) {
    if (error instanceof RecordError) return error
    throw error
  }
}

/** A receipt of a dead letter gives way to a redrive, or to the event itself where an earlier stage had given up on it. */
function givesWay({ disposition, stage }: ExistingReceipt, envelope: Envelope): boolean {
  const isOpen = disposition === 'dead-lettered' || disposition === 'ignored'
  return isOpen && (envelope.purpose === 'redrive' || stage !== 'sink')
}

async function endRefusedAndSuppressed(tx: Transaction, drafts: ReadonlyMap<Prepared, Draft>): Promise<void> {
  const suppressed = await patients.readSuppressed(
    tx,
    [...drafts.keys()].map(({ event }) => ({ hospital: event.event.envelope.hospital, ...event.event.patient })),
  )
  let index = 0
  for (const [{ refusal }, draft] of drafts) {
    if (suppressed.has(index++)) draft.ending = { disposition: 'ignored', reason: 'suppressed', detail: '' }
    else if (refusal !== null) {
      const { code, message, place } = refusal
      draft.ending = { disposition: 'dead-lettered', reason: code, detail: message, place }
    }
  }
}

const isRace = (error: unknown): boolean => {
  if (error instanceof RaceError) return true
  if (!(error instanceof RetryableError)) return false
  const code = (error.cause as { readonly code?: unknown } | undefined)?.code
  return code === '40P01' || code === '40001'
}
