import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import { identityFiles, readIdentity, type IdentityFiles } from '../log/identity.js'
import { keepCertificate } from '../log/renewal.js'
import type { Uplink, UplinkOptions } from '../log/uplink.js'
import type { Configuration } from './config.js'

/** How this edge reaches the gateway. */
export type UplinkWay = Pick<UplinkOptions, 'url' | 'proxy' | 'bytesPerSecond' | 'caFile' | 'certFile' | 'keyFile'> & {
  /** Where certificate and authorities are those of `hutong enrol`. */
  readonly identity?: IdentityFiles
}

/** What the configuration says, or, where it names no files, the identity of this edge. @throws UsageError where there is none */
export async function uplinkOf(uplink: NonNullable<Configuration['uplink']>, dataDir: string): Promise<UplinkWay> {
  const { url, caFile, certFile, keyFile, ...rest } = uplink
  if (url !== undefined && caFile !== undefined && certFile !== undefined && keyFile !== undefined) {
    return { url, caFile, certFile, keyFile, ...rest }
  }
  const identity = identityFiles(dataDir)
  const known = await readIdentity(identity)
  if (known === undefined) {
    throw new UsageError(
      `this edge has no certificate yet: run hutong enrol <gateway> <token> --data-dir ${dataDir}, or name caFile, certFile and keyFile under uplink`,
    )
  }
  const { certFile: pair, caFile: authorities } = identity
  return { url: url ?? known.gateway, caFile: authorities, certFile: pair, keyFile: pair, identity, ...rest }
}

/** Keeps the certificate of the uplink current; the line moves to each new one. */
export const certificateRole =
  (way: UplinkWay, line: Uplink, { metrics, logger }: { readonly metrics: Metrics; readonly logger: Logger }) =>
  (signal: AbortSignal): Promise<void> => {
    const { url, proxy, certFile, identity } = way
    return keepCertificate(
      {
        ...{ url, certFile, metrics, logger },
        ...(proxy !== undefined && { proxy }),
        ...(identity !== undefined && { identity }),
        renewed: () => line.reconnect(),
        now: () => systemClock.now(),
      },
      signal,
    )
  }
