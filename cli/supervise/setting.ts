import { createHash, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { edgeOfNames } from '../../api/gateway/edge-certificate.js'
import { UsageError } from '../../core/errors.js'
import { readVerifyingKey } from '../../core/signing.js'
import type { FleetLinkOptions } from '../../log/fleet-link.js'
import { currentCertificate } from '../../log/identity.js'
import { checkConfiguration, formatProblem, type Configuration } from '../config.js'
import { connectors } from '../connectors.js'
import { trustedKeys } from '../installation/trusted-keys.js'
import { uplinkOf } from '../uplink-role.js'

/** A configuration file as the supervisor uses it. */
export interface Setting {
  readonly file: string
  /** Of the file's bytes, hex. */
  readonly sha256: string
  readonly configuration: Configuration
}

/** Checked as `hutong check` does. @throws UsageError naming every problem */
export async function readSetting(
  file: string,
  variables: Readonly<Record<string, string | undefined>>,
): Promise<Setting> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new UsageError(`cannot read ${file}: ${(cause as Error).message}`, { cause })
  })
  const { problems, configuration } = checkConfiguration(bytes.toString('utf8'), connectors, variables)
  if (configuration === undefined) {
    throw new UsageError(problems.map((problem) => formatProblem(file, problem)).join('\n'))
  }
  return { file, sha256: createHash('sha256').update(bytes).digest('hex'), configuration }
}

/** How the gateway is reached; undefined where the configuration has no uplink. @throws UsageError before enrolment */
export async function linkOptionsOf(configuration: Configuration): Promise<FleetLinkOptions | undefined> {
  const { uplink, fleet, dataDir = '.hutong' } = configuration
  if (uplink === undefined) return undefined
  const way = await uplinkOf(uplink, dataDir)
  const bytesPerSecond = fleet?.bytesPerSecond ?? way.bytesPerSecond
  return { ...way, ...(bytesPerSecond !== undefined && { bytesPerSecond }) }
}

/** Who this edge is and until when, from its certificate; undefined where it cannot be read. */
export async function certificateOf({
  uplink,
  dataDir = '.hutong',
}: Configuration): Promise<{ readonly hospital: string; readonly edge: string; readonly until: number } | undefined> {
  if (uplink === undefined) return undefined
  try {
    const { certFile } = await uplinkOf(uplink, dataDir)
    const certificate = await currentCertificate(certFile)
    const named = edgeOfNames(certificate?.subjectAltName)
    const until = Date.parse(certificate?.validTo ?? '')
    if (named === undefined || Number.isNaN(until)) return undefined
    return { hospital: named.hospital, edge: named.name, until }
  } catch {
    return undefined
  }
}

/** Keys that releases must be signed by: of the configuration, else what enrolment brought, else none. @throws UsageError */
export async function releaseKeysOf({ fleet, dataDir = '.hutong' }: Configuration): Promise<readonly KeyObject[]> {
  const files = fleet?.releaseKeyFiles
  if (files !== undefined) return files.map((file) => readVerifyingKey('fleet.releaseKeyFiles', file))
  return (await trustedKeys(dataDir)) ?? []
}
