import {
  alertKey,
  type AlertChanges,
  type AlertStanding,
  type Notice,
  type NoticeEvent,
  type OpenAlert,
} from '../../repository/alerts.js'
import { momentary, momentaryMs, type AlertKind, type Finding } from './judge.js'

/** Whom to tell. A route takes an alert where each of its lists is left out or names it. */
export interface Route {
  readonly hospitals?: readonly string[]
  readonly feeds?: readonly string[]
  readonly kinds?: readonly AlertKind[]
  readonly channels: readonly string[]
  /** Told as well where nobody acknowledges. */
  readonly escalateTo?: readonly string[]
}

export interface AlertPolicy {
  readonly routes: readonly Route[]
  readonly repeatMs: number
  readonly escalateAfterMs: number
}

/** One feed (null: the platform itself) and what was found. Feeds that could not be judged are left out. */
export interface Judged {
  readonly feedId: number | null
  readonly feed: string | null
  readonly hospital: string | null
  readonly findings: readonly Finding[]
}

export interface AlertRound {
  readonly now: number
  readonly judged: readonly Judged[]
  /** Ids of all feeds that are watched, judged or not: alerts of any other feed are closed. */
  readonly watched: ReadonlySet<number>
}

/**
 * What changes: a finding opens one alert per feed and kind and keeps it open; an unacknowledged alert is repeated and, in
 * time, escalated, once; an alert whose finding is gone is closed and everybody who was told is told so. What something
 * momentary left is over once it has been acknowledged. Pure.
 */
export function planAlerts(standing: AlertStanding, round: AlertRound, policy: AlertPolicy): AlertChanges {
  const { now, judged, watched } = round
  const found = new Map<string, { readonly judged: Judged; readonly finding: Finding }>()
  const judgedIds = new Set(judged.map(({ feedId }) => feedId))
  for (const one of judged) {
    for (const finding of one.findings) {
      const key = alertKey(one.feedId, finding.kind)
      const acknowledgedAt = standing.acknowledged.get(key)
      const isOver = momentary.has(finding.kind) && acknowledgedAt !== undefined && finding.at <= acknowledgedAt
      // another watch may have heard of the feed since this one judged it
      const isHeard = finding.kind === 'silence' && (standing.heard.get(one.feedId ?? 0) ?? 0) > finding.at
      if (!isOver && !isHeard) found.set(key, { judged: one, finding })
    }
  }
  const openKeys = new Set(standing.open.map(({ feedId, kind }) => alertKey(feedId, kind)))
  const changes = { opened: [], seen: [], escalated: [], closed: [] } as {
    -readonly [K in keyof AlertChanges]: AlertChanges[K][number][]
  }
  for (const [key, { judged: one, finding }] of found) {
    if (openKeys.has(key)) continue
    const { channels } = routed(policy.routes, one.hospital, one.feed, finding.kind)
    const { kind, at: since, facts } = finding
    changes.opened.push({ feedId: one.feedId, kind, since, facts, notices: noticesOf(channels, 'opened') })
  }
  for (const alert of standing.open) {
    const still = found.get(alertKey(alert.feedId, alert.kind))
    const isRetired = alert.feedId !== null && !watched.has(alert.feedId)
    if (isRetired || (still === undefined && judgedIds.has(alert.feedId) && !lingers(alert, now))) {
      changes.closed.push({ id: alert.id, notices: noticesOf(toldChannels(alert), 'recovered') })
      continue
    }
    // nothing is repeated of a feed that cannot be judged just now
    if (!judgedIds.has(alert.feedId)) continue
    const { channels, escalateTo } = routed(policy.routes, alert.hospital, alert.feed, alert.kind)
    const waiting = alert.acknowledgedAt === null
    const due = waiting ? channels.filter((channel) => now - lastTold(alert, channel) >= policy.repeatMs) : []
    changes.seen.push({
      id: alert.id,
      facts: still?.finding.facts ?? alert.facts,
      isFound: still !== undefined,
      notices: noticesOf(due, 'repeated'),
    })
    if (waiting && alert.escalatedAt === null && now - alert.openedAt >= policy.escalateAfterMs) {
      changes.escalated.push({ id: alert.id, notices: noticesOf(escalateTo, 'escalated') })
    }
  }
  return changes
}

/** What happened once is soon out of the window that is looked at: it waits a day for somebody to acknowledge it. */
const lingers = (alert: OpenAlert, now: number): boolean =>
  momentary.has(alert.kind as AlertKind) && alert.acknowledgedAt === null && now - alert.since < momentaryMs

function routed(
  routes: readonly Route[],
  hospital: string | null,
  feed: string | null,
  kind: string,
): { readonly channels: readonly string[]; readonly escalateTo: readonly string[] } {
  const names = (list: readonly string[] | undefined, name: string | null): boolean =>
    list === undefined || (name !== null && list.includes(name))
  const taking = routes.filter(
    (route) => names(route.hospitals, hospital) && names(route.feeds, feed) && names(route.kinds, kind),
  )
  return {
    channels: [...new Set(taking.flatMap(({ channels }) => channels))],
    escalateTo: [...new Set(taking.flatMap(({ escalateTo }) => escalateTo ?? []))],
  }
}

const noticesOf = (channels: readonly string[], event: NoticeEvent): readonly Notice[] =>
  channels.map((channel) => ({ channel, event }))

const toldChannels = (alert: OpenAlert): readonly string[] => [...new Set(alert.told.map(({ channel }) => channel))]

const lastTold = (alert: OpenAlert, channel: string): number =>
  alert.told.reduce((last, told) => (told.channel === channel ? Math.max(last, told.at) : last), alert.openedAt)
