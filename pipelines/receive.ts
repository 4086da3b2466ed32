import type { Delivery } from '../connectors/connector.js'
import { RefusedError, RetryableError } from '../core/errors.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import type { Spool } from '../log/spool.js'

export interface ReceiveOptions {
  readonly feed: string
  readonly deliveries: AsyncIterable<Delivery>
  readonly spool: Spool
  readonly metrics: Metrics
  readonly logger: Logger
  /** Told of each message the spool holds, before the sender is. */
  readonly accepted?: (message: { readonly feed: string; readonly epoch: number; readonly seq: number }) => void
}

/**
 * Moves deliveries into the spool until the source ends. Many are under way at once, so that they share disk flushes;
 * each is settled exactly once: accepted after it is durable, or refused.
 */
export async function receive(options: ReceiveOptions): Promise<void> {
  const running = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  for await (const delivery of options.deliveries) {
    if (failure !== undefined) break
    const settling = settle(delivery, options).catch((error: unknown) => {
      failure ??= { error }
    })
    running.add(settling)
    void settling.finally(() => running.delete(settling))
  }
  await Promise.all(running)
  if (failure !== undefined) throw failure.error
}

async function settle(delivery: Delivery, options: ReceiveOptions): Promise<void> {
  const { feed, spool, metrics, logger } = options
  metrics.received.inc({ feed })
  let position
  try {
    position = await spool.accept({ feed, ...delivery.message })
  } catch (error) {
    if (!(error instanceof RefusedError) && !(error instanceof RetryableError)) throw error
    const reason = error instanceof RefusedError ? error.reason : 'unavailable'
    metrics.refused.inc({ feed, reason })
    logger.warn({ feed, controlId: delivery.message.controlId, reason }, 'not stored, not acknowledged')
    return delivery.refuse(error)
  }
  options.accepted?.(position)
  await delivery.accept()
  metrics.acknowledged.inc({ feed })
}
