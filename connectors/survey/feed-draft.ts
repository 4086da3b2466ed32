import { nearest } from '../../core/nearest.js'
import { ignoredTypes, readTypes } from '../hl7v2/message-types.js'
import type { Hl7v2ParseOptions } from '../hl7v2/parse-options.js'
import type { CharsetReading, Hl7Reading } from './hl7-survey.js'
import type { IdentifierPlace } from './identifiers.js'

/** Something a person should know or decide about a sender; figures only. */
export interface Advice {
  readonly code: AdviceCode
  readonly count: number
  readonly of: number
  /** Values the advice speaks of, fit to be shown. */
  readonly values: readonly string[]
}

export type AdviceCode =
  | 'charset-header-lies'
  | 'charset-blank'
  | 'charset-unreadable'
  | 'charset-several'
  | 'charset-ascii-only'
  | 'several-senders'
  | 'unknown-type'
  | 'would-dead-letter'
  | 'test-messages'
  | 'raw-line-breaks'
  | 'enhanced-mode'
  | 'mixed-mode'
  | 'patient-number-is-id'
  | 'patient-number-type'
  | 'patient-authority'
  | 'patient-number-blank'
  | 'patient-number-placeholder'
  | 'id-number-invalid'
  | 'report-number-elsewhere'
  | 'report-number-missing'
  | 'report-number-recycles'
  | 'report-number-conflict'
  | 'corrections'
  | 'withdrawals'
  | 'clock-future'
  | 'clock-zone'
  | 'clock-unreadable'
  | 'report-time-blank'
  | 'control-id-reused'
  | 'control-id-blank'
  | 'control-id-dense'
  | 'imaging-sender'
  | 'personal-data-in-codes'
  | 'messages-too-large'

/** Settings that the sample's evidence demands, and what is left for a person. Pure. */
export interface FeedDraft {
  readonly settings: Pick<Hl7v2ParseOptions, 'charset' | 'patientIdTypes' | 'patientAuthority' | 'reportNumberRecycles'>
  /** Settings the evidence speaks for without settling it. */
  readonly suggestions: Pick<
    Hl7v2ParseOptions,
    'messageTypeAliases' | 'rawLineBreaks' | 'localReportTypes' | 'reportNumberRecycles'
  >
  readonly advice: readonly Advice[]
}

/** Drafts the settings of a feed from what was counted of it. */
export function draftFeed(reading: Hl7Reading, hospital: string): FeedDraft {
  const advice: Advice[] = []
  const tell = (code: AdviceCode, count: number, of: number, values: readonly string[] = []): void => {
    if (count > 0) advice.push({ code, count, of, values })
  }
  const charset = draftCharset(reading.charset, tell)
  const identity = draftIdentity(reading, hospital, tell)
  const recycles = draftReportNumbers(reading, tell)
  const suggestions = { ...draftSuggestions(reading, tell), ...recycles.suggestions }
  tellTheRest(reading, tell)
  return {
    settings: { ...(charset !== undefined && { charset }), ...identity, ...recycles.settings },
    suggestions,
    advice,
  }
}

type Tell = (code: AdviceCode, count: number, of: number, values?: readonly string[]) => void

/** A charset is declared only where MSH-18 lies, is blank or is not enough, and one charset reads the whole sample. */
function draftCharset(reading: CharsetReading, tell: Tell): string | undefined {
  const { beyondAscii, lies, detected, undecodable, ambiguous, claims, strictly } = reading
  if (beyondAscii === 0) {
    tell('charset-ascii-only', reading.asciiOnly, reading.asciiOnly)
    return undefined
  }
  const byCharset = new Map<string, number>()
  for (const { charset, count } of claims) {
    if (charset !== '') byCharset.set(charset, (byCharset.get(charset) ?? 0) + count)
  }
  const found = [...byCharset].sort((a, b) => b[1] - a[1])
  const blank = claims.filter(({ claim }) => claim === '').reduce((sum, { count }) => sum + count, 0)
  const lying = [...new Set(claims.filter(({ claim }) => claim !== '').map(({ claim }) => claim))]
  tell('charset-header-lies', lies, beyondAscii, lying.slice(0, 5))
  tell('charset-blank', blank, beyondAscii)
  tell('charset-unreadable', undecodable + ambiguous, beyondAscii)
  const dominant = found[0]?.[0] ?? (strictly.gb18030 > strictly['utf-8'] ? 'gb18030' : undefined)
  const read = found.reduce((sum, [, count]) => sum + count, 0)
  const [best = dominant, count = 0] = found[0] ?? []
  if (best === undefined) return undefined
  const others = read - count
  const strict = best === 'utf-8' || best === 'gb18030' ? strictly[best] : count
  const readsAll = others === 0 || (others * 50 <= read && strict >= read)
  if (!readsAll) {
    tell(
      'charset-several',
      others,
      read,
      found.map(([name]) => name),
    )
    return undefined
  }
  const demanded = lies + detected + undecodable + ambiguous + blank > 0
  return demanded ? (names.get(best) ?? best) : undefined
}

const names: ReadonlyMap<string, string> = new Map([
  ['gb18030', 'GB18030'],
  ['utf-8', 'UTF-8'],
])

const defaultTypes = ['MR', 'PI', 'PT']

function draftIdentity(
  { identifiers, patients }: Hl7Reading,
  hospital: string,
  tell: Tell,
): Pick<FeedDraft['settings'], 'patientIdTypes' | 'patientAuthority'> {
  const places = identifiers.filter(({ field }) => field === 'PID-3')
  const numbers = places.filter((place) => !carriesIdNumbers(place))
  const idPlaces = places.filter(carriesIdNumbers)
  tell('patient-number-blank', patients.pid3Blank, patients.segments)
  const placeholders = sum(places, ({ placeholders: count }) => count)
  tell(
    'patient-number-placeholder',
    placeholders,
    sum(places, ({ filled }) => filled),
  )
  const invalid = sum(identifiers, ({ invalidIdNumbers }) => invalidIdNumbers)
  tell('id-number-invalid', invalid, invalid + sum(identifiers, ({ idNumbers }) => idNumbers))
  if (numbers.length === 0) {
    tell(
      'patient-number-is-id',
      sum(idPlaces, ({ filled }) => filled),
      patients.segments,
      typesOf(idPlaces),
    )
    return {}
  }
  // Without a preferred type and beside a repetition that holds ID numbers, "any" may take the ID number.
  const preferred = numbers.some(({ type }) => defaultTypes.includes(type) || type === '')
  const types = preferred || idPlaces.length === 0 ? [] : typesOf(numbers).filter((type) => /^[\w.-]{1,20}$/.test(type))
  if (types.length > 0)
    tell(
      'patient-number-type',
      sum(numbers, ({ filled }) => filled),
      patients.segments,
      types,
    )
  const authorities = new Set(numbers.map(({ authority }) => authority))
  const several = authorities.size > 1 || authorities.has('')
  if (several) {
    tell(
      'patient-authority',
      sum(numbers, ({ filled }) => filled),
      patients.segments,
      [...authorities].slice(0, 5),
    )
  }
  return {
    ...(types.length > 0 && { patientIdTypes: types }),
    ...(several && { patientAuthority: hospital }),
  }
}

/** Mostly citizen numbers, by their check digit, their type (HL7 table 0203: NN with a country, NI) or their length. */
function carriesIdNumbers(place: IdentifierPlace): boolean {
  const { filled, idNumbers, invalidIdNumbers, type, lengthMin, lengthMax } = place
  if ((idNumbers + invalidIdNumbers) * 2 <= filled) return false
  return idNumbers > 0 || /^(?:NN|NI)/.test(type) || (lengthMin === 18 && lengthMax === 18)
}

const typesOf = (places: readonly IdentifierPlace[]): string[] => [
  ...new Set(places.map(({ type }) => type).filter((type) => type !== '')),
]

function draftReportNumbers(
  { reportNumbers }: Hl7Reading,
  tell: Tell,
): {
  settings: Pick<FeedDraft['settings'], 'reportNumberRecycles'>
  suggestions: Pick<FeedDraft['suggestions'], 'reportNumberRecycles'>
} {
  const { groups, obr3Blank, obr2Instead, numberless, overPatients, recycles } = reportNumbers
  tell('report-number-elsewhere', obr3Blank - numberless, groups, obr2Instead > 0 ? ['OBR-2'] : ['ORC-3'])
  tell('report-number-missing', numberless, groups)
  if (recycles === 'none') return { settings: {}, suggestions: {} }
  if (recycles === 'unclear') {
    tell('report-number-conflict', overPatients, groups)
    return { settings: {}, suggestions: {} }
  }
  tell('report-number-recycles', overPatients, groups, [recycles])
  // One or two may be a mistaken patient put right; many are a counter that starts again.
  return overPatients >= 3
    ? { settings: { reportNumberRecycles: recycles }, suggestions: {} }
    : { settings: {}, suggestions: { reportNumberRecycles: recycles } }
}

function draftSuggestions(reading: Hl7Reading, tell: Tell): FeedDraft['suggestions'] {
  const aliases: Record<string, string> = {}
  for (const { type, count, treatment } of reading.types) {
    if (treatment !== 'unknown' || type === '') continue
    const [code = '', trigger = ''] = type.split('^')
    const meant = /^[A-Z0-9]{2,4}$/.test(code) ? nearestType(code) : undefined
    if (meant !== undefined) aliases[type] = trigger === '' ? meant : `${meant}^${trigger}`
    tell('unknown-type', count, reading.messages, meant === undefined ? [type] : [type, aliases[type] ?? ''])
  }
  const broken = reading.faults.concat(reading.types.flatMap(({ outcomes }) => outcomes))
  const rawBreaks = broken.find(({ value }) => value === 'dead-letter:hl7-bad-segment')?.count ?? 0
  tell('raw-line-breaks', rawBreaks, reading.messages)
  const imaging = [
    ...new Set(
      reading.codes
        .map(({ sourceSystem }) => sourceSystem)
        .filter((system) => /^[\w.-]{2,20}$/.test(system) && /RIS|PACS|ECG|EKG|UIS|ENDO/i.test(system)),
    ),
  ]
  tell('imaging-sender', imaging.length, imaging.length, imaging)
  return {
    ...(Object.keys(aliases).length > 0 && { messageTypeAliases: aliases }),
    ...(rawBreaks > 0 && { rawLineBreaks: 'join' as const }),
    ...(imaging.length > 0 && { localReportTypes: [{ kind: 'imaging' as const, sendingApplications: imaging }] }),
  }
}

/** The type that differs by one letter or by two exchanged, the one that is read first. */
function nearestType(code: string): string | undefined {
  const sorted = [...code].sort().join('')
  const exchanged = [...Object.keys(readTypes), 'ADT'].find((type) => [...type].sort().join('') === sorted)
  return exchanged ?? nearest(code, [...Object.keys(readTypes), 'ADT']) ?? nearest(code, Object.keys(ignoredTypes))
}

function tellTheRest(reading: Hl7Reading, tell: Tell): void {
  const { messages, acknowledgement, processingIds, times, controlIds, resultStatus, reportStatus } = reading
  tell('several-senders', reading.senders.length > 1 ? reading.senders.length : 0, messages)
  const deaths = new Map<string, number>()
  for (const { outcomes } of reading.types) {
    for (const { value, count } of outcomes) {
      const [kind, code = ''] = value.split(':')
      if (kind === 'dead-letter') deaths.set(code, (deaths.get(code) ?? 0) + count)
    }
  }
  for (const [code, count] of [...deaths].sort((a, b) => b[1] - a[1]))
    tell('would-dead-letter', count, messages, [code])
  const counted = (list: readonly { value: string; count: number }[], values: readonly string[]): number =>
    sum(
      list.filter(({ value }) => values.includes(value)),
      ({ count }) => count,
    )
  tell('test-messages', counted(processingIds, ['T', 'D']), messages)
  const enhanced = sum(
    acknowledgement.filter(({ value }) => value !== '/'),
    ({ count }) => count,
  )
  const all = sum(acknowledgement, ({ count }) => count)
  tell(
    enhanced === all ? 'enhanced-mode' : 'mixed-mode',
    enhanced,
    all,
    acknowledgement.map(({ value }) => value).slice(0, 5),
  )
  const results = sum(resultStatus, ({ count }) => count)
  const reports = sum(reportStatus, ({ count }) => count)
  tell('corrections', counted(resultStatus, ['C']) + counted(reportStatus, ['C']), results + reports)
  tell('withdrawals', counted(resultStatus, ['W', 'D', 'X']) + counted(reportStatus, ['X']), results + reports)
  tell('clock-future', times.future, messages)
  tell('clock-unreadable', times.unreadable + times.blank, messages)
  const zones = times.zones.filter(({ value }) => value !== '' && value.replace(':', '') !== '+0800')
  tell(
    'clock-zone',
    sum(zones, ({ count }) => count),
    messages,
    zones.map(({ value }) => value).slice(0, 5),
  )
  tell('report-time-blank', times.obr22Blank, reading.reportNumbers.groups)
  tell('control-id-reused', controlIds.reused, messages)
  tell('control-id-blank', controlIds.blank, messages)
  if (controlIds.numbering === 'dense') tell('control-id-dense', controlIds.numeric, messages)
  tell('personal-data-in-codes', reading.hidden, messages)
  tell('messages-too-large', reading.tooLarge, messages)
}

function sum<T>(list: readonly T[], of: (entry: T) => number): number {
  return list.reduce((total, entry) => total + of(entry), 0)
}
