import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type * as Tar from 'tar'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { installationPaths, readCurrent } from '../../cli/installation/installation.js'
import { verifyRelease } from '../../cli/installation/release.js'
import { NotTaken, prepare } from '../../cli/supervise/prepare.js'
import type { Setting } from '../../cli/supervise/setting.js'
import { fleetPaths, type CandidateRelease } from '../../cli/supervise/state.js'
import type { ReleaseManifest } from '../../core/fleet-release.js'
import type { FleetLink } from '../../log/fleet-link.js'
import type * as ReplaceFile from '../../log/replace-file.js'
import { pack, signer, writeRelease, type Signer } from '../installation/releases.js'

const full = vi.hoisted(() => ({ at: '' }))
const noRoom = (): Error => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })

// The disk is full for tar and for the file of a configuration when the test says so.
vi.mock('tar', async (original) => {
  const real = await original<typeof Tar>()
  const extract = async (options: object): Promise<void> => {
    await real.extract(options as Parameters<typeof real.extract>[0])
    if (full.at === 'unpack') throw noRoom()
  }
  return { ...real, extract }
})
vi.mock('../../log/replace-file.js', async (original) => {
  const real = await original<typeof ReplaceFile>()
  const replaceFile = (path: string, content: string, mode?: number): Promise<void> =>
    full.at === 'configuration' ? Promise.reject(noRoom()) : real.replaceFile(path, content, mode)
  return { ...real, replaceFile }
})

let root: string
let folder: string
let dataDir: string
let by: Signer
let cleanups: (() => void)[]

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'hutong-full-disk-'))
  ;[folder, dataDir] = [join(root, 'installation'), join(root, 'data')]
  ;[full.at, by, cleanups] = ['', signer(), []]
  await mkdir(folder)
})
afterEach(async () => {
  for (const cleanup of cleanups) cleanup()
  await rm(root, { recursive: true, force: true })
})

async function install(): Promise<void> {
  const paths = installationPaths(folder)
  await writeRelease(paths.version('1.0.0'), '1.0.0', { by, text: 'process.exit(0)' })
  await writeFile(paths.current, JSON.stringify({ version: '1.0.0', previous: null }))
}

async function packageOf(text: string): Promise<Buffer> {
  const from = join(root, 'made')
  await writeRelease(join(from, 'hutong', 'versions', '1.1.0'), '1.1.0', { by, text })
  await pack(from, join(root, 'package.tar.gz'))
  return readFile(join(root, 'package.tar.gz'))
}

const manifestOf = (kind: ReleaseManifest['kind'], content: Buffer): ReleaseManifest => ({
  ...{ format: 1, kind, number: 7, version: '1.1.0', environment: 'test', hospital: 'H001', edge: null },
  ...{ sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length },
})

/** A gateway that hands out `content`, on a disk that holds half of it where it is full. */
function linkOf(content: Buffer): FleetLink & { asked: number } {
  return {
    asked: 0,
    report: () => Promise.reject(new Error('not asked for here')),
    async fetch(_, file) {
      this.asked++
      await mkdir(dirname(file), { recursive: true })
      const isFull = full.at === 'download'
      await writeFile(file, isFull ? content.subarray(0, content.length / 2) : content)
      if (isFull) throw noRoom()
      return true
    },
    close: () => undefined,
  }
}

const configuration = (): string =>
  [
    'environment: test',
    `dataDir: ${JSON.stringify(dataDir)}`,
    'uplink: {}',
    'feeds:',
    '  - { name: lis, hospital: H001, connector: hl7v2-mllp, port: 2575 }',
  ].join('\n')

const prepared = (manifest: ReleaseManifest, link: FleetLink): Promise<CandidateRelease> =>
  prepare(manifest, {
    ...{ folder, dataDir, link, keys: [by.publicKey], variables: {}, signal: new AbortController().signal },
    scope: { environment: 'test', hospital: 'H001', edge: 'front-1' },
    setting: {
      ...{ file: join(folder, 'hutong.yaml'), sha256: 'a'.repeat(64) },
      configuration: { environment: 'test', dataDir, feeds: [], uplink: {} } as unknown as Setting['configuration'],
    },
  })

const left = async (path: string): Promise<readonly string[]> => readdir(path).catch(() => [])

async function refusedAsFull(manifest: ReleaseManifest, link: FleetLink): Promise<void> {
  const refusal = await prepared(manifest, link).catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(NotTaken)
  expect(refusal).toMatchObject({ code: 'disk-full', again: true })
  const paths = fleetPaths(dataDir)
  expect(await left(paths.downloads)).toEqual([])
  expect(await left(paths.configurations)).toEqual([])
  // What runs is as it was.
  expect(await readCurrent(folder)).toEqual({ version: '1.0.0', previous: null })
  expect(await readdir(installationPaths(folder).versions)).toEqual(['1.0.0'])
  await verifyRelease(installationPaths(folder).version('1.0.0'), [by.publicKey])
}

test.each(['download', 'unpack'])(
  'full at %s: refused, cleaned up, and taken once there is room',
  async (at) => {
    await install()
    const content = await packageOf('process.exit(0)')
    const link = linkOf(content)
    full.at = at
    await refusedAsFull(manifestOf('package', content), link)
    full.at = ''
    const version = { kind: 'package', number: 7, version: '1.1.0' }
    expect(await prepared(manifestOf('package', content), link)).toEqual(version)
    expect(link.asked).toBe(2)
  },
  60_000,
)

test.each(['download', 'configuration'])(
  'full at %s of a configuration',
  async (at) => {
    await install()
    const content = Buffer.from(configuration())
    const manifest = manifestOf('configuration', content)
    full.at = at
    await refusedAsFull(manifest, linkOf(content))
    full.at = ''
    expect(await prepared(manifest, linkOf(content))).toMatchObject({ kind: 'configuration', sha256: manifest.sha256 })
  },
  60_000,
)

test('where it cannot have room it is not asked for, and what was fetched of it makes room', async () => {
  await install()
  const content = Buffer.from('some')
  const manifest = { ...manifestOf('package', content), bytes: 1e14 }
  const file = fleetPaths(dataDir).download(manifest.sha256)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content)
  const link = linkOf(content)
  await refusedAsFull(manifest, link)
  expect(link.asked).toBe(0)
})

test('a real file system that is full while a package is unpacked', { timeout: 60_000 }, async ({ skip }) => {
  if (process.platform !== 'linux') skip('needs tmpfs')
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder]).status !== 0)
    skip('may not mount a tmpfs here')
  cleanups.push(() => void spawnSync('umount', [folder]))
  await install()
  // Small as it is sent, larger than the disk when it is unpacked.
  const content = await packageOf(`process.exit(0)//${' '.repeat(8 * 1024 * 1024)}`)
  expect(content.length).toBeLessThan(100_000)
  await refusedAsFull(manifestOf('package', content), linkOf(content))
  expect(spawnSync('mount', ['-o', 'remount,size=32m', folder]).status).toBe(0)
  expect(await prepared(manifestOf('package', content), linkOf(content))).toMatchObject({ version: '1.1.0' })
})
