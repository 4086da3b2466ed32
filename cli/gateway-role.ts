import { batchRoute } from '../api/gateway/batches.js'
import { startGateway } from '../api/gateway/gateway-server.js'
import { helloRoute } from '../api/gateway/hello.js'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { pause } from '../core/pause.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import type { RawOutlet } from '../log/raw-outlet.js'
import type { ContentStores } from '../pipelines/content.js'
import { openCodec } from '../schemas/codec.js'
import type { Configuration } from './config.js'

export interface GatewayParts {
  readonly outlet: RawOutlet
  readonly stores: ContentStores
  readonly metrics: Metrics
  readonly logger: Logger
}

/** The role gateway, until `signal` aborts. @throws UsageError for files or an address that cannot be used */
export async function runGateway(
  { outlet, stores, metrics, logger }: GatewayParts,
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
  const feedsOf = (hospital: string): string[] =>
    feeds.flatMap((feed) => (feed.hospital === hospital ? [feed.name] : []))
  const hello = helloRoute({ environment, feedsOf, clock: systemClock })
  const server = await startGateway({ ...gateway, host, routes: [batches, hello], requestTimeoutMs, metrics, logger })
  logger.info({ port: server.port }, 'the gateway takes batches')
  options.gatewayListening?.(server.port)
  while (!signal.aborted) await pause(3_600_000, signal)
  await server.close()
}
