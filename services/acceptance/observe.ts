import { createHash } from 'node:crypto'
import type { Catalogue } from '../../catalogue/catalogue.js'
import type { Parsed, Parser } from '../../connectors/connector.js'
import { readMessageBytes } from '../../connectors/hl7v2/message.js'
import { readTime } from '../../connectors/times.js'
import { RecordError } from '../../core/errors.js'
import { reportKey } from '../../core/ids.js'
import { normaliseObservation } from '../../pipelines/normalise/observation.js'
import { cultureParts } from '../../pipelines/normalise/microbiology.js'
import { normalisePatientFacts } from '../../pipelines/normalise/patient.js'
import type { EvidenceReceipt } from '../../repository/acceptance-evidence.js'
import type { LabReport, PatientFacts } from '../../schemas/types.js'
import { OutageObserver, type OutageWindow } from './declared-outage.js'
import type { Evidence, MessageId, Outage, Seen, Tally } from './evidence.js'

/** A message with its bytes and what became of it. */
export interface ObservedMessage {
  readonly epoch: number
  readonly seq: number
  readonly receivedAt: number
  /** Null where it was archived before arrival was recorded. */
  readonly archivedAt: number | null
  readonly lane: string
  readonly messageId: MessageId
  readonly content: Buffer
  readonly receipts: readonly EvidenceReceipt[]
}

/** A later version of a report: whether it had its effect is asked of the repository. */
export interface Revision {
  readonly messageId: MessageId
  readonly reportIds: readonly number[]
}

/** What the messages alone show; days, dead letters and the standing of reports come from the repository. */
export type MessageEvidence = Pick<
  Evidence,
  | 'messages'
  | 'kinds'
  | 'finalised'
  | 'duplicates'
  | 'outages'
  | 'declaredOutages'
  | 'charset'
  | 'results'
  | 'patients'
  | 'clock'
> & {
  readonly corrections: readonly Revision[]
  readonly withdrawals: readonly Revision[]
  /** Resent bytes by day (+08:00). */
  readonly duplicatesByDay: ReadonlyMap<string, number>
}

const unitProblems = ['unmapped-unit', 'ambiguous-unit', 'unit-missing', 'unit-not-convertible'] as const
const topTallies = 20
const evidenceMax = 5
const zoneMinutes = 480
const rareHanzi = /[\u3400-\u4dbf\u{20000}-\u{3ffff}]/u
const hanzi = /[\u3400-\u9fff\u{20000}-\u{3ffff}]/u

/** Counts by name. */
class Counter {
  private readonly counts = new Map<string, number>()
  add(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }
  top(max = topTallies): readonly Tally[] {
    return [...this.counts]
      .map(([name, count]) => ({ name, count }))
      .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
      .slice(0, max)
  }
}

class Sightings {
  private count = 0
  private readonly messages: MessageId[] = []
  add(message: MessageId): void {
    this.count++
    if (this.messages.length < evidenceMax) this.messages.push(message)
  }
  get seen(): Seen {
    return { count: this.count, messages: this.messages }
  }
}

type Finality = 'preliminary' | 'final' | 'withdrawn'

/** Reads the messages of a feed, in order of position, as its parser and the catalogue do now. */
export class Observer {
  private messages = 0
  private readonly kinds = new Counter()
  private readonly charsets = new Counter()
  private readonly unmapped = new Counter()
  private readonly refusedUnits = new Counter()
  private readonly idProblems = new Counter()
  private readonly finalised = new Sightings()
  private readonly hanzi = new Sightings()
  private readonly rare = new Sightings()
  private readonly headerLies = new Sightings()
  private readonly garbled = new Sightings()
  private readonly corrections: Revision[] = []
  private readonly withdrawals: Revision[] = []
  private readonly reports = new Map<string, Finality>()
  private readonly copies = new Map<MessageId, { copies: number; stored: number }>()
  private readonly duplicatesByDay = new Map<string, number>()
  private readonly people = new Map<string, boolean>()
  private readonly lags: number[] = []
  private readonly stretches = new Stretches()
  private readonly declared: readonly OutageObserver[]
  private readonly results = { total: 0, mapped: 0, numeric: 0, unitRead: 0 }

  constructor(
    private readonly options: {
      readonly feed: string
      readonly hospital: string
      readonly environment: string
      readonly parser: Parser
      readonly catalogue: Catalogue
      /** As the feed declares it; null where it does not. */
      readonly charset: string | null
      readonly outageWindows: readonly OutageWindow[]
    },
  ) {
    this.declared = options.outageWindows.map((window) => new OutageObserver(window))
  }

  add(message: ObservedMessage): void {
    this.messages++
    this.stretches.add(message)
    for (const outage of this.declared) outage.add(message)
    const isFirst = this.countCopy(message)
    const text = this.readText(message)
    if (text === undefined) return
    let parsed: Parsed
    try {
      const { content, receivedAt, messageId } = message
      const { feed, hospital, environment } = this.options
      parsed = this.options.parser({ content, feed, hospital, environment, receivedAt, messageId })
    } catch (error) {
      // it is a dead letter, and counted as one
      if (error instanceof RecordError) return
      throw error
    }
    this.kinds.add(parsed.messageType ?? '?')
    if (!isFirst) return
    for (const [index, event] of parsed.events.entries()) {
      this.addPatient(event.body.patient)
      if (event.domain === 'lab-report') this.addResults(event.body)
      if (event.domain === 'lab-report' || event.domain === 'imaging-report') {
        const statuses =
          event.domain === 'lab-report' ? event.body.observations.map(({ status }) => status) : [event.body.status]
        const { sourceSystem, reportNumber, recycleScope } = event.body
        const key = reportKey(this.options.hospital, sourceSystem, reportNumber, recycleScope)
        this.addReport(key, statuses, event.body.status, message, index)
      }
    }
  }

  private countCopy({ messageId, receivedAt, receipts }: ObservedMessage): boolean {
    const stored = receipts.some(({ disposition }) => disposition === 'stored') ? 1 : 0
    const before = this.copies.get(messageId)
    if (before === undefined) {
      this.copies.set(messageId, { copies: 1, stored })
      return true
    }
    before.copies++
    before.stored += stored
    const day = dayOf(receivedAt)
    this.duplicatesByDay.set(day, (this.duplicatesByDay.get(day) ?? 0) + 1)
    return false
  }

  private readText({ content, messageId, receivedAt }: ObservedMessage): string | undefined {
    try {
      const read = readMessageBytes(content, this.options.charset ?? undefined)
      const text = Array.from(read.lines(), (line) => line.fields().join('|')).join('\r')
      if (hanzi.test(text)) {
        this.charsets.add(read.charset)
        this.hanzi.add(messageId)
      }
      if (rareHanzi.test(text)) this.rare.add(messageId)
      if (read.flags.includes('charset-header-lies')) this.headerLies.add(messageId)
      if (read.flags.some((flag) => flag === 'mojibake' || flag === 'replacement-character'))
        this.garbled.add(messageId)
      const stated = read.segment(0).field(7)
      const sentAt = /^\d{12}/.test(stated) ? readTime(stated, zoneMinutes) : null
      if (sentAt !== null) this.lags.push(receivedAt - sentAt)
      return text
    } catch (error) {
      if (error instanceof RecordError) return undefined
      throw error
    }
  }

  private addPatient(patient: PatientFacts): void {
    const { id, authority, idNumber, flags } = normalisePatientFacts(patient)
    const key = createHash('sha256').update(`${authority}\x1f${id}`).digest('base64')
    const before = this.people.get(key)
    if (before !== true) this.people.set(key, idNumber !== null)
    if (before === undefined) {
      for (const flag of flags) if (/^(?:id-number|birth-date|sex|name)-/.test(flag)) this.idProblems.add(flag)
      if (idNumber === null && !flags.some((flag) => flag.startsWith('id-number')))
        this.idProblems.add('id-number-absent')
    }
  }

  private addResults(report: Omit<LabReport, 'envelope'>): void {
    const scope = this.options.catalogue.scope(this.options.hospital, report.sourceSystem)
    const parts = cultureParts(report as LabReport)
    const { sexCode } = normalisePatientFacts(report.patient)
    for (const [index, observation] of report.observations.entries()) {
      const unified = normaliseObservation(observation, scope, sexCode, parts[index] ?? null)
      this.results.total++
      if (unified.itemId !== null) this.results.mapped++
      else {
        const { system, code, text } = observation
        this.unmapped.add([report.sourceSystem, system ?? '', code, text ?? ''].map(cut).join(' | '))
      }
      const problem = unitProblems.find((flag) => unified.flags.includes(flag))
      if (unified.kind !== 'numeric' && problem === undefined) continue
      this.results.numeric++
      if (problem === undefined) this.results.unitRead++
      else this.refusedUnits.add(`${observation.unit === null ? '∅' : cut(observation.unit)} (${problem})`)
    }
  }

  private addReport(
    key: string,
    statuses: readonly (string | null)[],
    status: string | null,
    { messageId, receipts }: ObservedMessage,
    index: number,
  ): void {
    const reportKeyHash = createHash('sha256').update(key).digest('base64')
    const before = this.reports.get(reportKeyHash)
    const finality = finalityOf(statuses, status)
    this.reports.set(reportKeyHash, finality)
    const receipt = receipts[index]
    const reportIds = receipt?.target === 'report' && receipt.targetId !== null ? [receipt.targetId] : []
    if (finality === 'withdrawn') {
      if (before !== undefined) this.withdrawals.push({ messageId, reportIds })
      return
    }
    if (finality === 'preliminary' || before === undefined) return
    if (before === 'preliminary') this.finalised.add(messageId)
    else if (receipt?.disposition !== 'superseded' || receipt.reason !== 'older') {
      this.corrections.push({ messageId, reportIds })
    }
  }

  finish(): MessageEvidence {
    const repeated = [...this.copies].filter(([, { copies }]) => copies > 1)
    const lags = this.lags.sort((a, b) => a - b)
    return {
      messages: this.messages,
      kinds: this.kinds.top(50),
      finalised: this.finalised.seen,
      corrections: this.corrections,
      withdrawals: this.withdrawals,
      duplicates: {
        count: repeated.length,
        messages: repeated.slice(0, evidenceMax).map(([id]) => id),
        storedTwice: repeated.filter(([, { stored }]) => stored > 1).length,
      },
      duplicatesByDay: this.duplicatesByDay,
      outages: this.stretches.finish(),
      declaredOutages: this.declared.map((outage) => outage.finish()),
      charset: {
        declared: this.options.charset,
        used: this.charsets.top(),
        hanzi: this.hanzi.seen,
        rare: this.rare.seen,
        headerLies: this.headerLies.seen,
        garbled: this.garbled.seen,
      },
      results: { ...this.results, unmapped: this.unmapped.top(), unitRefused: this.refusedUnits.top() },
      patients: {
        total: this.people.size,
        validIdNumber: [...this.people.values()].filter(Boolean).length,
        problems: this.idProblems.top(),
      },
      clock: { samples: lags.length, medianLagMs: lags[Math.floor(lags.length / 2)] ?? null },
    }
  }
}

/** HL7 table 0085 for OBX-11, table 0123 for OBR-25; a report is withdrawn where all or the whole of it is. */
function finalityOf(statuses: readonly (string | null)[], status: string | null): Finality {
  const withdrawn = (one: string | null): boolean => one === 'W' || one === 'D' || one === 'X'
  if (withdrawn(status) || statuses.some(withdrawn)) return 'withdrawn'
  const preliminary = (one: string | null): boolean => ['P', 'R', 'S', 'I', 'O', 'A'].includes(one ?? '')
  const stated = statuses.filter((one) => one !== null && one !== '')
  if (stated.length > 0) return stated.every(preliminary) ? 'preliminary' : 'final'
  return preliminary(status) ? 'preliminary' : 'final'
}

/**
 * A drain after an outage: messages of the bulk lane (forwarded ten minutes or more after their receipt) between live ones
 * of the same spool. History that was read in has no live neighbours of its time, or none at all.
 */
class Stretches {
  private readonly found: Outage[] = []
  private live: ObservedMessage | undefined
  private held: ObservedMessage[] = []
  private heldCount = 0

  add(message: ObservedMessage): void {
    if (this.live !== undefined && this.live.epoch !== message.epoch) this.forget()
    if (message.lane === 'bulk') {
      if (this.live === undefined) return
      this.heldCount++
      this.held = [this.held[0] ?? message, message]
      return
    }
    const [first, last = first] = this.held
    if (this.live !== undefined && first !== undefined && last !== undefined) {
      this.found.push({
        from: first.receivedAt,
        to: last.receivedAt,
        messages: this.heldCount,
        missing: message.seq - this.live.seq - 1 - this.heldCount,
        first: first.messageId,
        last: last.messageId,
      })
    }
    this.forget()
    this.live = message
  }

  private forget(): void {
    this.live = undefined
    this.held = []
    this.heldCount = 0
  }

  finish(): readonly Outage[] {
    return this.found
  }
}

const cut = (text: string): string => (text.length <= 60 ? text : `${text.slice(0, 60)}…`)

/** YYYY-MM-DD at +08:00. */
export const dayOf = (ms: number): string => new Date(ms + 8 * 3_600_000).toISOString().slice(0, 10)
