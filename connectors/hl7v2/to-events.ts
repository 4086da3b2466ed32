import { RecordError } from '../../core/errors.js'
import { messageTimeOf } from '../clock-rules.js'
import type { Parsed, Parser, RawInput, ReceivedEvent } from '../connector.js'
import { administrationEvents } from './administration.js'
import { feedRules, type FeedRules } from './feed-rules.js'
import { FieldText } from './field-text.js'
import { Hl7Message, readMessageBytes } from './message.js'
import { treatmentOf, type Treatment } from './message-types.js'
import { groupSegments, type MessageStructure, type PatientGroup } from './order-groups.js'
import { orderEvents } from './orders.js'
import type { Hl7v2ParseOptions } from './parse-options.js'
import type { Reading } from './reading.js'
import { resultEvents } from './results.js'

/**
 * One HL7 v2 message to events, by docs/messages.md. Pure; what it throws for a message is a RecordError.
 * @throws TypeError where an option does not have the form its declaration asks for
 */
export function hl7v2Parser(options: Hl7v2ParseOptions = {}): Parser {
  const rules = feedRules(options)
  return (input) => parse(input, rules)
}

function parse(input: RawInput, rules: FeedRules): Parsed {
  const message = wholeLines(readMessageBytes(input.content, rules.charset), rules)
  const text = new FieldText(message)
  const msh = message.segment(0)
  const type = messageType(message, text, rules)
  const said = { controlId: text.stated(msh, 10), messageType: type.text }
  const ignored = (reason: NonNullable<Parsed['ignored']>['reason'], detail: string): Parsed => ({
    ...said,
    events: [],
    ignored: { reason, detail },
  })
  const processing = text.stated(msh, 11)
  if (input.environment === 'production' && (processing === 'T' || processing === 'D')) {
    return ignored('test-message', `MSH-11 is ${processing}`)
  }
  const treatment = treatmentOf(type.code, type.trigger)
  if (treatment === undefined) {
    throw new RecordError(
      'field-invalid',
      `MSH-9 is ${shown(type.text)}, which is no message type of HL7 v2`,
      msh.place(9),
    )
  }
  if ('ignore' in treatment) return ignored(treatment.ignore, `${type.text}: ${treatment.why}`)

  const time = messageTimeOf(text.of(msh, 7), rules.zoneMinutes, input.receivedAt)
  const reading: Reading = {
    rules,
    input,
    text,
    msh,
    messageTime: time.at,
    sourceSystem: rules.sourceSystem ?? text.stated(msh, 3) ?? input.feed,
    flags: distinct(message.flags, time.fromReceipt ? ['message-time-from-receipt'] : []),
  }
  const patients = groupSegments(message.lines(), structureOf(type))
  if (patients.length > 0 && patients.every(isControl))
    return ignored('no-content', 'the specimens are controls (SPM-11 is Q), not a patient’s')
  const events = eventsOf(reading, patients, treatment, type)
  return events.length > 0 ? { ...said, events } : ignored('no-content', `${type.text}: no order group with content`)
}

function eventsOf(
  reading: Reading,
  patients: readonly PatientGroup[],
  treatment: Exclude<Treatment, { readonly ignore: unknown }>,
  type: MessageType,
): readonly ReceivedEvent[] {
  switch (treatment.read) {
    case 'results':
      return resultEvents(reading, patients)
    case 'orders':
      return orderEvents(reading, patients, type.code)
    case 'administration':
      return administrationEvents(reading, patients, treatment.administration, type.trigger)
  }
}

/**
 * A line that is no segment is refused, or, where the feed says so, put back into the text it broke out of: OBX-5 or
 * NTE-3, where the line before ends in that very field. @throws RecordError hl7-bad-segment
 */
function wholeLines(message: Hl7Message, rules: FeedRules): Hl7Message {
  if (!message.flags.includes('not-a-segment')) return message
  const { escape, field } = message.delimiters
  const lineBreak = `${escape}.br${escape}`
  let joined = ''
  let open = false
  for (const line of message.lines()) {
    const text = message.text.slice(line.start, line.end)
    if (line.isSegment) {
      const textField = line.name === 'OBX' ? 5 : line.name === 'NTE' ? 3 : 0
      open = rules.joinRawLines && escape !== '' && line.fields().length === textField
      joined += joined === '' ? text : `\r${text}`
      continue
    }
    if (!open) {
      throw new RecordError(
        'hl7-bad-segment',
        `line ${line.index + 1} does not start with a segment name`,
        line.place(),
      )
    }
    joined += lineBreak + text
    open = !text.includes(field)
  }
  return new Hl7Message(joined, message.charset, message.flags)
}

interface MessageType {
  readonly code: string
  readonly trigger: string
  /** `ORU^R01` */
  readonly text: string
}

/**
 * MSH-9 by the feed's aliases, then as it stands; `ORU_R01` in one component and a trigger that stands in the structure
 * (MSH-9.3) or in EVN-1 alone are understood. @throws RecordError hl7-message-type-missing
 */
function messageType(message: Hl7Message, text: FieldText, rules: FeedRules): MessageType {
  const msh = message.segment(0)
  const sent = text.first(text.raw(msh, 9))
  let code = text.read(text.component(sent, 1)) ?? ''
  let trigger = text.read(text.component(sent, 2)) ?? ''
  const alias = aliasOf(rules, trigger === '' ? [code] : [`${code}^${trigger}`, code])
  if (alias !== undefined) [code = '', trigger = trigger] = alias.split('^')
  const cut = code.indexOf('_')
  if (cut === 3) {
    if (trigger === '') trigger = code.slice(4)
    code = code.slice(0, 3)
  }
  if (code === '') {
    throw new RecordError('hl7-message-type-missing', 'MSH-9.1 is empty', msh.place(9))
  }
  if (trigger === '') {
    const structure = text.component(sent, 3)
    const event = message.first('EVN')
    trigger = structure[3] === '_' ? structure.slice(4) : ((event === undefined ? null : text.stated(event, 1)) ?? '')
  }
  code = code.toUpperCase()
  trigger = trigger.toUpperCase()
  return { code, trigger, text: trigger === '' ? code : `${code}^${trigger}` }
}

function aliasOf(rules: FeedRules, names: readonly string[]): string | undefined {
  for (const name of names) if (Object.hasOwn(rules.messageTypeAliases, name)) return rules.messageTypeAliases[name]
  return undefined
}

function structureOf({ code, trigger }: MessageType): MessageStructure {
  const specimenFirst = code === 'OUL' && (trigger === 'R22' || trigger === 'R23')
  return { specimenFirst, orcFollows: specimenFirst || (code === 'OUL' && trigger === 'R24') }
}

/** Results of quality control carry no patient: SPM-11 (HL7 table 0369) Q, no PID. */
function isControl(patient: PatientGroup): boolean {
  if (patient.pid !== null || patient.orders.length === 0) return false
  return patient.orders.every((order) =>
    order.specimens.some((segment) => segment.name === 'SPM' && (segment.field(11) ?? '').startsWith('Q')),
  )
}

function distinct(flags: readonly string[], more: readonly string[]): readonly string[] {
  return flags.length === 0 ? more : [...new Set([...flags, ...more])]
}

/** A short text of a header for an error's sentence. */
const shown = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text)
