import type { ReleaseManifest, SignedRelease } from '../core/fleet-release.js'
import type { Database, Transaction } from './database.js'

/** Holds off other publishers, and nobody else. */
const publishLock = 7_410_009

/**
 * Numbers, signs and records a release in one transaction, so that numbers rise in the order of publication. `sign` makes
 * the manifest of the number it is given.
 */
export async function addRelease(
  db: Database,
  sign: (number: number) => { readonly manifest: ReleaseManifest; readonly signed: SignedRelease },
  { by, now }: { readonly by: string; readonly now: number },
): Promise<ReleaseManifest> {
  return db.transaction(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1::int8)::text', [String(publishLock)])
    const [{ next }] = (await tx.query('SELECT coalesce(max(number), 0) + 1 AS next FROM fleet_release')) as [
      { next: number },
    ]
    const { manifest, signed } = sign(next)
    const { number, bytes, kind, sha256, version, environment, hospital, edge } = manifest
    await tx.execute(
      `INSERT INTO fleet_release (number, bytes, published_at, kind, sha256, version, environment, hospital, edge,
         published_by, manifest, key_id, signature)
       VALUES ($1::int8, $2::int8, to_timestamp($3::float8 / 1000), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
      [
        ...[String(number), String(bytes), String(now), kind, sha256, version, environment, hospital, edge, by],
        ...[signed.manifest, signed.signature.keyId, signed.signature.signature],
      ],
    )
    return manifest
  })
}

export interface PublishedRelease {
  readonly number: number
  readonly bytes: number
  readonly kind: 'package' | 'configuration'
  readonly sha256: string
  readonly version: string
  readonly environment: string
  readonly hospital: string | null
  readonly edge: string | null
  readonly publishedBy: string
  /** ms */
  readonly publishedAt: number
}

const columns = `number, bytes, kind, sha256, version, environment, hospital, edge, published_by AS "publishedBy",
  epoch_ms(published_at) AS "publishedAt"`

/** The newest first. */
export const listReleases = (db: Database, limit = 100): Promise<PublishedRelease[]> =>
  db.transaction((tx) =>
    tx.query(`SELECT ${columns} FROM fleet_release ORDER BY number DESC LIMIT $1::int4`, [String(limit)]),
  )

export async function findRelease(tx: Transaction, number: number): Promise<PublishedRelease | undefined> {
  const [found] = await tx.query<PublishedRelease>(`SELECT ${columns} FROM fleet_release WHERE number = $1::int8`, [
    String(number),
  ])
  return found
}
