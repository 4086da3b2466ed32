import { createHmac } from 'node:crypto'
import { UsageError } from '../../core/errors.js'
import type { DueNotice } from '../../repository/alerts.js'
import { ChannelFault, type Channel } from './channel.js'
import type { ChannelConfig } from './config.js'
import { composeText } from './digest.js'
import { mailChannel } from './mail.js'
import { noticeJson } from './notice-text.js'
import { httpFault, robotFault, robotLimits, type HttpAnswer } from './robots.js'

export interface HttpMessage {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** So many of the notices, from the first, it tells. */
  readonly told: number
}

/** Notices in one post of a generic webhook. */
const webhookNoticesMax = 100

const hmac = (key: string, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/**
 * What is posted for a robot or webhook. DingTalk (自定义机器人加签): HMAC-SHA256 of `timestamp\nsecret` keyed with the secret,
 * in the query, ms. Feishu (签名校验): HMAC-SHA256 of nothing keyed with `timestamp\nsecret`, in the body, seconds.
 * A generic webhook: `X-Hutong-Signature: sha256=<hex>` of `timestamp.body`, with X-Hutong-Timestamp in seconds. Pure.
 */
export function httpMessage(config: ChannelConfig, notices: readonly DueNotice[], now: number): HttpMessage {
  const { secret, language = 'zh', type } = config
  const json = { 'content-type': 'application/json; charset=utf-8' }
  const url = new URL(config.url ?? '')
  const seconds = String(Math.floor(now / 1000))
  switch (type) {
    case 'dingtalk': {
      const { text, told } = composeText(notices, language, robotLimits[type])
      if (secret !== undefined) {
        url.searchParams.set('timestamp', String(now))
        url.searchParams.set('sign', hmac(secret, `${now}\n${secret}`).toString('base64'))
      }
      return { url: url.href, headers: json, body: JSON.stringify({ msgtype: 'text', text: { content: text } }), told }
    }
    case 'wecom': {
      const { text, told } = composeText(notices, language, robotLimits[type])
      return { url: url.href, headers: json, body: JSON.stringify({ msgtype: 'text', text: { content: text } }), told }
    }
    case 'feishu': {
      const { text, told } = composeText(notices, language, robotLimits[type])
      const signed =
        secret === undefined ? {} : { timestamp: seconds, sign: hmac(`${seconds}\n${secret}`, '').toString('base64') }
      const body = JSON.stringify({ ...signed, msg_type: 'text', content: { text } })
      return { url: url.href, headers: json, body, told }
    }
    case 'webhook': {
      const taken = notices.slice(0, webhookNoticesMax)
      const body = JSON.stringify(noticeJson(taken))
      const signature: Record<string, string> =
        secret === undefined
          ? {}
          : {
              'x-hutong-timestamp': seconds,
              'x-hutong-signature': `sha256=${hmac(secret, `${seconds}.${body}`).toString('hex')}`,
            }
      return { url: url.href, headers: { ...json, ...signature }, body, told: taken.length }
    }
    case 'smtp':
      throw new UsageError('a mail channel posts nothing')
  }
}

/** Time a robot or webhook has for one message, ms. */
const sendMs = 15_000

/** A channel by its name under `watch.channels`. @throws UsageError for a file that cannot be used */
export function openChannel(name: string, config: ChannelConfig, now: () => number): Channel {
  return config.type === 'smtp' ? mailChannel(`watch.channels.${name}`, config) : httpChannel(config, now)
}

function httpChannel(config: ChannelConfig, now: () => number): Channel {
  const { type } = config
  return {
    spacingMs: type === 'dingtalk' || type === 'wecom' || type === 'feishu' ? robotLimits[type].spacingMs : 0,
    async send(notices, signal) {
      const { told, ...message } = httpMessage(config, notices, now())
      const answer = await post(message, AbortSignal.any([signal, AbortSignal.timeout(sendMs)]))
      const fault =
        type === 'dingtalk' || type === 'wecom' || type === 'feishu'
          ? robotFault(type, answer)
          : answer.status < 200 || answer.status > 299
            ? httpFault(answer)
            : undefined
      if (fault !== undefined) throw fault
      return told
    },
  }
}

async function post({ url, headers, body }: Omit<HttpMessage, 'told'>, signal: AbortSignal): Promise<HttpAnswer> {
  try {
    const response = await fetch(url, { method: 'POST', headers, body, redirect: 'error', signal })
    const wait = response.headers.get('x-ogw-ratelimit-reset') ?? response.headers.get('retry-after')
    const waitSeconds = wait !== null && /^\d{1,5}$/.test(wait) ? Number(wait) : undefined
    return { status: response.status, body: (await response.text()).slice(0, 4096), waitSeconds }
  } catch (error) {
    // fetch's own text may quote the address, which holds the token
    throw new ChannelFault(`not reached: ${faultCode(error)}: look at url, the firewall and the name service`, {
      cause: error,
    })
  }
}

function faultCode(error: unknown): string {
  const { name, cause, code } = error as { name?: string; code?: unknown; cause?: { code?: unknown } }
  return String(cause?.code ?? code ?? (name === 'TimeoutError' ? `no answer in ${sendMs} ms` : name))
}
