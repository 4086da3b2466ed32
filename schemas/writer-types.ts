import { RecordError, RetryableError } from '../core/errors.js'
import { avroType, UnsafeSchema, type AvroType } from './avro-type.js'
import type { SchemaRegistry } from './registry.js'

const unknownIdsMax = 10_000
const unknownForMs = 30_000
const backoffFirstMs = 250
const backoffMaxMs = 10_000

/** What a frame's schema id leads to: the type it was written with, or why it cannot be read. */
export type Writer = { readonly type: AvroType } | { readonly refused: RecordError }

/**
 * Schemas by id, each asked of the registry once. An id that the registry does not know is not asked again for 30 s;
 * a registry that cannot be reached is asked at growing intervals only, and everybody is told to retry meanwhile.
 */
export class WriterTypes {
  private readonly known = new Map<number, Writer>()
  private readonly unknown = new Map<number, number>()
  private readonly asking = new Map<number, Promise<Writer>>()
  private failures = 0
  private silentUntil = 0

  constructor(
    private readonly registry: SchemaRegistry,
    private readonly now: () => number = Date.now,
  ) {}

  /** An id whose schema is known without asking: a role reads today's frames while the registry is away. */
  learn(id: number, text: string): void {
    this.known.set(id, readWriter(id, text))
  }

  /** At once where the id has been seen. @throws RetryableError while the registry cannot be asked */
  get(id: number): Writer | Promise<Writer> {
    const known = this.known.get(id)
    if (known !== undefined) return known
    const unknownUntil = this.unknown.get(id)
    if (unknownUntil !== undefined && unknownUntil > this.now()) return { refused: unknownSchema(id) }
    const asking = this.asking.get(id) ?? this.ask(id).finally(() => this.asking.delete(id))
    this.asking.set(id, asking)
    return asking
  }

  private async ask(id: number): Promise<Writer> {
    const silentMs = this.silentUntil - this.now()
    if (silentMs > 0)
      throw new RetryableError('the schema registry was unreachable just now', { retryAfterMs: silentMs })
    let text
    try {
      text = await this.registry.schemaOf(id)
    } catch (error) {
      this.silentUntil = this.now() + Math.min(backoffMaxMs, backoffFirstMs * 2 ** this.failures++)
      throw error
    }
    this.failures = 0
    if (text === undefined) return this.remember(id)
    const writer = readWriter(id, text)
    this.known.set(id, writer)
    return writer
  }

  private remember(id: number): Writer {
    this.unknown.delete(id)
    this.unknown.set(id, this.now() + unknownForMs)
    const [oldest] = this.unknown.keys()
    if (this.unknown.size > unknownIdsMax && oldest !== undefined) this.unknown.delete(oldest)
    return { refused: unknownSchema(id) }
  }
}

const unknownSchema = (id: number): RecordError => new RecordError('frame-unknown-schema', `schema id ${id}`)

function readWriter(id: number, text: string): Writer {
  try {
    return { type: avroType(JSON.parse(text)) }
  } catch (cause) {
    const code = cause instanceof UnsafeSchema ? 'frame-hostile' : 'frame-unreadable'
    return { refused: new RecordError(code, `schema id ${id}: ${(cause as Error).message}`, {}, { cause }) }
  }
}
