import type { EdgeReport } from '../core/fleet-report.js'
import type { ReleaseKind } from '../core/fleet-release.js'
import type { Database, Transaction } from './database.js'

export type RolloutState = 'running' | 'paused' | 'halted' | 'aborted' | 'done'

/** Times are ms. `plan` is as the one who started it gave it. */
export interface Rollout<P> {
  readonly id: number
  readonly releaseNumber: number
  readonly kind: ReleaseKind
  readonly version: string
  readonly environment: string
  readonly state: RolloutState
  readonly stage: number
  readonly startedAt: number
  readonly stageSince: number
  readonly plan: P
}

export interface RolloutEdgeRow {
  readonly hospital: string
  readonly edge: string
  readonly stage: number
  readonly outcome: 'pending' | 'healthy' | 'failed'
  readonly reason: string | null
  readonly offeredAt: number | null
  readonly baseline: EdgeReport | null
  readonly report: EdgeReport | null
  readonly reportedAt: number | null
  readonly silences: number
}

export interface RolloutEvent {
  readonly at: number
  readonly by: string
  readonly event: string
  readonly detail: string | null
}

const columns = `o.id, o.release_number AS "releaseNumber", l.kind, l.version, o.environment, o.state, o.stage,
  epoch_ms(o.started_at) AS "startedAt", epoch_ms(o.stage_since) AS "stageSince", o.plan`
const joined = 'rollout o JOIN fleet_release l ON l.number = o.release_number'

export async function insertRollout(
  tx: Transaction,
  rollout: {
    readonly releaseNumber: number
    readonly environment: string
    readonly plan: object
    readonly edges: readonly { readonly hospital: string; readonly edge: string; readonly stage: number }[]
    readonly by: string
    readonly now: number
    readonly detail: string
  },
): Promise<number> {
  const { releaseNumber, environment, plan, edges, by, now, detail } = rollout
  const [row] = await tx.query<{ id: number }>(
    `INSERT INTO rollout (release_number, started_at, stage_since, stage, environment, state, plan)
     VALUES ($1::int8, to_timestamp($2::float8 / 1000), to_timestamp($2::float8 / 1000), 0, $3, 'running', $4::text::jsonb)
     RETURNING id`,
    [String(releaseNumber), String(now), environment, JSON.stringify(plan)],
  )
  const id = row!.id
  await tx.execute(
    `INSERT INTO rollout_edge (rollout_id, stage, hospital, edge, outcome)
     SELECT $1::int8, (e->>'stage')::int4, e->>'hospital', e->>'edge', 'pending' FROM jsonb_array_elements($2::text::jsonb) e`,
    [String(id), JSON.stringify(edges)],
  )
  await addRolloutEvent(tx, id, { at: now, by, event: 'started', detail })
  return id
}

export async function addRolloutEvent(tx: Transaction, id: number, event: RolloutEvent): Promise<void> {
  await tx.execute(
    'INSERT INTO rollout_event (rollout_id, at, by, event, detail) VALUES ($1::int8, to_timestamp($2::float8 / 1000), $3, $4, $5)',
    [String(id), String(event.at), event.by, event.event, event.detail],
  )
}

export const isRolledOut = async (tx: Transaction, releaseNumber: number): Promise<boolean> =>
  (await tx.query('SELECT 1 FROM rollout WHERE release_number = $1::int8', [String(releaseNumber)])).length > 0

/** The next running rollout after `after` that no other instance looks at just now; locked until the transaction ends. */
export async function lockRunning<P>(
  tx: Transaction,
  environment: string,
  after: number,
): Promise<Rollout<P> | undefined> {
  const [found] = await tx.query<Rollout<P>>(
    `SELECT ${columns} FROM ${joined} WHERE o.state = 'running' AND o.environment = $1 AND o.id > $2::int8
     ORDER BY o.id LIMIT 1 FOR UPDATE OF o SKIP LOCKED`,
    [environment, String(after)],
  )
  return found
}

/** Waits for whoever looks at it. */
export async function lockRollout<P>(tx: Transaction, id: number): Promise<Rollout<P> | undefined> {
  const [found] = await tx.query<Rollout<P>>(`SELECT ${columns} FROM ${joined} WHERE o.id = $1::int8 FOR UPDATE OF o`, [
    String(id),
  ])
  return found
}

export const listRollouts = <P>(db: Database, limit = 50): Promise<Rollout<P>[]> =>
  db.transaction((tx) =>
    tx.query(`SELECT ${columns} FROM ${joined} ORDER BY o.id DESC LIMIT $1::int4`, [String(limit)]),
  )

export const rolloutEdges = (tx: Transaction, id: number): Promise<RolloutEdgeRow[]> =>
  tx.query(
    `SELECT e.hospital, e.edge, e.stage, e.outcome, e.reason, epoch_ms(e.offered_at) AS "offeredAt", e.baseline,
       r.report, epoch_ms(r.reported_at) AS "reportedAt",
       (SELECT count(*) FROM alert a JOIN feed f ON f.id = a.feed_id JOIN hospital h ON h.id = f.hospital_id
        WHERE h.code = e.hospital AND a.kind = 'silence' AND a.environment = o.environment
          AND a.opened_at > e.offered_at AND a.closed_at IS NULL) AS silences
     FROM rollout_edge e JOIN rollout o ON o.id = e.rollout_id
     LEFT JOIN edge_report r ON r.environment = o.environment AND r.hospital = e.hospital AND r.edge = e.edge
     WHERE e.rollout_id = $1::int8 ORDER BY e.stage, e.hospital, e.edge`,
    [String(id)],
  )

export const rolloutEvents = (tx: Transaction, id: number): Promise<RolloutEvent[]> =>
  tx.query('SELECT epoch_ms(at) AS at, by, event, detail FROM rollout_event WHERE rollout_id = $1::int8 ORDER BY id', [
    String(id),
  ])

export async function settleEdge(
  tx: Transaction,
  id: number,
  edge: { readonly hospital: string; readonly edge: string; readonly outcome: string; readonly reason: string | null },
  now: number,
): Promise<void> {
  await tx.execute(
    `UPDATE rollout_edge SET outcome = $4, reason = $5, settled_at = to_timestamp($6::float8 / 1000)
     WHERE rollout_id = $1::int8 AND hospital = $2 AND edge = $3`,
    [String(id), edge.hospital, edge.edge, edge.outcome, edge.reason, String(now)],
  )
}

export async function moveRollout(
  tx: Transaction,
  id: number,
  to: { readonly state: RolloutState; readonly stage: number; readonly stageSince: number },
): Promise<void> {
  await tx.execute(
    `UPDATE rollout SET state = $2, stage = $3::int4, stage_since = to_timestamp($4::float8 / 1000) WHERE id = $1::int8`,
    [String(id), to.state, String(to.stage), String(to.stageSince)],
  )
}
