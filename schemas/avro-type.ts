import avsc, { type Type } from 'avsc'

/**
 * avsc with the edges taken off: unions always unwrapped, no methods on decoded records, and four things that avsc
 * itself does not do: an array's count is held against the bytes that are left before anything is allocated, a string
 * with half a surrogate pair is refused instead of garbled, so is a long that a JavaScript number cannot carry through
 * the encoding, and a schema outside the subset we write (no enum, map, fixed, recursion, items of no width) is refused.
 */
export function avroType(schema: unknown): AvroType {
  widthOf(schema, new Map())
  return avsc.Type.forSchema(schema as never, {
    wrapUnions: 'never',
    omitRecordMethods: true,
    typeHook: (part, options) => {
      if (part === 'string' || isOfType(part, 'string')) return new StrictString() as unknown as Type
      if (part === 'long' || isOfType(part, 'long')) return new StrictLong() as unknown as Type
      if (isOfType(part, 'array')) return new BoundedArray(part, options) as unknown as Type
      if (isNullable(part)) return new Nullable(part, options) as unknown as Type
      return undefined
    },
  }) as unknown as AvroType
}

/** What is used of an avsc type; `decode` gives offset -1 for a frame that ends too early. */
export interface AvroType {
  encode(value: unknown, target: Buffer, offset: number): number
  decode(source: Buffer, offset: number, resolver?: AvroResolver): { readonly value: unknown; readonly offset: number }
  createResolver(writer: AvroType): AvroResolver
  fingerprint(): Buffer
  isValid(
    value: unknown,
    options?: {
      readonly noUndeclaredFields?: boolean
      readonly errorHook?: (path: string[], part: unknown, type: Type) => void
    },
  ): boolean
}
export type AvroResolver = object & { readonly _read?: unknown }

/** The frame would expand beyond the bytes it has. */
export class HostileFrame extends Error {
  override readonly name = 'HostileFrame'
}

/** The schema could make a small frame large, or is none of those we write. */
export class UnsafeSchema extends Error {
  override readonly name = 'UnsafeSchema'
}

interface Tap {
  buf: Buffer
  pos: number
  readLong(): number
  writeLong(value: number): void
  writeString(text: string): void
}
interface ItemsType {
  _read(tap: Tap): unknown
  _skip(tap: Tap): void
}
interface UnionType {
  _read(tap: Tap): unknown
}
interface BranchType {
  _read(tap: Tap): unknown
  _write(tap: Tap, value: unknown): void
}
type AvscClass<T = object> = new (...parameters: unknown[]) => T
const { ArrayType, LongType, StringType } = avsc.types as unknown as Record<
  'ArrayType' | 'LongType' | 'StringType',
  AvscClass
>
const { UnwrappedUnionType } = avsc.types as unknown as {
  readonly UnwrappedUnionType: AvscClass<UnionType>
}

class BoundedArray extends ArrayType {
  declare readonly itemsType: ItemsType

  // Also called with a resolver as `this`: it has an itemsType of its own.
  _read(tap: Tap): unknown[] {
    const items: unknown[] = []
    for (let count = readCount(tap); count > 0; count = readCount(tap)) {
      for (let left = count; left > 0 && !isTruncated(tap); left--) items.push(this.itemsType._read(tap))
    }
    return items
  }

  _skip(tap: Tap): void {
    for (let count = readCount(tap); count > 0; count = readCount(tap)) {
      for (let left = count; left > 0 && !isTruncated(tap); left--) this.itemsType._skip(tap)
    }
  }
}

/** Items of the next block, 0 at the end. Every item takes a byte at least, so more items than bytes is a lie. */
function readCount(tap: Tap): number {
  let count = tap.readLong()
  if (count < 0) {
    count = -count
    tap.readLong() // size of the block in bytes
  }
  if (isTruncated(tap)) return 0
  if (count > tap.buf.length - tap.pos) {
    throw new HostileFrame(`an array states ${count} items where ${tap.buf.length - tap.pos} bytes are left`)
  }
  return count
}

/** avsc reads on past the end and has the caller look at the position; loops end here. */
const isTruncated = (tap: Tap): boolean => tap.pos > tap.buf.length

/**
 * `[null, T]`, which is every union we write: null or not decides the branch. avsc looks the branch up by the value's
 * type each time, which is a fifth of encoding a report; a value that is no T is refused by T's own `_write`.
 */
class Nullable extends UnwrappedUnionType {
  declare readonly types: readonly [BranchType, BranchType]

  override _read(tap: Tap): unknown {
    switch (tap.buf[tap.pos]) {
      case 0:
        tap.pos++
        return null
      case 2:
        tap.pos++
        return this.types[1]._read(tap)
      default:
        return super._read(tap)
    }
  }

  _write(tap: Tap, value: unknown): void {
    if (value === null) tap.buf[tap.pos++] = 0
    else {
      tap.buf[tap.pos++] = 2
      this.types[1]._write(tap, value)
    }
  }
}

class StrictLong extends LongType {
  _check(value: unknown, _flags: unknown, hook?: (value: unknown, type: unknown) => void): boolean {
    const isValid = isExactLong(value)
    if (!isValid && hook !== undefined) hook(value, this)
    return isValid
  }

  _read(tap: Tap): number {
    const value = tap.readLong()
    if (!isExactLong(value)) throw new TypeError('a long that a JavaScript number cannot hold')
    return value
  }

  _write(tap: Tap, value: unknown): void {
    if (!isExactLong(value)) throw new TypeError('not a long that a JavaScript number can carry')
    tap.writeLong(value)
  }
}

/** Zigzag doubles a value: odd negative ones below -2^52 come back as their neighbour, so none of them is let through. */
const isExactLong = (value: unknown): value is number =>
  typeof value === 'number' && value % 1 === 0 && value >= -(2 ** 52) && value <= 2 ** 53 - 2

/** UTF-8 of up to this many UTF-16 units has a length that fits the one byte of a small Avro long. */
const shortUnits = 21

class StrictString extends StringType {
  _check(value: unknown, _flags: unknown, hook?: (value: unknown, type: unknown) => void): boolean {
    const isValid = typeof value === 'string' && isWellFormed(value)
    if (!isValid && hook !== undefined) hook(value, this)
    return isValid
  }

  _write(tap: Tap, text: unknown): void {
    if (typeof text !== 'string') throw new TypeError('not a string')
    if (text.length <= shortUnits) writeShort(tap, text)
    else if (isWellFormed(text)) tap.writeString(text)
    else throw new TypeError('half a surrogate pair')
  }
}

/** Length and bytes in one pass; what lies beyond the end of the buffer is dropped, as everywhere in avsc. */
function writeShort(tap: Tap, text: string): void {
  const { buf } = tap
  const start = tap.pos
  let at = start + 1
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit < 0x80) buf[at++] = unit
    else if (unit < 0x800) {
      buf[at++] = (unit >> 6) | 0xc0
      buf[at++] = (unit & 0x3f) | 0x80
    } else if (unit < 0xd800 || unit > 0xdfff) {
      buf[at++] = (unit >> 12) | 0xe0
      buf[at++] = ((unit >> 6) & 0x3f) | 0x80
      buf[at++] = (unit & 0x3f) | 0x80
    } else {
      const low = unit < 0xdc00 ? text.charCodeAt(++index) : Number.NaN
      if (!(low >= 0xdc00 && low <= 0xdfff)) throw new TypeError('half a surrogate pair')
      const point = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff)
      buf[at++] = (point >> 18) | 0xf0
      buf[at++] = ((point >> 12) & 0x3f) | 0x80
      buf[at++] = ((point >> 6) & 0x3f) | 0x80
      buf[at++] = (point & 0x3f) | 0x80
    }
  }
  buf[start] = (at - start - 1) << 1
  tap.pos = at
}

/** ES2024, in Node since 20; our library setting is ES2023. */
const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()

const isNullable = (schema: unknown): boolean =>
  Array.isArray(schema) && schema.length === 2 && schema[0] === 'null' && schema[1] !== 'null'

const isOfType = (schema: unknown, type: string): schema is { readonly type: string } =>
  typeof schema === 'object' && schema !== null && !Array.isArray(schema) && 'type' in schema && schema.type === type

const primitives = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'])

/** A value of more bytes than this at least is none of ours; nested names could else ask for endless reads. */
const widthMax = 65_536

/** Least bytes that a value takes. @throws UnsafeSchema for enum, map, fixed, recursion and items of no width */
function widthOf(schema: unknown, known: Map<string, number>, namespace = ''): number {
  if (typeof schema === 'string') {
    if (primitives.has(schema)) return schema === 'null' ? 0 : 1
    const width = known.get(schema) ?? known.get(`${namespace}.${schema}`)
    // a record gets its width when it is complete: a name not known here is undefined or refers to itself
    if (width === undefined) throw new UnsafeSchema(`the type ${schema} is not defined before it is used`)
    return width
  }
  if (Array.isArray(schema)) return 1 + Math.min(...schema.map((branch) => widthOf(branch, known, namespace)))
  if (typeof schema !== 'object' || schema === null) throw new UnsafeSchema('a part of the schema is no type')
  const { type, items, fields, name, namespace: own } = schema as Record<string, unknown>
  if (type === 'array') {
    if (widthOf(items, known, namespace) === 0) throw new UnsafeSchema('the items of an array take no bytes')
    return 1
  }
  if (type === 'record') {
    if (!Array.isArray(fields) || typeof name !== 'string') throw new UnsafeSchema('a record has no name or no fields')
    const space = typeof own === 'string' ? own : namespace
    let width = 0
    for (const field of fields as { readonly type?: unknown }[]) width += widthOf(field.type, known, space)
    if (width === 0) throw new UnsafeSchema(`the record ${name} takes no bytes`)
    if (width > widthMax) throw new UnsafeSchema(`the record ${name} takes ${width} bytes at least`)
    known.set(name.includes('.') || space === '' ? name : `${space}.${name}`, width)
    return width
  }
  if (typeof type === 'string' && !primitives.has(type)) throw new UnsafeSchema(`the schema uses ${type}`)
  return widthOf(type, known, namespace)
}
