import { request as httpsRequest, type Agent } from 'node:https'
import { RetryableError } from '../core/errors.js'
import { readAnswer, refusalOf, type Answer, type Refused } from './uplink-answer.js'

/** The gateway said no, for a reason that waiting does not mend, or asked to wait. */
export class CallRefused extends Error {
  override readonly name = 'CallRefused'
  constructor(readonly refused: Refused) {
    super(refused.sentence)
  }
}

const idleTimeoutMs = 60_000

/** Posts JSON to the gateway. @throws CallRefused; RetryableError where the gateway cannot be reached */
export async function callGateway(
  { url, agent, signal }: { readonly url: URL; readonly agent: Agent; readonly signal?: AbortSignal },
  path: string,
  body: object,
): Promise<unknown> {
  const text = JSON.stringify(body)
  const answer = await new Promise<Answer>((resolve, reject) => {
    const request = httpsRequest({
      agent,
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? 443 : Number(url.port),
      method: 'POST',
      path,
      timeout: idleTimeoutMs,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      ...(signal !== undefined && { signal }),
    })
    request.once('timeout', () => request.destroy(new Error('nothing moved for too long')))
    request.once('response', (response) => void readAnswer(response).then(resolve, reject))
    request.on('error', reject)
    request.end(text)
  }).catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException
    throw new RetryableError(`the gateway ${url.host} cannot be reached: ${code ?? message}`, { cause: error })
  })
  if (answer.status !== 200) throw new CallRefused(refusalOf(answer))
  try {
    return JSON.parse(answer.text)
  } catch {
    throw new CallRefused(refusalOf(answer))
  }
}
