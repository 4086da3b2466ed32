import { createHmac } from 'node:crypto'
import { createTransport } from 'nodemailer'
import { UsageError } from '../../core/errors.js'
import type { DueNotice } from '../../repository/alerts.js'
import type { ChannelConfig } from './config.js'
import { noticeJson, noticeText } from './notice-text.js'

/** A way to tell people. */
export interface Channel {
  /** Resolves once the other side has taken the notices. @throws Error whose message holds no secret */
  send(notices: readonly DueNotice[], signal: AbortSignal): Promise<void>
}

export interface HttpMessage {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const hmac = (key: string, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/**
 * What is posted for a robot or webhook. DingTalk (自定义机器人加签): HMAC-SHA256 of `timestamp\nsecret` keyed with the secret,
 * in the query, ms. Feishu (签名校验): HMAC-SHA256 of nothing keyed with `timestamp\nsecret`, in the body, seconds.
 * A generic webhook: `X-Hutong-Signature: sha256=<hex>` of `timestamp.body`, with X-Hutong-Timestamp in seconds. Pure.
 */
export function httpMessage(config: ChannelConfig, notices: readonly DueNotice[], now: number): HttpMessage {
  const { secret, language = 'zh' } = config
  const text = noticeText(notices, language)
  const json = { 'content-type': 'application/json; charset=utf-8' }
  const url = new URL(config.url ?? '')
  const seconds = String(Math.floor(now / 1000))
  switch (config.type) {
    case 'dingtalk': {
      if (secret !== undefined) {
        url.searchParams.set('timestamp', String(now))
        url.searchParams.set('sign', hmac(secret, `${now}\n${secret}`).toString('base64'))
      }
      return { url: url.href, headers: json, body: JSON.stringify({ msgtype: 'text', text: { content: text } }) }
    }
    case 'wecom':
      return {
        url: url.href,
        headers: json,
        // a robot's text is cut off at 2048 bytes
        body: JSON.stringify({ msgtype: 'text', text: { content: cutBytes(text, 2048) } }),
      }
    case 'feishu': {
      const signed =
        secret === undefined ? {} : { timestamp: seconds, sign: hmac(`${seconds}\n${secret}`, '').toString('base64') }
      return { url: url.href, headers: json, body: JSON.stringify({ ...signed, msg_type: 'text', content: { text } }) }
    }
    case 'webhook': {
      const body = JSON.stringify(noticeJson(notices))
      const signature: Record<string, string> =
        secret === undefined
          ? {}
          : {
              'x-hutong-timestamp': seconds,
              'x-hutong-signature': `sha256=${hmac(secret, `${seconds}.${body}`).toString('hex')}`,
            }
      return { url: url.href, headers: { ...json, ...signature }, body }
    }
    case 'smtp':
      throw new UsageError('a mail channel posts nothing')
  }
}

/** At most `bytesMax` bytes of UTF-8, cut between characters. */
function cutBytes(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text
  const cut = new TextDecoder().decode(Buffer.from(text).subarray(0, bytesMax - 3))
  return `${cut.replace(/\ufffd+$/, '')}…`
}

/** Robots answer 200 also when they refuse: errcode (DingTalk, WeCom) or code (Feishu) says so. */
export function refusalOf(type: ChannelConfig['type'], status: number, body: string): string | undefined {
  if (status < 200 || status > 299) return `HTTP ${status}`
  if (type === 'webhook') return undefined
  let answer: { errcode?: unknown; code?: unknown; StatusCode?: unknown }
  try {
    answer = JSON.parse(body) as typeof answer
  } catch {
    return 'the answer is not JSON: is this the address of the robot?'
  }
  const code = type === 'feishu' ? (answer.code ?? answer.StatusCode) : answer.errcode
  return code === 0 ? undefined : `the robot refused with code ${String(code)}`
}

/** Time a channel has for one message, ms. */
const sendMs = 15_000

export function openChannel(config: ChannelConfig, now: () => number): Channel {
  return config.type === 'smtp' ? mailChannel(config) : httpChannel(config, now)
}

function httpChannel(config: ChannelConfig, now: () => number): Channel {
  return {
    async send(notices, signal) {
      const { url, headers, body } = httpMessage(config, notices, now())
      const limit = AbortSignal.any([signal, AbortSignal.timeout(sendMs)])
      let status: number
      let answer: string
      try {
        const response = await fetch(url, { method: 'POST', headers, body, redirect: 'error', signal: limit })
        status = response.status
        answer = (await response.text()).slice(0, 4096)
      } catch (error) {
        // fetch's own text may quote the address, which holds the token
        throw new Error(`not reached: ${faultCode(error)}`, { cause: error })
      }
      const refusal = refusalOf(config.type, status, answer)
      if (refusal !== undefined) throw new Error(refusal)
    },
  }
}

function faultCode(error: unknown): string {
  const { name, cause, code } = error as { name?: string; code?: unknown; cause?: { code?: unknown } }
  return String(cause?.code ?? code ?? (name === 'TimeoutError' ? `no answer in ${sendMs} ms` : name))
}

function mailChannel(config: ChannelConfig): Channel {
  const { host, tls = 'starttls', username, password, from, to, language = 'zh' } = config
  const transport = createTransport({
    host: host ?? '',
    port: config.port ?? (tls === 'implicit' ? 465 : tls === 'starttls' ? 587 : 25),
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    connectionTimeout: sendMs,
    greetingTimeout: sendMs,
    socketTimeout: sendMs,
    ...(username !== undefined && { auth: { user: username, pass: password ?? '' } }),
  })
  return {
    async send(notices) {
      const text = noticeText(notices, language)
      const first = text.split('\n', 1)[0] ?? ''
      try {
        await transport.sendMail({
          from: from ?? '',
          to: [...(to ?? [])],
          subject: notices.length === 1 ? first : `${first} (+${notices.length - 1})`,
          text: `${text}\n`,
        })
      } catch (error) {
        const { code, responseCode } = error as { code?: string; responseCode?: number }
        throw new Error(`not taken by the mail server: ${String(responseCode ?? code ?? 'failed')}`, { cause: error })
      }
    },
  }
}
