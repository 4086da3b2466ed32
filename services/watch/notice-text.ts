import type { DueNotice, NoticeEvent } from '../../repository/alerts.js'

export type Language = 'zh' | 'en'
type Facts = Readonly<Record<string, number>>

const events: Readonly<Record<NoticeEvent, Readonly<Record<Language, string>>>> = {
  opened: { zh: '告警', en: 'ALERT' },
  repeated: { zh: '告警未处理', en: 'STILL OPEN' },
  escalated: { zh: '告警升级', en: 'ESCALATED' },
  recovered: { zh: '已恢复', en: 'RECOVERED' },
}

const kinds: Readonly<Record<string, Readonly<Record<Language, (facts: Facts) => string>>>> = {
  silence: {
    zh: (f) => `已 ${f.silentMinutes} 分钟没有消息，按平时规律不应如此`,
    en: (f) => `no message for ${f.silentMinutes} minutes, which is not its habit`,
  },
  volume: {
    zh: (f) => `${f.hours} 小时内仅 ${f.messages} 条消息，最低应为 ${f.minimum} 条`,
    en: (f) => `${f.messages} messages in ${f.hours} hours, at least ${f.minimum} are required`,
  },
  'sequence-gap': {
    zh: (f) => `消息控制号不连续：${f.gaps} 处缺口，共缺 ${f.missing} 个号`,
    en: (f) => `gaps in the control ids: ${f.missing} numbers missing in ${f.gaps} places`,
  },
  'sequence-repeat': {
    zh: (f) => `${f.repeats} 条内容不同的消息重复使用了控制号`,
    en: (f) => `${f.repeats} messages reuse the control id of another message`,
  },
  'clock-jump': {
    zh: (f) => `发送方时钟跳变 ${f.bySeconds} 秒`,
    en: (f) => `the sender's clock moved by ${f.bySeconds} seconds`,
  },
  'feed-not-activated': {
    zh: (f) => `${f.messages} 条消息等待启用：该来源尚未在正式环境启用，消息已保存，未入库`,
    en: (f) => `${f.messages} messages wait for activation: they are kept, and stored in no table of results`,
  },
  'feed-changed-since-acceptance': {
    zh: () => '读取消息的配置与启用时不同，请重新联调测试或说明理由后重新启用',
    en: () => 'its messages are read by other settings than those it was activated with: accept or activate it anew',
  },
  'calendar-missing': {
    zh: (f) => `节假日文件缺少 ${f.year} 年，请补充`,
    en: (f) => `the holiday file does not know ${f.year}: add that year`,
  },
}

/** `2026-05-01 08:30` by the clock of +08:00. */
export const localMinute = (ms: number): string =>
  new Date(ms + 8 * 3_600_000).toISOString().slice(0, 16).replace('T', ' ')

/** What a finding of this kind says, in numbers only. */
export const kindText = (kind: string, facts: Facts, language: Language): string =>
  kinds[kind]?.[language](facts) ?? kind

export const eventText = (event: NoticeEvent, language: Language): string => events[event][language]

/** One line: event, hospital, feed, what, since when, number. Holds nothing of any message. */
export function noticeLine({ event, alert }: DueNotice, language: Language): string {
  const who = alert.feed === null ? (language === 'zh' ? '平台' : 'platform') : `${alert.hospital} ${alert.feed}`
  const what = kindText(alert.kind, alert.facts, language)
  const since = `${language === 'zh' ? '始于' : 'since'} ${localMinute(alert.since)}`
  return `[${eventText(event, language)}] ${who}: ${what} (${since}, #${alert.id})`
}

/** What machines get: the same, as JSON. Times are ISO 8601. */
export function noticeJson(notices: readonly DueNotice[]): object {
  const iso = (ms: number): string => new Date(ms).toISOString()
  return {
    version: 1,
    alerts: notices.map(({ event, alert }) => ({
      event,
      id: alert.id,
      hospital: alert.hospital,
      feed: alert.feed,
      environment: alert.environment,
      kind: alert.kind,
      since: iso(alert.since),
      openedAt: iso(alert.openedAt),
      facts: alert.facts,
    })),
  }
}
