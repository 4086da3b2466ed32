import type { EventLog, LogRecord } from '../log/event-log.js'
import type { Topic } from '../log/topics.js'

/** Gathers what a batch produces and appends it topic by topic, keeping the order within each. */
export class Outbox {
  private readonly byTopic = new Map<Topic, LogRecord[]>()

  add(topic: Topic, record: LogRecord): void {
    const records = this.byTopic.get(topic)
    if (records === undefined) this.byTopic.set(topic, [record])
    else records.push(record)
  }

  /** Durable when it resolves. @throws RetryableError */
  async flush(log: EventLog): Promise<void> {
    await Promise.all([...this.byTopic].map(([topic, records]) => log.append(topic, records)))
  }
}
