// Builds the packages that a hospital installs from: npm run package [-- --key release-key.pem --platform linux-x64,win-x64]
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { filesUnder, sha256OfFile, versionPattern } from '../dist/cli/installation/release.js'
import { packageFolder } from '../dist/cli/installation/unpack.js'
import { readSigningKey, signBytes } from '../dist/core/signing.js'
import { writeTar, writeZip } from './package/archives.mjs'
import { nodeFile, putNodeBinary } from './package/node-binary.mjs'
import { writeVersionFolder } from './package/version-folder.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const site = join(root, 'scripts', 'package', 'site')
const platforms = ['linux-x64', 'win-x64']
const winswSha256 = '5859b114d96800a2b98ef9d19eaa573a786a422dad324547ef25be181389df01'

const { values: flags } = parseArgs({
  options: {
    key: { type: 'string' },
    platform: { type: 'string', default: platforms.join(',') },
    'with-node': { type: 'string' },
    version: { type: 'string' },
    out: { type: 'string', default: join(root, 'dist-packages') },
    help: { type: 'boolean', default: false },
  },
})
if (flags.help) {
  process.stdout.write(
    'npm run package -- [options]\n' +
      '  --key FILE         Ed25519 private key (PEM) that signs release and checksums; unsigned packages cannot update an edge\n' +
      `  --platform NAMES   comma-separated: ${platforms.join(', ')} (all)\n` +
      '  --with-node WHAT   npm, or a path in which {platform} is replaced; otherwise the site puts Node into runtime/\n' +
      '  --version VERSION  instead of the one in package.json\n' +
      '  --out DIR          dist-packages\n',
  )
  process.exit(0)
}
const version = flags.version ?? JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
if (!new RegExp(versionPattern).test(version)) throw new Error(`${version} is no version for a package`)
const wanted = flags.platform.split(',')
for (const name of wanted)
  if (!platforms.includes(name)) throw new Error(`no platform ${name}: ${platforms.join(', ')}`)
const signingKey = flags.key === undefined ? undefined : readSigningKey('--key', flags.key)
const out = resolve(flags.out)

const staging = mkdtempSync(join(tmpdir(), 'hutong-package-'))
try {
  const versionFolder = join(staging, 'version')
  await writeVersionFolder({ root, folder: versionFolder, version, signingKey })
  mkdirSync(out, { recursive: true })
  const archives = []
  for (const platform of wanted) archives.push(...(await packagesOf(platform, versionFolder)))
  const sums = Buffer.from(archives.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join(''))
  writeFileSync(join(out, 'SHA256SUMS'), sums)
  rmSync(join(out, 'SHA256SUMS.sig'), { force: true })
  if (signingKey !== undefined)
    writeFileSync(join(out, 'SHA256SUMS.sig'), `${JSON.stringify(signBytes(sums, signingKey))}\n`)
  process.stdout.write(sums)
} finally {
  rmSync(staging, { recursive: true, force: true })
}

async function packagesOf(platform, versionFolder) {
  const base = join(staging, platform)
  const folder = join(base, packageFolder)
  const put = (name, content) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
  cpSync(versionFolder, join(folder, 'versions', version), { recursive: true })
  put('current.json', `${JSON.stringify({ version, previous: null })}\n`)
  put('launcher.cjs', readFileSync(join(site, 'launcher.cjs')))
  put('README.txt', forNotepad(readFileSync(join(site, 'readme.txt'), 'utf8').replaceAll('@VERSION@', version)))
  put('runtime/README.txt', forNotepad(readFileSync(join(site, 'runtime.txt'), 'utf8')))
  if (platform === 'win-x64') {
    put('hutong.cmd', readFileSync(join(site, 'hutong.cmd'), 'utf8').replaceAll('\n', '\r\n'))
    putServiceWrapper(put)
  } else put('hutong', readFileSync(join(site, 'hutong')))
  const node = `${packageFolder}/runtime/${nodeFile(platform)}`
  const withNode = flags['with-node']
  if (withNode !== undefined) {
    await putNodeBinary(withNode, platform, join(base, node))
    chmodSync(join(base, node), 0o755)
  }
  const executable = new Set([`${packageFolder}/hutong`, node])
  const paths = await filesUnder(base)
  const archives = []
  for (const [ending, write] of [
    ['tar.gz', writeTar],
    ['zip', writeZip],
  ]) {
    const name = `hutong-edge-${version}-${platform}.${ending}`
    await write(join(out, name), base, paths, executable)
    archives.push({ name, sha256: await sha256OfFile(join(out, name)) })
  }
  return archives
}

/** WinSW, which a service of Windows is made with (docs/decisions/0152). */
function putServiceWrapper(put) {
  const folder = join(dirname(createRequire(import.meta.url).resolve('node-windows/package.json')), 'bin', 'winsw')
  const program = readFileSync(join(folder, 'winsw.exe'))
  if (createHash('sha256').update(program).digest('hex') !== winswSha256)
    throw new Error('winsw.exe of node-windows is not the one it was')
  put('service/hutong-edge.exe', program)
  put('service/hutong-edge.exe.config', readFileSync(join(folder, 'winsw.exe.config')))
  put('service/LICENSE.txt', readFileSync(join(site, 'winsw-license.txt'), 'utf8').replaceAll('\n', '\r\n'))
}

/** The editor of Server 2016 needs a byte order mark and CR LF. */
function forNotepad(text) {
  return `\uFEFF${text.replaceAll('\n', '\r\n')}`
}
