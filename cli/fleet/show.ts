import type { KnownEdge } from '../../repository/edge-reports.js'
import { localMinute } from '../../services/watch/notice-text.js'
import { troubleOf, type Trouble } from '../../services/fleet/trouble.js'

export type Language = 'zh' | 'en'
export const localTime = localMinute

const troubles: Record<Trouble, Readonly<Record<Language, string>>> = {
  'not-heard-of': { en: 'not heard of', zh: '失联' },
  'not-ready': { en: 'not ready', zh: '未就绪' },
  'not-accepting': { en: 'disk full: not acknowledging', zh: '磁盘满，不再应答' },
  'certificate-ends': { en: 'certificate ends soon', zh: '证书即将到期' },
  'feed-not-listening': { en: 'a feed does not listen', zh: '有来源未监听' },
  'uplink-refused': { en: 'the gateway refuses its batches', zh: '网关拒收' },
  'spool-old': { en: 'spool is behind', zh: '缓存积压' },
  'disk-low': { en: 'disk nearly full', zh: '磁盘将满' },
  'clock-wrong': { en: 'clock is wrong', zh: '时钟偏差' },
  'rolled-back': { en: 'a release was rolled back', zh: '更新已回退' },
  refused: { en: 'a release was refused', zh: '更新被拒绝' },
}

export const fleetTexts = {
  en: {
    none: 'no edge has reported yet',
    head: [
      'hospital',
      'edge',
      'version',
      'configuration',
      'spool',
      'oldest',
      'disk free',
      'skew',
      'certificate',
      'seen',
      'state',
    ],
    ok: 'ok',
    trial: 'on trial: release',
  },
  zh: {
    none: '尚无前置机上报',
    head: ['机构', '前置机', '版本', '配置', '缓存条数', '最早', '磁盘余量', '时差', '证书到期', '最近上报', '状态'],
    ok: '正常',
    trial: '试运行：发布',
  },
} as const

/** The edges as rows of a table, the worst first. */
export function edgeRows(edges: readonly KnownEdge[], now: number, language: Language): string[][] {
  return edges
    .map((edge) => ({ edge, trouble: troubleOf(edge.report, edge.reportedAt, now) }))
    .sort((a, b) => b.trouble.weight - a.trouble.weight)
    .map(({ edge: { hospital, edge, report, reportedAt }, trouble }) => {
      const { spool, disk, clockSkewMs, certificateUntil, trial } = report
      const states = trouble.found.map((one) => troubles[one][language])
      if (trial !== null) states.push(`${fleetTexts[language].trial} ${trial}`)
      return [
        ...[hospital, edge, report.version, report.configuration.slice(0, 8)],
        spool === null ? '-' : String(spool.messages),
        spool === null ? '-' : duration(spool.oldestSeconds),
        disk === null ? '-' : `${(disk.freeBytes / 1024 ** 3).toFixed(1)} GiB`,
        clockSkewMs === null ? '-' : `${(clockSkewMs / 1000).toFixed(1)} s`,
        certificateUntil === null ? '-' : localTime(certificateUntil).slice(0, 10),
        duration(Math.max(0, Math.round((now - reportedAt) / 1000))),
        states.length === 0 ? fleetTexts[language].ok : states.join(language === 'zh' ? '；' : '; '),
      ]
    })
}

/** One edge, one fact a line. */
export function edgeSheet(edge: KnownEdge, language: Language): string {
  const head = fleetTexts[language].head
  const row = edgeRows([edge], edge.reportedAt, language)[0]!
  const lines = head.map((name, index) => `${name}: ${row[index]}`)
  const { report } = edge
  lines.push(`supervisor: ${report.supervisorVersion}`, `releases: package ${report.packageNumber ?? '-'}`)
  lines.push(`          configuration ${report.configurationNumber ?? '-'}`, `crashes: ${report.crashes}`)
  for (const { name, listening, lastAcceptedAt } of report.feeds) {
    const last = lastAcceptedAt === null ? '-' : localTime(lastAcceptedAt)
    lines.push(`feed ${name}: ${listening ? 'listening' : 'not listening'}, last ${last}`)
  }
  for (const { number, outcome, code, at } of report.outcomes) {
    lines.push(`release ${number}: ${outcome}${code === null ? '' : ` (${code})`} ${localTime(at)}`)
  }
  return `${lines.join('\n')}\n`
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}
