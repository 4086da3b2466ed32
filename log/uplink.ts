import { request as httpsRequest, type Agent } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { RetryableError, UsageError } from '../core/errors.js'
import type { Metrics } from '../core/telemetry.js'
import type { EventCodec } from '../schemas/codec.js'
import type { RawMessage } from '../schemas/types.js'
import { HeldBackError, type HeldBack, type RawOutlet } from './raw-outlet.js'
import { addressOf, readAnswer, refusedBy, type Answer, type Refused } from './uplink-answer.js'
import { uplinkAgent, type UplinkCredentials } from './uplink-connection.js'
import { narrowingOf, staysBehind } from './uplink-narrowing.js'
import { batchContentType, decodedLengthHeader, encodeBatch, uplinkPath } from './uplink-wire.js'

export interface UplinkOptions extends UplinkCredentials {
  /** https://host:port of the gateway. */
  readonly url: string
  /** http://user:password@host:port of a proxy that allows CONNECT. */
  readonly proxy?: string
  /** Of compressed batches; unlimited where left out. */
  readonly bytesPerSecond?: number
  readonly environment: string
  /** Writes with the schemas of this installation: the frame carries their fingerprint. */
  readonly codec: EventCodec
  readonly metrics: Metrics
  /** A request in which nothing moves for this long is given up, ms (default 90,000). */
  readonly idleTimeoutMs?: number
  /** Of what is said to the edge's engineer (default en). */
  readonly language?: 'zh' | 'en'
}

export interface Uplink extends RawOutlet {
  /** What is sent from now on goes over a new connection, with the certificate that is there then. */
  reconnect(): Promise<void>
  /** Why the last batch was not accepted and what to do; undefined where it was, or where there was none yet. */
  readonly problem: string | undefined
  close(): Promise<void>
}

const compress = promisify(gzip)
const chunkBytes = 16 * 1024

/**
 * Raw messages to the gateway of the province, one request at a time, a batch again until it is answered with 200. The
 * gateway's Retry-After holds all requests; what it refuses of one feed holds that feed alone. @throws UsageError for an address or files that cannot be used
 */
export function openUplink(options: UplinkOptions): Uplink {
  const url = addressOf(options.url, 'https:', 'uplink.url')
  const proxy = options.proxy === undefined ? undefined : addressOf(options.proxy, 'http:', 'uplink.proxy')
  const agent = uplinkAgent(options, proxy)
  const pace = bandwidthCap(options.bytesPerSecond)
  const closing = new AbortController()
  let heldUntil = 0
  let problem: string | undefined
  let turn: Promise<unknown> = Promise.resolve()

  const post = async (messages: readonly RawMessage[], signal: AbortSignal): Promise<Refused | undefined> => {
    const body = encodeBatch(
      options.environment,
      messages.map((message) => options.codec.encode('raw', message)),
    )
    const packed = await compress(body)
    const answer = await exchange({ url, agent, packed, decodedLength: body.length, pace, options, signal })
    options.metrics.uplinkBytes.inc(packed.length)
    const refused = refusedBy(answer, options.language)
    options.metrics.uplinkRequests.inc({ outcome: refused?.code ?? 'taken' })
    // The next attempt shows the certificate that lies there by then.
    if (refused?.code.startsWith('certificate-') === true) agent.destroy()
    return refused
  }
  const accepted = (why: string | undefined): void => {
    problem = why
    options.metrics.uplinkAccepted.set(why === undefined ? 1 : 0)
  }
  const postNarrowing = async (messages: readonly RawMessage[], signal: AbortSignal): Promise<void> => {
    const held = new Map<string, HeldBack>()
    const parts = [messages]
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      const going = part.filter((message) => !staysBehind(message, held.get(message.feed)))
      if (going.length === 0) continue
      const refused = await post(going, signal)
      if (refused === undefined) {
        accepted(undefined)
        continue
      }
      const { code, sentence, retryAfterMs } = refused
      const narrowing = narrowingOf(refused, going)
      if (narrowing.step === 'wait') {
        heldUntil = Date.now() + retryAfterMs
        throw new RetryableError(sentence, { retryAfterMs })
      }
      if (narrowing.step === 'halve') {
        const half = going.length >> 1
        parts.unshift(going.slice(0, half), going.slice(half))
        continue
      }
      const { index, whole } = narrowing
      const { feed, epoch, seq } = going[index]!
      // The whole of a feed stands still from before its first number.
      const place = whole ? { feed, epoch: 0, seq: 0 } : { feed, epoch, seq }
      held.set(feed, { ...place, whole, code, sentence, retryAfterMs })
      parts.unshift(going)
    }
    if (held.size > 0) throw new HeldBackError([...held.values()])
  }
  const attempt = async (messages: readonly RawMessage[], signal: AbortSignal): Promise<void> => {
    const heldMs = heldUntil - Date.now()
    if (heldMs > 0) throw new RetryableError('the gateway asked to wait', { retryAfterMs: heldMs })
    await postNarrowing(messages, signal).catch((error: unknown) => {
      if (error instanceof RetryableError && !(error instanceof HeldBackError)) accepted(error.message)
      throw error
    })
  }
  return {
    get problem() {
      return problem
    },
    // The edge's object store is not the province's: everything travels.
    contentBytesMax: Infinity,
    send(messages, signal) {
      const sent = turn.then(() => attempt(messages, AbortSignal.any([signal, closing.signal])))
      turn = sent.catch(() => undefined)
      return sent
    },
    async reconnect() {
      turn = turn.then(() => agent.destroy())
      await turn
    },
    async close() {
      closing.abort()
      await turn
      agent.destroy()
    },
  }
}

async function exchange(work: {
  readonly url: URL
  readonly agent: Agent
  readonly packed: Buffer
  readonly decodedLength: number
  readonly pace: (bytes: number, signal: AbortSignal) => Promise<void>
  readonly options: UplinkOptions
  readonly signal: AbortSignal
}): Promise<Answer> {
  const { url, agent, packed, pace, signal, options } = work
  const request = httpsRequest({
    agent,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 443 : Number(url.port),
    method: 'POST',
    path: uplinkPath,
    signal,
    timeout: options.idleTimeoutMs ?? 90_000,
    headers: {
      'content-type': batchContentType,
      'content-encoding': 'gzip',
      'content-length': packed.length,
      [decodedLengthHeader]: work.decodedLength,
    },
  })
  request.once('timeout', () => request.destroy(new Error('nothing moved for too long')))
  const answered = new Promise<Answer>((resolve, reject) => {
    request.once('response', (response) => void readAnswer(response).then(resolve, reject))
    request.on('error', reject)
  })
  const sending = pipeline(Readable.from(pacedChunks(packed, pace, signal), { objectMode: false }), request)
  // An answer may come before the body is through (a refusal): it counts, not the broken pipe.
  sending.catch(() => undefined)
  try {
    return await answered
  } catch (error) {
    options.metrics.uplinkRequests.inc({ outcome: 'unreachable' })
    if (error instanceof UsageError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    throw new RetryableError(`the gateway ${url.host} cannot be reached: ${code ?? message}`, { cause: error })
  } finally {
    // An answer in the middle of the body leaves a connection that nothing more can be sent on.
    if (!request.writableFinished) request.destroy()
  }
}

async function* pacedChunks(
  packed: Buffer,
  pace: (bytes: number, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  for (let at = 0; at < packed.length; at += chunkBytes) {
    const chunk = packed.subarray(at, at + chunkBytes)
    await pace(chunk.length, signal)
    yield chunk
  }
}

/** ms of any monotonic clock, and a wait on it. */
export interface Waiting {
  now(): number
  sleep(ms: number, signal: AbortSignal): Promise<void>
}
const realWaiting: Waiting = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
}

/** Waits before bytes that would go beyond the rate; time that passes unused is not saved up. */
export function bandwidthCap(
  bytesPerSecond: number | undefined,
  { now, sleep }: Waiting = realWaiting,
): (bytes: number, signal: AbortSignal) => Promise<void> {
  let freeAt = 0
  return async (bytes, signal) => {
    if (bytesPerSecond === undefined) return
    const at = now()
    const waitMs = freeAt - at
    freeAt = Math.max(at, freeAt) + (bytes / bytesPerSecond) * 1000
    if (waitMs > 0) await sleep(waitMs, signal)
  }
}
