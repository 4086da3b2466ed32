import type { Topic } from './topics.js'

/** One record to append. Keys hold no patient data; records of one key keep their order. */
export interface LogRecord {
  readonly key: string
  readonly value: Buffer
  readonly headers?: Readonly<Record<string, string>>
}

export interface Partition {
  readonly topic: Topic
  readonly partition: number
}

/** A place in a partition: the offset of the next record to read. */
export interface Position extends Partition {
  readonly offset: bigint
}

export interface StoredRecord extends LogRecord, Position {
  /** When the log took it, ms since 1970-01-01T00:00:00Z. */
  readonly appendedAt: number
}

export interface GroupPosition extends Partition {
  /** First offset not yet committed by the group; null where it never committed (it will start at the beginning). */
  readonly committed: bigint | null
  readonly start: bigint
  readonly end: bigint
  readonly lag: bigint
}

/**
 * Records of one partition in append order. At most one batch of a partition is out at a time: the next is yielded
 * after `commit` or `release`. `signal` aborts when the partition is taken away; the adapter heartbeats meanwhile.
 */
export interface Batch {
  readonly partition: Partition
  readonly records: readonly StoredRecord[]
  readonly signal: AbortSignal
  /** The group has done these records; durable when it resolves. @throws RetryableError when the partition was lost */
  commit(): Promise<void>
  /** Hands the batch back undone: it is delivered again. */
  release(): Promise<void>
}

export interface ConsumeOptions {
  /** Cut batches at about this many records (default 1000). */
  readonly recordsMax?: number
  /** Cut batches at about this many bytes (default 8 MiB). */
  readonly bytesMax?: number
  /** Wait at most this long to fill a batch once a record is there (default 20 ms). */
  readonly lingerMs?: number
}

/** Per key in append order, from the group's last commit; at-least-once. */
export interface EventLog {
  /** Creates missing topics; an existing one keeps its partitions. */
  ensureTopics(topics: readonly Topic[], partitions: number): Promise<void>
  /** Durable when it resolves. @throws RetryableError when the log cannot be reached or is full */
  append(topic: Topic, records: readonly LogRecord[]): Promise<void>
  consume(topics: readonly Topic[], group: string, signal: AbortSignal, options?: ConsumeOptions): AsyncIterable<Batch>
  /** Reads a topic (all partitions) from the positions given, by default the start, to those given, by default today's end. */
  read(topic: Topic, from?: readonly Position[], to?: readonly Position[]): AsyncIterable<StoredRecord>
  positions(group: string, topics: readonly Topic[]): Promise<readonly GroupPosition[]>
  close(): Promise<void>
}
