import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { create, extract } from 'tar'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../../cli/demo/setting.js'
import { installationPaths } from '../../cli/installation/installation.js'
import { filesUnder } from '../../cli/installation/release.js'
import { createSigningKeys } from '../../core/signing.js'
import { MllpClient, msa, oru } from '../connectors/mllp-client.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const platform = process.platform === 'win32' ? 'win-x64' : 'linux-x64'
const base = mkdtempSync(join(tmpdir(), 'hutong-package-test-'))
const keys = createSigningKeys()
const keyFile = (name: string): string => join(base, name)
const started: ChildProcess[] = []
/** Where the tools of a developer are not: a shell and its commands, no node, no npm. */
const bare = join(base, 'bare')

const build = async (version: string, out: string): Promise<string> => {
  const args = ['--version', version, '--platform', platform, '--out', join(base, out), '--key', keyFile('release.key')]
  await promisify(execFile)(process.execPath, [join(root, 'scripts', 'package.mjs'), ...args])
  return join(base, out, `hutong-edge-${version}-${platform}.tar.gz`)
}

let first: string
let second: string
let folder: string

beforeAll(async () => {
  writeFileSync(keyFile('release.key'), keys.privateKey)
  writeFileSync(keyFile('release.pub'), keys.publicKey)
  first = await build('0.1.0', 'first')
  second = await build('0.2.0', 'second')
  const site = join(base, '互通 前置机')
  mkdirSync(site)
  await extract({ file: first, cwd: site })
  folder = join(site, 'hutong')
  // Node comes beside the package, under a name that is not on the PATH.
  const node = join(folder, 'runtime', process.platform === 'win32' ? 'node.exe' : 'node')
  cpSync(process.execPath, node)
  mkdirSync(bare)
  if (process.platform !== 'win32')
    for (const name of ['sh', 'dirname', 'readlink'])
      writeFileSync(join(bare, name), `#!/bin/sh\nexec /usr/bin/${name} "$@"\n`, { mode: 0o755 })
}, 400_000)
afterEach(async () => {
  for (const child of started.splice(0)) await stop(child)
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

const path = process.platform === 'win32' ? (process.env.SystemRoot ?? '') + '\\System32' : bare
const launch = (...args: string[]): [string, string[], object] => {
  const options = { cwd: folder, env: { PATH: path, SystemRoot: process.env.SystemRoot } }
  return process.platform === 'win32'
    ? ['cmd.exe', ['/d', '/c', join(folder, 'hutong.cmd'), ...args], options]
    : [join(folder, 'hutong'), args, options]
}
const hutong = (...args: string[]): { status: number | null; out: string } => {
  const [program, words, options] = launch(...args)
  const { status, stdout, stderr } = spawnSync(program, words, { ...options, encoding: 'utf8' })
  return { status, out: stdout + stderr }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill()
  await gone
}

/** Runs the installation's own configuration, sends a message, and says how it was answered. */
async function acceptOne(port: number, id: string): Promise<string> {
  const [program, words, options] = launch('run', 'hutong.yaml')
  const child = spawn(program, words, { ...options, stdio: 'ignore' })
  started.push(child)
  const end = Date.now() + 60_000
  for (;;) {
    const client = await MllpClient.open(port)
    client.send(oru(id, { text: '弱阳性' }))
    const answer = msa((await client.take(1))[0])
    client.close()
    if (answer !== 'none' || Date.now() > end || child.exitCode !== null) {
      await stop(child)
      return answer
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** All bytes of the spool, to look for a message in. */
const spooled = async (): Promise<string> => {
  const spool = join(folder, 'data', 'spool')
  return (await filesUnder(spool)).map((name) => readFileSync(join(spool, name)).toString('latin1')).join('')
}

describe('a package', { timeout: 200_000 }, () => {
  it('is byte for byte the same for the same sources', async () => {
    const again = await build('0.1.0', 'again')
    const sum = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')
    for (const ending of ['.tar.gz', '.zip'])
      expect(sum(again.replace('.tar.gz', ending))).toBe(sum(first.replace('.tar.gz', ending)))
    expect(readFileSync(join(dirname(first), 'SHA256SUMS'), 'utf8')).toContain(
      `${sum(first)}  hutong-edge-0.1.0-${platform}.tar.gz`,
    )
    expect(existsSync(join(dirname(first), 'SHA256SUMS.sig'))).toBe(true)
  })

  it('runs without npm, takes messages, and keeps spool, keys and configuration through an update', async () => {
    expect(hutong('--version')).toEqual({ status: 0, out: '0.1.0\n' })
    const packages = readdirSync(join(installationPaths(folder).version('0.1.0'), 'node_modules'))
    expect(packages).toEqual(expect.arrayContaining(['kafkajs', 'pg', 'yaml']))
    expect(
      packages.filter((name) => /pdfkit|fontkit|brotli|@electric-sql/.test(name)),
      'of the province',
    ).toEqual([])
    for (const command of ['run', 'doctor', 'sniff', 'record', 'supervise', 'enrol', 'acceptance', 'fleet'])
      expect(hutong(command, '--help'), command).toMatchObject({ status: 0 })
    expect(hutong('verify', '--key', keyFile('release.pub'))).toMatchObject({ status: 0 })
    const port = await freePort()
    writeFileSync(
      join(folder, 'hutong.yaml'),
      [
        'environment: test',
        'dataDir: data',
        // Nobody listens there: what is accepted stays in the spool.
        'uplink: { url: "https://127.0.0.1:1", caFile: ca.pem, certFile: edge.pem, keyFile: edge.pem }',
        'feeds:',
        `  - { name: lis, hospital: H001, connector: hl7v2-mllp, port: ${port} }`,
        '',
      ].join('\n'),
    )
    writeFileSync(join(folder, 'ca.pem'), '')
    writeFileSync(join(folder, 'edge.pem'), '')
    expect(hutong('check', 'hutong.yaml')).toMatchObject({ status: 0 })
    expect(await acceptOne(port, 'FIRST1')).toBe('AA FIRST1')

    mkdirSync(join(folder, 'data', 'identity'), { recursive: true })
    const identity = JSON.stringify({ hospital: 'H001', releaseKeys: [keys.publicKey] })
    writeFileSync(join(folder, 'data', 'identity', 'edge.json'), identity)
    const update = hutong('update', second)
    expect(update, update.out).toMatchObject({ status: 0 })
    expect(hutong('--version').out).toBe('0.2.0\n')
    expect(await acceptOne(port, 'SECOND2')).toBe('AA SECOND2')
    const bytes = await spooled()
    expect(bytes).toContain('FIRST1')
    expect(bytes).toContain('SECOND2')
    expect(readFileSync(join(folder, 'data', 'identity', 'edge.json'), 'utf8')).toBe(identity)
    expect(hutong('verify').out).toContain('released and signed')
    expect(hutong('update', '--back').status).toBe(0)
    expect(hutong('--version').out).toBe('0.1.0\n')
  })

  it('that was tampered with is refused, and a spoilt installation is found', async () => {
    const forged = join(base, 'forged')
    mkdirSync(forged)
    await extract({ file: second, cwd: forged })
    writeFileSync(join(forged, 'hutong', 'versions', '0.2.0', 'dist', 'cli', 'main.js'), 'process.exit(0)')
    await create({ file: join(base, 'forged.tar.gz'), cwd: forged, gzip: true }, ['hutong'])
    const refused = hutong('update', join(base, 'forged.tar.gz'), '--key', keyFile('release.pub'))
    expect(refused).toMatchObject({ status: 2 })
    expect(refused.out).toContain('dist/cli/main.js is not the file that was released')
    writeFileSync(join(base, 'other.pub'), createSigningKeys().publicKey)
    expect(hutong('update', second, '--key', join(base, 'other.pub'))).toMatchObject({ status: 2 })
    expect(hutong('--version').out).toBe('0.1.0\n')
    writeFileSync(join(folder, 'versions', '0.1.0', 'node_modules', 'yaml', 'extra.js'), '')
    expect(hutong('verify')).toMatchObject({ status: 1 })
    rmSync(join(folder, 'versions', '0.1.0', 'node_modules', 'yaml', 'extra.js'))
    expect(hutong('verify')).toMatchObject({ status: 0 })
  })

  it('says in one sentence what is missing at an edge', () => {
    const demo = hutong('demo', '--data-dir', join(base, 'demo'))
    expect(demo.status).toBe(2)
    expect(demo.out).toContain('no embedded database')
  })

  it('says that Node is missing or too old', () => {
    const node = join(folder, 'runtime', 'node')
    rmSync(`${node}${process.platform === 'win32' ? '.exe' : ''}`)
    const without = hutong('--version')
    expect(without.status).toBe(2)
    expect(without.out).toContain('20.19')
    const launcher = readFileSync(join(folder, 'launcher.cjs'), 'utf8')
    const old = spawnSync(
      process.execPath,
      [
        '-e',
        `Object.defineProperty(process.versions, 'node', { value: '18.20.4' });${launcher.replace(/__dirname/g, '"."')}`,
      ],
      { encoding: 'utf8' },
    )
    expect(old.status).toBe(2)
    expect(old.stderr).toContain('18.20.4')
  })
})
