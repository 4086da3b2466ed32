import { spawn } from 'node:child_process'
import type { KeyObject } from 'node:crypto'
import { mkdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { OutcomeCode } from '../../core/fleet-report.js'
import {
  openSignedRelease,
  type ReleaseManifest,
  type ReleaseScope,
  type SignedRelease,
} from '../../core/fleet-release.js'
import type { FleetLink } from '../../log/fleet-link.js'
import { isDiskFull } from '../../log/release-download.js'
import { installationPaths, readCurrent } from '../installation/installation.js'
import { ReleaseError } from '../installation/release-error.js'
import { readRelease } from '../installation/release.js'
import { replaceFile } from '../../log/replace-file.js'
import { unpackRelease } from '../installation/unpack.js'
import { readSetting, type Setting } from './setting.js'
import { fleetPaths, type CandidateRelease } from './state.js'

/** Why a release is not tried; `again`: it may be later. */
export class NotTaken extends Error {
  override readonly name = 'NotTaken'
  constructor(
    readonly code: OutcomeCode,
    readonly again = false,
    options?: ErrorOptions,
  ) {
    super(code, options)
  }
}

export interface PrepareOptions {
  readonly folder: string
  readonly dataDir: string
  readonly keys: readonly KeyObject[]
  readonly scope: ReleaseScope
  readonly link: FleetLink
  readonly variables: Readonly<Record<string, string | undefined>>
  /** That is in use now. */
  readonly setting: Setting
  readonly signal: AbortSignal
}

/** Unpacked, a package is so many times its size; and what must stay free for the spool. */
const unpackedTimes = 6
const reserveBytes = 256 * 1024 * 1024

/** The manifest of what is offered, where this edge believes it. @throws NotTaken */
export function believe(
  signed: SignedRelease,
  { keys, scope }: Pick<PrepareOptions, 'keys' | 'scope'>,
): ReleaseManifest {
  const manifest = openSignedRelease(signed, keys, scope)
  if (typeof manifest === 'string') throw new NotTaken(manifest)
  return manifest
}

/**
 * Fetches a release that is believed, proves it, and puts it beside what runs, ready to be tried; nothing that runs changes.
 * @throws NotTaken; RetryableError while the gateway is away
 */
export async function prepare(manifest: ReleaseManifest, options: PrepareOptions): Promise<CandidateRelease> {
  const { sha256, number } = manifest
  const paths = fleetPaths(options.dataDir)
  const download = paths.download(sha256)
  try {
    await refuseFullDisk(options, manifest, download)
    if (!(await options.link.fetch(manifest, download, options.signal))) throw new NotTaken('bytes-differ', true)
    const candidate: CandidateRelease =
      manifest.kind === 'package'
        ? { kind: 'package', number, version: await unpack(download, manifest, options) }
        : { kind: 'configuration', number, sha256: await take(download, manifest, options) }
    await rm(download, { force: true })
    return candidate
  } catch (cause) {
    const notTaken = isDiskFull(cause) && !(cause instanceof NotTaken) ? fullDisk(cause) : cause
    const isFull = notTaken instanceof NotTaken && notTaken.code === 'disk-full'
    // What was fetched so far is worth less than the room of the spool.
    if (notTaken instanceof NotTaken && (isFull || !notTaken.again)) await rm(download, { force: true })
    throw notTaken
  }
}

const fullDisk = (cause?: unknown): NotTaken => new NotTaken('disk-full', true, { cause })

/** What is downloaded stands beside the spool, what is unpacked beside the versions: that may be another disk. */
async function refuseFullDisk(
  { dataDir, folder }: Pick<PrepareOptions, 'dataDir' | 'folder'>,
  { kind, bytes }: ReleaseManifest,
  download: string,
): Promise<void> {
  await mkdir(dataDir, { recursive: true })
  const fetched = (await stat(download).catch(() => undefined))?.size ?? 0
  const needed = kind === 'package' ? bytes * unpackedTimes + reserveBytes : bytes * 2
  if ((await freeBytes(dataDir)) < needed - Math.min(fetched, bytes)) throw fullDisk()
  if (kind === 'package' && (await freeBytes(folder)) < bytes * (unpackedTimes - 1)) throw fullDisk()
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

async function unpack(file: string, { version }: ReleaseManifest, options: PrepareOptions): Promise<string> {
  const { folder, keys } = options
  const paths = installationPaths(folder)
  try {
    const running = (await readCurrent(folder)).version
    // Unpacking the very version that runs would leave nothing to go back to.
    if (running === version) throw new NotTaken('package-refused')
    const release = await unpackRelease(file, folder, keys)
    if (release.version !== version) throw new NotTaken('package-refused')
    // Going back must be possible at any moment of the trial: what it spools, the version before must read.
    const before = await readRelease(paths.version(running))
    if (before.spoolFormat !== release.spoolFormat) throw new NotTaken('spool-format')
  } catch (cause) {
    if (cause instanceof ReleaseError && !isDiskFull(cause)) throw new NotTaken('package-refused', false, { cause })
    throw cause
  }
  const args = ['supervise', folder, '--config', options.setting.file, '--check']
  if (!(await succeeds(paths.entry(version), args, folder))) throw new NotTaken('start-check-failed')
  return version
}

/** What the launcher will start after a restart of the machine must start. */
function succeeds(entry: string, args: readonly string[], cwd: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [entry, ...args], {
      cwd,
      stdio: 'ignore',
      windowsHide: true,
      timeout: 120_000,
    })
    child.once('error', () => resolve(false))
    child.once('exit', (code) => resolve(code === 0))
  })
}

async function take(file: string, { sha256 }: ReleaseManifest, options: PrepareOptions): Promise<string> {
  const paths = fleetPaths(options.dataDir)
  await mkdir(paths.configurations, { recursive: true })
  const target = paths.configuration(sha256)
  await replaceFile(`${target}.candidate`, await readFile(file, 'utf8'))
  try {
    const found = await readSetting(`${target}.candidate`, options.variables)
    const { configuration } = found
    const { configuration: now } = options.setting
    // Bytes that are not UTF-8 would not be what was signed.
    if (found.sha256 !== sha256 || configuration.uplink === undefined) throw new NotTaken('configuration-invalid')
    if (configuration.environment !== now.environment) throw new NotTaken('configuration-invalid')
    if (configuration.feeds.some(({ hospital }) => hospital !== options.scope.hospital)) {
      throw new NotTaken('configuration-invalid')
    }
    const dir = (dataDir: string | undefined): string => resolve(options.folder, dataDir ?? '.hutong')
    if (dir(configuration.dataDir) !== dir(now.dataDir)) throw new NotTaken('configuration-moves-data')
  } catch (cause) {
    await rm(`${target}.candidate`, { force: true })
    throw cause instanceof NotTaken || isDiskFull(cause)
      ? cause
      : new NotTaken('configuration-invalid', false, { cause })
  }
  await rename(`${target}.candidate`, target)
  return sha256
}
