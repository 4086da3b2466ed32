import { join } from 'node:path'
import { batchRoute } from '../api/gateway/batches.js'
import { enrolmentRoutes } from '../api/gateway/enrolment.js'
import { startGateway } from '../api/gateway/gateway-server.js'
import { openRevocations } from '../api/gateway/revocations.js'
import type { GatewayRoute } from '../api/gateway/route.js'
import type { Authority } from '../core/authority.js'
import { certificatesOf } from '../core/certificates.js'
import { helloRoute } from '../api/gateway/hello.js'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { readPemFile } from '../core/pem.js'
import { readVerifyingKey } from '../core/signing.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import type { RawOutlet } from '../log/raw-outlet.js'
import type { ContentStores } from '../pipelines/content.js'
import type { Database } from '../repository/database.js'
import { openCodec } from '../schemas/codec.js'
import type { Configuration } from './config.js'
import { authorityOf, gatewayTrust } from './edge-authority.js'
import { openFleetRole } from './fleet-role.js'
import { lateDatabase } from './late-database.js'
import { openRepository } from './repository-access.js'

export interface GatewayParts {
  readonly outlet: RawOutlet
  readonly stores: ContentStores
  readonly metrics: Metrics
  readonly logger: Logger
  /** Where other roles of this process have it open. */
  readonly database?: Database | undefined
}

/** The role gateway, until `signal` aborts. @throws UsageError for files or an address that cannot be used */
export async function runGateway(
  { outlet, stores, metrics, logger, database }: GatewayParts,
  options: { readonly configuration: Configuration; readonly gatewayListening?: (port: number) => void },
  signal: AbortSignal,
): Promise<void> {
  const { configuration } = options
  const { gateway, feeds, environment } = configuration
  if (gateway === undefined) throw new UsageError('the role gateway needs gateway: {port: …, …}')
  const { host = '0.0.0.0', bodyMegabytesMax = 64, inFlightMegabytesMax = 256, requestTimeoutSeconds = 300 } = gateway
  const hospitals = new Map(feeds.map(({ name, hospital }) => [name, hospital]))
  const bodyBytesMax = bodyMegabytesMax * 1024 * 1024
  const requestTimeoutMs = requestTimeoutSeconds * 1000
  const authority = authorityOf(gateway)
  // Batches alone need no database, and do not wait for one that is away.
  const needsDatabase = configuration.database !== undefined || authority !== undefined
  const own = database === undefined && needsDatabase ? lateDatabase(() => openRepository(configuration)) : undefined
  const db = database ?? own
  const batches = batchRoute({
    province: { environment, hospitalOf: (feed) => hospitals.get(feed) },
    bodyBytesMax,
    inFlightBytesMax: inFlightMegabytesMax * 1024 * 1024,
    requestTimeoutMs,
    codec: await openCodec({ frameBytesMax: bodyBytesMax }),
    outlet,
    stores,
    metrics,
  })
  try {
    const outside =
      gateway.clientCaFile === undefined
        ? []
        : certificatesOf(readPemFile('gateway.clientCaFile', gateway.clientCaFile))
    const known = { configuration, authority, db, requestTimeoutMs, metrics, logger }
    const enrolment = enrolmentOf(known)
    const fleet = db === undefined ? undefined : openFleetRole({ configuration, db, requestTimeoutMs, metrics, logger })
    const revocations = await openRevocations({
      ...(db !== undefined && { db }),
      ...(gateway.crlFile !== undefined && { crlFile: gateway.crlFile }),
      cacheFile: join(configuration.dataDir ?? '.hutong', 'revoked-edges.json'),
      authorities: [...outside, ...(authority === undefined ? [] : certificatesOf(authority.chain))],
      now: () => systemClock.now(),
      metrics,
      logger,
    })
    const feedsOf = (hospital: string): string[] =>
      feeds.flatMap((feed) => (feed.hospital === hospital ? [feed.name] : []))
    const hello = helloRoute({ environment, feedsOf, clock: systemClock })
    const server = await startGateway({
      ...gateway,
      host,
      routes: [batches, hello, ...enrolment.routes, ...(fleet?.routes ?? [])],
      ...(authority !== undefined && {
        clientAuthorities: authority.chain,
        // What stands above an authority of the province only completes the chain.
        trusted: certificatesOf(authority.chain).slice(0, 1),
      }),
      chain: enrolment.chain,
      check: (edge) => revocations.check(edge),
      requestTimeoutMs,
      metrics,
      logger,
    })
    logger.info({ port: server.port, issues: authority !== undefined }, 'the gateway takes batches')
    options.gatewayListening?.(server.port)
    try {
      await Promise.all([revocations.run(signal), fleet?.run(signal), server.run(signal)])
    } finally {
      await server.close()
    }
  } finally {
    await own?.close()
  }
}

interface Known {
  readonly configuration: Configuration
  readonly authority: Authority | undefined
  readonly db: Database | undefined
  readonly requestTimeoutMs: number
  readonly metrics: Metrics
  readonly logger: Logger
}

/** Routes that issue certificates, and the authorities that must be shown with the gateway's own certificate. */
function enrolmentOf({ configuration, authority, db, ...rest }: Known): {
  readonly routes: readonly GatewayRoute[]
  readonly chain: string
} {
  const { gateway } = configuration
  if (gateway === undefined || authority === undefined || db === undefined) return { routes: [], chain: '' }
  const { authorities } = gatewayTrust(gateway, authority)
  const releaseKeys = (gateway.releaseKeyFiles ?? []).map((file) =>
    readVerifyingKey('gateway.releaseKeyFiles', file).export({ type: 'spki', format: 'pem' }).toString(),
  )
  const lifetimeMs = (gateway.authority?.edgeDays ?? 90) * 86_400_000
  const now = (): number => systemClock.now()
  return {
    routes: enrolmentRoutes({ ...rest, authority, db, lifetimeMs, authorities, releaseKeys, now }),
    chain: authorities,
  }
}
