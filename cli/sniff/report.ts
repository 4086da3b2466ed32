import type { Catalogue } from '../../catalogue/catalogue.js'
import type { Evidence, Family } from '../../connectors/survey/family.js'
import { draftFeed, type FeedDraft } from '../../connectors/survey/feed-draft.js'
import type { Hl7Reading } from '../../connectors/survey/hl7-survey.js'
import { readCodes, readUnits, type CodeReading, type UnitSeen } from '../../connectors/survey/local-codes.js'
import type { Sample } from './sample.js'

/** What `hutong sniff` found: counts and shapes only, no patient data and no file names. */
export interface SniffReport {
  readonly hospital: string
  readonly files: number
  readonly bytes: number
  /** Files that could not be read, and files beyond the bound. */
  readonly unreadable: number
  readonly truncated: boolean
  readonly families: readonly {
    readonly family: Family
    readonly count: number
    readonly evidence: readonly (Evidence & { readonly count: number })[]
  }[]
  readonly line: LineReport | null
  /** Null where no HL7 v2 message was found. */
  readonly hl7:
    | (Omit<Hl7Reading, 'codes' | 'units'> & {
        readonly codes: readonly CodeReading[]
        readonly units: readonly UnitSeen[]
        readonly draft: FeedDraft
      })
    | null
}

/** What happened on a connection that was listened to. */
export interface LineReport {
  readonly mode: 'connected' | 'listened'
  readonly spokeFirst: 'peer' | 'nobody'
  readonly connections: number
  readonly bytes: number
  readonly seconds: number
  readonly closedBy: 'peer' | 'us'
  readonly savedTo: string | null
}

export function reportOf(
  sample: Sample,
  catalogue: Catalogue,
  hospital: string,
  line: LineReport | null = null,
): SniffReport {
  const reading = sample.survey.read()
  const { codes, units, ...rest } = reading
  return {
    hospital,
    files: sample.files,
    bytes: sample.bytes,
    unreadable: sample.unreadable,
    truncated: sample.truncated,
    families: [...sample.families]
      .map(([family, { count, evidence }]) => ({
        family,
        count,
        evidence: evidence.list().map(({ value, count: times }) => {
          const [code = '', detail = ''] = value.split('\x1f')
          return { code: code as Evidence['code'], detail, count: times }
        }),
      }))
      .sort((a, b) => b.count - a.count),
    line,
    hl7:
      reading.messages === 0
        ? null
        : {
            ...rest,
            codes: readCodes(codes, catalogue, hospital),
            units: readUnits(units, catalogue),
            draft: draftFeed(reading, hospital),
          },
  }
}
