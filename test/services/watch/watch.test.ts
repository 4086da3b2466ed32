import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from 'node:net'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { historyEpochsFrom } from '../../../core/ids.js'
import { createLogger, Metrics } from '../../../core/telemetry.js'
import { acknowledgeAlert, listAlerts } from '../../../repository/alerts.js'
import { openArchive } from '../../../repository/archive.js'
import { recordActivation } from '../../../repository/feed-activation.js'
import { readHours } from '../../../repository/feed-hours.js'
import type { RawMessage } from '../../../schemas/types.js'
import { loadCalendar } from '../../../services/watch/calendar.js'
import { openChannel } from '../../../services/watch/channels.js'
import type { ChannelConfig, WatchConfig } from '../../../services/watch/config.js'
import { deliverDue } from '../../../services/watch/deliver.js'
import { headerTime } from '../../../services/watch/header-time.js'
import { openWatch } from '../../../services/watch/watch.js'
import { folderObjectStore } from '../../../log/object-store.js'
import { engines, type TestDatabase } from '../../repository/databases.js'
import { simulateFeed } from './simulated-feed.js'

const logger = createLogger({ level: 'silent' })
const at = (text: string): number => Date.parse(`${text}+08:00`)
const minuteMs = 60_000

function rawMessages(
  times: readonly number[],
  options: { from?: number; lane?: string; clockMs?: number } = {},
): RawMessage[] {
  const { from = 1, lane = 'live', clockMs = 0 } = options
  return times.map((receivedAt, index) => {
    const seq = from + index
    const stamp = new Date(receivedAt + clockMs + 8 * 3_600_000).toISOString().replace(/\D/g, '').slice(0, 14)
    const content = Buffer.from(`MSH|^~\\&|LIS|H001|HUTONG|PROV|${stamp}||ORU^R01|SYN${seq}|P|2.4\rPID|1||P${seq}\r`)
    const messageId = createHash('sha256').update(content).digest('hex')
    return {
      kind: 'message',
      environment: 'test',
      hospital: 'H001',
      feed: 'lis-h001',
      epoch: 1,
      seq,
      receivedAt,
      messageId,
      connector: 'hl7v2-mllp',
      lane,
      purpose: 'ledger',
      controlId: `SYN${seq}`,
      sourceName: null,
      sourceIndex: 0,
      keyId: null,
      compression: 'none',
      content,
      contentRef: null,
      contentSize: content.length,
    }
  })
}

const watermark = (last: RawMessage): RawMessage => ({
  ...last,
  kind: 'watermark',
  messageId: '',
  content: null,
  contentSize: 0,
})

/** A robot or webhook that keeps what it was sent and answers what it is told to. */
interface Stub {
  readonly url: string
  readonly requests: { readonly url: URL; readonly headers: IncomingMessage['headers']; readonly body: string }[]
  answer: { status: number; body: string }
}

const stopping: (Server | TcpServer)[] = []

async function stub(body: string): Promise<Stub> {
  const requests: Stub['requests'] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      requests.push({
        url: new URL(request.url!, 'http://stub'),
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      })
      response.writeHead(made.answer.status, { 'content-type': 'application/json' }).end(made.answer.body)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stopping.push(server)
  const made: Stub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/robot/send?access_token=synthetic`,
    requests,
    answer: { status: 200, body },
  }
  return made
}

/** The SMTP of RFC 5321 as far as one plain delivery goes. */
async function mailStub(): Promise<{ readonly port: number; readonly mails: string[] }> {
  const mails: string[] = []
  const server = createTcpServer((socket) => {
    let inData = false
    let text = ''
    socket.write('220 stub ESMTP\r\n')
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      text += chunk.toString()
      for (;;) {
        const end = inData ? text.indexOf('\r\n.\r\n') : text.indexOf('\r\n')
        if (end < 0) return
        const part = text.slice(0, end)
        text = text.slice(end + (inData ? 5 : 2))
        if (inData) {
          mails.push(part)
          inData = false
          socket.write('250 taken\r\n')
        } else if (part === 'DATA') {
          inData = true
          socket.write('354 go on\r\n')
        } else if (part === 'QUIT') socket.end('221 bye\r\n')
        else socket.write('250 stub\r\n')
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stopping.push(server)
  return { port: (server.address() as AddressInfo).port, mails }
}

describe.each(engines)('watch on $name', ({ open }) => {
  let database: TestDatabase
  let now = 0
  beforeEach(async () => {
    database = await open()
  }, 60_000)
  afterEach(async () => {
    await Promise.all(stopping.splice(0).map((server) => new Promise((resolve) => server.close(resolve))))
    await database.drop()
  })

  const metrics = new Metrics()
  const openings = (config: WatchConfig, environment = 'test') => {
    const stores = { objects: folderObjectStore('unused'), cipher: () => undefined }
    return openWatch({
      db: database.db,
      config,
      environment,
      feeds: [{ name: 'lis-h001', hospital: 'H001', configurationSha256: 'b'.repeat(64) }],
      messageTime: headerTime(stores),
      metrics,
      logger,
      now: () => now,
    })
  }
  const archived = async (messages: readonly RawMessage[]): Promise<void> => {
    await openArchive(database.db).write([...messages, watermark(messages.at(-1)!)])
  }
  const send = (name: string, config: ChannelConfig): Promise<number> =>
    deliverDue(
      {
        db: database.db,
        name,
        channel: openChannel(name, config, () => now),
        environment: 'test',
        now: () => now,
        logger,
      },
      new AbortController().signal,
    )
  const kindsOpen = async (): Promise<string[]> =>
    (await listAlerts(database.db, { openOnly: true })).map(({ kind }) => kind).sort()

  const calendar = loadCalendar()
  const habitual = simulateFeed({
    from: at('2026-05-11T00:00'),
    to: at('2026-06-10T10:20'),
    perHour: 120,
    calendar,
    seed: 31,
  })

  test('messages that wait for activation are told until redriven, a changed reading until activated anew', async () => {
    const times = [at('2026-05-11T08:00'), at('2026-05-11T08:01'), at('2026-05-11T08:02')]
    await archived(rawMessages(times).map((message) => ({ ...message, environment: 'production' })))
    now = times[2]! + minuteMs
    const watch = openings({}, 'production')
    await database.db.transaction((tx) =>
      tx.execute(
        `INSERT INTO dead_letter (seq, received_at, feed_id, epoch, event_index, state, stage, code, detail,
           source_partition, source_offset)
         SELECT m.seq, m.received_at, m.feed_id, m.epoch, 0, 'open', 'parse',
           CASE WHEN m.seq = 1 THEN 'segment-missing' ELSE 'feed-not-activated' END, 'x', 0, m.seq::text FROM raw_message m`,
      ),
    )
    const open = async (): Promise<unknown[]> => {
      await watch.round()
      return (await listAlerts(database.db, { openOnly: true })).map(({ kind, since, facts }) => [kind, since, facts])
    }
    expect(await open()).toEqual([['feed-not-activated', times[1], { messages: 2 }]])
    const activate = (configurationSha256: string | null): Promise<unknown> =>
      recordActivation(database.db, {
        ...{ at: now, hospital: 'H001', feed: 'lis-h001', isActive: true, by: '张工' },
        ...{ reportSha256: null, configurationSha256, reason: '试点' },
      })
    await activate('a'.repeat(64))
    await database.db.transaction((tx) => tx.execute(`UPDATE dead_letter SET state = 'redriven' WHERE seq > 1`))
    expect(await open()).toEqual([['feed-changed-since-acceptance', now, {}]])
    await activate('b'.repeat(64))
    expect(await open()).toEqual([])
    await activate(null)
    expect(await open(), 'nothing is known of a feed from before').toEqual([])
  })

  test('a feed that falls silent is told to its route, repeated, escalated, and told again when it is back', async () => {
    const ding = await stub('{"errcode":0,"errmsg":"ok"}')
    const feishu = await stub('{"code":0,"msg":"success"}')
    const other = await stub('')
    const channels = {
      ding: { type: 'dingtalk', url: ding.url, secret: 'SEC-synthetic' },
      chief: { type: 'feishu', url: feishu.url, secret: 'feishu-synthetic' },
      other: { type: 'webhook', url: other.url },
    } as const
    const watch = openings({
      channels,
      routes: [
        { hospitals: ['H001'], kinds: ['silence'], channels: ['ding'], escalateTo: ['chief'] },
        { hospitals: ['H002'], channels: ['other'] },
      ],
      repeatMinutes: 30,
      escalateAfterMinutes: 60,
    })
    await archived(rawMessages(habitual))
    now = habitual.at(-1)! + minuteMs
    await watch.round()
    expect(await kindsOpen()).toEqual([])

    now += 3 * 3_600_000
    await watch.round()
    await watch.round()
    expect(await kindsOpen()).toEqual(['silence'])
    expect(await metrics.registry.getSingleMetricAsString('hutong_alerts_open')).toContain(
      'feed="lis-h001",kind="silence"} 1',
    )
    expect(await send('ding', channels.ding)).toBe(1)
    expect(await send('ding', channels.ding), 'told once').toBe(0)
    const [first] = ding.requests
    const timestamp = first!.url.searchParams.get('timestamp')!
    expect(Number(timestamp)).toBe(now)
    const signed = createHmac('sha256', 'SEC-synthetic').update(`${timestamp}\nSEC-synthetic`).digest('base64')
    expect(first!.url.searchParams.get('sign')).toBe(signed)
    expect(JSON.parse(first!.body)).toMatchObject({
      msgtype: 'text',
      text: { content: expect.stringContaining('H001 lis-h001') },
    })

    now += 61 * minuteMs
    await watch.round()
    expect(await send('ding', channels.ding)).toBe(1)
    expect(ding.requests[1]!.body).toContain('告警未处理')
    expect(await send('chief', channels.chief)).toBe(1)
    const escalation = JSON.parse(feishu.requests[0]!.body) as {
      timestamp: string
      sign: string
      content: { text: string }
    }
    expect(escalation.timestamp).toBe(String(Math.floor(now / 1000)))
    const key = `${escalation.timestamp}\nfeishu-synthetic`
    expect(escalation.sign).toBe(createHmac('sha256', key).update('').digest('base64'))
    expect(escalation.content.text).toContain('告警升级')

    const [alert] = await listAlerts(database.db, { openOnly: true })
    await acknowledgeAlert(database.db, alert!.id, 'operator', now, 'line is being mended')
    now += 120 * minuteMs
    await watch.round()
    expect(await send('ding', channels.ding), 'acknowledged alerts are not repeated').toBe(0)

    await archived(rawMessages([now - 1000], { from: habitual.length + 1 }))
    await watch.round()
    expect(await kindsOpen()).toEqual([])
    expect(await send('ding', channels.ding)).toBe(1)
    expect(ding.requests.at(-1)!.body).toContain('已恢复')
    expect(await send('chief', channels.chief)).toBe(1)
    expect(other.requests).toEqual([])
    const sent = [...ding.requests, ...feishu.requests].map(({ body }) => body).join('\n')
    expect(sent).not.toMatch(/SYN\d|P\d+\b.*PID|MSH/)
    expect(await listAlerts(database.db)).toMatchObject([{ acknowledgedBy: 'operator', note: 'line is being mended' }])
  }, 60_000)

  test('bulk counts nothing, and no message counts twice however often it is delivered or looked at', async () => {
    const watch = openings({})
    const live = rawMessages([at('2026-06-10T09:00'), at('2026-06-10T09:00:30'), at('2026-06-10T09:59')])
    const bulk = rawMessages([at('2026-06-10T09:30')], { from: 4, lane: 'bulk' })
    now = at('2026-06-10T10:00')
    await archived([...live, ...bulk])
    await watch.round()
    await archived([...live, ...bulk, ...rawMessages([at('2026-06-10T10:00')], { from: 5 })])
    await Promise.all([watch.round(), openings({}).round()])
    const hours = await readHours(database.db, 1, 0)
    expect(hours.map(({ messages, activeMinutes }) => [messages, activeMinutes])).toEqual([
      [3, 2],
      [1, 1],
    ])
  }, 60_000)

  describe('history that is sent beside a feed', () => {
    const epoch = historyEpochsFrom + 200_000_000
    /** As a backfill sends it: received now, numbers of its own, control ids and header times of years ago. */
    const history = (times: readonly number[], lane = 'bulk'): RawMessage[] =>
      rawMessages(times, { lane, clockMs: -3 * 365 * 86_400_000 }).map((message) => ({
        ...message,
        epoch,
        controlId: `SYN${message.seq * 3 - (message.seq % 7)}`,
      }))
    const every = (from: number, count: number, stepMs: number): number[] =>
      Array.from({ length: count }, (_, index) => from + index * stepMs)

    test('raises nothing, is no sign of life of a feed that has fallen silent, and teaches no habit', async () => {
      const watch = openings({})
      await archived(rawMessages(habitual))
      now = habitual.at(-1)! + minuteMs
      await watch.round()
      const hours = await readHours(database.db, 1, 0)

      await archived(history(every(now, 500, 200)))
      now += 2 * minuteMs
      await watch.round()
      await openings({}).round()
      expect(await kindsOpen(), 'the feed lives, and its history says nothing').toEqual([])

      now = habitual.at(-1)! + 3 * 3_600_000
      await archived(history(every(now - 1000, 300, 3)).map((message) => ({ ...message, seq: message.seq + 500 })))
      await watch.round()
      expect(await kindsOpen(), 'history masks no silence').toEqual(['silence'])
      expect(await readHours(database.db, 1, 0)).toEqual(hours)

      const back = rawMessages([now], { from: habitual.length + 1 })
      await archived(back)
      now += minuteMs
      await watch.round()
      expect(await kindsOpen()).toEqual([])
    }, 120_000)

    test('of a feed that never sent anything leaves it as unknown as it was', async () => {
      const watch = openings({})
      now = at('2026-06-10T09:00')
      await watch.round()
      await archived(history(every(now, 500, 20)))
      now += 30 * 86_400_000
      await watch.round()
      expect(await kindsOpen()).toEqual([])
      expect(await readHours(database.db, 1, 0)).toEqual([])
    }, 60_000)

    test('does not cover what the feed loses meanwhile', async () => {
      const watch = openings({})
      const sent = rawMessages(every(at('2026-06-10T09:00'), 90, minuteMs)).map((message) =>
        message.seq > 40 ? { ...message, controlId: `SYN${message.seq + 2}` } : message,
      )
      await archived(history(every(at('2026-06-10T08:00'), 20_500, 100)))
      await archived(sent)
      now = sent.at(-1)!.receivedAt + 1000
      await watch.round()
      expect(await listAlerts(database.db)).toMatchObject([{ kind: 'sequence-gap', facts: { gaps: 1, missing: 2 } }])
    }, 60_000)
  })

  test('lost numbers and a moved clock are alerts until somebody acknowledges them', async () => {
    const watch = openings({})
    const minute = (index: number): number => at('2026-06-10T09:00') + index * minuteMs
    const times = Array.from({ length: 90 }, (_, index) => minute(index))
    const sent = rawMessages(times).map((message) =>
      message.seq > 40 ? { ...message, controlId: `SYN${message.seq + 2}` } : message,
    )
    now = minute(90) + 1000
    await archived(sent)
    await watch.round()
    expect(await listAlerts(database.db)).toMatchObject([{ kind: 'sequence-gap', facts: { gaps: 1, missing: 2 } }])
    const fast = rawMessages(
      Array.from({ length: 10 }, (_, index) => minute(91 + index)),
      { from: 91, clockMs: 3_600_000 },
    ).map((message) => ({ ...message, controlId: `SYN${message.seq + 2}` }))
    for (const message of fast) {
      now = message.receivedAt + 1000
      await archived([message])
      await watch.round()
    }
    expect(await kindsOpen()).toEqual(['clock-jump', 'sequence-gap'])
    for (const { id } of await listAlerts(database.db, { openOnly: true })) {
      await acknowledgeAlert(database.db, id, 'operator', now)
    }
    await watch.round()
    expect(await kindsOpen()).toEqual([])
    // after a restart the same past opens nothing again
    await openings({}).round()
    expect(await kindsOpen()).toEqual([])
  }, 60_000)

  test('a number that is missing shortly before a feed pauses is told ten minutes later', async () => {
    const watch = openings({})
    const last = at('2026-06-10T09:30')
    const sent = rawMessages(Array.from({ length: 60 }, (_, index) => last - (59 - index) * minuteMs))
    await archived(
      sent.map((message) => (message.seq > 58 ? { ...message, controlId: `SYN${message.seq + 1}` } : message)),
    )
    now = last + 1000
    await watch.round()
    expect(await kindsOpen(), 'it may still come').toEqual([])
    now = last + 11 * minuteMs
    await watch.round()
    expect(await kindsOpen()).toEqual(['sequence-gap'])
  }, 60_000)

  test('a minimum volume holds for a feed without a habit; maintenance opens nothing and closes nothing', async () => {
    const minimumVolumes = { 'lis-h001': { messages: 5, hours: 8 } }
    const windows = [{ feeds: ['lis-h001'], from: '22:00', to: '23:00' }]
    const watch = openings({ minimumVolumes, maintenance: windows })
    now = at('2026-06-10T09:00')
    await watch.round()
    expect(await kindsOpen(), 'not watched for long enough').toEqual([])
    now = at('2026-06-10T18:00')
    await watch.round()
    expect(await kindsOpen()).toEqual(['volume'])
    now = at('2026-06-10T22:30')
    await watch.round()
    expect(await kindsOpen()).toEqual(['volume'])
    await archived(rawMessages(Array.from({ length: 6 }, (_, index) => at('2026-06-10T22:00') + index * minuteMs)))
    await watch.round()
    expect(await kindsOpen()).toEqual(['volume'])
    now = at('2026-06-10T23:01')
    await watch.round()
    expect(await kindsOpen()).toEqual([])
  }, 60_000)

  test('a year that the holiday file does not know is an alert of the platform', async () => {
    now = at('2031-12-20T09:00')
    await openings({}).round()
    expect(await listAlerts(database.db)).toMatchObject([
      { kind: 'calendar-missing', feed: null, facts: { year: 2031 } },
    ])
  }, 60_000)

  test('a channel that is down or refuses is tried again later, delays no other, and its token stands nowhere', async () => {
    const wecom = await stub('{"errcode":93000,"errmsg":"invalid webhook url"}')
    const hook = await stub('')
    const mail = await mailStub()
    const channels = {
      wecom: { type: 'wecom', url: wecom.url },
      down: { type: 'dingtalk', url: 'http://127.0.0.1:1/robot/send?access_token=synthetic' },
      hook: { type: 'webhook', url: hook.url, secret: 'hook-synthetic' },
      mail: {
        type: 'smtp',
        host: '127.0.0.1',
        port: mail.port,
        tls: 'none',
        from: 'watch@example.invalid',
        to: ['duty@example.invalid'],
        language: 'en',
      },
    } satisfies Record<string, ChannelConfig>
    const routes = [{ kinds: ['calendar-missing' as const], channels: Object.keys(channels) }]
    now = at('2031-06-20T09:00')
    await openings({ channels, routes }).round()
    const counts = await Promise.all(Object.entries(channels).map(([name, channel]) => send(name, channel)))
    expect(counts).toEqual([1, 1, 1, 1])
    const [posted] = hook.requests
    const stamp = posted!.headers['x-hutong-timestamp'] as string
    expect(posted!.headers['x-hutong-signature']).toBe(
      `sha256=${createHmac('sha256', 'hook-synthetic').update(`${stamp}.${posted!.body}`).digest('hex')}`,
    )
    expect(JSON.parse(posted!.body)).toMatchObject({
      version: 1,
      alerts: [{ event: 'opened', kind: 'calendar-missing' }],
    })
    expect(mail.mails).toHaveLength(1)
    expect(mail.mails[0]).toMatch(/To: duty@example\.invalid[\s\S]*does not know 2031/)
    expect(await send('wecom', channels.wecom), 'not before its time').toBe(0)
    wecom.answer = { status: 200, body: '{"errcode":0}' }
    now += 16_000
    expect(await send('wecom', channels.wecom)).toBe(1)
    expect(await send('wecom', channels.wecom)).toBe(0)
    expect(wecom.requests).toHaveLength(2)
    const rows = await database.db.transaction((tx) =>
      tx.query<{ channel: string; failure: string | null; done: boolean }>(
        'SELECT channel, failure, delivered_at IS NOT NULL AS done FROM alert_notice ORDER BY channel',
      ),
    )
    expect(rows.map(({ channel, done }) => [channel, done])).toEqual([
      ['down', false],
      ['hook', true],
      ['mail', true],
      ['wecom', true],
    ])
    expect(rows[0]!.failure).toMatch(/not reached/)
    expect(JSON.stringify(rows)).not.toContain('synthetic')
  }, 60_000)
})
