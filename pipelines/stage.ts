import { setImmediate as immediate } from 'node:timers/promises'
import { RetryableError } from '../core/errors.js'
import { pause } from '../core/pause.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import type { Batch, ConsumeOptions, EventLog, StoredRecord } from '../log/event-log.js'
import type { Lane, Topic } from '../log/topics.js'
import type { LiveFirst } from './live-first.js'

/** One step of the pipeline on the log: what it reads, and what it does with the records of some batches. */
export interface Stage {
  /** A verb: parse, normalise, sink, archive. The consumer group is this name, with the lane for bulk. */
  readonly name: string
  readonly lane: Lane
  readonly topics: readonly Topic[]
  /** All effects of the records are durable when it resolves. @throws RetryableError to have them tried again */
  handle(records: readonly StoredRecord[]): Promise<void>
  readonly consume?: ConsumeOptions
  /** Calls of `handle` at once, each with records of partitions of its own (default 1). */
  readonly concurrency?: number
  /** Rate budget, records a second (bulk lane); unlimited where unset. */
  readonly recordsPerSecondMax?: number
  /** Share of the time that the stage may be busy while live traffic flows in the process, above 0 to 1 (bulk lane). */
  readonly busyShareMax?: number
}

export interface StageContext {
  readonly log: EventLog
  readonly logger: Logger
  readonly metrics: Metrics
  /** Shared by the stages of a process: those of the bulk lane begin a batch when those of the live lane rest. */
  readonly liveFirst?: LiveFirst
}

export const groupOf = (stage: Pick<Stage, 'name' | 'lane'>): string =>
  stage.lane === 'bulk' ? `${stage.name}-bulk` : stage.name

/** Records of a batch of the bulk lane: what holds the event loop and row locks for some ten milliseconds. */
const bulkRecordsMax = 25

/** What the bulk lane may take where live traffic runs beside it. */
export interface BulkBudget {
  readonly recordsPerSecond: number
  /** Above 0 to 1. */
  readonly busyShare: number
}

/** A stage of the bulk lane where live traffic runs beside it: small batches, one at a time, within the budget. */
export function besideLive(stage: Stage, { recordsPerSecond, busyShare }: BulkBudget): Stage {
  return {
    ...stage,
    recordsPerSecondMax: recordsPerSecond,
    busyShareMax: busyShare,
    concurrency: 1,
    consume: { ...stage.consume, recordsMax: bulkRecordsMax },
  }
}

const recordsMaxDefault = 1000

/**
 * Runs a stage until `signal` aborts. Batches that wait are worked on together: a request to the log or a transaction
 * costs more than the records in it. The offset is committed after the work; a RetryableError backs off and tries the
 * same batches again; any other error is a bug and ends the stage (and with it the process).
 */
export async function runStage(stage: Stage, context: StageContext, signal: AbortSignal): Promise<void> {
  const stopped = new AbortController()
  const until = AbortSignal.any([signal, stopped.signal])
  const waiting: Batch[] = []
  const workers = new Set<Promise<void>>()
  let running = 0
  let failure: { readonly error: unknown } | undefined
  const work = async (): Promise<void> => {
    try {
      // what arrives in this turn of the event loop goes together
      await immediate()
      while (waiting.length > 0) {
        if (stage.lane === 'bulk') await context.liveFirst?.turn(until)
        const batches = takeTogether(waiting, stage)
        const began = performance.now()
        await settle(stage, batches, context, until)
        if (stage.recordsPerSecondMax !== undefined) {
          const restBy = stage.busyShareMax === undefined ? undefined : context.liveFirst
          await Promise.all([
            pause((recordsOf(batches) / stage.recordsPerSecondMax) * 1000, until),
            restBy?.rest(performance.now() - began, stage.busyShareMax ?? 1, until),
          ])
        }
      }
    } catch (error) {
      failure ??= { error }
      stopped.abort()
    } finally {
      running--
      if (stage.lane === 'live') context.liveFirst?.ended()
    }
  }
  for await (const batch of context.log.consume(stage.topics, groupOf(stage), until, stage.consume)) {
    waiting.push(batch)
    if (running >= (stage.concurrency ?? 1)) continue
    running++
    if (stage.lane === 'live') context.liveFirst?.began()
    const worker = work()
    workers.add(worker)
    void worker.then(() => workers.delete(worker))
  }
  await Promise.all(workers)
  await Promise.all(waiting.map((batch) => batch.release()))
  if (failure !== undefined) throw failure.error
}

const recordsOf = (batches: readonly Batch[]): number => batches.reduce((sum, { records }) => sum + records.length, 0)

/** The first that waits, and those after it as long as they make no more than one full batch. */
function takeTogether(waiting: Batch[], stage: Stage): readonly Batch[] {
  const recordsMax = stage.consume?.recordsMax ?? recordsMaxDefault
  let count = 0
  let records = 0
  for (const batch of waiting) {
    records += batch.records.length
    if (count > 0 && records > recordsMax) break
    count++
  }
  return waiting.splice(0, count)
}

async function settle(
  stage: Stage,
  batches: readonly Batch[],
  context: StageContext,
  signal: AbortSignal,
): Promise<void> {
  let left = batches
  for (let attempt = 1; left.length > 0; attempt++) {
    try {
      await stage.handle(left.length === 1 ? left[0]!.records : left.flatMap(({ records }) => records))
      await allCommitted(left)
      context.metrics.stageRecords.inc({ stage: stage.name, lane: stage.lane }, recordsOf(left))
      return
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      left = await releaseLost(left, signal)
      if (left.length === 0) return
      context.metrics.stageRetries.inc({ stage: stage.name })
      const waitMs = error.retryAfterMs ?? Math.min(10_000, 50 * 2 ** Math.min(attempt, 8))
      const partitions = left.map(({ partition: { topic, partition } }) => `${topic}/${partition}`)
      context.logger.warn({ stage: stage.name, partitions, attempt, waitMs, cause: error.message }, 'trying again')
      await pause(waitMs, AbortSignal.any([signal, ...left.map((batch) => batch.signal)]))
      left = await releaseLost(left, signal)
    }
  }
}

/** Waits for every commit before it reports that one failed: none may end behind the caller's back. */
async function allCommitted(batches: readonly Batch[]): Promise<void> {
  const commits = await Promise.allSettled(batches.map((batch) => batch.commit()))
  for (const commit of commits) if (commit.status === 'rejected') throw commit.reason
}

/** Hands back what was taken away, or everything where the stage ends; what remains is tried again. */
async function releaseLost(batches: readonly Batch[], signal: AbortSignal): Promise<readonly Batch[]> {
  const isLost = (batch: Batch): boolean => signal.aborted || batch.signal.aborted
  await Promise.all(batches.filter(isLost).map((batch) => batch.release()))
  return batches.filter((batch) => !isLost(batch))
}
