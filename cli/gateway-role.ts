import { batchRoute } from '../api/gateway/batches.js'
import { startGateway } from '../api/gateway/gateway-server.js'
import { UsageError } from '../core/errors.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import type { RawOutlet } from '../log/raw-outlet.js'
import type { ContentStores } from '../pipelines/content.js'
import type { Database } from '../repository/database.js'
import { openCodec } from '../schemas/codec.js'
import type { Configuration } from './config.js'
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
  const { gateway, feeds, environment } = options.configuration
  if (gateway === undefined) throw new UsageError('the role gateway needs gateway: {port: …, …}')
  const { host = '0.0.0.0', bodyMegabytesMax = 64, inFlightMegabytesMax = 256, requestTimeoutSeconds = 300 } = gateway
  const hospitals = new Map(feeds.map(({ name, hospital }) => [name, hospital]))
  const bodyBytesMax = bodyMegabytesMax * 1024 * 1024
  const requestTimeoutMs = requestTimeoutSeconds * 1000
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
  const { configuration } = options
  // Batches alone need no database, and do not wait for one that is away.
  const own =
    database === undefined && configuration.database !== undefined
      ? lateDatabase(() => openRepository(configuration))
      : undefined
  const db = database ?? own
  const fleet = db === undefined ? undefined : openFleetRole({ configuration, db, requestTimeoutMs, metrics, logger })
  const server = await startGateway({
    ...gateway,
    host,
    routes: [batches, ...(fleet?.routes ?? [])],
    requestTimeoutMs,
    metrics,
    logger,
  })
  logger.info({ port: server.port }, 'the gateway takes batches')
  options.gatewayListening?.(server.port)
  try {
    await (fleet?.run(signal) ?? aborted(signal))
  } finally {
    await server.close()
    await own?.close()
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) =>
    signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
  )
