import { join } from 'node:path'
import { releaseRoute } from '../api/gateway/releases.js'
import { reportRoute } from '../api/gateway/reports.js'
import type { GatewayRoute } from '../api/gateway/route.js'
import { systemClock } from '../core/clock.js'
import { RetryableError } from '../core/errors.js'
import { pause } from '../core/pause.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import type { Database } from '../repository/database.js'
import { advanceRollouts } from '../services/fleet/rollout.js'
import type { Configuration } from './config.js'

/** Rollouts are looked at this often: edges report each minute. */
const advanceEveryMs = 15_000

/** Where published releases stand. */
export const releasesDirOf = ({ fleet, dataDir = '.hutong' }: Pick<Configuration, 'fleet' | 'dataDir'>): string =>
  fleet?.releasesDir ?? join(dataDir, 'releases')

/** What a gateway does for the fleet: routes, and rollouts brought forward until the signal aborts. */
export function openFleetRole(parts: {
  readonly configuration: Configuration
  readonly db: Database
  readonly requestTimeoutMs: number
  readonly metrics: Metrics
  readonly logger: Logger
}): { readonly routes: readonly GatewayRoute[]; run(signal: AbortSignal): Promise<void> } {
  const { configuration, db, requestTimeoutMs, metrics, logger } = parts
  const { environment } = configuration
  const now = (): number => systemClock.now()
  const reportEverySeconds = configuration.fleet?.reportEverySeconds ?? null
  return {
    routes: [
      reportRoute({ db, environment, requestTimeoutMs, reportEverySeconds, metrics, now }),
      releaseRoute({ db, environment, dir: releasesDirOf(configuration) }),
    ],
    async run(signal) {
      while (!signal.aborted) {
        try {
          await advanceRollouts(db, environment, now())
        } catch (error) {
          // Batches go on; what is wrong with the database mends, or is told each time.
          if (error instanceof RetryableError) logger.warn({ cause: error.message }, 'rollouts wait for the database')
          else logger.error({ err: error }, 'rollouts cannot be brought forward')
        }
        await pause(advanceEveryMs, signal)
      }
    },
  }
}
