import {
  isUnion,
  loadEventSchemas,
  qualifiedName,
  subjectOf,
  type AvroField,
  type AvroRecord,
  type AvroSchema,
  type EventSchema,
} from './catalogue.js'
import type { TopicContent } from './codec.js'
import { confluentRegistry, SchemaRefused } from './confluent-registry.js'
import { loadReleases, type SchemaRelease } from './releases.js'

/** One thing that keeps a schema from being released or registered. */
export interface Violation {
  /** Event name, or the registry's subject. */
  readonly subject: string
  /** Field path from the top record, `observations.unified.number`; the record's own name for the record itself. */
  readonly path: string
  readonly problem: string
  readonly remedy: string
  /** The version that this one does not agree with: a release in git, or a version on the registry. */
  readonly against?: string
}

/** All violations of today's schemas at once: of the rules, and of FULL_TRANSITIVE against every release in git. */
export function checkSchemas(
  schemas: readonly EventSchema[] = loadEventSchemas(),
  releases: readonly SchemaRelease[] = loadReleases(),
): readonly Violation[] {
  return schemas.flatMap((current) => [
    ...ruleViolations(current),
    ...releases.flatMap((release) => {
      const released = release.schemas.find(({ event }) => event === current.event)
      if (released === undefined) return []
      const against = `release ${release.version}`
      return disagreements(current.schema, released.schema).map((one) => ({ subject: current.event, against, ...one }))
    }),
  ])
}

export interface Registration {
  readonly subject: string
  readonly id: number
}

/** What `registerSchemas` did: nothing at all where there are violations. */
export interface RegisterOutcome {
  readonly registered: readonly Registration[]
  readonly violations: readonly Violation[]
}

/**
 * Registers today's schema under every topic's subject with FULL_TRANSITIVE, after it was checked against the rules,
 * the releases in git and every version on the registry. Again the same call changes nothing.
 * @throws RetryableError while the registry cannot be asked, UsageError for a wrong URL or credentials
 */
export async function registerSchemas(
  registryUrl: string,
  prefix: string,
  topics: readonly TopicContent[],
  schemas: readonly EventSchema[] = loadEventSchemas(),
): Promise<RegisterOutcome> {
  const registry = confluentRegistry(registryUrl)
  const found = [...checkSchemas(schemas)]
  const wanted = topics.flatMap(({ topic, event }) => {
    const current = schemas.find((schema) => schema.event === event)
    return current === undefined ? [] : [{ subject: subjectOf(prefix, topic), current }]
  })
  for (const { subject, current } of wanted) {
    for (const [version, text] of await registry.versions(subject)) {
      const against = `version ${version} on the registry`
      const differences = disagreements(current.schema, JSON.parse(text) as AvroSchema)
      found.push(...differences.map((one) => ({ subject, against, ...one })))
    }
  }
  if (found.length > 0) return { registered: [], violations: found }
  const registered: Registration[] = []
  for (const { subject, current } of wanted) {
    try {
      registered.push({ subject, id: await registry.register(subject, current.text) })
    } catch (error) {
      if (!(error instanceof SchemaRefused)) throw error
      const remedy = 'see what the registry says; a breaking change is a new topic .v2'
      return { registered, violations: [{ subject, path: current.schema.name, problem: error.message, remedy }] }
    }
  }
  return { registered, violations: [] }
}

type Finding = Pick<Violation, 'path' | 'problem' | 'remedy'>

const scalars = new Set(['boolean', 'int', 'long', 'string', 'bytes'])

/** The rules for every schema, released or not (DESIGN: topics): what Avro allows and we do not. */
export function ruleViolations({ event, schema }: Pick<EventSchema, 'event' | 'schema'>): readonly Violation[] {
  const found: Finding[] = []
  const open: string[] = []
  const defined = new Map<string, number>()
  const report = (path: string, problem: string, remedy: string): void => void found.push({ path, problem, remedy })

  const visit = (type: AvroSchema, path: string): void => {
    if (typeof type === 'string') return visitName(type, path)
    if (isUnion(type)) return visitUnion(type, path)
    if (type.type === 'record') return visitRecord(type, path)
    if (type.type === 'array') return visit(type.items, path)
    const other = (type as { readonly type?: unknown }).type
    if (other === 'enum') report(path, 'is an enum', 'declare a string and list its values in the doc')
    else if (other === 'fixed') report(path, 'is a fixed', 'declare bytes')
    else if (other === 'map') report(path, 'is a map', 'declare an array of records with a name and a value')
    else if ('logicalType' in type)
      report(path, 'has a logical type', 'declare the plain type and say its unit in the doc')
    else visit(other as AvroSchema, path)
  }
  const visitName = (name: string, path: string): void => {
    if (scalars.has(name)) return
    if (name === 'null') report(path, 'is null', 'leave the field out')
    else if (name === 'float' || name === 'double')
      report(path, `is a ${name}`, 'declare a string that holds the decimal')
    else if (open.includes(name)) report(path, `contains itself (${name})`, 'flatten it with an index')
    else if (!defined.has(name))
      report(path, `refers to ${name}, which is declared nowhere`, 'add it to schemas/avro/shared')
  }
  const visitUnion = (branches: readonly AvroSchema[], path: string): void => {
    const [first, second] = branches
    if (branches.length !== 2 || first !== 'null' || second === undefined || second === 'null') {
      report(path, 'is a union other than [null, T]', 'write it as ["null", T]')
    }
    for (const branch of branches) if (branch !== 'null') visit(branch, path)
  }
  const visitRecord = (record: AvroRecord, path: string): void => {
    const name = qualifiedName(record)
    if (record.fields.length === 0) report(path, 'is a record without fields', 'give it a field or leave it out')
    if (defined.has(name)) report(path, `declares ${name} a second time`, 'refer to it by name')
    defined.set(name, record.fields.length)
    open.push(name)
    for (const field of record.fields) {
      const at = path === record.name ? field.name : `${path}.${field.name}`
      if (field.doc === undefined) report(at, 'has no doc', 'say what it holds, with its unit and where it comes from')
      if ('default' in field && !isDefault(field)) {
        report(
          at,
          'has a default other than null, [], "" or a plain value of its type',
          'null for [null, T], [] for an array',
        )
      }
      visit(field.type, at)
    }
    open.pop()
  }
  visit(schema, schema.name)
  return found.map((one) => ({ subject: event, ...one }))
}

function isDefault({ type, default: value }: AvroField): boolean {
  if (typeof type !== 'string')
    return isUnion(type) ? value === null : type.type === 'array' && Array.isArray(value) && value.length === 0
  if (type === 'string' || type === 'bytes') return typeof value === 'string'
  if (type === 'boolean') return typeof value === 'boolean'
  return (type === 'int' || type === 'long') && Number.isSafeInteger(value)
}

/**
 * Why frames of one cannot be read as the other, in either direction (FULL). Stricter than Avro where Avro promotes
 * (int to long, string to bytes): a promotion never holds in both directions or changes what readers get.
 */
export function disagreements(current: AvroSchema, earlier: AvroSchema): readonly Finding[] {
  const found: Finding[] = []
  const currentNames = namesOf(current)
  const earlierNames = namesOf(earlier)
  const newTopic = 'keep the field as it was and add another; a breaking change is a new topic .v2'
  const seen = new Set<string>()

  const compare = (now: AvroSchema, then: AvroSchema, path: string): void => {
    const left = resolved(now, currentNames)
    const right = resolved(then, earlierNames)
    if (isRecord(left) && isRecord(right)) return compareRecords(left, right, path)
    if (isUnion(left) && isUnion(right) && left.length === right.length) {
      return left.forEach((branch, index) => compare(branch, right[index]!, path))
    }
    if (isArray(left) && isArray(right)) return compare(left.items, right.items, path)
    if (typeof left === 'string' && left === right) return
    found.push({ path, problem: `was ${nameOf(right)} and is ${nameOf(left)}`, remedy: newTopic })
  }
  const compareRecords = (now: AvroRecord, then: AvroRecord, path: string): void => {
    const [name, before] = [qualifiedName(now), qualifiedName(then)]
    if (name !== before) found.push({ path, problem: `the record ${before} became ${name}`, remedy: newTopic })
    if (seen.has(name)) return
    seen.add(name)
    for (const field of now.fields) {
      const at = path === '' ? field.name : `${path}.${field.name}`
      const old = then.fields.find((one) => one.name === field.name)
      if (old !== undefined) compare(field.type, old.type, at)
      else if (!('default' in field)) {
        found.push({ path: at, problem: 'was added without a default', remedy: 'give it a default: null, [] or ""' })
      }
    }
    for (const old of then.fields) {
      if (now.fields.some((field) => field.name === old.name) || 'default' in old) continue
      const at = path === '' ? old.name : `${path}.${old.name}`
      found.push({
        path: at,
        problem: 'was removed and had no default',
        remedy: 'put it back; stop filling it where nobody reads it',
      })
    }
  }
  compare(current, earlier, '')
  return found
}

const isRecord = (type: AvroSchema): type is AvroRecord =>
  typeof type === 'object' && !isUnion(type) && type.type === 'record'
const isArray = (type: AvroSchema): type is Extract<AvroSchema, { readonly type: 'array' }> =>
  typeof type === 'object' && !isUnion(type) && type.type === 'array'

function namesOf(schema: AvroSchema): ReadonlyMap<string, AvroRecord> {
  const names = new Map<string, AvroRecord>()
  const visit = (type: AvroSchema): void => {
    if (typeof type === 'string') return
    if (isUnion(type)) type.forEach(visit)
    else if (isArray(type)) visit(type.items)
    else if (isRecord(type)) {
      names.set(qualifiedName(type), type)
      for (const field of type.fields) visit(field.type)
    }
  }
  visit(schema)
  return names
}

const resolved = (type: AvroSchema, names: ReadonlyMap<string, AvroRecord>): AvroSchema =>
  typeof type === 'string' ? (names.get(type) ?? type) : type

function nameOf(type: AvroSchema): string {
  if (typeof type === 'string') return type
  if (isUnion(type)) return `[${type.map(nameOf).join(', ')}]`
  return isRecord(type) ? qualifiedName(type) : `an ${String((type as { readonly type: unknown }).type)}`
}
