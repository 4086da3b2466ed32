import { isAscii } from 'node:buffer'
import { RecordError, type IgnoreReason, type RecordErrorCode } from '../../core/errors.js'
import { messageId } from '../../core/ids.js'
import { canonicalCharset } from '../hl7v2/charset-names.js'
import { decodeStrictly } from '../hl7v2/charset.js'
import { FieldText } from '../hl7v2/field-text.js'
import { readHeader, type MshFacts } from '../hl7v2/header.js'
import { readMessageBytes, type Hl7Message, type Segment } from '../hl7v2/message.js'
import { treatmentOf } from '../hl7v2/message-types.js'
import { itemCode, readUnit } from '../hl7v2/observations.js'
import { localDate, readTime } from '../times.js'
import { hl7v2Parser } from '../hl7v2/to-events.js'
import type { Parser } from '../connector.js'
import { ControlIds, type ControlIdReading } from './control-ids.js'
import { Identifiers, type IdentifierPlace } from './identifiers.js'
import { Discretion, hiddenText, shapeOf, shown, tableValue } from './privacy.js'
import { ReportNumbers, type ReportNumbersReading } from './report-numbers.js'
import { SizeMeter, type Sizes } from './sizes.js'
import { Tally, type Count } from './tally.js'

/** A local code of results or orders as the sample shows it. */
export interface CodeSeen {
  readonly place: 'OBX-3' | 'OBR-4'
  /** MSH-3.1, '' where blank. */
  readonly sourceSystem: string
  readonly code: string
  readonly name: string
  readonly system: string
  /** An alternate code under LN or HUTONG, as `LN:718-7`; '' where there is none. */
  readonly alternate: string
  readonly count: number
  readonly units: readonly Count[]
  readonly valueTypes: readonly Count[]
  /** OBR-4.2, OBR-15 and SPM-4 around it. */
  readonly context: readonly string[]
}

/** What became of messages of one type under default settings. */
export interface TypeSeen {
  /** `ORU^R01` */
  readonly type: string
  readonly count: number
  /** By message-types.ts; `unknown` is no HL7 type and would be dead-lettered. */
  readonly treatment: 'results' | 'orders' | 'administration' | IgnoreReason | 'unknown'
  readonly why: string
  /** Messages that became events, were ignored, or would be dead-lettered, by reason. */
  readonly outcomes: readonly Count[]
}

/** Everything counted over HL7 v2 messages. Counts and shapes; no patient data. */
export interface Hl7Reading {
  readonly messages: number
  readonly tooLarge: number
  readonly sizes: Sizes | null
  readonly lineEnds: readonly Count[]
  readonly delimiters: readonly Count[]
  readonly versions: readonly Count[]
  readonly processingIds: readonly Count[]
  readonly senders: readonly Count[]
  readonly acknowledgement: readonly Count[]
  readonly types: readonly TypeSeen[]
  readonly segments: readonly Count[]
  readonly charset: CharsetReading
  readonly flags: readonly Count[]
  readonly faults: readonly Count[]
  readonly times: TimesReading
  readonly controlIds: ControlIdReading
  readonly identifiers: readonly IdentifierPlace[]
  readonly patients: {
    readonly segments: number
    readonly pid3Blank: number
    readonly nameBlank: number
    readonly birthDateBlank: number
  }
  readonly reportNumbers: ReportNumbersReading
  readonly valueTypes: readonly Count[]
  readonly resultStatus: readonly Count[]
  readonly reportStatus: readonly Count[]
  readonly sections: readonly Count[]
  readonly units: readonly Count[]
  readonly codes: readonly CodeSeen[]
  /** OBX without any code in OBX-3. */
  readonly codeless: number
  /** Occurrences of codes beyond those that are kept apart. */
  readonly codesNotKept: number
  /** Texts in coded fields that repeat the patient's own data and are not shown. */
  readonly hidden: number
}

export interface CharsetReading {
  readonly asciiOnly: number
  /** Messages with other characters. */
  readonly beyondAscii: number
  /** `claim → charset` over messages beyond ASCII; the claim is MSH-18, or blank. */
  readonly claims: readonly { readonly claim: string; readonly charset: string; readonly count: number }[]
  /** MSH-18 names another charset than the bytes are in. */
  readonly lies: number
  /** Found by detection only: MSH-18 is blank or unusable. */
  readonly detected: number
  readonly undecodable: number
  readonly ambiguous: number
  /** Messages beyond ASCII that decode strictly in these. */
  readonly strictly: { readonly 'utf-8': number; readonly gb18030: number }
}

export interface TimesReading {
  readonly blank: number
  readonly unreadable: number
  /** Zones stated in MSH-7; '' for none. */
  readonly zones: readonly Count[]
  /** More than five minutes past the clock of the survey. */
  readonly future: number
  readonly obr22Blank: number
  readonly obr7Blank: number
}

interface CodeEntry {
  readonly place: CodeSeen['place']
  readonly sourceSystem: string
  readonly code: string
  readonly name: string
  readonly system: string
  readonly alternate: string
  count: number
  readonly units: Tally
  readonly valueTypes: Tally
  readonly context: Tally
}

interface TypeEntry {
  count: number
  readonly outcomes: Tally
}

const codesMax = 5000
const typesMax = 200
const zoneMinutes = 8 * 60

/** Counts what HL7 v2 messages say, one after the other, in bounded memory; no input makes it throw. */
export class Hl7Survey {
  readonly #sizes = new SizeMeter()
  readonly #controlIds = new ControlIds()
  readonly #identifiers = new Identifiers()
  readonly #reportNumbers = new ReportNumbers()
  readonly #types = new Map<string, TypeEntry>()
  readonly #codes = new Map<string, CodeEntry>()
  readonly #claims = new Tally(200)
  readonly #tallies = {
    lineEnds: new Tally(10),
    delimiters: new Tally(50),
    versions: new Tally(50),
    processingIds: new Tally(50),
    senders: new Tally(200),
    acknowledgement: new Tally(50),
    segments: new Tally(300),
    flags: new Tally(100),
    faults: new Tally(100),
    zones: new Tally(50),
    valueTypes: new Tally(50),
    resultStatus: new Tally(50),
    reportStatus: new Tally(50),
    sections: new Tally(200),
    units: new Tally(2000),
  }
  #messages = 0
  #tooLarge = 0
  #asciiOnly = 0
  #strictUtf8 = 0
  #strictGb = 0
  #lies = 0
  #detected = 0
  #undecodable = 0
  #ambiguous = 0
  #timeBlank = 0
  #timeUnreadable = 0
  #future = 0
  #obr22Blank = 0
  #obr7Blank = 0
  #codeless = 0
  #codesNotKept = 0
  #hidden = 0
  readonly #parser: Parser

  /** `now` (ms) decides what is in the future. */
  constructor(private readonly now: number) {
    this.#parser = hl7v2Parser()
  }

  get messages(): number {
    return this.#messages
  }

  /** A message that is larger than what is held; only its beginning is known. */
  addTooLarge(): void {
    this.#messages++
    this.#tooLarge++
  }

  add(content: Buffer): void {
    this.#messages++
    this.#sizes.add(content.length)
    this.#tallies.lineEnds.add(lineEndOf(content))
    const claim = this.#addHeader(content)
    const outcome = this.#outcomeOf(content)
    let message: Hl7Message | undefined
    try {
      message = readMessageBytes(content)
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.#addFault(error.code)
    }
    this.#addCharset(content, claim, message)
    if (message === undefined) {
      this.#addType('', outcome)
      return
    }
    const text = new FieldText(message)
    this.#addType(typeOf(message, text), outcome)
    this.#addContent(message, text)
  }

  #addFault(code: RecordErrorCode): void {
    this.#tallies.faults.add(code)
    if (code === 'charset-undecodable') this.#undecodable++
    if (code === 'charset-ambiguous') this.#ambiguous++
  }

  #addHeader(content: Buffer): string {
    let header: MshFacts
    try {
      header = readHeader(content)
    } catch {
      return ''
    }
    const { acceptAcknowledgment: accept, applicationAcknowledgment: application } = header
    this.#tallies.delimiters.add(`${header.fieldSeparator}${header.encodingCharacters}`.slice(0, 8))
    this.#tallies.versions.add(tableValue(header.versionId.split(header.componentSeparator || '\0')[0] ?? ''))
    this.#tallies.processingIds.add(tableValue(header.processingId))
    this.#tallies.acknowledgement.add(`${tableValue(accept)}/${tableValue(application)}`)
    this.#controlIds.add(header.controlId.trim(), content)
    this.#addTime(header.dateTime.trim())
    return header.characterSet.trim()
  }

  #addTime(time: string): void {
    if (time === '') {
      this.#timeBlank++
      return
    }
    const at = readTime(time, zoneMinutes)
    if (at === null) {
      this.#timeUnreadable++
      return
    }
    this.#tallies.zones.add(/(?:[+-]\d{2}:?\d{0,2}|[Zz])$/.exec(time.slice(8))?.[0] ?? '')
    if (at > this.now + 300_000) this.#future++
  }

  #addCharset(content: Buffer, claim: string, message: Hl7Message | undefined): void {
    for (const flag of message?.flags ?? []) this.#tallies.flags.add(flag)
    if (isAscii(content)) {
      this.#asciiOnly++
      return
    }
    if (decodeStrictly(content, 'utf-8') !== undefined) this.#strictUtf8++
    if (decodeStrictly(content, 'gb18030') !== undefined) this.#strictGb++
    if (message?.flags.includes('charset-header-lies') === true) this.#lies++
    if (message?.flags.includes('charset-detected') === true) this.#detected++
    const known = claim === '' || claim.split(/[~^]/).some((part) => canonicalCharset(part) !== undefined)
    this.#claims.add(`${known ? shown(claim) : shapeOf(claim)}\x1f${message?.charset ?? ''}`)
  }

  /** What the parser makes of it under the settings a feed has by default. */
  #outcomeOf(content: Buffer): string {
    const feed = 'sniff'
    try {
      const parsed = this.#parser({
        ...{ content, feed, hospital: 'SNIFF', environment: 'test' },
        ...{ receivedAt: this.now, messageId: messageId(feed, content) },
      })
      return parsed.ignored === undefined ? 'events' : `ignored:${parsed.ignored.reason}`
    } catch (error) {
      if (error instanceof RecordError) return `dead-letter:${error.code}`
      throw error
    }
  }

  #addType(type: string, outcome: string): void {
    let entry = this.#types.get(type)
    if (entry === undefined) {
      if (this.#types.size >= typesMax) return
      entry = { count: 0, outcomes: new Tally(100) }
      this.#types.set(type, entry)
    }
    entry.count++
    entry.outcomes.add(outcome)
  }

  #addContent(message: Hl7Message, text: FieldText): void {
    const discretion = new Discretion(message, text)
    const msh = message.segment(0)
    const sourceSystem = shown(text.stated(msh, 3) ?? '')
    this.#tallies.senders.add(`${sourceSystem} / ${shown(text.stated(msh, 4) ?? '')}`)
    const isResult = /^(?:ORU|OUR|OUL)/i.test(text.of(msh, 9) ?? '')
    const messageDate = dateOf(text.stated(msh, 7))
    let pid: Segment | null = null
    let patient: string | null = null
    let orc: Segment | null = null
    let obr: Segment | null = null
    const specimen: string[] = []
    for (const line of message.lines()) {
      this.#tallies.segments.add(line.isSegment ? line.name : 'no-segment')
      switch (line.isSegment ? line.name : '') {
        case 'PID':
          pid = line
          patient = text.stated(pid, 3) ?? text.stated(pid, 2) ?? text.stated(pid, 4)
          this.#identifiers.add(text, pid)
          break
        case 'ORC':
          orc = line
          break
        case 'SPM':
          specimen.push(discretion.show(text.coded(line, 4) ?? ''))
          break
        case 'OBR': {
          obr = line
          const obr3 = text.stated(obr, 3)
          const date = dateOf(text.stated(obr, 7)) || dateOf(text.stated(obr, 14)) || messageDate
          const other = text.stated(orc, 3) ?? text.stated(orc, 2)
          if (isResult) {
            this.#reportNumbers.add({ source: sourceSystem, obr3, obr2: text.stated(obr, 2), other, patient, date })
            this.#tallies.reportStatus.add(tableValue(text.of(obr, 25) ?? ''))
            if (text.stated(obr, 22) === null) this.#obr22Blank++
            if (text.stated(obr, 7) === null) this.#obr7Blank++
          }
          this.#tallies.sections.add(discretion.show(text.of(obr, 24) ?? ''))
          this.#addCode('OBR-4', sourceSystem, line, text, discretion, [])
          break
        }
        case 'OBX': {
          const around = [
            ...(obr === null ? [] : [text.of(obr, 4, 2) ?? '', text.of(obr, 15) ?? '', text.of(obr, 15, 2) ?? '']),
            ...specimen,
          ]
          this.#addResult(sourceSystem, line, text, discretion, around)
          break
        }
      }
    }
    this.#hidden += discretion.hidden
  }

  #addResult(
    sourceSystem: string,
    obx: Segment,
    text: FieldText,
    discretion: Discretion,
    around: readonly string[],
  ): void {
    const valueType = tableValue(text.of(obx, 2) ?? '')
    const unit = discretion.show(readUnit(text, text.raw(obx, 6)) ?? '')
    this.#tallies.valueTypes.add(valueType)
    this.#tallies.resultStatus.add(tableValue(text.of(obx, 11) ?? ''))
    this.#tallies.units.add(unit)
    const entry = this.#addCode('OBX-3', sourceSystem, obx, text, discretion, around)
    entry?.units.add(unit)
    entry?.valueTypes.add(valueType)
  }

  #addCode(
    place: CodeSeen['place'],
    sourceSystem: string,
    segment: Segment,
    text: FieldText,
    discretion: Discretion,
    around: readonly string[],
  ): CodeEntry | undefined {
    const field = place === 'OBX-3' ? 3 : 4
    const code = itemCode(text, text.first(text.raw(segment, field)))
    if (code === '' || code === '""') {
      if (place === 'OBX-3') this.#codeless++
      return undefined
    }
    const name = discretion.show(text.stated(segment, field, 2) ?? '')
    const system = tableValue(text.stated(segment, field, 3) ?? '')
    const alternateSystem = text.stated(segment, field, 6)
    const alternateCode = text.stated(segment, field, 4) ?? ''
    const isCoded = (alternateSystem === 'LN' || alternateSystem === 'HUTONG') && /^[\w-]{1,20}$/.test(alternateCode)
    const alternate = isCoded ? `${alternateSystem}:${alternateCode}` : ''
    // A code is shown as sent, for it is looked up so; one that is no code is counted under its shape.
    const visible = discretion.show(code)
    const shownCode = visible === code ? code : visible === hiddenText ? hiddenText : shapeOf(code)
    const key = [place, sourceSystem, shownCode, name, system, alternate].join('\x1f')
    let entry = this.#codes.get(key)
    if (entry === undefined) {
      if (this.#codes.size >= codesMax) {
        this.#codesNotKept++
        return undefined
      }
      const own = { code: shownCode, name, system, alternate, count: 0 }
      const tallies = { units: new Tally(20), valueTypes: new Tally(10), context: new Tally(20) }
      entry = { place, sourceSystem, ...own, ...tallies }
      this.#codes.set(key, entry)
    }
    entry.count++
    for (const one of around) if (one !== '') entry.context.add(discretion.show(one))
    return entry
  }

  read(): Hl7Reading {
    const { zones, ...tallies } = this.#tallies
    const lists = Object.fromEntries(Object.entries(tallies).map(([name, tally]) => [name, tally.list()])) as Record<
      keyof typeof tallies,
      Count[]
    >
    return {
      messages: this.#messages,
      tooLarge: this.#tooLarge,
      sizes: this.#sizes.read(),
      ...lists,
      types: Array.from(this.#types, ([type, entry]) => typeSeen(type, entry)).sort((a, b) => b.count - a.count),
      charset: {
        asciiOnly: this.#asciiOnly,
        beyondAscii: this.#messages - this.#tooLarge - this.#asciiOnly,
        claims: this.#claims.list().map(({ value, count }) => {
          const [claim = '', charset = ''] = value.split('\x1f')
          return { claim, charset, count }
        }),
        lies: this.#lies,
        detected: this.#detected,
        undecodable: this.#undecodable,
        ambiguous: this.#ambiguous,
        strictly: { 'utf-8': this.#strictUtf8, gb18030: this.#strictGb },
      },
      times: {
        blank: this.#timeBlank,
        unreadable: this.#timeUnreadable,
        zones: zones.list(),
        future: this.#future,
        obr22Blank: this.#obr22Blank,
        obr7Blank: this.#obr7Blank,
      },
      controlIds: this.#controlIds.read(),
      identifiers: this.#identifiers.read(),
      patients: {
        segments: this.#identifiers.pids,
        pid3Blank: this.#identifiers.blankPid3,
        nameBlank: this.#identifiers.blankNames,
        birthDateBlank: this.#identifiers.blankBirthDates,
      },
      reportNumbers: this.#reportNumbers.read(),
      codes: Array.from(this.#codes.values(), ({ units, valueTypes, context, ...seen }) => ({
        ...seen,
        units: units.list(),
        valueTypes: valueTypes.list(),
        context: context.list().map(({ value }) => value),
      })).sort((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1)),
      codeless: this.#codeless,
      codesNotKept: this.#codesNotKept,
      hidden: this.#hidden,
    }
  }
}

function typeSeen(type: string, { count, outcomes }: TypeEntry): TypeSeen {
  const [code = '', trigger = ''] = type.split('^')
  const treatment = treatmentOf(code, trigger)
  const seen = { type, count, outcomes: outcomes.list() }
  if (treatment === undefined) return { ...seen, treatment: 'unknown', why: '' }
  if ('ignore' in treatment) return { ...seen, treatment: treatment.ignore, why: treatment.why }
  return { ...seen, treatment: treatment.read, why: '' }
}

/** Code and trigger of MSH-9 in capitals; a text that is neither by its shape. */
function typeOf(message: Hl7Message, text: FieldText): string {
  const msh = message.segment(0)
  const raw = text.first(text.raw(msh, 9))
  let code = (text.read(text.component(raw, 1)) ?? '').toUpperCase()
  let trigger = (text.read(text.component(raw, 2)) ?? '').toUpperCase()
  if (code.indexOf('_') === 3) {
    if (trigger === '') trigger = code.slice(4)
    code = code.slice(0, 3)
  }
  if (trigger === '') {
    const structure = text.component(raw, 3)
    trigger = structure[3] === '_' ? structure.slice(4) : (text.stated(message.first('EVN') ?? null, 1) ?? '')
  }
  return trigger === '' ? tableValue(code) : `${tableValue(code)}^${tableValue(trigger.toUpperCase())}`
}

const dateOf = (time: string | null): string => {
  const at = time === null ? null : readTime(time, zoneMinutes)
  return at === null ? '' : localDate(at, zoneMinutes)
}

function lineEndOf(content: Buffer): string {
  const crlf = content.includes('\r\n')
  let cr = false
  let lf = false
  for (let at = content.indexOf(0x0d); at >= 0 && !cr; at = content.indexOf(0x0d, at + 1)) cr = content[at + 1] !== 0x0a
  for (let at = content.indexOf(0x0a); at >= 0 && !lf; at = content.indexOf(0x0a, at + 1)) lf = content[at - 1] !== 0x0d
  const found = [crlf && 'CRLF', cr && 'CR', lf && 'LF'].filter((name) => name !== false)
  return found.length === 0 ? 'none' : found.length === 1 ? String(found[0]) : 'mixed'
}
