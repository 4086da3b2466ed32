import { RecordError, UsageError } from '../core/errors.js'
import { avroType, HostileFrame, type AvroResolver, type AvroType } from './avro-type.js'
import { loadEventSchemas, subjectOf, type EventName, type EventSchema, type EventTypes } from './catalogue.js'
import { confluentRegistry } from './confluent-registry.js'
import { embeddedRegistry, UnknownSubject, type SchemaRegistry } from './registry.js'
import { WriterTypes, type Writer } from './writer-types.js'

/**
 * Events as frames of the Confluent wire format (0x00, schema id as 4 bytes big-endian, Avro binary) and back.
 * A frame is read with the schema it was written with and comes out in today's shape.
 */
export interface EventCodec {
  /** The frame is the caller's to keep. @throws RecordError('field-invalid') naming the field that has no Avro form */
  encode<E extends EventName>(event: E, value: EventTypes[E]): Buffer
  /**
   * At once where the writer's schema has been seen, else after asking the registry. Memory stays within a small
   * multiple of the frame's size whatever it says. @throws (or rejects with) RecordError frame-unreadable,
   * frame-unknown-schema or frame-hostile; RetryableError while the registry cannot be asked
   */
  decode<E extends EventName>(event: E, frame: Buffer): EventTypes[E] | Promise<EventTypes[E]>
}

export interface CodecLimits {
  /** A larger frame is not decoded (default 16 MiB). */
  readonly frameBytesMax?: number
}

/** Where frames get their ids: a registry with the topics whose subjects are asked for, or none for the embedded one. */
export type CodecOptions = CodecLimits & {
  /** Refuses values with fields that the schema does not declare, which Avro would drop silently; slow, for tests. */
  readonly refuseUndeclared?: boolean
} & (
    | { readonly registryUrl?: undefined }
    | {
        /** Base of a Confluent-compatible API, for example http://registry:8080/apis/ccompat/v7. */
        readonly registryUrl: string
        /** Of the topics. */
        readonly prefix: string
        readonly topics: readonly TopicContent[]
      }
  )

/** A topic without its prefix, and what it carries. */
export interface TopicContent {
  readonly topic: string
  readonly event: EventName
}

/**
 * The codec of a role. With a registry every topic's subject must already hold today's schema: nothing is registered
 * here. @throws UsageError naming all subjects that miss it, RetryableError while the registry cannot be asked
 */
export async function openCodec(options: CodecOptions = {}): Promise<EventCodec> {
  const schemas = loadEventSchemas()
  if (options.registryUrl === undefined) {
    const topics = schemas.map(({ event }) => ({ topic: event, event }))
    return codecOf(embeddedRegistry(), schemas, 'embedded', topics, options)
  }
  return codecOf(confluentRegistry(options.registryUrl), schemas, options.prefix, options.topics, options)
}

/** As `openCodec`, on any registry. */
export async function codecOf(
  registry: SchemaRegistry,
  schemas: readonly EventSchema[],
  prefix: string,
  topics: readonly TopicContent[],
  options: CodecLimits & { readonly refuseUndeclared?: boolean } = {},
): Promise<EventCodec> {
  const ids = new Map<EventName, number>()
  const writers = new WriterTypes(registry)
  const missing: string[] = []
  for (const { topic, event } of topics) {
    const subject = subjectOf(prefix, topic)
    const text = schemas.find((schema) => schema.event === event)?.text
    if (text === undefined) throw new UsageError(`the topic ${topic} carries ${event}, which has no schema`)
    try {
      const id = await registry.idFor(subject, text)
      if (!ids.has(event)) ids.set(event, id)
      writers.learn(id, text)
    } catch (error) {
      if (!(error instanceof UnknownSubject)) throw error
      missing.push(subject)
    }
  }
  if (missing.length > 0) {
    throw new UsageError(
      `the schema registry does not hold this version's schema of ${missing.join(', ')}: run \`hutong schemas register\``,
    )
  }
  return new Codec(schemas, ids, writers, options)
}

const headerBytes = 5
const slabBytes = 256 * 1024
const frameBytesMaxDefault = 16 * 1024 * 1024

interface Reader {
  readonly type: AvroType
  /** How to read what each writer wrote; undefined where both are the same and no resolver is needed. */
  readonly resolvers: Map<Writer, AvroResolver | undefined>
}

class Codec implements EventCodec {
  private readonly readers = new Map<EventName, Reader>()
  private readonly frameBytesMax: number
  private readonly refuseUndeclared: boolean
  private slab = Buffer.allocUnsafeSlow(slabBytes)
  private used = 0

  constructor(
    schemas: readonly EventSchema[],
    private readonly ids: ReadonlyMap<EventName, number>,
    private readonly writers: WriterTypes,
    options: CodecLimits & { readonly refuseUndeclared?: boolean },
  ) {
    for (const { event, schema } of schemas) this.readers.set(event, { type: avroType(schema), resolvers: new Map() })
    this.frameBytesMax = options.frameBytesMax ?? frameBytesMaxDefault
    this.refuseUndeclared = options.refuseUndeclared ?? false
  }

  encode<E extends EventName>(event: E, value: EventTypes[E]): Buffer {
    const id = this.ids.get(event)
    if (id === undefined) throw new UsageError(`this role was not opened to write ${event}`)
    const { type } = this.reader(event)
    if (this.refuseUndeclared) refuseInvalid(event, type, value)
    try {
      const start = this.used
      const end = type.encode(value, this.slab, start + headerBytes)
      // a start at the very end of the slab leaves no room for the header either
      if (end < 0 || start + headerBytes > this.slab.length) return this.encodeInNewSlab(type, value, id)
      this.used = end
      return header(this.slab, start, id).subarray(start, end)
    } catch (error) {
      throw encodeError(event, type, value, error)
    }
  }

  private encodeInNewSlab(type: AvroType, value: unknown, id: number): Buffer {
    const size = headerBytes + encodedSize(type, value)
    if (size > slabBytes / 4) {
      const own = Buffer.allocUnsafeSlow(size)
      type.encode(value, own, headerBytes)
      return header(own, 0, id)
    }
    this.slab = Buffer.allocUnsafeSlow(slabBytes)
    this.used = type.encode(value, this.slab, headerBytes)
    return header(this.slab, 0, id).subarray(0, this.used)
  }

  decode<E extends EventName>(event: E, frame: Buffer): EventTypes[E] | Promise<EventTypes[E]> {
    if (frame.length < headerBytes || frame[0] !== 0) {
      throw new RecordError(
        'frame-unreadable',
        `${event}: ${frame.length} bytes that do not start with 0x00 and a schema id`,
      )
    }
    if (frame.length > this.frameBytesMax) {
      throw new RecordError('frame-hostile', `${event}: ${frame.length} bytes, more than ${this.frameBytesMax}`)
    }
    const writer = this.writers.get(frame.readUInt32BE(1))
    if (writer instanceof Promise) return writer.then((found) => this.read(event, found, frame))
    return this.read(event, writer, frame)
  }

  private read<E extends EventName>(event: E, writer: Writer, frame: Buffer): EventTypes[E] {
    if ('refused' in writer) throw writer.refused
    const reader = this.reader(event)
    try {
      const resolver = resolverFor(reader, writer)
      const { value, offset } = reader.type.decode(frame, headerBytes, resolver)
      if (offset === frame.length) return value as EventTypes[E]
      const fault = offset < 0 ? 'it ends too early' : `${frame.length - offset} bytes follow its end`
      throw new RecordError('frame-unreadable', `${event}: ${fault}`)
    } catch (error) {
      if (error instanceof RecordError) throw error
      const code = error instanceof HostileFrame ? 'frame-hostile' : 'frame-unreadable'
      throw new RecordError(code, `${event}: ${(error as Error).message}`, {}, { cause: error })
    }
  }

  private reader(event: EventName): Reader {
    const reader = this.readers.get(event)
    if (reader === undefined) throw new UsageError(`${event} has no schema`)
    return reader
  }
}

/** Rebuilding a resolver per frame would cost 65 to 160 times the decoding. */
function resolverFor(reader: Reader, writer: Extract<Writer, { type: AvroType }>): AvroResolver | undefined {
  if (reader.resolvers.has(writer)) return reader.resolvers.get(writer)
  const same = reader.type.fingerprint().equals(writer.type.fingerprint())
  const resolver = same ? undefined : reader.type.createResolver(writer.type)
  reader.resolvers.set(writer, resolver)
  return resolver
}

function header(target: Buffer, at: number, id: number): Buffer {
  target[at] = 0
  target.writeUInt32BE(id, at + 1)
  return target
}

function encodedSize(type: AvroType, value: unknown): number {
  return -type.encode(value, Buffer.alloc(0), 0)
}

function refuseInvalid(event: EventName, type: AvroType, value: unknown): void {
  const paths: string[] = []
  type.isValid(value, { noUndeclaredFields: true, errorHook: (path) => paths.push(path.join('.') || 'at the top') })
  if (paths.length > 0) {
    throw new RecordError('field-invalid', `${event}: not as declared, or not declared: ${paths.join(', ')}`)
  }
}

/** avsc says what is wrong but not where. Values stay out of the text: they may be a patient's. */
function encodeError(event: EventName, type: AvroType, value: unknown, cause: unknown): unknown {
  if (cause instanceof RecordError) return cause
  const paths: string[] = []
  try {
    type.isValid(value, {
      errorHook: (path, _part, declared) => paths.push(`${path.join('.')} is no ${declared.typeName.split(':')[0]}`),
    })
  } catch {
    // a value that cannot even be walked through: the cause says why
  }
  if (paths.length === 0) return cause
  return new RecordError(
    'field-invalid',
    `${event}: ${paths.slice(0, 5).join('; ')}`,
    { field: paths[0]!.split(' ')[0]! },
    { cause },
  )
}
