import { Type, type Static, type TObject } from '@sinclair/typebox'
import { zoneOffsetMinutes } from '../times.js'

/** What a feed may say about how its reports are read, whatever their format; connectors beside HL7 v2 have these properties. */
export const statedOptions = {
  charset: Type.Optional(
    Type.String({
      description:
        'Charset the sender really uses: UTF-8, GB18030, GBK. Outranks what the content says of itself. Default: what ' +
        'the content says where the bytes agree with it, else detected',
    }),
  ),
  timezone: Type.Optional(
    Type.String({
      pattern: '^([+-][0-9]{2}:[0-9]{2}|Z)$',
      default: '+08:00',
      description: 'Zone of times that state none. Default +08:00',
    }),
  ),
  sourceSystem: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Name of the system within the hospital, part of the report key. Default: what the content says, else the name ' +
        'of the feed',
    }),
  ),
  patientAuthority: Type.Optional(
    Type.String({ description: 'Assigning authority of the patient number. Default: as sent, empty where absent' }),
  ),
  reportNumberRecycles: Type.Optional(
    Type.Union([Type.Literal('none'), Type.Literal('day'), Type.Literal('year')], {
      default: 'none',
      description:
        'Span after which the sender uses a report number again. The day or year is that of the collection, else of the ' +
        'receipt of the specimen, else of the message. Default none',
    }),
  ),
  allowMove: Type.Optional(
    Type.Boolean({
      default: false,
      description: 'A report number may move to another patient instead of being a conflict. Default false',
    }),
  ),
  updates: Type.Optional(
    Type.Union([Type.Literal('delta'), Type.Literal('snapshot')], {
      default: 'delta',
      description:
        'delta: results a later message leaves out stay. snapshot: a later final message states the whole report and ' +
        'withdraws what it leaves out. Default delta',
    }),
  ),
}

export type StatedOptions = Static<TObject<typeof statedOptions>>

/** A feed's options with every default filled in. */
export interface StatedRules {
  readonly charset: string | undefined
  readonly zoneMinutes: number
  readonly sourceSystem: string | null
  readonly patientAuthority: string | null
  readonly reportNumberRecycles: 'none' | 'day' | 'year'
  readonly allowMove: boolean
  readonly snapshot: boolean
}

/** @throws TypeError where an option does not have the form its declaration asks for */
export function statedRules(options: StatedOptions): StatedRules {
  const zoneMinutes = zoneOffsetMinutes(options.timezone ?? '+08:00')
  if (zoneMinutes === null) throw new TypeError(`timezone ${options.timezone} is not of the form +08:00`)
  return {
    charset: options.charset,
    zoneMinutes,
    sourceSystem: options.sourceSystem ?? null,
    patientAuthority: options.patientAuthority ?? null,
    reportNumberRecycles: options.reportNumberRecycles ?? 'none',
    allowMove: options.allowMove ?? false,
    snapshot: options.updates === 'snapshot',
  }
}
