import { destination, pino, stdTimeFunctions, type Logger } from 'pino'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

export type { Logger }

/** Structured logs on stderr; never message content: control id, feed and position only. */
export function createLogger(options: { readonly level?: string; readonly role?: string } = {}): Logger {
  return pino(
    { level: options.level ?? 'info', base: { role: options.role }, timestamp: stdTimeFunctions.isoTime },
    destination({ dest: 2, sync: false }),
  )
}

/** Everything that is counted, on one Prometheus registry per process. No label carries patient data. */
export class Metrics {
  readonly registry = new Registry()

  readonly received = this.counter('hutong_messages_received_total', 'Messages read from a sender', ['feed'])
  readonly acknowledged = this.counter('hutong_messages_acknowledged_total', 'Messages durable and acknowledged', [
    'feed',
  ])
  readonly refused = this.counter('hutong_messages_refused_total', 'Attempts not stored and not acknowledged', [
    'feed',
    'reason',
  ])
  readonly stageRecords = this.counter('hutong_stage_records_total', 'Records a stage has finished', ['stage', 'lane'])
  readonly stageRetries = this.counter('hutong_stage_retries_total', 'Batches a stage had to try again', ['stage'])
  readonly deadLetters = this.counter('hutong_dead_letters_total', 'Events that ended in the dead letters', [
    'stage',
    'code',
  ])
  readonly ignored = this.counter('hutong_ignored_total', 'Messages kept but not used', ['reason'])
  readonly dispositions = this.counter('hutong_events_total', 'Events by what became of them', [
    'domain',
    'disposition',
  ])
  readonly spoolDamaged = this.counter('hutong_spool_damaged_total', 'Spooled messages found damaged on disk', ['feed'])
  readonly spoolDepth = this.gauge('hutong_spool_depth_messages', 'Accepted and not yet forwarded', [])
  readonly spoolDepthBytes = this.gauge('hutong_spool_depth_bytes', 'Accepted and not yet forwarded, bytes', [])
  readonly spoolDisk = this.gauge('hutong_spool_disk_bytes', 'Size of the spool on disk', [])
  readonly spoolAge = this.gauge('hutong_spool_oldest_seconds', 'Age of the oldest message not yet forwarded', [])
  readonly spoolAccepting = this.gauge(
    'hutong_spool_accepting',
    '1 while the spool takes messages, 0 when the disk is full',
    [],
  )
  readonly receiver = this.gauge('hutong_receiver', 'Counters of a receiver by name and reason', [
    'feed',
    'counter',
    'reason',
  ])
  readonly lag = this.gauge('hutong_consumer_lag_records', 'Records not yet committed by the group', [
    'group',
    'topic',
    'partition',
  ])
  readonly alertsOpen = this.gauge('hutong_alerts_open', 'Alerts that are open', ['feed', 'kind'])
  readonly uplinkRequests = this.counter(
    'hutong_uplink_requests_total',
    'Requests to the gateway: taken, a refusal code, unreachable',
    ['outcome'],
  )
  readonly uplinkBytes = this.counter('hutong_uplink_bytes_total', 'Compressed bytes the gateway answered', [])
  readonly uplinkAccepted = this.gauge('hutong_uplink_accepted', '1 when the gateway took the last batch, else 0', [])
  readonly uplinkCertificate = this.gauge(
    'hutong_uplink_certificate_seconds',
    'Until the client certificate of this edge ends; negative when it has',
    [],
  )
  readonly uplinkRenewals = this.counter(
    'hutong_uplink_renewals_total',
    'Renewals of the client certificate: renewed, a refusal code, unreachable, fault',
    ['outcome'],
  )
  readonly gatewayCertificates = this.counter(
    'hutong_gateway_certificates_total',
    'Certificates issued to edges: enrolled, renewed, again (the same once more)',
    ['outcome'],
  )
  readonly gatewayRevocationsAge = this.gauge(
    'hutong_gateway_revocations_age_seconds',
    'Since the list of revoked edges was last known to be the current one',
    [],
  )
  readonly feedHeld = this.gauge('hutong_feed_held', '1 while the gateway does not take this feed, by refusal code', [
    'feed',
    'code',
  ])
  readonly edgeReportedAt = this.edgeGauge('hutong_edge_reported_timestamp_seconds', 'Last report, seconds since 1970')
  readonly edgeReady = this.edgeGauge('hutong_edge_ready', '1 when the edge says it is ready, else 0')
  readonly edgeSpoolMessages = this.edgeGauge('hutong_edge_spool_messages', 'Accepted and not yet forwarded')
  readonly edgeSpoolOldest = this.edgeGauge('hutong_edge_spool_oldest_seconds', 'Age of the oldest of them')
  readonly edgeDiskFree = this.edgeGauge('hutong_edge_disk_free_bytes', 'Free on the disk of the spool')
  readonly edgeClockSkew = this.edgeGauge('hutong_edge_clock_skew_seconds', "The edge's clock minus the gateway's")
  readonly edgeCertificateUntil = this.edgeGauge(
    'hutong_edge_certificate_until_timestamp_seconds',
    'End of the client certificate, seconds since 1970',
  )
  readonly gatewayBatches = this.counter('hutong_gateway_batches_total', 'Batches taken, or taken before (already)', [
    'hospital',
    'outcome',
  ])
  readonly gatewayMessages = this.counter('hutong_gateway_messages_total', 'Messages appended to the event log', [
    'feed',
    'lane',
  ])
  readonly gatewayBytes = this.counter('hutong_gateway_bytes_total', 'Bodies of batches taken, bytes as sent', [
    'hospital',
  ])
  readonly gatewayRefusals = this.counter('hutong_gateway_refusals_total', 'Batches not taken', ['code'])
  readonly gatewayCertificateUntil = this.gauge(
    'hutong_gateway_certificate_until_timestamp_seconds',
    "End of the gateway's own certificate, seconds since 1970",
    [],
  )
  readonly gatewayCertificateRefused = this.gauge(
    'hutong_gateway_certificate_refused',
    '1 while the files of the certificate cannot be used and the one before is shown, else 0',
    [],
  )
  readonly gatewayInFlight = this.gauge('hutong_gateway_in_flight_bytes', 'Reserved for batches under way, bytes', [])
  readonly freshness = new Histogram({
    name: 'hutong_freshness_seconds',
    help: 'From the acknowledgement to the row in the repository, live lane',
    labelNames: ['feed'],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800],
    registers: [this.registry],
  })

  private counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] })
  }

  private edgeGauge(name: string, help: string): Gauge<'hospital' | 'edge'> {
    return this.gauge(name, help, ['hospital', 'edge'])
  }

  private gauge<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.registry] })
  }
}
