import { request as httpsRequest } from 'node:https'
import { RetryableError } from '../core/errors.js'
import { addressOf, readAnswer, refusedBy, type Answer } from './uplink-answer.js'
import { uplinkAgent, type UplinkCredentials } from './uplink-connection.js'
import { helloPath, type Hello } from './uplink-wire.js'

export interface HelloOptions extends UplinkCredentials {
  /** https://host:port of the gateway. */
  readonly url: string
  readonly proxy?: string
  readonly language?: 'zh' | 'en'
  /** Without an answer by then it counts as not reached, ms (default 30,000). */
  readonly timeoutMs?: number
}

/**
 * Asks the gateway who it takes this edge for; sends nothing. @throws RetryableError with why it is refused or not
 * reached, and what to do; UsageError for an address or files that cannot be used
 */
export async function helloOfGateway(options: HelloOptions): Promise<Hello> {
  const url = addressOf(options.url, 'https:', 'uplink.url')
  const agent = uplinkAgent(
    options,
    options.proxy === undefined ? undefined : addressOf(options.proxy, 'http:', 'uplink.proxy'),
  )
  try {
    const answer = await new Promise<Answer>((resolve, reject) => {
      const request = httpsRequest({
        ...{ agent, host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 443 : Number(url.port) },
        ...{ method: 'GET', path: helloPath, signal: AbortSignal.timeout(options.timeoutMs ?? 30_000) },
      })
      request.once('response', (response) => void readAnswer(response).then(resolve, reject))
      request.once('error', reject)
      request.end()
    }).catch((error: NodeJS.ErrnoException) => {
      throw new RetryableError(`${url.host}: ${error.code ?? error.message}`, { cause: error })
    })
    const hello = answer.status === 200 ? helloOf(answer.text) : undefined
    if (hello !== undefined) return hello
    throw new RetryableError(refusedBy(answer, options.language)?.sentence ?? `HTTP ${answer.status}`)
  } finally {
    agent.destroy()
  }
}

function helloOf(text: string): Hello | undefined {
  try {
    const { environment, hospital, edge, now, feeds } = JSON.parse(text) as Record<keyof Hello, unknown>
    const texts = [environment, hospital, edge, ...(Array.isArray(feeds) ? (feeds as unknown[]) : [undefined])]
    return texts.every((one) => typeof one === 'string') && typeof now === 'number'
      ? (JSON.parse(text) as Hello)
      : undefined
  } catch {
    return undefined
  }
}
