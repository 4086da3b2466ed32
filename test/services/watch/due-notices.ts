import type { DueNotice } from '../../../repository/alerts.js'

/** A notice of a feed that has fallen silent, as a deliverer takes it. */
export function dueNotice(number = 1, rest: Partial<DueNotice> = {}): DueNotice {
  const at = Date.parse('2026-06-10T09:00:00+08:00')
  const hospital = `H${String(((number - 1) % 300) + 1).padStart(3, '0')}`
  return {
    noticeId: number,
    event: 'opened',
    attempt: 1,
    createdAt: at,
    alert: {
      id: number,
      feedId: number,
      feed: `lis-${hospital.toLowerCase()}`,
      hospital,
      kind: 'silence',
      environment: 'test',
      since: at,
      openedAt: at,
      lastSeenAt: at,
      acknowledgedAt: null,
      acknowledgedBy: null,
      note: null,
      escalatedAt: null,
      closedAt: null,
      facts: { silentMinutes: 62, expectedActiveMinutes: 21 },
    },
    ...rest,
  }
}
