import type { StoredPayload } from './segment-index.js'

/** The newest records of each stream, so that a reader at the tail reads no disk. Oldest out first, over all streams. */
export class TailCache {
  private readonly byStream = new Map<string, StoredPayload[]>()
  private order: { readonly stream: string; readonly bytes: number }[] = []
  private oldest = 0
  private bytes = 0

  constructor(private readonly bytesMax: number) {}

  add(stream: string, record: StoredPayload): void {
    let records = this.byStream.get(stream)
    if (records === undefined) this.byStream.set(stream, (records = []))
    records.push(record)
    const bytes = (record.payload?.length ?? 0) + overheadBytes
    this.order.push({ stream, bytes })
    this.bytes += bytes
    while (this.bytes > this.bytesMax && this.oldest < this.order.length) this.evict()
  }

  private evict(): void {
    const entry = this.order[this.oldest++]
    if (entry === undefined) return
    this.bytes -= entry.bytes
    const records = this.byStream.get(entry.stream)
    // Shifting one by one moves the whole array: leave holes in front and cut them off in strides.
    if (records !== undefined) this.trim(entry.stream, records)
    if (this.oldest > 4096 && this.oldest * 2 > this.order.length) {
      this.order = this.order.slice(this.oldest)
      this.oldest = 0
    }
  }

  private readonly gone = new Map<string, number>()

  private trim(stream: string, records: StoredPayload[]): void {
    const gone = (this.gone.get(stream) ?? 0) + 1
    if (gone <= records.length) records[gone - 1] = evicted
    if (gone > 512 && gone * 2 > records.length) {
      this.byStream.set(stream, records.slice(gone))
      this.gone.set(stream, 0)
    } else this.gone.set(stream, gone)
  }

  get(stream: string, number: number): StoredPayload | undefined {
    const records = this.byStream.get(stream)
    const last = records?.at(-1)
    if (records === undefined || last === undefined) return undefined
    const record = records[records.length - 1 - (last.number - number)]
    return record?.number === number ? record : undefined
  }
}

const overheadBytes = 64
const evicted: StoredPayload = { number: -1, appendedAt: 0, payload: null }
