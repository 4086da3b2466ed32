import { Value } from '@sinclair/typebox/value'
import { GatewayRefusal } from '../../core/gateway-refusals.js'
import { edgeReport, reportBytesMax, reportPath, type ReportAnswer } from '../../core/fleet-report.js'
import type { Metrics } from '../../core/telemetry.js'
import type { Database } from '../../repository/database.js'
import { takeReport } from '../../repository/edge-reports.js'
import { readJson } from './read-body.js'
import type { GatewayRoute } from './route.js'

export interface ReportOptions {
  readonly db: Database
  readonly environment: string
  readonly requestTimeoutMs: number
  /** Told to edges; null where each keeps its own. */
  readonly reportEverySeconds: number | null
  readonly metrics: Metrics
  readonly now: () => number
}

/** Takes what edges report of themselves and answers what each should run (docs/operations/fleet.md). */
export function reportRoute({ db, environment, metrics, now, ...options }: ReportOptions): GatewayRoute {
  return {
    method: 'POST',
    path: reportPath,
    identity: 'edge',
    async handle(request, { hospital, name }) {
      const report = await readJson(request, reportBytesMax, options.requestTimeoutMs)
      if (!Value.Check(edgeReport, report)) {
        const first = Value.Errors(edgeReport, report).First()
        throw new GatewayRefusal('report-unreadable', first === undefined ? '' : `${first.path}: ${first.message}`)
      }
      if (report.environment !== environment) throw new GatewayRefusal('environment-mismatch')
      const orders = await takeReport(db, { environment, hospital, edge: name }, report, now())
      const labels = { hospital, edge: name }
      metrics.edgeReportedAt.set(labels, Math.floor(now() / 1000))
      metrics.edgeReady.set(labels, report.ready ? 1 : 0)
      metrics.edgeSpoolMessages.set(labels, report.spool?.messages ?? 0)
      metrics.edgeSpoolOldest.set(labels, report.spool?.oldestSeconds ?? 0)
      if (report.disk !== null) metrics.edgeDiskFree.set(labels, report.disk.freeBytes)
      if (report.clockSkewMs !== null) metrics.edgeClockSkew.set(labels, report.clockSkewMs / 1000)
      if (report.certificateUntil !== null) metrics.edgeCertificateUntil.set(labels, report.certificateUntil / 1000)
      const answer: ReportAnswer = {
        format: 1,
        ...orders,
        leave: [...orders.leave],
        reportEverySeconds: options.reportEverySeconds,
        serverTime: now(),
      }
      return { json: answer }
    },
  }
}
