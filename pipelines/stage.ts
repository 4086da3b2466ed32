import pLimit from 'p-limit'
import { RetryableError } from '../core/errors.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import type { Batch, ConsumeOptions, EventLog } from '../log/event-log.js'
import type { Lane, Topic } from '../log/topics.js'

/** One step of the pipeline on the log: what it reads, and what it does with a batch. */
export interface Stage {
  /** A verb: parse, normalise, sink, archive. The consumer group is this name, with the lane for bulk. */
  readonly name: string
  readonly lane: Lane
  readonly topics: readonly Topic[]
  /** All effects of the batch are durable when it resolves. @throws RetryableError to have the batch tried again */
  handle(batch: Batch): Promise<void>
  readonly consume?: ConsumeOptions
  /** Batches of different partitions worked on at once (default 1). */
  readonly concurrency?: number
  /** Rate budget, records a second (bulk lane); unlimited where unset. */
  readonly recordsPerSecondMax?: number
}

export interface StageContext {
  readonly log: EventLog
  readonly logger: Logger
  readonly metrics: Metrics
}

export const groupOf = (stage: Pick<Stage, 'name' | 'lane'>): string =>
  stage.lane === 'bulk' ? `${stage.name}-bulk` : stage.name

/**
 * Runs a stage until `signal` aborts. The offset is committed after the work; a RetryableError backs off and tries the
 * same batch again; any other error is a bug and ends the stage (and with it the process).
 */
export async function runStage(stage: Stage, context: StageContext, signal: AbortSignal): Promise<void> {
  const limit = pLimit(stage.concurrency ?? 1)
  const stopped = new AbortController()
  const until = AbortSignal.any([signal, stopped.signal])
  const running = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  for await (const batch of context.log.consume(stage.topics, groupOf(stage), until, stage.consume)) {
    const work = limit(() => settle(stage, batch, context, until)).catch((error: unknown) => {
      failure ??= { error }
      stopped.abort()
    })
    running.add(work)
    void work.finally(() => running.delete(work))
    if (stage.recordsPerSecondMax !== undefined) {
      await work
      await pause((batch.records.length / stage.recordsPerSecondMax) * 1000, until)
    }
  }
  await Promise.all(running)
  if (failure !== undefined) throw failure.error
}

async function settle(stage: Stage, batch: Batch, context: StageContext, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await stage.handle(batch)
      await batch.commit()
      context.metrics.stageRecords.inc({ stage: stage.name, lane: stage.lane }, batch.records.length)
      return
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      if (signal.aborted || batch.signal.aborted) return batch.release()
      context.metrics.stageRetries.inc({ stage: stage.name })
      const waitMs = error.retryAfterMs ?? Math.min(10_000, 50 * 2 ** Math.min(attempt, 8))
      const { topic, partition } = batch.partition
      context.logger.warn(
        { stage: stage.name, topic, partition, attempt, waitMs, cause: error.message },
        'trying again',
      )
      await pause(waitMs, AbortSignal.any([signal, batch.signal]))
      if (signal.aborted || batch.signal.aborted) return batch.release()
    }
  }
}

/** Resolves after the time given, or at once when `signal` aborts. */
export function pause(waitMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted || waitMs <= 0) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, waitMs)
    signal.addEventListener('abort', done, { once: true })
  })
}
