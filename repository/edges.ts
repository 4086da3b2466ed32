import { timingSafeEqual } from 'node:crypto'
import type { Database, Transaction } from './database.js'

/** An edge by the names of its certificate. */
export interface EdgeName {
  readonly hospital: string
  readonly name: string
}

/** A certificate that is about to be kept. Times in ms since 1970-01-01T00:00:00Z. */
export interface IssuedCertificate {
  /** With its chain. */
  readonly pem: string
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string
  readonly notBefore: number
  readonly notAfter: number
}

/** Signs for this edge a certificate that begins after `revokedAt` (ms, 0 where the edge was never revoked). */
export type IssueCertificate = (edge: EdgeName, revokedAt: number) => IssuedCertificate

/** SHA-256 of the public key, 32 bytes, that a certificate is asked for. */
interface Asked {
  readonly publicKey: Buffer
  readonly now: number
  readonly issue: IssueCertificate
}

export type Redeemed =
  | (EdgeName & { readonly outcome: 'issued' | 'again'; readonly pem: string })
  | { readonly outcome: 'token-unknown' | 'token-expired' | 'token-used' | 'key-known' }

export type Renewed =
  | { readonly outcome: 'issued' | 'again'; readonly pem: string }
  | { readonly outcome: 'revoked' | 'not-ours' | 'superseded' | 'key-known' }

const at = (parameter: string): string => `to_timestamp(${parameter}::float8 / 1000)`

/** Keeps a token: only what its secret hashes to. */
export async function addToken(
  db: Database,
  token: EdgeName & {
    readonly id: string
    readonly secretHash: Buffer
    readonly by: string
    readonly now: number
    readonly expiresAt: number
  },
): Promise<void> {
  const { id, secretHash, hospital, name, by, now, expiresAt } = token
  await db.transaction(async (tx) => {
    await tx.execute(
      `INSERT INTO edge (created_at, hospital, name) VALUES (${at('$1')}, $2, $3) ON CONFLICT (hospital, name) DO NOTHING`,
      [String(now), hospital, name],
    )
    await tx.execute(
      `INSERT INTO edge_token (created_at, expires_at, id, secret_hash, hospital, name, created_by)
       VALUES (${at('$1')}, ${at('$2')}, $3, $4, $5, $6, $7)`,
      [String(now), String(expiresAt), id, secretHash, hospital, name, by],
    )
    await audit(tx, { hospital, name }, 'token', by, id, now)
  })
}

/**
 * Exchanges a token for a certificate, once: of several at a time, at any instances, one succeeds. The key that used a
 * token may ask again until the token expires, for an answer may be lost, and is given the same certificate.
 */
export async function redeemToken(
  db: Database,
  { id, secretHash, publicKey, now, issue }: Asked & { readonly id: string; readonly secretHash: Buffer },
): Promise<Redeemed> {
  return db.transaction(async (tx) => {
    const [known] = await tx.query<EdgeName & { secretHash: Buffer; isExpired: boolean }>(
      `SELECT secret_hash AS "secretHash", hospital, name, expires_at <= ${at('$2')} AS "isExpired" FROM edge_token WHERE id = $1`,
      [id, String(now)],
    )
    if (known === undefined || !timingSafeEqual(known.secretHash, secretHash)) return { outcome: 'token-unknown' }
    if (known.isExpired) return { outcome: 'token-expired' }
    const edge: EdgeName = { hospital: known.hospital, name: known.name }
    // The order of locks is that of a revocation: first the edge, then its tokens.
    const revokedAt = await lockEdge(tx, edge)
    const [used] = await tx.query(
      `UPDATE edge_token SET used_at = coalesce(used_at, ${at('$3')}), public_key = $2
       WHERE id = $1 AND expires_at > ${at('$3')} AND (used_at IS NULL OR public_key = $2) RETURNING id`,
      [id, publicKey, String(now)],
    )
    if (used === undefined) return { outcome: 'token-used' }
    const before = await certificateOfKey(tx, publicKey)
    if (before !== undefined && !isOf(before, edge)) return { outcome: 'key-known' }
    if (before !== undefined) return { outcome: 'again', ...edge, pem: before.pem }
    const issued = issue(edge, revokedAt)
    await keepCertificate(tx, edge, publicKey, issued, now)
    await audit(tx, edge, 'enrolled', `token ${id}`, issued.fingerprint, now)
    return { outcome: 'issued', ...edge, pem: issued.pem }
  })
}

/**
 * A further certificate for the edge that shows `fingerprint`. Asked again with the same key it is the same certificate.
 * Not where the edge is revoked, nor where a later certificate is already in use: then two machines hold one identity.
 */
export async function renewCertificate(
  db: Database,
  { edge, fingerprint, publicKey, now, issue }: Asked & { readonly edge: EdgeName; readonly fingerprint: string },
): Promise<Renewed> {
  return db.transaction(async (tx) => {
    const revokedAt = await lockEdge(tx, edge)
    const [shown] = await tx.query<{ issuedAt: number; isSuperseded: boolean }>(
      `SELECT epoch_ms(c.issued_at) AS "issuedAt", EXISTS (SELECT 1 FROM edge_certificate n WHERE n.hospital = c.hospital
         AND n.name = c.name AND n.issued_at > c.issued_at AND n.first_seen_at IS NOT NULL) AS "isSuperseded"
       FROM edge_certificate c WHERE c.fingerprint = $1 AND c.hospital = $2 AND c.name = $3`,
      [fingerprint, edge.hospital, edge.name],
    )
    if (shown === undefined) return { outcome: 'not-ours' }
    if (shown.issuedAt <= revokedAt) return { outcome: 'revoked' }
    if (shown.isSuperseded) return { outcome: 'superseded' }
    const before = await certificateOfKey(tx, publicKey)
    if (before !== undefined && (!isOf(before, edge) || before.fingerprint === fingerprint))
      return { outcome: 'key-known' }
    if (before !== undefined) return { outcome: 'again', pem: before.pem }
    const issued = issue(edge, revokedAt)
    await keepCertificate(tx, edge, publicKey, issued, now)
    await audit(tx, edge, 'renewed', 'edge', issued.fingerprint, now)
    return { outcome: 'issued', pem: issued.pem }
  })
}

/**
 * All certificates that the edge has, whoever issued them, and its open tokens are worth nothing from now on. An edge that
 * nobody has seen yet may be revoked as well. Resolves with false where there was nothing known under that name.
 */
export async function revokeEdge(
  db: Database,
  edge: EdgeName,
  { by, reason, now }: { readonly by: string; readonly reason: string; readonly now: number },
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const { hospital, name } = edge
    const created = await tx.execute(
      `INSERT INTO edge (created_at, hospital, name) VALUES (${at('$1')}, $2, $3) ON CONFLICT (hospital, name) DO NOTHING`,
      [String(now), hospital, name],
    )
    await lockEdge(tx, edge)
    // The clocks of this machine and of the gateways are not one.
    await tx.execute(
      `UPDATE edge SET revoked_by = $3, revoked_reason = $4, revoked_at = greatest(${at('$5')},
         (SELECT max(issued_at) + interval '1 second' FROM edge_certificate WHERE hospital = $1 AND name = $2))
       WHERE hospital = $1 AND name = $2`,
      [hospital, name, by, reason, String(now)],
    )
    await tx.execute(
      `UPDATE edge_token SET expires_at = ${at('$3')} WHERE hospital = $1 AND name = $2 AND expires_at > ${at('$3')}`,
      [hospital, name, String(now)],
    )
    await tx.execute('UPDATE edge_revision SET revision = revision + 1')
    await audit(tx, edge, 'revoked', by, reason, now)
    return created === 0
  })
}

/** Revoked edges: each certificate that begins at or before `revokedAt`, ms, is refused. */
export interface Revocations {
  readonly revision: number
  readonly edges: readonly (EdgeName & { readonly revokedAt: number })[]
}

/** Undefined where nothing has changed since `known`. */
export async function readRevocations(db: Database, known: number | undefined): Promise<Revocations | undefined> {
  return db.transaction(async (tx) => {
    const [row] = await tx.query<{ revision: number }>('SELECT revision FROM edge_revision')
    const revision = row?.revision ?? 0
    if (revision === known) return undefined
    const edges = await tx.query<EdgeName & { revokedAt: number }>(
      'SELECT hospital, name, epoch_ms(revoked_at) AS "revokedAt" FROM edge WHERE revoked_at IS NOT NULL ORDER BY 1, 2',
    )
    return { revision, edges }
  })
}

/** An edge was seen with this certificate; edges whose certificates come from elsewhere become known by it. */
export type SeenEdge = EdgeName & { readonly fingerprint: string; readonly seenAt: number }

export async function markSeen(db: Database, seen: readonly SeenEdge[]): Promise<void> {
  // In one order everywhere, so that gateways do not wait for each other in a circle.
  const inOrder = seen.toSorted((a, b) => (`${a.hospital}\n${a.name}` < `${b.hospital}\n${b.name}` ? -1 : 1))
  await db.transaction(async (tx) => {
    for (const { hospital, name, fingerprint, seenAt } of inOrder) {
      await tx.execute(
        `INSERT INTO edge (created_at, last_seen_at, hospital, name) VALUES (${at('$1')}, ${at('$1')}, $2, $3)
         ON CONFLICT (hospital, name) DO UPDATE SET last_seen_at = greatest(edge.last_seen_at, excluded.last_seen_at)`,
        [String(seenAt), hospital, name],
      )
      await tx.execute(
        `UPDATE edge_certificate SET first_seen_at = ${at('$1')} WHERE fingerprint = $2 AND first_seen_at IS NULL`,
        [String(seenAt), fingerprint],
      )
    }
  })
}

/** Where an edge stands. Times in ms. */
export interface EdgeStanding extends EdgeName {
  readonly revokedAt: number | null
  readonly revokedBy: string | null
  readonly revokedReason: string | null
  readonly lastSeenAt: number | null
  /** Of the last certificate that we issued and that is not revoked; null where there is none. */
  readonly certificateUntil: number | null
  /** Of the last token that nobody has used and that has not expired. */
  readonly tokenUntil: number | null
}

export async function listEdges(db: Database, now: number, hospital?: string): Promise<readonly EdgeStanding[]> {
  return db.transaction((tx) =>
    tx.query<EdgeStanding>(
      `SELECT e.hospital, e.name, epoch_ms(e.revoked_at) AS "revokedAt", e.revoked_by AS "revokedBy",
         e.revoked_reason AS "revokedReason", epoch_ms(e.last_seen_at) AS "lastSeenAt",
         (SELECT epoch_ms(max(c.not_after)) FROM edge_certificate c WHERE c.hospital = e.hospital AND c.name = e.name
           AND (e.revoked_at IS NULL OR c.issued_at > e.revoked_at)) AS "certificateUntil",
         (SELECT epoch_ms(max(t.expires_at)) FROM edge_token t WHERE t.hospital = e.hospital AND t.name = e.name
           AND t.used_at IS NULL AND t.expires_at > ${at('$1')}) AS "tokenUntil"
       FROM edge e WHERE e.hospital = coalesce($2::text, e.hospital) ORDER BY e.hospital, e.name`,
      [String(now), hospital ?? null],
    ),
  )
}

/** When the edge was last revoked, ms, else 0; holds its row until the transaction ends. */
async function lockEdge(tx: Transaction, { hospital, name }: EdgeName): Promise<number> {
  const [row] = await tx.query<{ revokedAt: number | null }>(
    'SELECT epoch_ms(revoked_at) AS "revokedAt" FROM edge WHERE hospital = $1 AND name = $2 FOR UPDATE',
    [hospital, name],
  )
  return row?.revokedAt ?? 0
}

type KeptCertificate = EdgeName & { readonly pem: string; readonly fingerprint: string }

async function certificateOfKey(tx: Transaction, publicKey: Buffer): Promise<KeptCertificate | undefined> {
  const [row] = await tx.query<KeptCertificate>(
    'SELECT hospital, name, pem, fingerprint FROM edge_certificate WHERE public_key = $1',
    [publicKey],
  )
  return row
}

const isOf = (kept: EdgeName, edge: EdgeName): boolean => kept.hospital === edge.hospital && kept.name === edge.name

async function keepCertificate(
  tx: Transaction,
  { hospital, name }: EdgeName,
  publicKey: Buffer,
  { pem, fingerprint, notBefore, notAfter }: IssuedCertificate,
  now: number,
): Promise<void> {
  await tx.execute(
    `INSERT INTO edge_certificate (issued_at, not_after, fingerprint, public_key, hospital, name, pem)
     VALUES (${at('$1')}, ${at('$2')}, $3, $4, $5, $6, $7)`,
    [String(Math.max(now, notBefore)), String(notAfter), fingerprint, publicKey, hospital, name, pem],
  )
}

async function audit(
  tx: Transaction,
  { hospital, name }: EdgeName,
  what: 'token' | 'enrolled' | 'renewed' | 'revoked',
  by: string,
  detail: string,
  now: number,
): Promise<void> {
  await tx.execute(
    `INSERT INTO edge_audit (at, hospital, name, what, by, detail) VALUES (${at('$1')}, $2, $3, $4, $5, $6)`,
    [String(now), hospital, name, what, by, detail],
  )
}
