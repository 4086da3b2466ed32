import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { installationPaths, readCurrent, removeOlderVersions, switchTo } from '../../cli/installation/installation.js'
import type { ReleaseFault } from '../../cli/installation/release-error.js'
import { verifyRelease } from '../../cli/installation/release.js'
import { unpackRelease } from '../../cli/installation/unpack.js'
import { pack, signer, writeRelease } from './releases.js'

const mine = signer()
const stranger = signer()
let base: string
/** An installation of 0.1.0 in a folder as a Chinese site names it. */
let folder: string

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'hutong-installation-'))
  folder = join(base, '互通 前置机')
  await writeRelease(join(folder, 'versions', '0.1.0'), '0.1.0', { by: mine })
  await writeFile(join(folder, 'current.json'), JSON.stringify({ version: '0.1.0', previous: null }))
})
afterEach(() => rm(base, { recursive: true, force: true }))

const refused = (fault: ReleaseFault) => expect.objectContaining({ fault })

/** A package of one version, changed by `spoil` after it was signed. */
async function packageOf(
  version: string,
  options: Parameters<typeof writeRelease>[2],
  spoil: (versionFolder: string) => Promise<void> = () => Promise.resolve(),
): Promise<string> {
  const from = await mkdtemp(join(base, 'build-'))
  const versionFolder = join(from, 'hutong', 'versions', version)
  await writeRelease(versionFolder, version, options)
  await spoil(versionFolder)
  await writeFile(join(from, 'hutong', 'hutong'), 'a launcher')
  const archive = join(from, 'package.tar.gz')
  await pack(from, archive)
  return archive
}

describe('a release', () => {
  const released = (): string => join(folder, 'versions', '0.1.0')

  it('is proved by its signature and its files', async () => {
    expect((await verifyRelease(released(), [stranger.publicKey, mine.publicKey])).version).toBe('0.1.0')
    await expect(verifyRelease(released(), [stranger.publicKey])).rejects.toEqual(refused('signature-refused'))
    await expect(verifyRelease(released(), [])).rejects.toEqual(refused('signature-refused'))
  })

  it('is refused for a byte, a missing file, a file too many and a link', async () => {
    const main = join(released(), 'dist', 'cli', 'main.js')
    await writeFile(main, 'mein')
    await expect(verifyRelease(released(), [mine.publicKey])).rejects.toEqual(refused('file-changed'))
    await rm(main)
    await expect(verifyRelease(released(), undefined)).rejects.toEqual(refused('file-missing'))
    await writeFile(main, 'main')
    await writeFile(join(released(), 'dist', 'extra.js'), '')
    await expect(verifyRelease(released(), undefined)).rejects.toEqual(refused('file-not-listed'))
    await rm(join(released(), 'dist', 'extra.js'))
    await rm(main)
    await symlink(join(base, 'elsewhere'), main)
    await expect(verifyRelease(released(), undefined)).rejects.toEqual(refused('file-not-listed'))
  })

  it('is not read from anything else, nor from paths that leave its folder', async () => {
    await expect(verifyRelease(join(base, 'nowhere'), undefined)).rejects.toEqual(refused('not-a-release'))
    for (const path of ['../x', '/etc/x', 'a/../../x', 'C:x', 'a\\x', './x', 'a//x']) {
      const text = JSON.stringify({ version: '0.1.0', spoolFormat: 1, files: { [path]: '0'.repeat(64) } })
      await writeFile(join(released(), 'RELEASE.json'), text)
      await expect(verifyRelease(released(), undefined), path).rejects.toEqual(refused('not-a-release'))
    }
  })
})

describe('an update', () => {
  it('is unpacked beside the current version and switched to, with the way back kept', async () => {
    const release = await unpackRelease(await packageOf('0.2.0', { by: mine }), folder, [mine.publicKey])
    expect(release.version).toBe('0.2.0')
    expect((await readdir(join(folder, 'versions'))).sort()).toEqual(['0.1.0', '0.2.0'])
    expect(await readCurrent(folder)).toEqual({ version: '0.1.0', previous: null })
    await switchTo(folder, '0.2.0')
    await switchTo(folder, '0.2.0')
    expect(await readCurrent(folder)).toEqual({ version: '0.2.0', previous: '0.1.0' })
    await switchTo(folder, '0.1.0')
    expect(await readCurrent(folder)).toEqual({ version: '0.1.0', previous: '0.2.0' })
    expect((await readdir(folder)).sort()).toEqual(['current.json', 'versions'])
  })

  it('clears away what a killed one left a day ago, and not what may be under way', async () => {
    const old = join(folder, 'versions', '.incoming-old')
    const young = join(folder, 'versions', '.incoming-young')
    await mkdir(old)
    await mkdir(young)
    const longAgo = new Date(Date.now() - 2 * 24 * 3600_000)
    await utimes(old, longAgo, longAgo)
    await unpackRelease(await packageOf('0.2.0', { by: mine }), folder, [mine.publicKey])
    expect((await readdir(join(folder, 'versions'))).sort()).toEqual(['.incoming-young', '0.1.0', '0.2.0'])
  })

  it('leaves no trace where the package is not genuine', async () => {
    const cases: readonly (readonly [ReleaseFault, string])[] = [
      ['unsigned', await packageOf('0.2.0', {})],
      ['signature-refused', await packageOf('0.2.0', { by: stranger })],
      ['file-changed', await packageOf('0.2.0', { by: mine }, (at) => writeFile(join(at, 'package.json'), '{}'))],
      ['file-not-listed', await packageOf('0.2.0', { by: mine }, (at) => writeFile(join(at, 'x.js'), ''))],
      [
        'file-missing',
        await packageOf('0.2.0', { by: mine }, async (at) => {
          await rm(join(at, 'package.json'))
          await symlink('/etc/passwd', join(at, 'package.json'))
        }),
      ],
    ]
    const torn = await packageOf('0.2.0', { by: mine })
    await truncate(torn, 200)
    for (const [fault, archive] of [...cases, ['archive-refused', torn] as const]) {
      await expect(unpackRelease(archive, folder, [mine.publicKey]), fault).rejects.toEqual(refused(fault))
      expect(await readdir(join(folder, 'versions')), fault).toEqual(['0.1.0'])
    }
  })

  it('frees the versions older than those in use, and none that came later', async () => {
    for (const version of ['0.2.0', '0.3.0', '0.4.0', '0.5.0']) {
      await unpackRelease(await packageOf(version, { by: mine }), folder, [mine.publicKey])
    }
    await mkdir(join(folder, 'versions', '.incoming-young'))
    expect(await removeOlderVersions(folder, new Set(['0.4.0', '0.3.0', null]))).toEqual(['0.1.0', '0.2.0'])
    const left = ['.incoming-young', '0.3.0', '0.4.0', '0.5.0']
    expect((await readdir(join(folder, 'versions'))).sort()).toEqual(left)
    expect(await removeOlderVersions(folder, new Set(['0.9.0'])), 'none in use is there').toEqual([])
  })

  it('replaces a spoilt version that is not the current one, and no other', async () => {
    const again = await packageOf('0.1.0', { by: mine })
    const main = installationPaths(folder).entry('0.1.0')
    await unpackRelease(again, folder, [mine.publicKey])
    await writeFile(main, 'spoilt')
    await expect(unpackRelease(again, folder, [mine.publicKey])).rejects.toEqual(refused('file-changed'))
    expect(await readFile(main, 'utf8')).toBe('spoilt')
    await unpackRelease(await packageOf('0.2.0', { by: mine }), folder, [mine.publicKey])
    await switchTo(folder, '0.2.0')
    await unpackRelease(again, folder, [mine.publicKey])
    expect(await readFile(main, 'utf8')).toBe('main')
  })

  it('does not go back below the form of the spool unless forced, nor to what is not there', async () => {
    await unpackRelease(await packageOf('0.2.0', { by: mine, spoolFormat: 2 }), folder, [mine.publicKey])
    await switchTo(folder, '0.2.0')
    await expect(switchTo(folder, '0.1.0')).rejects.toEqual(refused('spool-format'))
    for (const version of ['0.3.0', '../0.1.0', '']) {
      await expect(switchTo(folder, version), version).rejects.toEqual(refused('version-missing'))
    }
    expect(await readCurrent(folder)).toEqual({ version: '0.2.0', previous: '0.1.0' })
    expect((await switchTo(folder, '0.1.0', { force: true })).version).toBe('0.1.0')
  })

  it('is refused in a folder that is no installation', async () => {
    await mkdir(join(base, 'empty'))
    await expect(readCurrent(join(base, 'empty'))).rejects.toEqual(refused('not-a-release'))
    await writeFile(join(folder, 'current.json'), '{"version":"../../x","previous":null}')
    await expect(readCurrent(folder)).rejects.toEqual(refused('not-a-release'))
  })
})
