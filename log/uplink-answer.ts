import type { IncomingMessage } from 'node:http'
import { UsageError } from '../core/errors.js'
import { gatewayRefusals, isGatewayRefusalCode, refusalSentence } from '../core/gateway-refusals.js'

const answerBytesMax = 64 * 1024
/** A refusal that waiting does not mend is tried again this often: somebody has to change something first. */
const refusedRetryMs = 30_000

/** What came back, from the gateway or from something on the way. */
export interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly text: string
}

/** @throws Error where it is longer than any of a gateway */
export async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > answerBytesMax) throw new Error('the answer is longer than any of a gateway')
    chunks.push(chunk)
  }
  return {
    status: response.statusCode ?? 0,
    retryAfter: response.headers['retry-after'],
    text: Buffer.concat(chunks).toString('utf8'),
  }
}

/** Why the batch was not taken, and when to try again. */
export interface Refused {
  /** HTTP */
  readonly status: number
  readonly code: string
  /** Index in the batch of what it is about. */
  readonly record: number | undefined
  readonly sentence: string
  readonly retryAfterMs: number
  /** Waiting mends it. */
  readonly isTemporary: boolean
}

/** Undefined where the batch is taken. Its code counts only if it is ours: a proxy may answer in the gateway's stead. */
export function refusedBy(answer: Answer, language: 'zh' | 'en' = 'en'): Refused | undefined {
  const { status, text } = answer
  const body = parsed(text)
  if (status === 200 && (body.outcome === 'taken' || body.outcome === 'already')) return undefined
  return refusalOf(answer, language)
}

/** What an answer that is not the one hoped for says. */
export function refusalOf({ status, retryAfter, text }: Answer, language: 'zh' | 'en' = 'en'): Refused {
  const body = parsed(text)
  const seconds = Number(retryAfter)
  const known = isGatewayRefusalCode(body.code) ? body.code : undefined
  const isTemporary = status === 429 || status === 503
  const waitMs =
    retryAfter !== undefined && seconds >= 0 ? Math.min(600, seconds) * 1000 : isTemporary ? 5000 : refusedRetryMs
  // Many edges that were sent away together do not come back together.
  const retryAfterMs = Math.round(waitMs * (1 + Math.random() / 5))
  if (known === undefined) {
    return {
      status,
      code: 'unknown-answer',
      record: undefined,
      retryAfterMs,
      isTemporary,
      sentence: unknownAnswer[language](status),
    }
  }
  const detail = typeof body.message === 'string' ? body.message.slice(0, 300) : gatewayRefusals[known].en
  const record = Number.isInteger(body.record) ? (body.record as number) : undefined
  const sentence = refusalSentence(known, detail, language)
  return { status, code: known, record, retryAfterMs, isTemporary, sentence }
}

const unknownAnswer = {
  en: (status: number) =>
    status === 413
      ? 'HTTP 413, and not from a gateway: a device on the way takes no request so large: raise its limit above the largest message'
      : `HTTP ${status}, and not from a gateway: look at uplink.url and the proxy`,
  zh: (status: number) =>
    status === 413
      ? 'HTTP 413，且不是网关的应答：途中的设备不接受这样大的请求，请把其限制调到大于最大消息'
      : `HTTP ${status}，且不是网关的应答：检查 uplink.url 与代理`,
}

function parsed(text: string): Partial<Record<'outcome' | 'code' | 'message' | 'record', unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

/** The address of an option. @throws UsageError where it is not protocol//host:port */
export function addressOf(text: string, protocol: string, option: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== protocol || url.pathname !== '/') {
    throw new UsageError(`${option}: must be ${protocol}//host:port, without a path`)
  }
  return url
}
