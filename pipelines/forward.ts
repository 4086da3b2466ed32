import { RetryableError } from '../core/errors.js'
import type { LedgerPosition } from '../core/ids.js'
import { pause } from '../core/pause.js'
import type { Logger } from '../core/telemetry.js'
import { Pacer } from '../log/pacer.js'
import { HeldBackError, type HeldBack, type RawOutlet } from '../log/raw-outlet.js'
import type { Spool, SpooledMessage } from '../log/spool.js'
import type { Lane } from '../log/topics.js'
import type { RawMessage } from '../schemas/types.js'
import { packContent, type ContentStores } from './content.js'
import { HeldFeeds } from './held-feeds.js'

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
  /** Where one can see which feeds the outlet does not take. */
  readonly heldFeeds?: HeldFeeds
}

/** What one run of the forwarder shares among its parts. */
interface Forwarding extends ForwardOptions {
  readonly heldFeeds: HeldFeeds
}

/** Batches smaller than this that keep coming are spread: a request costs as much as a hundred messages do. */
const recordsFew = 200

/**
 * Forwards the spool in order, with its watermarks in-band, until `signal` aborts. Holds while the outlet is away; a feed
 * that alone is refused stands still in the spool, is tried again, and the others go on.
 */
export async function forward(given: ForwardOptions, signal: AbortSignal): Promise<void> {
  const options = { ...given, heldFeeds: given.heldFeeds ?? new HeldFeeds() }
  const published = new Map<string, string>()
  const pacer = new Pacer({ intervalMs: 50, burst: 6 })
  const bytesMax = options.batchBytesMax ?? 4 * 1024 * 1024
  const cut = { recordsMax: 1000, bytesMax, holds: options.heldFeeds }
  const stopWatermarks = new AbortController()
  const heartbeat = repeatWatermarks(options, published, AbortSignal.any([signal, stopWatermarks.signal]))
  try {
    for await (const batch of options.spool.unforwarded(signal, cut)) {
      const held = await untilSent(options, signal, async () => {
        const messages: RawMessage[] = []
        for (const message of batch.messages) messages.push(await rawMessage(message, options))
        await options.outlet.send(messages, signal)
      })
      if (held === undefined) return
      hold(held, options, signal)
      const behind = new Set(held.map(({ feed }) => feed))
      for (const { feed, epoch, seq } of batch.damaged ?? []) {
        if (behind.has(feed)) continue // read again with the rest of the feed
        // Never forwarded and never settled: reconcile names it until the sender sends it again.
        options.logger.error({ feed, epoch, seq }, 'a spooled message is damaged on disk; ask the sender for it again')
        options.damaged?.(feed)
      }
      for (const feed of new Set(batch.messages.map((message) => message.feed))) options.heldFeeds.taken(feed)
      await batch.forwarded(held)
      if (batch.messages.length < recordsFew) await pause(pacer.take(), signal)
    }
  } finally {
    stopWatermarks.abort()
    await heartbeat
  }
}

/** A feed stands still for as long as the outlet says, then it is tried again. */
function hold(held: readonly HeldBack[], options: Forwarding, signal: AbortSignal): void {
  for (const entry of held) {
    const { feed, code, sentence, retryAfterMs } = entry
    const { heldFeeds } = options
    const isHeldAlready = heldFeeds.has(feed)
    heldFeeds.hold(entry)
    if (isHeldAlready) continue
    const place = entry.whole ? {} : { epoch: entry.epoch, seq: entry.seq }
    options.logger.warn({ feed, ...place, code, cause: sentence }, 'a feed is held: its spool keeps it, others go on')
    void pause(retryAfterMs, signal).then(() => heldFeeds.retry(feed))
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
  options: Forwarding,
  published: Map<string, string>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await pause(options.watermarkIntervalMs ?? 1000, signal)
    const news = options.spool
      .watermarks()
      .map(({ feed, epoch, seq }) => ({ feed, epoch, seq, place: `${feed}\0${epoch}`, mark: `${epoch}.${seq}` }))
      .filter(({ feed, place, mark }) => published.get(place) !== mark && !options.heldFeeds.isWhole(feed))
    if (news.length === 0) continue
    const watermarks = news.map((watermark) => watermarkOf(watermark, options))
    const held = await sendOnce(options, watermarks, signal)
    if (held === undefined) continue
    // The forwarder of messages alone moves their cursor: a hold found here is found again there.
    const refused = new Set(held.map(({ feed }) => feed))
    for (const { feed, place, mark } of news) {
      if (refused.has(feed)) continue
      published.set(place, mark)
      options.heldFeeds.watermarkTaken(feed)
    }
    hold(
      held.filter(({ whole }) => whole),
      options,
      signal,
    )
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

/** What stays behind; undefined where nothing may have been sent. */
async function sendOnce(
  options: ForwardOptions,
  messages: readonly RawMessage[],
  signal: AbortSignal,
): Promise<readonly HeldBack[] | undefined> {
  try {
    await options.outlet.send(messages, signal)
    return []
  } catch (error) {
    if (error instanceof HeldBackError) return error.held
    if (!(error instanceof RetryableError)) throw error
    return undefined
  }
}

/** What stays behind of what was sent; undefined where `signal` aborted before. */
async function untilSent(
  options: ForwardOptions,
  signal: AbortSignal,
  send: () => Promise<void>,
): Promise<readonly HeldBack[] | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      await send()
      return []
    } catch (error) {
      if (error instanceof HeldBackError) return error.held
      if (!(error instanceof RetryableError)) throw error
      if (signal.aborted) return undefined
      const waitMs = error.retryAfterMs ?? Math.min(10_000, 50 * 2 ** Math.min(attempt, 8))
      options.logger.warn({ attempt, waitMs, cause: error.message }, 'nothing can be forwarded: the spool holds')
      await pause(waitMs, signal)
      if (signal.aborted) return undefined
    }
  }
}
