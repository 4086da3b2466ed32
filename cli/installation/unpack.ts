import type { KeyObject } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { extract, type ReadEntry } from 'tar'
import { installationPaths, readCurrent } from './installation.js'
import { ReleaseError } from './release-error.js'
import { verifyRelease, type Release } from './release.js'
import { renamePatiently } from '../../log/replace-file.js'

/** The one folder at the top of a package. */
export const packageFolder = 'hutong'

/** No release comes near these; they bound what a hostile archive can fill before its signature is looked at. */
const unpackedBytesMax = 1024 ** 3
const filesMax = 50_000

const incoming = '.incoming-'
const leftoverAfterMs = 24 * 3600_000

/**
 * Unpacks the version in a package (.tar.gz) beside those that are there, proved by one of `keys` before it gets its
 * place: `versions/<version>` is whole and genuine or not there. Launchers and runtime of the package are left out.
 * A version that is there already and genuine stays as it is; a spoilt one is replaced unless it is the current one.
 * @throws ReleaseError
 */
export async function unpackRelease(archive: string, folder: string, keys: readonly KeyObject[]): Promise<Release> {
  const { versions } = installationPaths(folder)
  await mkdir(versions, { recursive: true })
  await removeLeftovers(versions)
  const staging = await mkdtemp(join(versions, incoming))
  try {
    await extractVersion(archive, staging)
    const release = await verifyRelease(staging, keys)
    await place(staging, folder, release, keys)
    return release
  } finally {
    await rm(staging, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** What a process left that was killed while it unpacked; a younger folder may be another's work. */
async function removeLeftovers(versions: string): Promise<void> {
  for (const name of await readdir(versions)) {
    if (!name.startsWith(incoming)) continue
    const path = join(versions, name)
    if ((await stat(path)).mtimeMs < Date.now() - leftoverAfterMs) await rm(path, { recursive: true, force: true })
  }
}

async function place(staging: string, folder: string, release: Release, keys: readonly KeyObject[]): Promise<void> {
  const target = installationPaths(folder).version(release.version)
  const there = await verifyRelease(target, keys).catch((error: unknown) => error as Error)
  if (!(there instanceof Error)) return
  const current = await readCurrent(folder).catch(() => undefined)
  if (current?.version === release.version)
    throw new ReleaseError(
      there instanceof ReleaseError ? there.fault : 'not-a-release',
      `version ${release.version} runs now and is not as released (${there.message}): repair it with another version first`,
    )
  await rm(target, { recursive: true, force: true, maxRetries: 5 })
  await renamePatiently(staging, target)
}

async function extractVersion(archive: string, into: string): Promise<void> {
  let bytes = 0
  let files = 0
  const prefix = `${packageFolder}/versions/`
  try {
    await extract({
      file: archive,
      cwd: into,
      strip: 3,
      strict: true,
      preserveOwner: false,
      filter: (path, entry) => {
        const { type, size } = entry as ReadEntry
        if (!path.startsWith(prefix) || type === 'Directory') return false
        bytes += size
        files++
        // Links are left out here, and then missed by the comparison with RELEASE.json.
        return (type === 'File' || type === 'OldFile') && bytes <= unpackedBytesMax && files <= filesMax
      },
    })
  } catch (cause) {
    throw new ReleaseError('archive-refused', `${archive} cannot be unpacked: ${(cause as Error).message}`, { cause })
  }
  if (bytes > unpackedBytesMax || files > filesMax)
    throw new ReleaseError('archive-refused', `${archive} is larger than any release`)
  if (files === 0) throw new ReleaseError('archive-refused', `${archive} holds no version of Hutong`)
}
