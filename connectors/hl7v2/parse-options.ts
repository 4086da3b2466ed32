import { Type, type Static, type TObject } from '@sinclair/typebox'
import { statedOptions } from '../stated/options.js'

const field = Type.String({ pattern: '^[A-Z][A-Z0-9]{2}-[0-9]{1,3}(\\.[0-9]{1,2}){0,2}$' })
const composite = Type.String({
  pattern: '^[A-Z][A-Z0-9]{2}-[0-9]{1,3}(\\.[0-9]{1,2}){0,2}(\\+[A-Z][A-Z0-9]{2}-[0-9]{1,3}(\\.[0-9]{1,2}){0,2})*$',
})

const reportType = Type.Object(
  {
    kind: Type.Union(
      [Type.Literal('lab'), Type.Literal('microbiology'), Type.Literal('pathology'), Type.Literal('imaging')],
      { description: 'What the order group is where every condition given here holds' },
    ),
    sendingApplications: Type.Optional(Type.Array(Type.String(), { description: 'MSH-3.1 is one of these' })),
    sections: Type.Optional(
      Type.Array(Type.String(), { description: 'OBR-24 is one of these (HL7 table 0074 or local)' }),
    ),
    codes: Type.Optional(Type.Array(Type.String(), { description: 'OBR-4.1 is one of these' })),
    codePrefixes: Type.Optional(Type.Array(Type.String(), { description: 'OBR-4.1 starts with one of these' })),
  },
  { additionalProperties: false },
)

/**
 * What a feed may say about how its HL7 v2 messages are read; every connector that carries HL7 v2 has these properties.
 * Fields are written `PID-3`, `OBR-20.2`: segment, field, component (1 where left out), subcomponent.
 */
export const hl7v2ParseOptions = {
  charset: Type.Optional(
    Type.String({
      description:
        'Charset the sender really uses, as in MSH-18 (HL7 table 0211) or by its common name: UTF-8, GB18030, GBK. ' +
        'Outranks MSH-18. Default: MSH-18 where the bytes agree with it, else detected',
    }),
  ),
  timezone: statedOptions.timezone,
  sourceSystem: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Name of the system within the hospital, part of the report key. Default: MSH-3.1 of each message',
    }),
  ),
  patientIdFrom: Type.Optional(
    Type.Array(field, {
      minItems: 1,
      default: ['PID-3', 'PID-2', 'PID-4'],
      description:
        'Fields that carry the hospital patient number, the first filled one counts. Default PID-3, PID-2, PID-4',
    }),
  ),
  patientIdTypes: Type.Optional(
    Type.Array(Type.String(), {
      default: ['MR', 'PI', 'PT'],
      description:
        'Identifier types (CX.5, HL7 table 0203) preferred among repetitions, best first; then one without a type, ' +
        'then any. Default MR, PI, PT',
    }),
  ),
  patientIdAuthorities: Type.Optional(
    Type.Array(Type.String(), {
      default: [],
      description:
        'Assigning authorities (CX.4.1) preferred among repetitions, best first, ahead of types. Default none',
    }),
  ),
  patientAuthority: Type.Optional(
    Type.String({
      description:
        'Assigning authority of the patient number, instead of CX.4; set it where the systems of one hospital write ' +
        'it differently or not at all. Default: CX.4 as sent, empty where absent',
    }),
  ),
  visitNumberFrom: Type.Optional(
    Type.Array(field, {
      minItems: 1,
      default: ['PV1-19', 'PID-18'],
      description: 'Fields that carry the visit number, the first filled one counts. Default PV1-19, PID-18',
    }),
  ),
  reportNumberFrom: Type.Optional(
    Type.Array(composite, {
      minItems: 1,
      default: ['OBR-3', 'ORC-3', 'OBR-29.2', 'OBR-2+OBR-4', 'ORC-2+OBR-4'],
      description:
        'Fields that carry the report number, the first filled one counts; `A+B` joins several, all of them filled. ' +
        'Default OBR-3, ORC-3, OBR-29.2 (filler number of the parent), OBR-2+OBR-4, ORC-2+OBR-4',
    }),
  ),
  reportNumberRecycles: Type.Optional(
    Type.Union([Type.Literal('none'), Type.Literal('day'), Type.Literal('year')], {
      default: 'none',
      description:
        'Span after which the sender uses a report number again. The day or year is that of OBR-7, else OBR-14, else ' +
        'MSH-7. Default none',
    }),
  ),
  allowMove: statedOptions.allowMove,
  updates: statedOptions.updates,
  localReportTypes: Type.Optional(
    Type.Array(reportType, {
      default: [],
      description:
        'How to tell imaging, pathology and microbiology from laboratory reports, first match counts; what matches ' +
        'none goes by OBR-24 (HL7 table 0074), then is laboratory. Default none',
    }),
  ),
  institutionsFrom: Type.Optional(
    Type.Object(
      {
        ordering: Type.Optional(Type.Array(field, { description: 'Default ORC-21' })),
        collecting: Type.Optional(Type.Array(field, { description: 'Default none' })),
        performing: Type.Optional(Type.Array(field, { description: 'Default OBX-23, OBX-15 of the first result' })),
        reporting: Type.Optional(Type.Array(field, { description: 'Default MSH-4' })),
      },
      {
        additionalProperties: false,
        description: 'Fields that name the four institutions of a report, the first filled one counts',
      },
    ),
  ),
  rawLineBreaks: Type.Optional(
    Type.Union([Type.Literal('refuse'), Type.Literal('join')], {
      default: 'refuse',
      description:
        'A line that is no segment is usually the rest of a field whose line break the sender did not escape. refuse: ' +
        'the message is dead-lettered (hl7-bad-segment). join: the line continues the field before it. Default refuse',
    }),
  ),
  messageTypeAliases: Type.Optional(
    Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'What MSH-9 of this sender means where it is not HL7, for example `OUR^R01: ORU^R01`. Default none',
    }),
  ),
}

export type Hl7v2ParseOptions = Static<TObject<typeof hl7v2ParseOptions>>
