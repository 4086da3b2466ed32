import type { RecordErrorCode } from '../../core/errors.js'
import { dialectOf, localTime, type Dialect, type Visit } from './dialect.js'
import type { HospitalCode } from './hospitals.js'
import { framed, type MessageKind, type SimulatedMessage } from './journal.js'
import type { Panel } from './panels.js'
import { person, type Person } from './persons.js'
import { Random } from './random.js'
import {
  drawValues,
  imagingSegments,
  microbiologySegments,
  orderSegments,
  panelSegments,
  pathologySegments,
  type LabOrder,
} from './reports.js'

export interface MessagesOptions {
  readonly hospital: HospitalCode
  /** The same seed gives the same bytes; numbers of different seeds below 1,679,616 never meet. */
  readonly seed: number
  /** Message time of the first message, ms (default a Monday morning in March 2025). */
  readonly startAt?: number
  /** Persons of the hospital (default 400). */
  readonly persons?: number
}

/** A generated message with what the product must make of it. */
export interface GeneratedMessage extends SimulatedMessage {
  /** Code of the dead letter it must become; undefined for a good one. */
  readonly fault?: RecordErrorCode
}

/** 2025-03-03 07:30 at +08:00. */
export const simulatedMorning = Date.UTC(2025, 2, 2, 23, 30)

/** How often, of a hundred new messages, each thing happens; what is left are laboratory reports. */
interface Mix {
  readonly visit: number
  readonly register: number
  readonly order: number
  readonly imaging: number
  readonly microbiology: number
  readonly pathology: number
  readonly unused: number
  readonly broken: number
  /** Of the laboratory reports: share of blood counts. */
  readonly bloodCounts: number
  /** Of a hundred laboratory reports, how many are later sent again in each of these ways. */
  readonly duplicate: number
  readonly correction: number
  readonly withdrawal: number
  readonly latePreliminary: number
  readonly reVerification: number
}

const mixes: Readonly<Record<HospitalCode, Mix>> = {
  H001: {
    ...{ visit: 3, register: 2, order: 3, imaging: 2, microbiology: 1, pathology: 0, unused: 0.7, broken: 0 },
    ...{ bloodCounts: 0.7, duplicate: 0.5, correction: 1, withdrawal: 0.2, latePreliminary: 0, reVerification: 0.2 },
  },
  H002: {
    ...{ visit: 2, register: 2, order: 1, imaging: 0, microbiology: 0, pathology: 0, unused: 0.3, broken: 1.8 },
    ...{ bloodCounts: 0.65, duplicate: 3, correction: 5, withdrawal: 1.5, latePreliminary: 2, reVerification: 1 },
  },
  H003: {
    ...{ visit: 1, register: 3, order: 0, imaging: 12, microbiology: 5, pathology: 3, unused: 0.3, broken: 0.3 },
    ...{ bloodCounts: 0.6, duplicate: 0.5, correction: 2, withdrawal: 0.5, latePreliminary: 0.5, reVerification: 0 },
  },
}

/** All messages a hospital ever sends, in the order it sends them; never ends. */
export function* hospitalMessages(options: MessagesOptions): Generator<GeneratedMessage, never> {
  const hospital = new Hospital(options)
  for (;;) yield hospital.next()
}

/** The first `count` of them. */
export function* take<T>(messages: Iterator<T>, count: number): Generator<T, void> {
  for (let taken = 0; taken < count; taken++) {
    const next = messages.next()
    if (next.done === true) return
    yield next.value
  }
}

/** Four or more characters that begin all numbers of a run. */
export const runTag = (seed: number): string => seed.toString(36).toUpperCase().padStart(4, '0')

class Hospital {
  private readonly dialect: Dialect
  private readonly mix: Mix
  private readonly random: Random
  private readonly tag: string
  private readonly personCount: number
  private readonly bloodCount: Panel
  private readonly others: readonly Panel[]
  private now: number
  private serial = 0
  private sent = 0
  /** What is sent once so many messages have gone out. */
  private readonly later: { readonly due: number; readonly make: () => GeneratedMessage }[] = []

  constructor(options: MessagesOptions) {
    this.dialect = dialectOf(options.hospital)
    this.mix = mixes[options.hospital]
    this.random = new Random(options.seed, options.hospital)
    this.tag = runTag(options.seed)
    this.personCount = options.persons ?? 400
    this.now = options.startAt ?? simulatedMorning
    const [bloodCount, ...others] = this.dialect.panels
    if (bloodCount === undefined) throw new Error(`no panels for ${options.hospital}`)
    this.bloodCount = bloodCount
    this.others = others
  }

  next(): GeneratedMessage {
    this.sent++
    this.now += this.random.integer(200, 1500)
    const due = this.later.findIndex((entry) => entry.due <= this.sent)
    if (due >= 0) {
      const [entry] = this.later.splice(due, 1)
      if (entry !== undefined) return entry.make()
    }
    let draw = this.random.float() * 100
    const { visit, register, order, imaging, microbiology, pathology, unused, broken } = this.mix
    const choices: readonly (readonly [number, () => GeneratedMessage])[] = [
      [visit, () => this.admission()],
      [register, () => this.registration()],
      [order, () => this.order()],
      [imaging, () => this.imaging()],
      [microbiology, () => this.report('microbiology', 'LIS', microbiologySegments)],
      [pathology, () => this.report('pathology', 'PIS', pathologySegments)],
      [unused, () => this.appointment()],
      [broken, () => this.broken()],
    ]
    for (const [share, make] of choices) {
      if (draw < share) return make()
      draw -= share
    }
    return this.lab()
  }

  private soon(min: number, max: number, make: () => GeneratedMessage): void {
    this.later.push({ due: this.sent + this.random.integer(min, max), make })
  }

  private number(letter: string): string {
    return `${letter}${this.tag}${String(++this.serial).padStart(7, '0')}`
  }

  private person(index = this.random.integer(1, this.personCount)): Person {
    const difficultNames = this.dialect.hospital === 'H002' ? 0.15 : 0.03
    return person(this.random, index, { numberPrefix: `P${this.tag}`, difficultNames })
  }

  private message(
    kind: MessageKind,
    application: string,
    type: string,
    segments: readonly string[],
    more: {
      readonly reportNumber?: string
      readonly fault?: RecordErrorCode
      readonly spoil?: (bytes: Buffer) => Buffer
    } = {},
  ): GeneratedMessage {
    const controlId = this.number(this.dialect.hospital.slice(-1))
    const msh = this.dialect.msh(application, type, this.now, controlId, this.random)
    const bytes = this.dialect.encode(`${[msh, ...segments].join('\r')}\r`)
    const { reportNumber, fault, spoil } = more
    return {
      controlId,
      kind,
      frame: framed(spoil === undefined ? bytes : spoil(bytes)),
      ...(reportNumber !== undefined && { reportNumber }),
      ...(fault !== undefined && { fault }),
    }
  }

  private newOrder(): LabOrder {
    const panel = this.random.chance(this.mix.bloodCounts) ? this.bloodCount : this.random.pick(this.others)
    return {
      person: this.person(),
      panel,
      reportNumber: this.number('R'),
      placerNumber: this.number('A'),
      collectedAt: this.now - this.random.integer(20, 90) * 60_000,
      values: drawValues(this.random, panel),
      staff: this.dialect.staff(this.random),
    }
  }

  private result(kind: MessageKind, order: LabOrder, status: string, recordedAt = this.now): GeneratedMessage {
    const { dialect } = this
    const segments = [
      dialect.pid(order.person),
      dialect.pv1(undefined),
      ...panelSegments(dialect, order, status, recordedAt),
    ]
    return this.message(kind, 'LIS', 'ORU^R01', segments, { reportNumber: order.reportNumber })
  }

  private lab(): GeneratedMessage {
    const order = this.newOrder()
    const message = this.result('original', order, 'F')
    const recordedAt = this.now
    let draw = this.random.float() * 100
    const { duplicate, correction, withdrawal, latePreliminary, reVerification } = this.mix
    const later: readonly (readonly [number, () => void])[] = [
      [duplicate, () => this.soon(1, 20, () => ({ ...message, kind: 'duplicate' }))],
      [correction, () => this.soon(5, 80, () => this.result('correction', this.corrected(order), 'C'))],
      [withdrawal, () => this.soon(5, 80, () => this.result('withdrawal', order, this.random.pick(['W', 'D'])))],
      // A preliminary that was held up on the way: recorded before the final, stamped by the sender only now.
      [latePreliminary, () => this.soon(2, 30, () => this.result('preliminary', order, 'P', recordedAt - 600_000))],
      [
        reVerification,
        () =>
          this.soon(5, 40, () => {
            this.soon(5, 40, () => this.result('re-verification', this.corrected(order), 'F'))
            return this.result('withdrawal', order, 'W')
          }),
      ],
    ]
    for (const [share, schedule] of later) {
      if (draw < share) {
        schedule()
        break
      }
      draw -= share
    }
    return message
  }

  private corrected(order: LabOrder): LabOrder {
    const changed = this.random.integer(0, order.values.length - 1)
    const fresh = drawValues(this.random, order.panel)
    return {
      ...order,
      values: order.values.map((value, index) => (index === changed ? (fresh[index] ?? value) : value)),
    }
  }

  private report(
    kind: MessageKind,
    application: string,
    segmentsOf: (dialect: Dialect, facts: Parameters<typeof microbiologySegments>[1]) => string[],
  ): GeneratedMessage {
    const { dialect, random } = this
    const reportNumber = this.number('R')
    const collectedAt = this.now - random.integer(24, 72) * 3_600_000
    const facts = { random, reportNumber, collectedAt, recordedAt: this.now }
    const segments = [dialect.pid(this.person()), dialect.pv1(undefined), ...segmentsOf(dialect, facts)]
    return this.message(kind, application, 'ORU^R01', segments, { reportNumber })
  }

  private imaging(): GeneratedMessage {
    const exam = this.random.pick(this.dialect.exams)
    return this.report('imaging', 'RIS', (dialect, facts) =>
      imagingSegments(dialect, exam, { ...facts, collectedAt: this.now - 7_200_000 }),
    )
  }

  private order(): GeneratedMessage {
    const { dialect } = this
    const panel = this.random.pick(dialect.panels)
    const segments = orderSegments(dialect, panel, this.number('A'), this.now)
    const type = dialect.hospital === 'H001' ? 'OML^O21' : 'ORM^O01'
    return this.message('order', 'HIS', type, [dialect.pid(this.person()), dialect.pv1(undefined), ...segments])
  }

  private adt(kind: MessageKind, trigger: string, who: Person, ...more: readonly string[]): GeneratedMessage {
    return this.message(kind, 'HIS', `ADT^${trigger}`, [
      `EVN|${trigger}|${localTime(this.now)}`,
      this.dialect.pid(who),
      ...more,
    ])
  }

  /** A stay: admitted, changed, discharged. */
  private admission(): GeneratedMessage {
    const who = this.person()
    const visit: Visit = {
      number: this.number('V'),
      patientClass: 'I',
      department: this.random.pick(['心内科', '呼吸科', '普外科', '骨科', '儿科']),
      bed: String(this.random.integer(1, 60)).padStart(2, '0'),
      admittedAt: this.now,
    }
    const { dialect } = this
    this.soon(20, 60, () => {
      this.soon(30, 90, () => this.adt('adt', 'A03', who, dialect.pv1({ ...visit, dischargedAt: this.now })))
      return this.adt('adt', 'A08', who, dialect.pv1({ ...visit, bed: '61' }))
    })
    return this.adt('adt', 'A01', who, dialect.pv1(visit))
  }

  /** Somebody is registered a second time under a new number, which is later merged into the old one. */
  private registration(): GeneratedMessage {
    const who = this.person()
    if (this.random.chance(0.5)) return this.adt('adt', 'A04', who, this.dialect.pv1(undefined))
    const twice = { ...who, patientNumber: this.number('T') }
    this.soon(5, 40, () => this.adt('merge', 'A40', who, `MRG|${twice.patientNumber}`))
    return this.adt('adt', 'A04', twice, this.dialect.pv1(undefined))
  }

  /** Well formed, and nothing the repository holds. */
  private appointment(): GeneratedMessage {
    return this.message('unused', 'HIS', 'SIU^S12', [
      `SCH|${this.number('S')}||||||常规`,
      this.dialect.pid(this.person()),
    ])
  }

  private broken(): GeneratedMessage {
    const { dialect } = this
    const order = this.newOrder()
    const { reportNumber } = order
    const good = [dialect.pid(order.person), dialect.pv1(undefined), ...panelSegments(dialect, order, 'F', this.now)]
    const nameless = good.map((line) => (line.startsWith('PID|') ? blanked(line, [2, 3, 4]) : line))
    const unnumbered = good.map((line) => (/^(ORC|OBR)\|/.test(line) ? blanked(line, [2, 3]) : line))
    const send = (
      fault: RecordErrorCode,
      segments: readonly string[],
      spoil?: (bytes: Buffer) => Buffer,
      type = 'ORU^R01',
    ): GeneratedMessage =>
      this.message('broken', 'LIS', type, segments, { reportNumber, fault, ...(spoil !== undefined && { spoil }) })
    return this.random.pick([
      () => send('patient-id-missing', nameless),
      () => send('report-number-missing', unnumbered),
      () => send('charset-undecodable', good, cutInCharacter),
      () =>
        send('charset-undecodable', good, (bytes) =>
          Buffer.concat([bytes, Buffer.from('NTE|1||\xff\xff\xfe\r', 'latin1')]),
        ),
      () => send('hl7-bad-segment', [...good, 'NTE|1||标本轻度溶血', '请结合临床']),
      () => send('field-invalid', good, undefined, 'OUR^R01'),
    ])()
  }
}

function blanked(line: string, fields: readonly number[]): string {
  return line
    .split('|')
    .map((field, index) => (fields.includes(index) ? '' : field))
    .join('|')
}

/** Ends the message within a character of several bytes, as a sender's buffer that is too small does. */
function cutInCharacter(bytes: Buffer): Buffer {
  let at = Math.floor(bytes.length * 0.6)
  while (at < bytes.length - 1 && (bytes[at] ?? 0) < 0x80) at++
  // Of a run of double-byte characters only the count from its start tells a first byte from a second.
  let start = at
  while (start > 0 && (bytes[start - 1] ?? 0) >= 0x80) start--
  return bytes.subarray(0, start + 1)
}
