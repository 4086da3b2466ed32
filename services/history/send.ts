import pLimit from 'p-limit'
import { RefusedError, RetryableError } from '../../core/errors.js'
import { readHeader } from '../../connectors/hl7v2/header.js'
import { messageId } from '../../core/ids.js'
import { pause } from '../../core/pause.js'
import type { Spool } from '../../log/spool.js'
import type { LedgerSpan, Settlement } from '../../repository/settlement.js'
import type { Day } from './day.js'
import type { DayRecord, Journal, Mark, NumberSpan } from './journal.js'
import type { HistoryPlan, PlannedDay } from './plan.js'
import type { Throttle } from './throttle.js'

export interface SendOptions {
  readonly feed: string
  readonly plan: HistoryPlan
  readonly journal: Journal
  /** A spool of history's own: nothing else writes to it. */
  readonly spool: Spool
  readonly throttle: Throttle
  /** What has become of these numbers; undefined where this process cannot see the repository. @throws RetryableError */
  readonly settlement?: (spans: readonly LedgerSpan[]) => Promise<Settlement>
  /** A day whose receipts make no progress for this long is left as it is, ms. */
  readonly settleMs: number
  readonly now: () => number
  readonly progress: (text: string) => void
}

/** What has to be done of a day: send it (what is spooled already is not sent again), wait for its receipts, or nothing. */
export type Work = 'send' | 'settle' | 'nothing'

export interface WorkOptions {
  /** Also what is done. */
  readonly again: boolean
  /** This process can see receipts; where it cannot, a day is done when it is sent. */
  readonly settles: boolean
}

/** Pure. */
export function workOf(planned: PlannedDay, known: DayRecord | undefined, { again, settles }: WorkOptions): Work {
  if (known === undefined || known.state === 'sending' || known.fingerprint !== planned.fingerprint) return 'send'
  if (again) return 'send'
  return known.state === 'sent' && settles ? 'settle' : 'nothing'
}

/**
 * Brings one day as far as it gets: every message into the spool once, all of the spool handed on, and every message
 * with its receipts. A process that dies anywhere goes on from the journal and the spool. Undefined when `signal` aborts.
 */
export async function sendDay(
  planned: PlannedDay,
  work: Exclude<Work, 'nothing'>,
  options: SendOptions,
  signal: AbortSignal,
): Promise<DayRecord | undefined> {
  const { journal } = options
  const sent = work === 'send' ? await send(planned, options, signal) : journal.days.get(planned.day)
  if (sent === undefined || !(await handedOn(options, signal))) return undefined
  if (sent.state !== 'sent') await journal.put({ ...sent, state: 'sent' })
  const settlement = await settled(sent, options, signal)
  if (signal.aborted) return undefined
  const state = settlement !== null && settlement.inFlight === 0 ? 'settled' : 'sent'
  const record: DayRecord = { ...sent, state, settlement }
  await journal.put(record)
  return record
}

async function send(planned: PlannedDay, options: SendOptions, signal: AbortSignal): Promise<DayRecord | undefined> {
  const { feed, plan, journal, spool, throttle, now, progress } = options
  const { day, fingerprint } = planned
  const begun = beginning(planned, journal.days.get(day), marksOf(spool, feed))
  await journal.put(begun)
  const before = await spooledSince(spool, feed, begun.after)
  const limit = pLimit(256)
  const accepting = new Set<Promise<void>>()
  let failure: unknown
  let read = 0
  let refused = 0
  try {
    for await (const message of plan.read(day)) {
      if (failure !== undefined || signal.aborted) break
      if (!('bytes' in message)) {
        refused++
        continue
      }
      read++
      const { bytes, sourceName, sourceIndex } = message
      if (before.has(placeOf(sourceName, sourceIndex, messageId(feed, bytes)))) continue
      await throttle.take(signal)
      // the process is stopping: the journal says `sending`, and the day goes on with the next start
      if (signal.aborted) break
      const accepted = limit(async () => {
        const controlId = controlIdOf(bytes)
        if (controlId === undefined) refused++
        else {
          await spool.accept({ feed, content: bytes, receivedAt: now(), controlId, sourceName, sourceIndex })
        }
      })
      const noted = accepted.catch((error: unknown) => {
        failure ??= error
      })
      accepting.add(noted)
      void noted.then(() => accepting.delete(noted))
      if (accepting.size >= 1024) await Promise.race(accepting)
      if (read % 500 === 0) progress(`${day}: read ${read}`)
    }
  } finally {
    await Promise.all(accepting)
  }
  if (failure !== undefined) throw unavailable(failure)
  if (signal.aborted) return undefined
  const spans = spansSince(begun.after, marksOf(spool, feed))
  return { day, state: 'sending', fingerprint, after: begun.after, read, refused, spans, settlement: null }
}

/** A day that was being sent from the same files goes on behind its first mark; anything else begins behind today's. */
function beginning(planned: PlannedDay, known: DayRecord | undefined, marks: readonly Mark[]): DayRecord {
  if (known?.state === 'sending' && known.fingerprint === planned.fingerprint) return known
  const { day, fingerprint } = planned
  return { day, state: 'sending', fingerprint, after: marks, read: 0, refused: 0, spans: [], settlement: null }
}

const marksOf = (spool: Spool, feed: string): readonly Mark[] =>
  spool
    .watermarks()
    .filter((mark) => mark.feed === feed)
    .map(({ epoch, seq }) => ({ epoch, seq }))

/** The numbers given behind the marks. Pure. */
export function spansSince(after: readonly Mark[], marks: readonly Mark[]): readonly NumberSpan[] {
  return marks.flatMap(({ epoch, seq }) => {
    const from = (after.find((mark) => mark.epoch === epoch)?.seq ?? 0) + 1
    return seq < from ? [] : [{ epoch, from, to: seq }]
  })
}

/** What the spool took of a day before the process died. */
async function spooledSince(spool: Spool, feed: string, after: readonly Mark[]): Promise<ReadonlySet<string>> {
  const places = new Set<string>()
  for (const { epoch, from, to } of spansSince(after, marksOf(spool, feed))) {
    for (let seq = from; seq <= to; seq++) {
      const message = await spool.read({ feed, epoch, seq }).catch(() => undefined)
      if (message !== undefined) {
        places.add(placeOf(message.sourceName ?? '', message.sourceIndex ?? 0, message.messageId))
      }
    }
  }
  return places
}

const placeOf = (sourceName: string, sourceIndex: number, id: string): string => `${sourceName}\0${sourceIndex}\0${id}`

/** MSH-10; undefined where the bytes have no readable MSH, as a receiver would refuse them. */
function controlIdOf(bytes: Buffer): string | undefined {
  try {
    return readHeader(bytes).controlId
  } catch (error) {
    if (error instanceof RefusedError) return undefined
    throw error
  }
}

/** A full disk stops the whole: what is spooled stays, the next start goes on. */
function unavailable(failure: unknown): unknown {
  if (!(failure instanceof RefusedError)) return failure
  return new RetryableError(`history cannot be spooled: ${failure.message}`, { cause: failure })
}

async function handedOn({ spool, progress }: SendOptions, signal: AbortSignal): Promise<boolean> {
  for (let waitMs = 20; spool.statistics().depth > 0; waitMs = Math.min(1000, waitMs * 1.5)) {
    if (signal.aborted) return false
    progress(`${spool.statistics().depth} wait to be handed on`)
    await pause(waitMs, signal)
  }
  return !signal.aborted
}

async function settled(
  { day, spans }: DayRecord,
  { feed, settlement, settleMs, now, progress }: SendOptions,
  signal: AbortSignal,
): Promise<Settlement | null> {
  if (settlement === undefined) return null
  let least = Number.POSITIVE_INFINITY
  let since = now()
  for (let waitMs = 50; ; waitMs = Math.min(2000, waitMs * 1.5)) {
    let found: Settlement | undefined
    try {
      found = await settlement(spans.map((span) => ({ feed, ...span })))
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
    }
    if (found?.inFlight === 0 || signal.aborted) return found ?? null
    if (found !== undefined && found.inFlight < least) {
      least = found.inFlight
      since = now()
    }
    if (now() - since > settleMs) return found ?? null
    progress(`${day}: ${found === undefined ? 'the repository is away' : `${found.inFlight} in flight`}`)
    await pause(waitMs, signal)
  }
}

/** Days of which something is left to do, in the order given. */
export function openDays(
  order: readonly Day[],
  plan: HistoryPlan,
  journal: Pick<Journal, 'days'>,
  options: WorkOptions,
): readonly { readonly planned: PlannedDay; readonly work: Exclude<Work, 'nothing'> }[] {
  return order.flatMap((day) => {
    const planned = plan.days.get(day)
    if (planned === undefined) return []
    const work = workOf(planned, journal.days.get(day), options)
    return work === 'nothing' ? [] : [{ planned, work }]
  })
}
