import { isForEdge, isNewerVersion, type ReleaseKind, type SignedRelease } from '../core/fleet-release.js'
import type { EdgeReport } from '../core/fleet-report.js'
import type { Database, Transaction } from './database.js'
import { addRolloutEvent } from './rollouts.js'

export interface ReportingEdge {
  readonly environment: string
  readonly hospital: string
  readonly edge: string
}

/** What an edge should run, and what it should leave. */
export interface EdgeOrders {
  readonly package: SignedRelease | null
  readonly configuration: SignedRelease | null
  readonly leave: readonly number[]
}

/** Keeps the report and reads what the edge is to run; what is offered for the first time is marked so, with the report. */
export async function takeReport(
  db: Database,
  edge: ReportingEdge,
  report: EdgeReport,
  now: number,
): Promise<EdgeOrders> {
  return db.transaction(async (tx) => {
    const who = [edge.environment, edge.hospital, edge.edge]
    await tx.execute(
      `INSERT INTO edge_report (reported_at, environment, hospital, edge, report)
       VALUES (to_timestamp($4::float8 / 1000), $1, $2, $3, $5::text::jsonb)
       ON CONFLICT (environment, hospital, edge) DO UPDATE SET reported_at = excluded.reported_at, report = excluded.report`,
      [...who, String(now), JSON.stringify(report)],
    )
    await joinRollouts(tx, edge, report, now)
    const offers = await offersOf(tx, who)
    for (const { rolloutId } of offers) {
      await tx.execute(
        `UPDATE rollout_edge SET offered_at = to_timestamp($4::float8 / 1000), baseline = $5::text::jsonb
         WHERE rollout_id = $1::int8 AND hospital = $2 AND edge = $3 AND offered_at IS NULL`,
        [String(rolloutId), edge.hospital, edge.edge, String(now), JSON.stringify(report)],
      )
    }
    const signed = (kind: string): SignedRelease | null => {
      const offer = offers.find((one) => one.kind === kind)
      if (offer === undefined) return null
      return { manifest: offer.manifest, signature: { keyId: offer.keyId, signature: offer.signature } }
    }
    return {
      package: signed('package'),
      configuration: signed('configuration'),
      leave: await leftReleases(tx, who, report),
    }
  })
}

/**
 * An edge that first reports after a rollout was started is of its last stage: after all that were there, and at once
 * where the rollout is done. It is given no package of the version that it runs, or of an older one than that.
 */
async function joinRollouts(tx: Transaction, edge: ReportingEdge, report: EdgeReport, now: number): Promise<void> {
  const { environment, hospital } = edge
  const open = await tx.query<{
    id: number
    kind: ReleaseKind
    version: string
    hospital: string | null
    edge: string | null
  }>(
    `SELECT o.id, l.kind, l.version, l.hospital, l.edge
     FROM rollout o JOIN fleet_release l ON l.number = o.release_number
     WHERE o.environment = $1 AND o.state IN ('running', 'paused', 'done')
       AND NOT EXISTS (
         SELECT 1 FROM rollout_edge e JOIN rollout p ON p.id = e.rollout_id JOIN fleet_release n ON n.number = p.release_number
         WHERE e.hospital = $2 AND e.edge = $3 AND p.environment = o.environment AND n.kind = l.kind
           AND (p.id = o.id OR (n.number > l.number AND p.state IN ('running', 'paused', 'done'))))
     ORDER BY l.number DESC`,
    [environment, hospital, edge.edge],
  )
  const meant = open.filter((release) => isForEdge({ ...release, environment }, edge))
  // Only the newest of each kind is news.
  const joined = meant
    .filter((release) => meant.find(({ kind }) => kind === release.kind) === release)
    .filter(({ kind, version }) => kind === 'configuration' || isNewerVersion(version, report.version))
  for (const { id } of joined.sort((a, b) => a.id - b.id)) {
    const made = await tx.query(
      `INSERT INTO rollout_edge (rollout_id, stage, hospital, edge, outcome)
       SELECT id, jsonb_array_length(plan->'shares'), $2, $3, 'pending' FROM rollout WHERE id = $1::int8
       ON CONFLICT DO NOTHING RETURNING 1 AS made`,
      [String(id), hospital, edge.edge],
    )
    if (made.length === 0) continue
    const detail = `${hospital}/${edge.edge}`
    await addRolloutEvent(tx, id, { at: now, by: 'gateway', event: 'edge-joined', detail })
  }
}

interface Offer {
  readonly rolloutId: number
  readonly kind: string
  readonly sha256: string
  readonly bytes: number
  readonly manifest: string
  readonly keyId: string
  readonly signature: string
}

/** The newest release of each kind that rollouts give an edge. A paused rollout gives nothing to who has not been given it. */
const offersOf = (tx: Transaction, who: readonly string[]): Promise<Offer[]> =>
  tx.query<Offer>(
    `SELECT DISTINCT ON (l.kind) o.id AS "rolloutId", l.kind, l.sha256, l.bytes, l.manifest, l.key_id AS "keyId", l.signature
     FROM rollout_edge e JOIN rollout o ON o.id = e.rollout_id JOIN fleet_release l ON l.number = o.release_number
     WHERE o.environment = $1 AND e.hospital = $2 AND e.edge = $3 AND e.outcome <> 'failed'
       AND (e.stage <= o.stage OR o.state = 'done')
       AND (o.state IN ('running', 'done') OR (o.state = 'paused' AND e.offered_at IS NOT NULL))
     ORDER BY l.kind, l.number DESC`,
    who,
  )

/** Of what the edge says it runs or takes: releases whose rollout was ended. */
async function leftReleases(tx: Transaction, who: readonly string[], report: EdgeReport): Promise<readonly number[]> {
  const { packageNumber, configurationNumber, trial, fetching } = report
  const held = [packageNumber, configurationNumber, trial, fetching].filter((number) => number !== null)
  if (held.length === 0) return []
  const rows = await tx.query<{ number: number }>(
    `SELECT o.release_number AS number FROM rollout o JOIN rollout_edge e ON e.rollout_id = o.id
     WHERE o.environment = $1 AND e.hospital = $2 AND e.edge = $3 AND e.offered_at IS NOT NULL
       AND o.state IN ('halted', 'aborted') AND o.release_number = ANY(string_to_array($4, ',')::int8[])`,
    [...who, held.join(',')],
  )
  return rows.map(({ number }) => number)
}

/** The object an edge may fetch under this hash: one that a rollout gives it now. Undefined for all else. */
export async function offeredObject(
  db: Database,
  edge: ReportingEdge,
  sha256: string,
): Promise<{ readonly bytes: number } | undefined> {
  const offers = await db.transaction((tx) => offersOf(tx, [edge.environment, edge.hospital, edge.edge]))
  return offers.find((offer) => offer.sha256 === sha256)
}

export interface KnownEdge {
  readonly hospital: string
  readonly edge: string
  readonly environment: string
  /** ms, the gateway's clock. */
  readonly reportedAt: number
  readonly report: EdgeReport
}

export const listEdgeReports = (db: Database, environment?: string): Promise<KnownEdge[]> =>
  db.transaction((tx) => edgeReportsIn(tx, environment))

export const edgeReportsIn = (tx: Transaction, environment?: string): Promise<KnownEdge[]> =>
  tx.query(
    `SELECT hospital, edge, environment, epoch_ms(reported_at) AS "reportedAt", report FROM edge_report
     WHERE environment = coalesce($1, environment) ORDER BY environment, hospital, edge`,
    [environment ?? null],
  )
