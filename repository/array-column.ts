/** Types a column of bound arrays may have. */
export type ColumnType = 'int2' | 'int4' | 'int8' | 'bool' | 'text' | 'bytea' | 'uuid' | 'date' | 'timestamptz'

const elementOids: Readonly<Record<ColumnType, number>> = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  date: 1082,
  timestamptz: 1184,
  uuid: 2950,
}

const headerBytes = 20
const epoch2000Ms = 946_684_800_000
const dayMs = 86_400_000

/** What each type takes: `date` days since 1970-01-01, `timestamptz` ms since then, `uuid` 16 bytes. */
export type ColumnValue = number | string | boolean | Buffer | null

/**
 * One column of a batch as a PostgreSQL array in binary form: neither side escapes or parses text. A column without
 * any value becomes an empty array, which `unnest` beside longer ones pads with nulls.
 */
export class ArrayColumn {
  private buffer: Buffer
  private end = headerBytes
  private count = 0
  private values = 0

  constructor(
    readonly type: ColumnType,
    countHint = 64,
  ) {
    this.buffer = Buffer.allocUnsafe(headerBytes + countHint * 16)
  }

  push(value: ColumnValue): void {
    this.count++
    if (value === null) {
      this.room(4)
      this.end = this.buffer.writeInt32BE(-1, this.end)
      return
    }
    this.values++
    if (typeof value === 'string') this.pushText(value)
    else if (typeof value === 'number') this.pushNumber(value)
    else if (typeof value === 'boolean') {
      this.room(5)
      this.end = this.buffer.writeInt32BE(1, this.end)
      this.buffer[this.end++] = value ? 1 : 0
    } else this.pushBytes(value)
  }

  /** The bound value; the column must not be used afterwards. */
  finish(): Buffer {
    const hasValues = this.values > 0
    this.buffer.writeInt32BE(hasValues ? 1 : 0, 0)
    this.buffer.writeInt32BE(this.values < this.count ? 1 : 0, 4)
    this.buffer.writeInt32BE(elementOids[this.type], 8)
    if (!hasValues) return this.buffer.subarray(0, 12)
    this.buffer.writeInt32BE(this.count, 12)
    this.buffer.writeInt32BE(1, 16)
    return this.buffer.subarray(0, this.end)
  }

  private room(bytes: number): void {
    if (this.end + bytes <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.end + bytes))
    this.buffer.copy(larger, 0, 0, this.end)
    this.buffer = larger
  }

  private pushNumber(value: number): void {
    this.room(12)
    switch (this.type) {
      case 'int2':
        this.end = this.buffer.writeInt32BE(2, this.end)
        this.end = this.buffer.writeInt16BE(value, this.end)
        return
      case 'int4':
        this.end = this.buffer.writeInt32BE(4, this.end)
        this.end = this.buffer.writeInt32BE(value, this.end)
        return
      case 'date':
        this.end = this.buffer.writeInt32BE(4, this.end)
        this.end = this.buffer.writeInt32BE(value - epoch2000Ms / dayMs, this.end)
        return
      case 'int8':
        this.end = this.buffer.writeInt32BE(8, this.end)
        this.pushInteger(value)
        return
      case 'timestamptz': {
        this.end = this.buffer.writeInt32BE(8, this.end)
        const sinceMs = value - epoch2000Ms
        if (Number.isSafeInteger(sinceMs * 1000)) this.pushInteger(sinceMs * 1000)
        else this.end = this.buffer.writeBigInt64BE(BigInt(sinceMs) * 1000n, this.end)
        return
      }
      default:
        throw new Error(`a number was given for a column of ${this.type}`)
    }
  }

  private pushInteger(value: number): void {
    if (!Number.isSafeInteger(value)) throw new Error('an integer beyond 2^53 was bound')
    const high = Math.floor(value / 0x1_0000_0000)
    this.end = this.buffer.writeInt32BE(high, this.end)
    this.end = this.buffer.writeUInt32BE(value - high * 0x1_0000_0000, this.end)
  }

  private pushText(value: string): void {
    if (this.type !== 'text') throw new Error(`text was given for a column of ${this.type}`)
    this.room(4 + value.length * 3)
    const start = this.end + 4
    const { buffer } = this
    let at = start
    let index = 0
    for (; index < value.length; index++) {
      const unit = value.charCodeAt(index)
      if (unit >= 0x80) break
      buffer[at++] = unit
    }
    if (index < value.length) at = start + buffer.write(value, start, 'utf8')
    buffer.writeInt32BE(at - start, this.end)
    this.end = at
  }

  private pushBytes(value: Buffer): void {
    this.room(4 + value.length)
    this.end = this.buffer.writeInt32BE(value.length, this.end)
    this.end += value.copy(this.buffer, this.end)
  }
}

/** The columns of a batch by name, for one `unnest`. */
export class ColumnSet<N extends string> {
  private readonly columns: readonly ArrayColumn[]
  length = 0

  constructor(
    readonly types: Readonly<Record<N, ColumnType>>,
    countHint?: number,
  ) {
    this.columns = Object.values<ColumnType>(types).map((type) => new ArrayColumn(type, countHint))
  }

  /** Values in the order the types were declared. */
  push(values: readonly ColumnValue[]): void {
    if (values.length !== this.columns.length) throw new Error('a row has other columns than its set')
    for (let index = 0; index < values.length; index++) this.columns[index]!.push(values[index]!)
    this.length++
  }

  finish(): Buffer[] {
    return this.columns.map((column) => column.finish())
  }
}

/** `unnest($1::int8[], …) AS alias (name, …)` over the columns declared, from parameter `first` on. */
export function unnest<N extends string>(types: Readonly<Record<N, ColumnType>>, alias: string, first = 1): string {
  const names = Object.keys(types)
  const parameters = Object.values<ColumnType>(types).map((type, index) => `$${first + index}::${type}[]`)
  return `unnest(${parameters.join(', ')}) AS ${alias} (${names.map((name) => `"${name}"`).join(', ')})`
}

/** `unnest` with the row's index from 1 as last column `ord`. */
export function unnestOrdered<N extends string>(
  types: Readonly<Record<N, ColumnType>>,
  alias: string,
  first = 1,
): string {
  const names = [...Object.keys(types), 'ord']
  const parameters = Object.values<ColumnType>(types).map((type, index) => `$${first + index}::${type}[]`)
  return `unnest(${parameters.join(', ')}) WITH ORDINALITY AS ${alias} (${names.map((name) => `"${name}"`).join(', ')})`
}
