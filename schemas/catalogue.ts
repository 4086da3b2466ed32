import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type {
  DeadLetter,
  EncounterEvent,
  ImagingReport,
  LabReport,
  OrderEvent,
  PatientEvent,
  RawMessage,
} from './types.js'

/** What travels on the topics, by name: the file `avro/<name>.avsc` declares it. */
export interface EventTypes {
  raw: RawMessage
  patient: PatientEvent
  encounter: EncounterEvent
  order: OrderEvent
  'lab-report': LabReport
  'imaging-report': ImagingReport
  'dead-letter': DeadLetter
}
export type EventName = keyof EventTypes

export const eventNames: readonly EventName[] = [
  'raw',
  'patient',
  'encounter',
  'order',
  'lab-report',
  'imaging-report',
  'dead-letter',
]

/** The part of Avro 1.11 that an event may use: see `rules.ts` for what is left out and why. */
export type AvroSchema = string | AvroRecord | AvroArray | readonly AvroSchema[]
export interface AvroRecord {
  readonly type: 'record'
  readonly name: string
  readonly namespace?: string
  readonly doc?: string
  readonly fields: readonly AvroField[]
}
export interface AvroField {
  readonly name: string
  readonly type: AvroSchema
  readonly doc?: string
  readonly default?: unknown
}
export interface AvroArray {
  readonly type: 'array'
  readonly items: AvroSchema
}

/** One event's schema as it is registered: self-contained, each named type spelled out where it is first used. */
export interface EventSchema {
  readonly event: EventName
  readonly schema: AvroRecord
  /** JSON text of `schema`. */
  readonly text: string
}

const avroFolder = fileURLToPath(new URL('./avro/', import.meta.url))

/** Reads the schemas of today from `avro/`. @throws Error naming the file that cannot be read or refers to nothing */
export function loadEventSchemas(folder: string = avroFolder): readonly EventSchema[] {
  const shared = new Map<string, AvroRecord>()
  for (const name of readdirSync(`${folder}/shared`).filter((file) => file.endsWith('.avsc'))) {
    const record = readSchema(`${folder}/shared/${name}`)
    shared.set(qualifiedName(record), record)
  }
  return eventNames.map((event) => {
    const schema = selfContained(readSchema(`${folder}/${event}.avsc`), shared)
    return { event, schema, text: JSON.stringify(schema) }
  })
}

/** The schema with every named type of `shared` inlined at its first use, in field order; later uses keep the name. */
export function selfContained(schema: AvroRecord, shared: ReadonlyMap<string, AvroRecord>): AvroRecord {
  const defined = new Set<string>()
  const inline = (type: AvroSchema): AvroSchema => {
    if (typeof type === 'string') {
      const record = shared.get(type)
      return record === undefined || defined.has(type) ? type : inline(record)
    }
    if (isUnion(type)) return type.map(inline)
    if (type.type === 'array') return { ...type, items: inline(type.items) }
    if (type.type !== 'record') return type
    defined.add(qualifiedName(type))
    return { ...type, fields: type.fields.map((field) => ({ ...field, type: inline(field.type) })) }
  }
  return inline(schema) as AvroRecord
}

/** Full name of a record: its namespace and name. */
export function qualifiedName(record: Pick<AvroRecord, 'name' | 'namespace'>): string {
  return record.namespace === undefined || record.name.includes('.')
    ? record.name
    : `${record.namespace}.${record.name}`
}

export const isUnion = (type: AvroSchema): type is readonly AvroSchema[] => Array.isArray(type)

/** The subject of a topic's values (Confluent TopicNameStrategy); the topic carries its prefix: `hutong.raw-value`. */
export function subjectOf(prefix: string, topic: string): string {
  return `${prefix}.${topic}-value`
}

function readSchema(file: string): AvroRecord {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as AvroRecord
  } catch (cause) {
    throw new Error(`${file} cannot be read as an Avro schema`, { cause })
  }
}
