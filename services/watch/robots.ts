import { ChannelFault } from './channel.js'
import type { TextLimits } from './digest.js'
import type { ChannelConfig } from './config.js'

export type RobotType = Extract<ChannelConfig['type'], 'dingtalk' | 'wecom' | 'feishu'>

/** What a robot takes. */
export interface RobotLimits extends TextLimits {
  readonly spacingMs: number
}

/**
 * Below what is documented, with room for JSON's escapes and for both ways of counting a minute. DingTalk 自定义机器人接入:
 * 20 messages a minute, else it is shut for 10 minutes; 20,000 bytes. WeCom 群机器人配置说明: 20 a minute, text of 2,048
 * bytes. Feishu 自定义机器人使用指南: 100 a minute and 5 a second, body of 20 KB.
 */
export const robotLimits: Readonly<Record<RobotType, RobotLimits>> = {
  dingtalk: { spacingMs: 3_500, bytesMax: 16_000, linesMax: 40 },
  wecom: { spacingMs: 3_500, bytesMax: 2_000, linesMax: 40 },
  feishu: { spacingMs: 1_000, bytesMax: 16_000, linesMax: 40 },
}

/** How the other side answered. */
export interface HttpAnswer {
  readonly status: number
  readonly body: string
  /** Of Retry-After (RFC 9110 section 10.2.3, seconds) or its like. */
  readonly waitSeconds?: number | undefined
}

interface RobotBody {
  readonly errcode?: unknown
  readonly errmsg?: unknown
  readonly code?: unknown
  readonly StatusCode?: unknown
  /** DingTalk's gateway says `deny` where it shuts a robot out. */
  readonly punish?: unknown
}

interface Refusal {
  readonly sentence: string
  readonly waitMs?: number
}

const minuteMs = 60_000
const wrongAddress = 'it is not known there: copy the address (url) again from the robot’s settings in the group'
const keyword = 'no keyword (自定义关键词) of the robot is in the text: enter 告警 and 已恢复, or ALERT and RECOVERED'
const wrongSign = 'the signature does not match: look at secret of the channel and at the clock of this machine'
const wrongSource = 'the robot has a list of addresses (IP 白名单) and this machine’s outbound address is not on it'
const tooLong = 'the message is too long for the robot'
const busy = 'the service is busy'

/** By the code that stands in the body, for robots refuse with HTTP 200. */
const refusals: Readonly<Record<RobotType, Readonly<Record<number, Refusal>>>> = {
  dingtalk: {
    [-1]: { sentence: busy },
    130101: { sentence: 'more than 20 messages a minute: it is shut for 10 minutes', waitMs: 10 * minuteMs },
    410100: { sentence: 'more than 20 messages a minute: it is shut for 10 minutes', waitMs: 10 * minuteMs },
    310000: { sentence: 'its security settings (安全设置) refuse this' },
    300001: { sentence: wrongAddress },
    300005: { sentence: wrongAddress },
    40035: { sentence: wrongAddress },
    400101: { sentence: wrongAddress },
    400106: { sentence: wrongAddress },
    400013: { sentence: 'its group no longer exists: add a robot to another group' },
    400102: { sentence: 'it has been switched off in the group: switch it on again' },
    460101: { sentence: tooLong },
  },
  wecom: {
    [-1]: { sentence: busy },
    45009: { sentence: 'more than 20 messages a minute', waitMs: minuteMs },
    45033: { sentence: 'too many messages at once', waitMs: minuteMs },
    93000: { sentence: wrongAddress },
    40058: { sentence: tooLong },
  },
  feishu: {
    9499: { sentence: 'it does not understand the message: is this the address of a custom robot (自定义机器人)?' },
    11232: { sentence: 'too many messages, or the service is under load', waitMs: minuteMs },
    99991400: { sentence: 'too many messages', waitMs: minuteMs },
    19001: { sentence: wrongAddress },
    19021: { sentence: wrongSign },
    19022: { sentence: wrongSource },
    19024: { sentence: keyword },
    19036: { sentence: tooLong },
  },
}

/** DingTalk gives one code for all its security settings; only the text tells them apart. */
function securityRefusal(errmsg: string): Refusal | undefined {
  if (/keyword|关键词/i.test(errmsg)) return { sentence: keyword }
  if (/sign|timestamp|签名|时间戳/i.test(errmsg)) return { sentence: wrongSign }
  return /whitelist|\bip\b|白名单/i.test(errmsg) ? { sentence: wrongSource } : undefined
}

/** What stands in the way of a message according to the robot's answer; undefined where it was taken. Pure. */
export function robotFault(type: RobotType, answer: HttpAnswer): ChannelFault | undefined {
  const said = bodyOf(answer.body)
  const stated = type === 'feishu' ? (said?.code ?? said?.StatusCode) : said?.errcode
  const code = typeof stated === 'number' ? stated : said?.punish === undefined ? undefined : 130101
  const isTaken = answer.status >= 200 && answer.status <= 299
  if (code === 0 && isTaken) return undefined
  if (code === undefined || code === 0) {
    return isTaken
      ? new ChannelFault('the answer is not that of a robot: look at url of the channel')
      : httpFault(answer)
  }
  const refusal = code === 310000 ? securityRefusal(String(said?.errmsg)) : undefined
  const { sentence, waitMs } = refusal ?? refusals[type][code] ?? { sentence: 'see the error codes of its maker' }
  const askedMs = waitMs === undefined ? undefined : Math.max(waitMs, (answer.waitSeconds ?? 0) * 1000)
  return new ChannelFault(`the robot refused (${code}): ${sentence}`, { waitMs: askedMs })
}

/** A refusal that only the status tells. */
export function httpFault({ status, waitSeconds }: HttpAnswer): ChannelFault {
  const waitMs = status === 429 || status === 503 ? (waitSeconds ?? 60) * 1000 : undefined
  const sentence = status === 401 || status === 403 || status === 404 ? ': look at url and secret of the channel' : ''
  return new ChannelFault(`HTTP ${status}${sentence}`, { waitMs })
}

function bodyOf(text: string): RobotBody | undefined {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? body : undefined
  } catch {
    return undefined
  }
}
