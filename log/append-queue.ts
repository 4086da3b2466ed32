import { RecordError } from '../core/errors.js'
import type { LogRecord } from './event-log.js'
import type { Topic } from './topics.js'

/** What goes to the broker in one request, in order. */
export interface AppendRequest {
  readonly topic: Topic
  readonly records: readonly LogRecord[]
}

export interface AppendQueueOptions {
  /** Durable when it resolves. Never called again before it has settled: order and idempotence need one in flight. */
  readonly send: (requests: readonly AppendRequest[]) => Promise<void>
  /** Bytes of the largest batch of a partition that the broker takes. */
  readonly batchBytesMaxOf: (topic: Topic) => Promise<number>
  /** Cut requests at about this many bytes. */
  readonly requestBytesMax: number
}

interface Waiting {
  readonly topic: Topic
  readonly records: readonly LogRecord[]
  readonly batchBytesMax: number
  /** Index of the first record not yet sent. */
  next: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Appends in the order asked for, those that wait joined to requests cut by bytes. A failed request fails its appends whole. */
export class AppendQueue {
  private readonly waiting: Waiting[] = []
  private running: Promise<void> | undefined

  constructor(private readonly options: AppendQueueOptions) {}

  /** @throws RecordError('message-too-large') before anything of it is sent, and whatever `send` throws */
  async append(topic: Topic, records: readonly LogRecord[]): Promise<void> {
    if (records.length === 0) return
    const batchBytesMax = await this.options.batchBytesMaxOf(topic)
    for (const record of records) {
      const bytes = sizeOf(record)
      if (bytes + batchOverheadBytes > batchBytesMax) {
        throw new RecordError('message-too-large', `${bytes} bytes where the topic ${topic} takes ${batchBytesMax}`)
      }
    }
    await new Promise<void>((resolve, reject) => {
      this.waiting.push({ topic, records, batchBytesMax, next: 0, resolve, reject })
      this.running ??= this.run()
    })
  }

  /** Resolves when nothing waits any more. */
  async settled(): Promise<void> {
    await this.running
  }

  private async run(): Promise<void> {
    // everything that is appended in this turn of the event loop goes together
    await Promise.resolve()
    while (this.waiting.length > 0) {
      const { requests, done } = this.cut()
      try {
        await this.options.send(requests)
        for (const one of done) one.resolve()
      } catch (error) {
        // also what was sent only in part: later records must not overtake those that failed
        const parts = this.waiting.filter((one) => one.next > 0)
        for (const one of parts) this.waiting.splice(this.waiting.indexOf(one), 1)
        for (const one of [...done, ...parts]) one.reject(error)
      }
    }
    this.running = undefined
  }

  /** Takes as many records as fit from the front; `done` are the appends that end with this request. */
  private cut(): { readonly requests: readonly AppendRequest[]; readonly done: readonly Waiting[] } {
    const byTopic = new Map<Topic, LogRecord[]>()
    const done: Waiting[] = []
    let bytes = batchOverheadBytes
    let taken = 0
    for (let first = this.waiting[0]; first !== undefined; first = this.waiting[0]) {
      const limit = Math.min(this.options.requestBytesMax, first.batchBytesMax)
      let records = byTopic.get(first.topic)
      if (records === undefined) byTopic.set(first.topic, (records = []))
      while (first.next < first.records.length) {
        const record = first.records[first.next]!
        const size = sizeOf(record)
        if (taken > 0 && bytes + size > limit) break
        records.push(record)
        bytes += size
        taken++
        first.next++
      }
      if (first.next < first.records.length) break
      done.push(first)
      this.waiting.shift()
    }
    const requests = [...byTopic].filter(([, records]) => records.length > 0)
    return { requests: requests.map(([topic, records]) => ({ topic, records })), done }
  }
}

/** Header of a record batch (61 bytes), rounded up. */
const batchOverheadBytes = 128

/** Upper bound of a record in a batch (KIP-98): lengths as varints, key, value, headers. */
export function sizeOf(record: LogRecord): number {
  let bytes = 32 + record.key.length * 3 + record.value.length
  for (const [name, value] of Object.entries(record.headers ?? {})) bytes += 10 + (name.length + value.length) * 3
  return bytes
}
