import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ReleaseError } from './release-error.js'
import { readRelease, versionPattern } from './release.js'
import { replaceFile } from '../../log/replace-file.js'

const Version = Type.String({ pattern: versionPattern, maxLength: 64 })
const Current = Type.Object({ version: Version, previous: Type.Union([Version, Type.Null()]) })
/** What current.json says: the version that is started, and the one to go back to. */
export type Current = Static<typeof Current>

/** Where things stand in the folder of an installation. */
export const installationPaths = (folder: string) => ({
  current: join(folder, 'current.json'),
  versions: join(folder, 'versions'),
  configuration: join(folder, 'hutong.yaml'),
  data: join(folder, 'data'),
  version: (version: string): string => join(folder, 'versions', version),
  /** What the launcher starts. */
  entry: (version: string): string => join(folder, 'versions', version, 'dist', 'cli', 'main.js'),
})

/** The installation that this very code runs from; undefined in a source tree. */
export async function ownInstallation(moduleUrl: string = import.meta.url): Promise<string | undefined> {
  // <folder>/versions/<version>/dist/cli/installation/installation.js
  const versionFolder = join(dirname(fileURLToPath(moduleUrl)), '..', '..', '..')
  const folder = join(versionFolder, '..', '..')
  return await readCurrent(folder).then(
    () => folder,
    () => undefined,
  )
}

/** @throws ReleaseError `not-a-release` where the folder is no installation */
export async function readCurrent(folder: string): Promise<Current> {
  const path = installationPaths(folder).current
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ReleaseError('not-a-release', `${folder} is not an installation: no readable current.json`, { cause })
  })
  const value = parse(text)
  if (Value.Check(Current, value)) return value
  throw new ReleaseError('not-a-release', `${path} does not name a version`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/**
 * Makes an unpacked version the one that is started next, durably, and remembers the one before. The running process
 * is not touched. The same version again changes nothing, so that `previous` stays the version to go back to.
 * @throws ReleaseError `version-missing`; `spool-format` where it reads an older spool than the current one writes,
 * unless `force`
 */
export async function switchTo(
  folder: string,
  version: string,
  { force = false }: { readonly force?: boolean } = {},
): Promise<Current> {
  const paths = installationPaths(folder)
  const before = await readCurrent(folder)
  if (before.version === version) return before
  const target = Value.Check(Version, version)
    ? await readRelease(paths.version(version)).catch(() => undefined)
    : undefined
  if (target?.version !== version)
    throw new ReleaseError('version-missing', `version ${version} is not unpacked in ${paths.versions}`)
  if (!force) await refuseOlderSpool(paths.version(before.version), before.version, target)
  const current: Current = { version, previous: before.version }
  await replaceFile(paths.current, `${JSON.stringify(current)}\n`)
  return current
}

/** Removes what else stands in a folder. */
export async function removeOthers(folder: string, kept: ReadonlySet<string | null>): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) if (!kept.has(name)) await removeWhole(join(folder, name))
}

/** On Windows a file may be held for a moment: the next time removes it. */
const removeWhole = (path: string): Promise<void> => rm(path, { recursive: true, force: true }).catch(() => undefined)

/**
 * Removes versions that were unpacked before every one of `used`; a later one may be about to be tried.
 * Resolves with their names.
 */
export async function removeOlderVersions(
  folder: string,
  used: ReadonlySet<string | null>,
): Promise<readonly string[]> {
  const { versions } = installationPaths(folder)
  const names = (await readdir(versions)).filter((name) => !name.startsWith('.')) // .incoming-… may be under way
  const unpackedAt = new Map(
    await Promise.all(names.map(async (name) => [name, (await stat(join(versions, name))).ctimeMs] as const)),
  )
  const times = names.filter((name) => used.has(name)).map((name) => unpackedAt.get(name) ?? -Infinity)
  const oldest = times.length === 0 ? -Infinity : Math.min(...times)
  const old = names.filter((name) => !used.has(name) && (unpackedAt.get(name) ?? Infinity) < oldest)
  for (const name of old) await removeWhole(join(versions, name))
  return old
}

async function refuseOlderSpool(
  runningFolder: string,
  running: string,
  target: { version: string; spoolFormat: number },
) {
  const { spoolFormat } = await readRelease(runningFolder)
  if (target.spoolFormat >= spoolFormat) return
  throw new ReleaseError(
    'spool-format',
    `version ${target.version} reads spool format ${target.spoolFormat}, and ${running} writes format ${spoolFormat}: ` +
      'what is spooled now could not be read; wait until the spool is empty, then use --force',
  )
}
