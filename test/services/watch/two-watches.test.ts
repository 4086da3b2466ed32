import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLogger, Metrics } from '../../../core/telemetry.js'
import { folderObjectStore } from '../../../log/object-store.js'
import { acknowledgeAlert, listAlerts, takeNotices, updateAlerts } from '../../../repository/alerts.js'
import { openDatabase, type Database } from '../../../repository/database.js'
import { planAlerts, type AlertPolicy } from '../../../services/watch/alert-plan.js'
import { openChannel } from '../../../services/watch/channels.js'
import type { WatchConfig } from '../../../services/watch/config.js'
import { deliverDue } from '../../../services/watch/deliver.js'
import { headerTime } from '../../../services/watch/header-time.js'
import { openWatch, type Watch } from '../../../services/watch/watch.js'
import { engines, type TestDatabase } from '../../repository/databases.js'
import { countStatements, namedFeeds, seedHabits, seedMessages, type NamedFeed } from './habitual-feeds.js'
import { robotSecret, robotStub, type RobotStub } from './robot-stubs.js'

const logger = createLogger({ level: 'silent' })
const minuteMs = 60_000
const wednesday = Date.parse('2026-06-10T10:00:00+08:00')

describe.each(engines)('watches on $name', ({ open }) => {
  let database: TestDatabase
  let second: Database
  let now = wednesday
  let duty: RobotStub
  let chief: RobotStub
  beforeEach(async () => {
    now = wednesday
    database = await open()
    second = database.url === undefined ? database.db : await openDatabase({ url: database.url })
    duty = await robotStub('dingtalk', () => now)
    chief = await robotStub('feishu', () => now)
  }, 120_000)
  afterEach(async () => {
    await duty.close()
    await chief.close()
    if (second !== database.db) await second.close()
    await database.drop()
  }, 120_000)

  const configOf = (): WatchConfig => ({
    channels: {
      duty: { type: 'dingtalk', url: duty.url, secret: robotSecret },
      chief: { type: 'feishu', url: chief.url, secret: robotSecret },
    },
    routes: [{ kinds: ['silence'], channels: ['duty'], escalateTo: ['chief'] }],
    repeatMinutes: 240,
    escalateAfterMinutes: 60,
  })
  const watchOf = (db: Database, feeds: readonly NamedFeed[]): Watch =>
    openWatch({
      db,
      config: configOf(),
      environment: 'test',
      feeds,
      messageTime: headerTime({ objects: folderObjectStore('unused'), cipher: () => undefined }),
      metrics: new Metrics(),
      logger,
      now: () => now,
    })
  const deliverOn = (db: Database, name: 'duty' | 'chief'): Promise<number> => {
    const channel = openChannel(name, configOf().channels![name]!, () => now)
    return deliverDue({ db, name, channel, environment: 'test', now: () => now, logger }, new AbortController().signal)
  }
  /** Two deliverers a channel, at once and as often as they like, for ten minutes. */
  const deliverAll = async (): Promise<void> => {
    for (let step = 0; step < 12; step++) {
      await Promise.all(
        [database.db, second, database.db, second].flatMap((db) => [deliverOn(db, 'duty'), deliverOn(db, 'chief')]),
      )
      now += step < 8 ? 1000 : 2 * minuteMs
    }
  }
  const lines = (stub: RobotStub, event: string): readonly string[] =>
    stub.taken.flatMap((text) => text.split('\n')).filter((line) => line.startsWith(`[${event}]`))

  test('one notice an alert, over restarts, acknowledgement and escalation', async () => {
    const feeds = namedFeeds(12)
    const ids = await seedHabits(database.db, feeds, { days: 60, now })
    const pair = (): readonly Watch[] => [watchOf(database.db, feeds), watchOf(second, feeds)]
    const rounds = async (watches: readonly Watch[]): Promise<void> => {
      await Promise.all(watches.map((watch) => watch.round()))
      await Promise.all(watches.map((watch) => watch.round()))
    }
    now += 2 * 3_600_000
    await rounds(pair())
    await deliverAll()
    expect(lines(duty, '告警')).toHaveLength(12)
    expect(new Set(lines(duty, '告警')).size).toBe(12)

    // others have taken over, and one alert is acknowledged
    const [acknowledged] = await listAlerts(second, { openOnly: true })
    expect((await acknowledgeAlert(second, acknowledged!.id, 'operator', now))?.acknowledgedBy).toBe('operator')
    now += 55 * minuteMs
    const restarted = pair()
    await rounds(restarted)
    await deliverAll()
    expect(lines(chief, '告警升级')).toHaveLength(11)
    await rounds(restarted)
    await rounds(pair())
    await deliverAll()
    expect(lines(chief, '告警升级'), 'escalated once').toHaveLength(11)
    expect(lines(duty, '告警'), 'told once').toHaveLength(12)
    expect(lines(duty, '告警未处理')).toEqual([])

    now += 4 * 3_600_000
    await rounds(pair())
    await deliverAll()
    expect(lines(duty, '告警未处理'), 'what is acknowledged is not repeated').toHaveLength(11)
    expect(lines(duty, '告警未处理').join()).not.toContain(`#${acknowledged!.id})`)

    await database.db.transaction((tx) =>
      tx.execute('UPDATE watched_feed SET last_received_at = to_timestamp($1::float8 / 1000)', [String(now)]),
    )
    await rounds(pair())
    await deliverAll()
    expect(await listAlerts(database.db, { openOnly: true })).toEqual([])
    expect(lines(duty, '已恢复')).toHaveLength(12)
    expect(lines(chief, '已恢复'), 'who was told is told').toHaveLength(11)
    expect(await listAlerts(database.db)).toHaveLength(ids.length)
    expect([...duty.refused, ...chief.refused]).toEqual([])
  }, 240_000)

  test('a watch that judged before another one heard of the feed opens no alert', async () => {
    const [feedId] = await seedHabits(database.db, namedFeeds(1), { days: 1, now })
    const policy: AlertPolicy = { routes: [], repeatMs: 1, escalateAfterMs: 1 }
    const silence = (at: number) => ({
      now,
      watched: new Set([feedId!]),
      judged: [
        {
          feedId: feedId!,
          feed: 'lis-h001',
          hospital: 'H001',
          findings: [{ kind: 'silence' as const, at, facts: {} }],
        },
      ],
    })
    const opened = async (at: number): Promise<number> =>
      (await updateAlerts(second, 'test', now, (standing) => planAlerts(standing, silence(at), policy))).openedIds
        .length
    expect(await opened(now - 1), 'heard since').toBe(0)
    expect(await opened(now), 'not heard since').toBe(1)
    expect(await opened(now), 'open already').toBe(0)
  }, 120_000)

  test('a deliverer that dies holds its channel for two minutes, and nothing is lost', async () => {
    const feeds = namedFeeds(3)
    await seedHabits(database.db, feeds, { days: 60, now })
    now += 2 * 3_600_000
    await watchOf(database.db, feeds).round()
    const taken = await takeNotices(second, { channel: 'duty', environment: 'test', now, leaseMs: 120_000, limit: 1 })
    expect(taken).toHaveLength(1)
    expect(await deliverOn(database.db, 'duty'), 'a message may be under way').toBe(0)
    now += 121_000
    expect(await deliverOn(database.db, 'duty')).toBe(3)
    expect(lines(duty, '告警')).toHaveLength(3)
  }, 120_000)

  test('a robot that shuts itself is left alone by all, and what comes meanwhile goes out with the rest', async () => {
    const feeds = namedFeeds(4)
    await seedHabits(database.db, feeds, { days: 60, now })
    duty.instead = { status: 200, body: '{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}' }
    now += 2 * 3_600_000
    await watchOf(database.db, feeds.slice(0, 2)).round()
    expect(await deliverOn(database.db, 'duty')).toBe(2)
    duty.instead = undefined
    await watchOf(second, feeds).round()
    for (let minute = 0; minute < 9; minute++) {
      now += minuteMs
      expect(await deliverOn(minute % 2 === 0 ? second : database.db, 'duty'), 'shut for ten minutes').toBe(0)
    }
    now += minuteMs
    expect(await deliverOn(second, 'duty')).toBe(4)
    expect(duty.taken).toHaveLength(1)
  }, 120_000)

  test('a round takes as many statements for 100 feeds as for 4, whatever happens to them', async () => {
    const counts: number[][] = []
    for (const count of [4, 100]) {
      const fresh = await open()
      try {
        now = wednesday
        const counted = countStatements(fresh.db)
        const feeds = namedFeeds(count)
        const ids = await seedHabits(fresh.db, feeds, { days: 30, now })
        const watch = watchOf(counted, feeds)
        const statements: number[] = []
        const round = async (): Promise<void> => {
          await watch.round()
          statements.push(counted.take())
        }
        await round() // meets the feeds and learns their habits: more for more feeds
        statements.length = 0
        await seedMessages(fresh.db, ids, { after: 0, count: 30, until: now, stepMs: 20_000 })
        await round()
        now += 2 * 3_600_000
        await round() // all fall silent
        now += 61 * minuteMs
        await round() // all are escalated
        await seedMessages(fresh.db, ids, { after: 30, count: 5, until: now, stepMs: 1000 })
        await round() // all are back
        now += 24 * 3_600_000
        await round() // the next day's habits
        const open = await listAlerts(fresh.db, { openOnly: true, limit: 1000 })
        const all = await listAlerts(fresh.db, { limit: 1000 })
        expect([all.length, open.length]).toEqual([2 * count, count])
        counts.push(statements)
      } finally {
        await fresh.drop()
      }
    }
    const [few, many] = counts as [number[], number[]]
    expect(many).toEqual(few)
    expect(Math.max(...many)).toBeLessThan(40)
  }, 300_000)
})
