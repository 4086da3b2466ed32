import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RobotType } from '../../../services/watch/robots.js'

/**
 * A robot as its maker documents it, which refuses what the real one refuses: DingTalk 自定义机器人接入 and 安全设置 (加签), WeCom
 * 群机器人配置说明, Feishu 自定义机器人使用指南 (签名校验). Refusals come with HTTP 200 and a code in the body.
 */
export interface RobotStub {
  readonly url: string
  /** Texts of the messages taken, in order. */
  readonly taken: readonly string[]
  /** Codes of the messages refused, in order. */
  readonly refused: readonly number[]
  /** Answers this instead of looking at the message, until it is undefined again. */
  instead: { readonly status: number; readonly body: string; readonly headers?: Record<string, string> } | undefined
  close(): Promise<void>
}

export const robotSecret = 'SEC-synthetic-secret'
const token = 'synthetic-token'

interface Request {
  readonly url: URL
  readonly contentType: string
  readonly body: string
  readonly now: number
}

interface Verdict {
  readonly code: number
  readonly message: string
  readonly text?: string
}

type Body = Readonly<Record<string, unknown>>

const sha256 = (key: string, text: string): string => createHmac('sha256', key).update(text).digest('base64')
const hasKeys = (value: unknown, keys: readonly string[]): value is Body =>
  typeof value === 'object' && value !== null && Object.keys(value).sort().join() === [...keys].sort().join()
const textIn = (value: unknown, key: string): string | undefined =>
  hasKeys(value, [key]) && typeof value[key] === 'string' && value[key] !== '' ? value[key] : undefined

function dingtalk({ url, contentType, body, now }: Request): Verdict {
  if (url.searchParams.get('access_token') !== token) return { code: 300005, message: 'token is not exist' }
  if (!/^application\/json; ?charset=utf-8$/i.test(contentType)) return { code: 43004, message: '无效的HTTP HEADER' }
  const stamp = Number(url.searchParams.get('timestamp'))
  // milliseconds, and not an hour off
  if (Math.abs(stamp - now) > 3_600_000) return { code: 310000, message: 'description:invalid timestamp' }
  if (url.searchParams.get('sign') !== sha256(robotSecret, `${stamp}\n${robotSecret}`)) {
    return { code: 310000, message: 'description:机器人发送签名不匹配;sign not match' }
  }
  const message: unknown = JSON.parse(body)
  const text =
    hasKeys(message, ['msgtype', 'text']) && message.msgtype === 'text' ? textIn(message.text, 'content') : undefined
  if (text === undefined) return { code: 40035, message: '不合法的参数' }
  if (Buffer.byteLength(body) > 20_000) return { code: 460101, message: 'message too long, exceed 20000 bytes' }
  return { code: 0, message: 'ok', text }
}

function wecom({ url, body }: Request): Verdict {
  if (url.searchParams.get('key') !== token) return { code: 93000, message: 'invalid webhook url' }
  const message: unknown = JSON.parse(body)
  const text =
    hasKeys(message, ['msgtype', 'text']) && message.msgtype === 'text' ? textIn(message.text, 'content') : undefined
  if (text === undefined) return { code: 40008, message: 'invalid message type' }
  if (Buffer.byteLength(text) > 2048) return { code: 40058, message: 'content exceed max length' }
  return { code: 0, message: 'ok', text }
}

function feishu({ url, body, now }: Request): Verdict {
  if (!url.pathname.endsWith(`/${token}`))
    return { code: 19001, message: 'param invalid: incoming webhook access token invalid' }
  if (Buffer.byteLength(body) > 20 * 1024) return { code: 9499, message: 'Bad Request' }
  const message: unknown = JSON.parse(body)
  if (!hasKeys(message, ['timestamp', 'sign', 'msg_type', 'content'])) return { code: 9499, message: 'Bad Request' }
  const { timestamp, sign, msg_type: kind, content } = message
  const isRecent = typeof timestamp === 'string' && Math.abs(Number(timestamp) * 1000 - now) <= 3_600_000
  if (!isRecent || sign !== sha256(`${timestamp}\n${robotSecret}`, '')) {
    return { code: 19021, message: 'sign match fail or timestamp is not within one hour from current time' }
  }
  const text = kind === 'text' ? textIn(content, 'text') : undefined
  return text === undefined ? { code: 9499, message: 'Bad Request' } : { code: 0, message: 'success', text }
}

const robots = {
  dingtalk: {
    judge: dingtalk,
    path: `/robot/send?access_token=${token}`,
    bounds: [[20, 60_000]],
    tooFast: { code: 130101, message: 'send too fast, exceed 20 times per minute' },
    // shut for ten minutes, whatever comes meanwhile
    shutMs: 600_000,
  },
  wecom: {
    judge: wecom,
    path: `/cgi-bin/webhook/send?key=${token}`,
    bounds: [[20, 60_000]],
    tooFast: { code: 45009, message: 'api freq out of limit' },
    shutMs: 60_000,
  },
  feishu: {
    judge: feishu,
    path: `/open-apis/bot/v2/hook/${token}`,
    bounds: [
      [100, 60_000],
      [5, 1000],
    ],
    tooFast: { code: 11232, message: 'frequency limited' },
    shutMs: 0,
  },
} as const satisfies Record<
  RobotType,
  {
    judge(request: Request): Verdict
    path: string
    bounds: readonly (readonly [number, number])[]
    tooFast: Verdict
    shutMs: number
  }
>

/** Its clock is the test's. */
export async function robotStub(type: RobotType, now: () => number): Promise<RobotStub> {
  const { judge, path, bounds, tooFast, shutMs } = robots[type]
  const [taken, refused, times] = [[] as string[], [] as number[], [] as number[]]
  let shutUntil = 0
  const limited = (at: number): boolean => {
    if (at < shutUntil) return true
    const isOver = bounds.some(([count, ms]) => times.filter((time) => at - time < ms).length >= count)
    if (isOver) shutUntil = at + shutMs
    return isOver
  }
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const at = now()
      if (made.instead !== undefined) {
        const { status, body, headers } = made.instead
        response.writeHead(status, headers).end(body)
        return
      }
      const url = new URL(request.url!, 'http://stub')
      const contentType = request.headers['content-type'] ?? ''
      const verdict: Verdict = limited(at)
        ? tooFast
        : judge({ url, contentType, body: Buffer.concat(chunks).toString(), now: at })
      if (verdict.text !== undefined) {
        times.push(at)
        taken.push(verdict.text)
      } else refused.push(verdict.code)
      const said =
        type === 'feishu'
          ? { code: verdict.code, msg: verdict.message, data: {} }
          : { errcode: verdict.code, errmsg: verdict.message }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const made: RobotStub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    taken,
    refused,
    instead: undefined,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
  return made
}
