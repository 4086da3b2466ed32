import { Type, type Static, type TObject } from '@sinclair/typebox'
import { statedOptions, statedRules, type StatedRules } from '../stated/options.js'

const field = Type.String({ pattern: '^[HPO]-[0-9]{1,2}(\\.[0-9]{1,2})?$' })

const standardFields = {
  unit: 5,
  range: 6,
  abnormalFlags: 7,
  status: 9,
  operator: 11,
  started: 12,
  completed: 13,
  instrument: 14,
} as const

const fieldNumber = (standard: number) =>
  Type.Optional(
    Type.Integer({ minimum: 3, maximum: 99, default: standard, description: `Its number in R. Default ${standard}` }),
  )

/**
 * What a feed may say about how its LIS2-A2 records are read. Fields are written `O-3`, `O-3.2`: record, field as the
 * standard numbers it (1 is the record's letter), component (1 where left out).
 */
export const astmParseOptions = {
  ...statedOptions,
  patientIdFrom: Type.Optional(
    Type.Array(field, {
      minItems: 1,
      default: ['P-3', 'P-4'],
      description:
        'Fields that carry the hospital patient number, the first filled one counts: P-3 the number of the ward or ' +
        'practice, P-4 that of the laboratory, P-5 a third one. Analysers that know only the barcode of the specimen need ' +
        'O-3 here, which makes the specimen number the patient number. Default P-3, P-4: a result without either is a ' +
        'dead letter',
    }),
  ),
  reportNumberFrom: Type.Optional(
    Type.Array(field, {
      minItems: 1,
      default: ['O-3', 'O-5'],
      description:
        'Fields that make the report number, joined by -. O-5 gives the code of the test where it names exactly one and ' +
        'nothing where it names several; the first field must be filled. O-3 alone makes one report of a specimen. ' +
        'Default O-3, O-5',
    }),
  ),
  testCodeComponent: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 20,
      description:
        'Component of R-3 that is the code of the item. Default: 4 (the first of the manufacturer), else 5, 1, 2',
    }),
  ),
  valueComponent: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 20,
      description:
        'Component of R-4 that is the value. Default: the only filled one; where several are filled the whole field as it ' +
        'stands',
    }),
  ),
  resultFields: Type.Optional(
    Type.Object(
      {
        unit: fieldNumber(5),
        range: fieldNumber(6),
        abnormalFlags: fieldNumber(7),
        status: fieldNumber(9),
        operator: fieldNumber(11),
        started: fieldNumber(12),
        completed: fieldNumber(13),
        instrument: fieldNumber(14),
      },
      {
        additionalProperties: false,
        description: 'Fields of R for analysers that place them elsewhere. Default: as LIS2-A2 section 9 numbers them',
      },
    ),
  ),
  statusWhenAbsent: Type.Optional(
    Type.Union([Type.Literal('F'), Type.Literal('P')], {
      default: 'F',
      description: 'Status of a result whose R-9 is empty: F final or P preliminary. Default F',
    }),
  ),
  controlSpecimens: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      description:
        'Specimen numbers (O-3) that begin with one of these are controls, not patients, and are ignored like O-12 Q. ' +
        'Default: none',
    }),
  ),
}

export type AstmParseOptions = Static<TObject<typeof astmParseOptions>>

export interface FieldPath {
  readonly letter: string
  readonly field: number
  readonly component: number
  readonly text: string
}

/** A feed's options with every default filled in. */
export interface AstmRules extends StatedRules {
  readonly patientIdFrom: readonly FieldPath[]
  readonly reportNumberFrom: readonly FieldPath[]
  readonly testCodeComponent: number | undefined
  readonly valueComponent: number | undefined
  readonly fields: Readonly<Record<keyof typeof standardFields, number>>
  readonly statusWhenAbsent: string
  readonly controlSpecimens: readonly string[]
}

/** @throws TypeError where an option does not have the form its declaration asks for */
export function astmRules(options: AstmParseOptions): AstmRules {
  return {
    ...statedRules(options),
    patientIdFrom: (options.patientIdFrom ?? ['P-3', 'P-4']).map(fieldPath),
    reportNumberFrom: (options.reportNumberFrom ?? ['O-3', 'O-5']).map(fieldPath),
    testCodeComponent: options.testCodeComponent,
    valueComponent: options.valueComponent,
    fields: { ...standardFields, ...options.resultFields },
    statusWhenAbsent: options.statusWhenAbsent ?? 'F',
    controlSpecimens: options.controlSpecimens ?? [],
  }
}

function fieldPath(text: string): FieldPath {
  const match = /^([HPO])-(\d{1,2})(?:\.(\d{1,2}))?$/.exec(text)
  if (match === null) throw new TypeError(`${text} is not a field of H, P or O, such as O-3`)
  return { letter: match[1]!, field: Number(match[2]), component: Number(match[3] ?? 1), text }
}
