import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { X509Certificate } from 'node:crypto'
import { UsageError } from '../../core/errors.js'
import { readPemFile } from '../../core/pem.js'
import { readVerifyingKey } from '../../core/signing.js'
import type { FleetLinkOptions } from '../../log/fleet-link.js'
import { checkConfiguration, formatProblem, type Configuration } from '../config.js'
import { connectors } from '../connectors.js'

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

/** How the gateway is reached; undefined where the configuration has no uplink. */
export function linkOptionsOf({ uplink, fleet }: Configuration): FleetLinkOptions | undefined {
  if (uplink === undefined) return undefined
  const bytesPerSecond = fleet?.bytesPerSecond ?? uplink.bytesPerSecond
  return { ...uplink, ...(bytesPerSecond !== undefined && { bytesPerSecond }) }
}

/** Who this edge is and until when, from its certificate; undefined where it cannot be read. */
export function certificateOf(
  configuration: Configuration,
): { readonly hospital: string; readonly edge: string; readonly until: number } | undefined {
  if (configuration.uplink === undefined) return undefined
  try {
    const certificate = new X509Certificate(readPemFile('uplink.certFile', configuration.uplink.certFile))
    const name = /(?:^|, )URI:urn:hutong:edge:([^:,"]+):([^:,"]+)(?:, |$)/.exec(certificate.subjectAltName ?? '')
    const until = Date.parse(certificate.validTo)
    if (name === null || Number.isNaN(until)) return undefined
    return { hospital: decodeURIComponent(name[1]!), edge: decodeURIComponent(name[2]!), until }
  } catch {
    return undefined
  }
}

/** Keys that releases must be signed by: of the configuration, else what enrolment brought, else none. @throws UsageError */
export async function releaseKeysOf(configuration: Configuration): Promise<readonly KeyObject[]> {
  const files = configuration.fleet?.releaseKeyFiles
  if (files !== undefined) return files.map((file) => readVerifyingKey('fleet.releaseKeyFiles', file))
  const file = join(configuration.dataDir ?? '.hutong', 'identity', 'edge.json')
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return []
  try {
    const { releaseKeys = [] } = JSON.parse(text) as { readonly releaseKeys?: readonly string[] }
    return releaseKeys.map((pem) => createPublicKey(pem))
  } catch (cause) {
    throw new UsageError(`${file} holds no readable release keys: enrol this edge again`, { cause })
  }
}
