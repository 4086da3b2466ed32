import { statSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import type { X509Certificate } from 'node:crypto'
import { RetryableError, UsageError } from '../../core/errors.js'
import { GatewayRefusal } from '../../core/gateway-refusals.js'
import { pause } from '../../core/pause.js'
import { readPemFile } from '../../core/pem.js'
import { readRevocationLists, revocationKey, type RevocationList } from '../../core/revocation-list.js'
import type { Logger, Metrics } from '../../core/telemetry.js'
import type { Database } from '../../repository/database.js'
import { markSeen, readRevocations, type Revocations, type SeenEdge } from '../../repository/edges.js'
import type { ConnectedEdge } from './edge-certificate.js'

export interface RevocationOptions {
  /** Where edges are revoked by name; undefined where this gateway has no database. */
  readonly db?: Database
  /** The last list read is kept here, for a start while the database is away. */
  readonly cacheFile: string
  /** Lists of authorities outside (PEM), read again when the file changes. */
  readonly crlFile?: string
  readonly authorities: readonly X509Certificate[]
  readonly now: () => number
  readonly metrics: Metrics
  readonly logger: Logger
  /** How often the lists are looked at, ms (default 10,000): a revocation holds within a minute everywhere. */
  readonly pollMs?: number
}

/** Says of each request whether its edge is still welcome. */
export interface RevocationGuard {
  /** @throws GatewayRefusal certificate-revoked, revocations-unknown */
  check(edge: ConnectedEdge): void
  /** Keeps the lists current until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}

/** The last known list holds for so long while the database is away; after that nobody is let in (decision 0133). */
export const listAgeMsMax = 24 * 3_600_000
const seenEveryMs = 300_000
const seenMax = 20_000
const cacheEveryMs = 600_000

interface KnownList extends Revocations {
  /** ms */
  readonly knownAt: number
}

/** @throws UsageError where the file of revoked certificates cannot be used */
export async function openRevocations(options: RevocationOptions): Promise<RevocationGuard> {
  const { db, now, metrics, logger, pollMs = 10_000 } = options
  const crl = options.crlFile === undefined ? undefined : watchedCrl(options.crlFile, options)
  let known = db === undefined ? undefined : await readCache(options.cacheFile)
  let byName = indexOf(known)
  let cachedAt = known?.knownAt ?? 0
  /** Of this process: a list of the cache may be another database's. */
  let revisionRead: number | undefined
  const seen = new Map<string, SeenEdge>()
  const toTell = new Map<string, SeenEdge>()

  const look = async (): Promise<void> => {
    crl?.look()
    if (db === undefined) return
    try {
      const found = await readRevocations(db, revisionRead)
      const next = { ...(found ?? known!), knownAt: now() }
      if (found !== undefined) {
        byName = indexOf(found)
        revisionRead = found.revision
      }
      known = next
      if (found !== undefined || now() - cachedAt >= cacheEveryMs) {
        cachedAt = now()
        await writeCache(options.cacheFile, next).catch((error: unknown) =>
          logger.warn({ cause: (error as Error).message }, 'the list of revoked edges cannot be kept on the disk'),
        )
      }
      const batch = [...toTell.values()]
      toTell.clear()
      if (batch.length > 0) await markSeen(db, batch)
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      logger.warn({ cause: error.message }, 'the list of revoked edges cannot be read: the last known one holds')
    }
    if (known !== undefined) metrics.gatewayRevocationsAge.set((now() - known.knownAt) / 1000)
  }
  const note = (edge: ConnectedEdge): void => {
    const { hospital, name, certificate } = edge
    const { fingerprint } = certificate
    const seenAt = now()
    if (db === undefined || seenAt - (seen.get(fingerprint)?.seenAt ?? 0) < seenEveryMs) return
    if (seen.size >= seenMax) seen.clear()
    const one = { hospital, name, fingerprint, seenAt }
    seen.set(fingerprint, one)
    if (toTell.size < seenMax) toTell.set(fingerprint, one)
  }
  // A gateway that has a list to go by starts whether the database is there or not.
  if (known === undefined) await look()
  return {
    check(edge) {
      if (crl?.holds(edge.certificate) === true) throw new GatewayRefusal('certificate-revoked')
      if (db === undefined) return
      if (known === undefined || now() - known.knownAt > listAgeMsMax) {
        throw new GatewayRefusal('revocations-unknown', '', 30)
      }
      const revokedAt = byName.get(nameKey(edge))
      if (revokedAt !== undefined && edge.certificate.validFrom <= revokedAt) {
        throw new GatewayRefusal('certificate-revoked')
      }
      note(edge)
    },
    async run(signal) {
      while (!signal.aborted) {
        await look()
        await pause(pollMs, signal)
      }
    },
  }
}

const nameKey = ({ hospital, name }: { readonly hospital: string; readonly name: string }): string =>
  JSON.stringify([hospital, name])

const indexOf = (list: Revocations | undefined): ReadonlyMap<string, number> =>
  new Map(list?.edges.map((edge) => [nameKey(edge), edge.revokedAt]))

async function readCache(file: string): Promise<KnownList | undefined> {
  try {
    const value = JSON.parse(await readFile(file, 'utf8')) as Partial<KnownList>
    return Array.isArray(value.edges) && typeof value.knownAt === 'number' ? (value as KnownList) : undefined
  } catch {
    // None yet, or one that was never whole: the database has the list.
    return undefined
  }
}

async function writeCache(file: string, list: KnownList): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(list))
  await rename(`${file}.new`, file)
}

interface WatchedCrl {
  holds(certificate: { readonly raw: Buffer }): boolean
  /** Reads the file again if it has changed; one that cannot be used leaves the last list in force. */
  look(): void
}

function watchedCrl(file: string, { authorities, logger, now }: RevocationOptions): WatchedCrl {
  const read = (): RevocationList => readRevocationLists(readPemFile('gateway.crlFile', file), authorities)
  const stamp = (): string => {
    const { mtimeMs, size } = statSync(file)
    return `${mtimeMs} ${size}`
  }
  let list: RevocationList
  let readStamp: string
  try {
    readStamp = stamp()
    list = read()
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw new UsageError(`gateway.crlFile: ${file}: ${(cause as Error).message}`, { cause })
  }
  let saidOverdue = 0
  return {
    holds: (certificate) => list.revoked.has(revocationKey(certificate)),
    look() {
      try {
        const current = stamp()
        if (current !== readStamp) {
          list = read()
          readStamp = current
          logger.info({ revoked: list.revoked.size }, 'gateway.crlFile was read again')
        }
      } catch (error) {
        logger.error({ cause: (error as Error).message }, 'gateway.crlFile cannot be used: the last list holds')
      }
      if (now() > list.nextUpdate && now() - saidOverdue > 3_600_000) {
        saidOverdue = now()
        logger.error(
          { since: new Date(list.nextUpdate) },
          'gateway.crlFile is overdue: its authority must issue a new one',
        )
      }
    },
  }
}
