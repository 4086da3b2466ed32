// The Node binary of a platform: a file at hand, or the one that the npm packages node-<platform> carry.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { extract } from 'tar'

const nodeVersion = '22.23.3'
/** What the registry says of these tarballs (dist.integrity). */
const integrity = {
  'linux-x64': 'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
  'win-x64': 'sha512-lJNBVsNw5Zf+VEHAwatmQxF8eY5hHVEd1ufVYn+5XVrSNB0x55V1cd/rJyOeElCnY2cRebGq//siePEGRZKYjg==',
}

export const nodeFile = (platform) => (platform.startsWith('win') ? 'node.exe' : 'node')

/** @param from a path, with `{platform}` replaced where it stands in it, or `npm` */
export async function putNodeBinary(from, platform, target) {
  mkdirSync(dirname(target), { recursive: true })
  if (from !== 'npm') return cpSync(from.replaceAll('{platform}', platform), target)
  const folder = mkdtempSync(join(tmpdir(), 'hutong-node-'))
  try {
    // npm is a script on Windows, which only a shell starts.
    const options = {
      cwd: folder,
      encoding: 'utf8',
      shell: process.platform === 'win32',
      stdio: ['ignore', 'pipe', 'ignore'],
    }
    const output = execFileSync('npm', ['pack', '--silent', `node-${platform}@${nodeVersion}`], options)
    const tarball = join(folder, output.trim().split('\n').at(-1))
    const found = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`
    if (found !== integrity[platform]) throw new Error(`node-${platform}@${nodeVersion} is not the package it was`)
    await extract({ file: tarball, cwd: folder })
    cpSync(join(folder, 'package', 'bin', nodeFile(platform)), target)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
