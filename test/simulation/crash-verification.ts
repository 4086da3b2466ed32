import { join } from 'node:path'
import type { Configuration } from '../../cli/config.js'
import { connectors } from '../../cli/connectors.js'
import type { Journal } from '../../cli/demo/journal.js'
import { openRepository } from '../../cli/repository-access.js'
import { catalogueOf, parsersOf } from '../../cli/runtime.js'
import { messageId } from '../../core/ids.js'
import { folderObjectStore } from '../../log/object-store.js'
import { unpackContent } from '../../pipelines/content.js'
import { dryRun, type DryRun } from '../../pipelines/dry-run.js'
import { openDatabase, type Database } from '../../repository/database.js'
import { dumpRows } from '../../repository/dump-rows.js'
import { eventSink } from '../../repository/event-sink.js'
import { migrate } from '../../repository/migrate.js'
import { reconcile } from '../../repository/reconcile.js'
import type { SinkEvent } from '../../repository/sink-event.js'
import type { RawMessage } from '../../schemas/types.js'

/** A feed with what its sender knows. */
export interface SentFeed {
  readonly feed: string
  readonly transport: 'mllp' | 'files'
  readonly hospital: string
  readonly journal: Journal
}

export interface VerifyOptions {
  readonly configuration: Configuration
  readonly feeds: readonly SentFeed[]
  /** How often the receiver was started: a file that was being read may have been read so often. */
  readonly receiverStarts: number
  /** An empty database for the clean reference; in memory where left out. */
  readonly referenceUrl?: string
  readonly progress: (text: string) => void
}

/** What was found; every fault found is an error instead. */
export interface Verified {
  readonly sentOverMllp: number
  readonly sent: number
  readonly acknowledgements: number
  /** Numbers the spool gave: acknowledged ones and those whose acknowledgement did not get out. */
  readonly received: number
  readonly storedUnacknowledged: number
  readonly deadLettered: number
  readonly ignored: number
  readonly rows: number
}

interface Drain {
  readonly archived: number
  readonly watermarks: number
  readonly settled: number
}

/** Messages in the archive, the sum of the watermarks, and messages with all their receipts. */
export async function archivedAndSettled(database: Database): Promise<Drain> {
  const [row] = await database.transaction((tx) =>
    tx.query<Drain>(`SELECT (SELECT count(*) FROM raw_message) AS archived,
      (SELECT coalesce(sum(seq), 0)::int8 FROM feed_watermark) AS watermarks,
      (SELECT count(*) FROM (SELECT FROM receipt GROUP BY feed_id, epoch, seq HAVING count(*) >= max(event_count)) s)
        AS settled`),
  )
  return row ?? { archived: 0, watermarks: 0, settled: 0 }
}

/** What the sender knows of one message id: the same bytes may have been sent as several messages. */
interface Known {
  readonly feed: SentFeed
  readonly controlId: string
  attempts: number
  acknowledgements: number
  /** Numbers it has in the ledger. */
  positions: number
  outcome?: DryRun
}

/** Holds the repository against the senders' journals and a clean reference. @throws Error naming what is wrong */
export async function verifyCampaign(options: VerifyOptions): Promise<Verified> {
  const { configuration, feeds, progress } = options
  const faults = new Faults()
  const known = journalsByMessage(feeds)
  const database = await openRepository(configuration)
  const reference = await openDatabase(options.referenceUrl === undefined ? {} : { url: options.referenceUrl })
  try {
    await migrate(reference)
    const { received, deadLettered, ignored } = await verifyLedger(database, reference, known, options, faults)
    for (const one of known.values()) verifyCounts(one, options, faults)
    faults.throwIfAny()
    progress('ledger agrees with the journals')

    const { days, balanced, discrepancies, discrepancyCount } = await reconcile(database, {
      now: Date.now(),
      graceMs: 0,
    })
    for (const one of discrepancies.slice(0, 20)) faults.add(`reconcile: ${JSON.stringify(one)}`)
    if (!balanced) faults.add(`reconcile is not balanced: ${discrepancyCount} discrepancies`)
    const sum = (of: (day: (typeof days)[number]) => number): number => days.reduce((total, day) => total + of(day), 0)
    if (sum((day) => day.inFlight) !== 0) faults.add(`reconcile has ${sum((day) => day.inFlight)} in flight`)
    if (sum((day) => day.received) !== received) {
      faults.add(`reconcile received ${sum((day) => day.received)}, the archive ${received}`)
    }
    faults.throwIfAny()
    progress('reconcile is balanced')

    const rows = await dumpRows(database)
    compareRows(rows, await dumpRows(reference), faults)
    faults.throwIfAny()
    progress(`${rows.length} rows equal the clean reference`)

    const totals = feeds.map(({ journal }) => journal.totals())
    const acknowledgements = totals.reduce((all, { acknowledgements: count }) => all + count, 0)
    const sent = totals.reduce((all, { sent: count }) => all + count, 0)
    const sentOverMllp = feeds.reduce((all, one) => all + (one.transport === 'mllp' ? one.journal.totals().sent : 0), 0)
    const storedUnacknowledged = received - acknowledgements
    return {
      sentOverMllp,
      sent,
      acknowledgements,
      received,
      storedUnacknowledged,
      deadLettered,
      ignored,
      rows: rows.length,
    }
  } finally {
    await reference.close()
    await database.close()
  }
}

function journalsByMessage(feeds: readonly SentFeed[]): Map<string, Known> {
  const known = new Map<string, Known>()
  for (const feed of feeds) {
    for (const { messageId: id = '', controlId, attempts, acknowledgements } of feed.journal.entries) {
      const one = known.get(id)
      if (one === undefined) known.set(id, { feed, controlId, attempts, acknowledgements, positions: 0 })
      else {
        one.attempts += attempts
        one.acknowledgements += acknowledgements
      }
    }
  }
  return known
}

interface LedgerEntry extends Pick<RawMessage, 'content' | 'contentRef' | 'contentSize' | 'keyId'> {
  readonly compression: RawMessage['compression']
  readonly feed: string
  readonly feedId: number
  readonly epoch: number
  readonly seq: number
  readonly receivedAt: number
  readonly messageId: string
  readonly receipts: number
  readonly events: number | null
  readonly dead: number
  readonly ignored: number
  /** Codes of its dead letters in the order of their events. */
  readonly codes: string | null
}

/** The archived messages with their receipts and dead letters, after a place, in order. */
const ledgerSql = `SELECT f.name AS feed, m.feed_id AS "feedId", m.epoch, m.seq, encode(m.message_id, 'hex') AS "messageId",
  floor(extract(epoch FROM m.received_at) * 1000)::int8 AS "receivedAt", m.content, m.content_ref AS "contentRef",
  m.content_size AS "contentSize", m.compression, m.key_id AS "keyId", r.*, d.codes
FROM raw_message m JOIN feed f ON f.id = m.feed_id
CROSS JOIN LATERAL (SELECT count(*) AS receipts, max(event_count) AS events,
    count(*) FILTER (WHERE disposition = 'dead-lettered') AS dead,
    count(*) FILTER (WHERE disposition = 'ignored') AS ignored
  FROM receipt x WHERE x.feed_id = m.feed_id AND x.epoch = m.epoch AND x.seq = m.seq) r
CROSS JOIN LATERAL (SELECT string_agg(x.code, ',' ORDER BY x.event_index) AS codes
  FROM dead_letter x WHERE x.feed_id = m.feed_id AND x.epoch = m.epoch AND x.seq = m.seq) d
WHERE (m.feed_id, m.epoch, m.seq) > ($1::int4, $2::int4, $3::int8)
ORDER BY m.feed_id, m.epoch, m.seq LIMIT 1000`

interface LedgerTotals {
  readonly received: number
  readonly deadLettered: number
  readonly ignored: number
}

/**
 * Reads the whole ledger: every archived message is one that was sent, byte for byte, and its receipts and dead letters
 * are those its bytes come to. Each distinct message is written once into the reference on the way.
 */
async function verifyLedger(
  database: Database,
  reference: Database,
  known: ReadonlyMap<string, Known>,
  { configuration }: VerifyOptions,
  faults: Faults,
): Promise<LedgerTotals> {
  const stores = {
    objects: folderObjectStore(join(configuration.dataDir ?? '', 'objects')),
    cipher: () => undefined,
  }
  const catalogue = catalogueOf(configuration)
  const parserFor = parsersOf({ configuration, connectors })
  const sink = eventSink(reference)
  const totals = { received: 0, deadLettered: 0, ignored: 0 }
  let after: readonly (string | number)[] = [0, 0, 0]
  for (;;) {
    const place = after.map(String)
    const page = await database.transaction((tx) => tx.query<LedgerEntry>(ledgerSql, place))
    const events: SinkEvent[] = []
    for (const entry of page) {
      const { feed, epoch, seq, receivedAt } = entry
      const where = `${feed} ${epoch}/${seq}`
      totals.received++
      if (entry.dead > 0) totals.deadLettered++
      if (entry.ignored > 0) totals.ignored++
      const content = await unpackContent(entry, stores)
      const id = messageId(feed, content)
      if (id !== entry.messageId) faults.add(`${where}: the archived bytes are not those of its message id`)
      const one = known.get(id)
      if (one === undefined) {
        faults.add(`${where}: holds bytes that nobody sent`)
        continue
      }
      if (one.positions++ === 0) {
        const { hospital } = one.feed
        const connector = `hl7v2-${one.feed.transport}`
        const parser = parserFor(feed, connector)
        if (parser === undefined) throw new Error(`no parser for ${feed}`)
        const { environment } = configuration
        one.outcome = dryRun(content, {
          parser,
          catalogue,
          feed,
          hospital,
          environment,
          receivedAt,
          seq: totals.received,
        })
        events.push(...one.outcome.events)
      }
      if (one.outcome !== undefined) verifyReceipts(where, entry, one.outcome, faults)
    }
    if (events.length > 0) await sink.write(events)
    const last = page.at(-1)
    if (last === undefined) return totals
    after = [last.feedId, last.epoch, last.seq]
  }
}

function verifyReceipts(where: string, entry: LedgerEntry, outcome: DryRun, faults: Faults): void {
  const { receipts, events, dead, ignored, codes } = entry
  const expected = outcome.ignored === null ? outcome.events.length + outcome.deadLetters.length : 1
  if (receipts !== expected || events !== expected) {
    faults.add(`${where}: ${receipts} receipts of ${events ?? 0} events, its bytes come to ${expected}`)
  }
  if (ignored !== (outcome.ignored === null ? 0 : 1))
    faults.add(`${where}: ignored ${ignored}, expected ${outcome.ignored}`)
  const letters = outcome.deadLetters.map(({ code }) => code).join(',')
  if (dead !== outcome.deadLetters.length || (codes ?? '') !== letters) {
    faults.add(`${where}: ${dead} dead letters (${codes ?? ''}), its bytes come to (${letters})`)
  }
}

/** Each acknowledgement stands for a number of its own, and each number for an attempt. */
function verifyCounts(one: Known, { receiverStarts }: VerifyOptions, faults: Faults): void {
  const { feed, controlId, attempts, acknowledgements, positions } = one
  const where = `${feed.feed}, control id ${controlId}`
  if (positions < acknowledgements) {
    faults.add(`${where}: acknowledged ${acknowledgements} times, ${positions} times there`)
  }
  const most = feed.transport === 'mllp' ? attempts : attempts * receiverStarts
  if (positions > most) faults.add(`${where}: sent ${attempts} times, ${positions} times there`)
}

function compareRows(rows: readonly string[], expected: readonly string[], faults: Faults): void {
  const there = new Set(rows)
  if (there.size !== rows.length) faults.add(`${rows.length - there.size} rows are there twice`)
  const wanted = new Set(expected)
  for (const row of expected) if (!there.has(row)) faults.add(`row missing: ${row}`)
  for (const row of rows) if (!wanted.has(row)) faults.add(`row too many: ${row}`)
}

/** Collects faults, so that a failure names more than the first. */
class Faults {
  private readonly told: string[] = []
  private count = 0

  add(fault: string): void {
    this.count++
    if (this.told.length < 30) this.told.push(fault)
  }

  throwIfAny(): void {
    if (this.count > 0) throw new Error(`${this.count} faults:\n${this.told.join('\n')}`)
  }
}
