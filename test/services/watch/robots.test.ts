import { afterEach, describe, expect, test } from 'vitest'
import { ChannelFault } from '../../../services/watch/channel.js'
import { httpMessage, openChannel } from '../../../services/watch/channels.js'
import { watchFaults, type ChannelConfig } from '../../../services/watch/config.js'
import { composeText } from '../../../services/watch/digest.js'
import { afterFailure } from '../../../services/watch/deliver.js'
import { robotFault, robotLimits, type RobotType } from '../../../services/watch/robots.js'
import { dueNotice } from './due-notices.js'
import { robotSecret, robotStub, type RobotStub } from './robot-stubs.js'

const types = Object.keys(robotLimits) as RobotType[]
const stubs: RobotStub[] = []
let now = Date.parse('2026-06-10T09:00:00+08:00')
afterEach(async () => {
  for (const { close } of stubs.splice(0)) await close()
})
const stubOf = async (type: RobotType): Promise<RobotStub> => {
  const stub = await robotStub(type, () => now)
  stubs.push(stub)
  return stub
}
const configOf = (type: RobotType, url: string): ChannelConfig =>
  type === 'wecom' ? { type, url } : { type, url, secret: robotSecret }
const many = (count: number) => Array.from({ length: count }, (_, index) => dueNotice(index + 1))
const signal = (): AbortSignal => new AbortController().signal

async function faultOf(sending: Promise<unknown>): Promise<ChannelFault> {
  const error: unknown = await sending.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(error).toBeInstanceOf(ChannelFault)
  expect((error as Error).message, 'no secret, no address').not.toMatch(/synthetic|127\.0\.0\.1|http:/)
  return error as ChannelFault
}

describe.each(types)('%s', (type) => {
  test('takes a signed message in its form', async () => {
    const stub = await stubOf(type)
    // signatures of several times: base64 holds + and / in some of them
    for (let round = 0; round < 15; round++) {
      now += 4001
      const channel = openChannel('duty', configOf(type, stub.url), () => now)
      expect(await channel.send([dueNotice()], signal())).toBe(1)
    }
    expect(stub.refused).toEqual([])
    expect(stub.taken).toHaveLength(15)
    expect(stub.taken[0]).toContain('[告警] H001 lis-h001')
  }, 60_000)

  test('a backlog goes out in messages it takes, at the pace it bears, and each notice once', async () => {
    const stub = await stubOf(type)
    const channel = openChannel('duty', configOf(type, stub.url), () => now)
    // several backlogs, each of two to three messages
    for (let backlog = 0; backlog < 30; backlog++) {
      let left = many(35)
      while (left.length > 0) {
        left = left.slice(await channel.send(left, signal()))
        now += channel.spacingMs
      }
    }
    expect(stub.refused).toEqual([])
    const lines = stub.taken.flatMap((text) => text.split('\n'))
    expect(lines).toHaveLength(30 * 35)
    expect(new Set(lines).size).toBe(35)
  }, 60_000)

  test('a flood becomes one digest that it takes', async () => {
    const stub = await stubOf(type)
    const channel = openChannel('duty', configOf(type, stub.url), () => now)
    now += 600_000
    const flood = [...many(398), dueNotice(399, { event: 'recovered' }), dueNotice(400, { event: 'recovered' })]
    expect(await channel.send(flood, signal())).toBe(400)
    const [digest] = stub.taken
    expect(digest).toMatch(/^共 400 条，涉及 300 家医院：告警 398, 已恢复 2（silence 400）\n\[告警\] H001/)
    const shown = digest!.split('\n').length - 2
    expect(digest).toContain(`… 其余 ${400 - shown} 条见 hutong alerts list`)
    expect(shown).toBeGreaterThan(5)
  }, 60_000)

  test('one message too many is a refusal that says how long the robot is to be left alone', async () => {
    const stub = await stubOf(type)
    const channel = openChannel('duty', configOf(type, stub.url), () => now)
    now += 3_600_000
    const limit = type === 'feishu' ? 5 : 20
    for (let count = 0; count < limit; count++) await channel.send([dueNotice()], signal())
    const fault = await faultOf(channel.send([dueNotice()], signal()))
    expect(stub.refused).toEqual([{ dingtalk: 130101, wecom: 45009, feishu: 11232 }[type]])
    expect(fault.waitMs).toBe({ dingtalk: 600_000, wecom: 60_000, feishu: 60_000 }[type])
    const { retryAt } = afterFailure([dueNotice()], now, fault.waitMs)
    now = retryAt
    expect(await channel.send([dueNotice()], signal()), 'then it takes messages again').toBe(1)
  }, 60_000)

  test('a wrong address is said', async () => {
    const stub = await stubOf(type)
    const wrong = configOf(type, stub.url.replace('synthetic-token', 'copied-badly'))
    const fault = await faultOf(openChannel('duty', wrong, () => now).send([dueNotice()], signal()))
    expect(fault.message).toMatch(/copy the address \(url\) again/)
    expect(stub.taken).toEqual([])
  }, 60_000)
})

describe.each(['dingtalk', 'feishu'] as const)('the signature of %s', (type) => {
  test('a wrong secret and a clock an hour off are said', async () => {
    const stub = await stubOf(type)
    const wrong = { ...configOf(type, stub.url), secret: 'SEC-synthetic-other' }
    const say = /signature does not match: look at secret of the channel and at the clock/
    expect((await faultOf(openChannel('d', wrong, () => now).send([dueNotice()], signal()))).message).toMatch(say)
    const late = openChannel('d', configOf(type, stub.url), () => now - 3_700_000)
    expect((await faultOf(late.send([dueNotice()], signal()))).message).toMatch(say)
    const unsigned = openChannel('d', { type, url: stub.url }, () => now)
    await faultOf(unsigned.send([dueNotice()], signal()))
    expect(stub.taken).toEqual([])
  }, 60_000)

  test('is theirs and not each other’s', () => {
    const at = 1_781_053_200_000
    const { url, body } = httpMessage({ type, url: 'https://robot.invalid/x', secret: 'SEC1' }, [dueNotice()], at)
    // computed apart: printf '<stamp>\nSEC1' | openssl dgst -sha256 -hmac SEC1 -binary | base64, and the other way about
    const sign =
      type === 'dingtalk' ? new URL(url).searchParams.get('sign') : (JSON.parse(body) as { sign: string }).sign
    expect(sign).toBe(
      {
        dingtalk: 'F8w8hFbHds3UKn25kVBr/syHDRiuB+jPjHYgg5Ig6iQ=',
        feishu: 'zbkQww7eejcEzxR2XzhEJPZ9/F4rx+UqUwR//3niLa4=',
      }[type],
    )
  })
})

describe('answers of robots', () => {
  const said = (type: RobotType, body: object | string, status = 200, waitSeconds?: number) =>
    robotFault(type, { status, body: typeof body === 'string' ? body : JSON.stringify(body), waitSeconds })

  test.each([
    ['dingtalk', { errcode: 0, errmsg: 'ok' }],
    ['wecom', { errcode: 0, errmsg: 'ok' }],
    ['feishu', { code: 0, msg: 'success', data: {} }],
    ['feishu', { StatusCode: 0, StatusMessage: 'success' }],
  ] as const)('%s took it: %j', (type, body) => expect(said(type, body)).toBeUndefined())

  test.each([
    ['dingtalk', { errcode: 310000, errmsg: 'keywords not in content' }, /关键词/],
    ['dingtalk', { errcode: 310000, errmsg: 'ip 203.0.113.9 not in whitelist' }, /白名单/],
    ['dingtalk', { errcode: 310000, errmsg: 'description:invalid timestamp' }, /clock/],
    ['dingtalk', { errcode: 310000, errmsg: 'something new' }, /安全设置/],
    ['dingtalk', { errcode: 400102, errmsg: '机器人已停用' }, /switched off/],
    ['dingtalk', { errcode: 123456, errmsg: '?' }, /\(123456\)/],
    ['wecom', { errcode: 93000, errmsg: 'invalid webhook url' }, /url/],
    ['feishu', { code: 19024, msg: 'Key Words Not Found' }, /关键词/],
    ['feishu', { code: 19022, msg: 'Ip Not Allowed' }, /白名单/],
    ['feishu', { code: 9499, msg: 'Bad Request' }, /自定义机器人/],
    ['feishu', '<html>proxy</html>', /not that of a robot/],
    ['wecom', {}, /not that of a robot/],
  ] as const)('%s refused with HTTP 200: %j', (type, body, sentence) => {
    expect(said(type, body)?.message).toMatch(sentence)
  })

  test('an answer may quote addresses and what was sent: nothing of it is kept', () => {
    const fault = said('dingtalk', { errcode: 310000, errmsg: 'ip 203.0.113.9 not in whitelist, token=abcdef' })
    expect(fault?.message).not.toMatch(/203\.0|abcdef/)
  })

  test('limits: what the robot asks for counts where it is longer', () => {
    expect(said('feishu', { code: 99991400, msg: 'request trigger frequency limit' }, 429, 90)?.waitMs).toBe(90_000)
    expect(said('feishu', { code: 11232, msg: 'frequency limited' }, 200, 5)?.waitMs).toBe(60_000)
    expect(said('dingtalk', { status: 1111, wait: 5, source: 'x5', punish: 'deny' })?.waitMs).toBe(600_000)
    expect(said('wecom', 'busy', 503, 7)?.waitMs).toBe(7000)
    expect(said('wecom', { errcode: 93000 })?.waitMs, 'no limit').toBeUndefined()
  })

  test('a header of the answer reaches it', async () => {
    const stub = await stubOf('feishu')
    stub.instead = {
      status: 429,
      body: '{"code":99991400,"msg":"request trigger frequency limit"}',
      headers: { 'x-ogw-ratelimit-reset': '120' },
    }
    const channel = openChannel('duty', configOf('feishu', stub.url), () => now)
    expect((await faultOf(channel.send([dueNotice()], signal()))).waitMs).toBe(120_000)
  })
})

describe('one message of many notices', () => {
  const limits = { bytesMax: 2000, linesMax: 40 }
  test.each(['zh', 'en'] as const)('never passes the bound, whatever the number: %s', (language) => {
    for (let count = 1; count <= 130; count++) {
      const { text, told } = composeText(many(count), language, limits)
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(limits.bytesMax)
      const lines = text.split('\n').filter((line) => line.startsWith('['))
      // either each notice told has its line, or the digest counts those it has no room for
      const counted = Number(/(?:其余 |… )(\d+)/.exec(text)?.[1] ?? 0)
      expect(lines.length + counted).toBe(told)
      expect(told).toBeGreaterThan(0)
    }
  })

  test('a secret for a robot that signs nothing is an error of the configuration', () => {
    const channels = { duty: { type: 'wecom' as const, url: 'https://robot.invalid/', secret: 'x' } }
    expect(watchFaults({ channels })).toMatchObject([{ path: '/channels/duty/secret' }])
  })
})
