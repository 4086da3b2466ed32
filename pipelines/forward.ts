import { RetryableError } from '../core/errors.js'
import type { LedgerPosition } from '../core/ids.js'
import { pause } from '../core/pause.js'
import type { Logger } from '../core/telemetry.js'
import { Pacer } from '../log/pacer.js'
import type { RawOutlet } from '../log/raw-outlet.js'
import type { Spool, SpooledMessage } from '../log/spool.js'
import type { Lane } from '../log/topics.js'
import type { RawMessage } from '../schemas/types.js'
import { packContent, type ContentStores } from './content.js'

/** What the spool does not know of a feed. */
export interface FeedIdentity {
  readonly hospital: string
  readonly connector: string
}

export interface ForwardOptions {
  readonly spool: Spool
  readonly outlet: RawOutlet
  readonly stores: ContentStores
  readonly environment: string
  readonly identity: (feed: string) => FeedIdentity
  readonly logger: Logger
  /** Told of each spooled message whose bytes are damaged on disk. */
  readonly damaged?: (feed: string) => void
  /** A message older than this when it is forwarded takes the bulk lane, so that a drain delays nobody (default 10 min). */
  readonly bulkAfterMs?: number
  /** All messages take this lane (backfill). */
  readonly lane?: Lane
  readonly now: () => number
  /** Watermarks follow a batch, and repeat this often while nothing arrives (default 1 s). */
  readonly watermarkIntervalMs?: number
  /** Batches are cut at about this many bytes of content (default 4 MiB). */
  readonly batchBytesMax?: number
}

/** Batches smaller than this that keep coming are spread: a request costs as much as a hundred messages do. */
const recordsFew = 200

/** Forwards the spool in order, with its watermarks in-band, until `signal` aborts. Holds while the outlet is away. */
export async function forward(options: ForwardOptions, signal: AbortSignal): Promise<void> {
  const published = new Map<string, string>()
  const pacer = new Pacer({ intervalMs: 50, burst: 6 })
  const cut = { recordsMax: 1000, bytesMax: options.batchBytesMax ?? 4 * 1024 * 1024 }
  const stopWatermarks = new AbortController()
  const heartbeat = repeatWatermarks(options, published, AbortSignal.any([signal, stopWatermarks.signal]))
  try {
    for await (const batch of options.spool.unforwarded(signal, cut)) {
      for (const { feed, epoch, seq } of batch.damaged ?? []) {
        // Never forwarded and never settled: reconcile names it until the sender sends it again.
        options.logger.error({ feed, epoch, seq }, 'a spooled message is damaged on disk; ask the sender for it again')
        options.damaged?.(feed)
      }
      const sent = await untilSent(options, signal, async () => {
        const messages: RawMessage[] = []
        for (const message of batch.messages) messages.push(await rawMessage(message, options))
        await options.outlet.send(messages, signal)
      })
      if (!sent) return
      await batch.forwarded()
      if (batch.messages.length < recordsFew) await pause(pacer.take(), signal)
    }
  } finally {
    stopWatermarks.abort()
    await heartbeat
  }
}

async function rawMessage(message: SpooledMessage, options: ForwardOptions): Promise<RawMessage> {
  const old = options.now() - message.receivedAt > (options.bulkAfterMs ?? 600_000)
  const lane = options.lane ?? (old ? 'bulk' : 'live')
  const content = await packContent(message.content, options.stores, options.outlet.contentBytesMax)
  return { ...header(message, options, 'message', lane), ...content }
}

function header(
  message: Pick<SpooledMessage, 'feed' | 'epoch' | 'seq' | 'receivedAt'> & Partial<SpooledMessage>,
  options: ForwardOptions,
  kind: 'message' | 'watermark',
  lane: Lane,
): Omit<RawMessage, 'content' | 'contentRef' | 'contentSize' | 'compression' | 'keyId'> {
  const { hospital, connector } = options.identity(message.feed)
  return {
    kind,
    environment: options.environment,
    hospital,
    feed: message.feed,
    epoch: message.epoch,
    seq: message.seq,
    receivedAt: message.receivedAt,
    messageId: message.messageId ?? '',
    connector,
    lane,
    purpose: 'ledger',
    controlId: message.controlId ?? null,
    sourceName: message.sourceName ?? null,
    sourceIndex: message.sourceIndex ?? 0,
  }
}

async function repeatWatermarks(
  options: ForwardOptions,
  published: Map<string, string>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await pause(options.watermarkIntervalMs ?? 1000, signal)
    const news = options.spool
      .watermarks()
      .map(({ feed, epoch, seq }) => ({ feed, epoch, seq, place: `${feed}\0${epoch}`, mark: `${epoch}.${seq}` }))
      .filter(({ place, mark }) => published.get(place) !== mark)
    if (news.length === 0) continue
    try {
      await options.outlet.send(
        news.map((watermark) => watermarkOf(watermark, options)),
        signal,
      )
      for (const { place, mark } of news) published.set(place, mark)
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
    }
  }
}

function watermarkOf({ feed, epoch, seq }: LedgerPosition, options: ForwardOptions): RawMessage {
  return {
    ...header({ feed, epoch, seq, receivedAt: options.now() }, options, 'watermark', 'live'),
    content: null,
    contentRef: null,
    contentSize: 0,
    compression: 'none',
    keyId: null,
  }
}

async function untilSent(options: ForwardOptions, signal: AbortSignal, send: () => Promise<void>): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      await send()
      return true
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      if (signal.aborted) return false
      const waitMs = error.retryAfterMs ?? Math.min(10_000, 50 * 2 ** Math.min(attempt, 8))
      options.logger.warn({ attempt, waitMs, cause: error.message }, 'nothing can be forwarded: the spool holds')
      await pause(waitMs, signal)
      if (signal.aborted) return false
    }
  }
}
