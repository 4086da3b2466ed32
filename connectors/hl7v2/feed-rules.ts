import { zoneOffsetMinutes } from '../times.js'
import type { Hl7v2ParseOptions } from './parse-options.js'

/** `PID-3.1` taken apart; component and subcomponent count from 1. */
export interface FieldPath {
  readonly segment: string
  readonly field: number
  readonly component: number
  /** 0 where the component is taken whole. */
  readonly subcomponent: number
  /** As written. */
  readonly text: string
}

export type ReportKind = 'lab' | 'microbiology' | 'pathology' | 'imaging'

export interface LocalReportType {
  readonly kind: ReportKind
  readonly sendingApplications: ReadonlySet<string> | null
  readonly sections: ReadonlySet<string> | null
  readonly codes: ReadonlySet<string> | null
  readonly codePrefixes: readonly string[] | null
}

/** A feed's parse options with every default filled in and every field path taken apart. */
export interface FeedRules {
  readonly charset: string | undefined
  readonly zoneMinutes: number
  readonly sourceSystem: string | null
  readonly patientIdFrom: readonly FieldPath[]
  readonly patientIdTypes: readonly string[]
  readonly patientIdAuthorities: readonly string[]
  readonly patientAuthority: string | null
  readonly visitNumberFrom: readonly FieldPath[]
  /** Each a list of fields that are joined by `+`. */
  readonly reportNumberFrom: readonly (readonly FieldPath[])[]
  readonly reportNumberRecycles: 'none' | 'day' | 'year'
  readonly allowMove: boolean
  readonly snapshot: boolean
  readonly localReportTypes: readonly LocalReportType[]
  readonly institutionsFrom: {
    readonly ordering: readonly FieldPath[]
    readonly collecting: readonly FieldPath[]
    readonly performing: readonly FieldPath[]
    readonly reporting: readonly FieldPath[]
  }
  readonly joinRawLines: boolean
  readonly messageTypeAliases: Readonly<Record<string, string>>
}

/** @throws TypeError where an option does not have the form its declaration asks for */
export function feedRules(options: Hl7v2ParseOptions): FeedRules {
  const zoneMinutes = zoneOffsetMinutes(options.timezone ?? '+08:00')
  if (zoneMinutes === null) throw new TypeError(`timezone ${options.timezone} is not of the form +08:00`)
  const institutions = options.institutionsFrom ?? {}
  const set = (values: readonly string[] | undefined): ReadonlySet<string> | null =>
    values === undefined ? null : new Set(values)
  return {
    charset: options.charset,
    zoneMinutes,
    sourceSystem: options.sourceSystem ?? null,
    patientIdFrom: paths(options.patientIdFrom ?? ['PID-3', 'PID-2', 'PID-4']),
    patientIdTypes: options.patientIdTypes ?? ['MR', 'PI', 'PT'],
    patientIdAuthorities: options.patientIdAuthorities ?? [],
    patientAuthority: options.patientAuthority ?? null,
    visitNumberFrom: paths(options.visitNumberFrom ?? ['PV1-19', 'PID-18']),
    reportNumberFrom: (options.reportNumberFrom ?? ['OBR-3', 'ORC-3', 'OBR-29.2', 'OBR-2+OBR-4', 'ORC-2+OBR-4']).map(
      (joined) => paths(joined.split('+')),
    ),
    reportNumberRecycles: options.reportNumberRecycles ?? 'none',
    allowMove: options.allowMove ?? false,
    snapshot: options.updates === 'snapshot',
    localReportTypes: (options.localReportTypes ?? []).map((type) => ({
      kind: type.kind,
      sendingApplications: set(type.sendingApplications),
      sections: set(type.sections),
      codes: set(type.codes),
      codePrefixes: type.codePrefixes ?? null,
    })),
    institutionsFrom: {
      ordering: paths(institutions.ordering ?? ['ORC-21']),
      collecting: paths(institutions.collecting ?? []),
      performing: paths(institutions.performing ?? ['OBX-23', 'OBX-15']),
      reporting: paths(institutions.reporting ?? ['MSH-4']),
    },
    joinRawLines: options.rawLineBreaks === 'join',
    messageTypeAliases: options.messageTypeAliases ?? {},
  }
}

function paths(texts: readonly string[]): FieldPath[] {
  return texts.map((text) => {
    const match = /^([A-Z][A-Z0-9]{2})-(\d{1,3})(?:\.(\d{1,2}))?(?:\.(\d{1,2}))?$/.exec(text)
    if (match === null) throw new TypeError(`${text} is not a field such as PID-3 or OBR-20.2`)
    const [, segment = '', field, component, subcomponent] = match
    return {
      segment,
      field: Number(field),
      component: Number(component ?? 1),
      subcomponent: Number(subcomponent ?? 0),
      text,
    }
  })
}
