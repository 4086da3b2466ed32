import { resolve } from 'node:path'
import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import {
  installationPaths,
  ownInstallation,
  readCurrent,
  removeOlderVersions,
  switchTo,
} from './installation/installation.js'
import { ReleaseError } from './installation/release-error.js'
import { verifyRelease } from './installation/release.js'
import { trustedKeys } from './installation/trusted-keys.js'
import { unpackRelease } from './installation/unpack.js'
import { exitCodes, type Terminal } from './terminal.js'
import { ownVersion } from './version.js'

interface InstallationFlags {
  readonly folder?: string
  readonly key?: string[]
  readonly force?: boolean
  readonly back?: boolean
}

export function updateCommand(program: Command, terminal: Terminal): void {
  program
    .command('update [package]')
    .description('unpack a signed package (.tar.gz) beside the version that runs, and switch to it')
    .option('--key <file...>', 'public keys that the package must be signed by; otherwise those known from enrolment')
    .option('--back', 'go back to the version before, without a package')
    .option('--force', 'also to a version that cannot read what is spooled now: only with an empty spool')
    .option('--folder <dir>', 'the installation; otherwise the one this command belongs to')
    .addHelpText(
      'after',
      '\nConfiguration, spool, keys and certificates stay as they are. Restart the service afterwards; until then the' +
        '\nversion before runs on. Exit code: 0 switched, or already there; 2 refused, and nothing was changed.',
    )
    .action(async (file: string | undefined, flags: InstallationFlags) => {
      const folder = await folderOf(flags)
      const version = flags.back === true ? await versionBefore(folder) : await unpacked(folder, file, flags)
      const before = await readCurrent(folder)
      await switchTo(folder, version, { force: flags.force === true })
      terminal.out(
        before.version === version
          ? `${version} is the current version already\n`
          : `${before.version} → ${version}: restart the service now; \`hutong update --back\` undoes this\n`,
      )
      // the service may still run the version before, or the one before that
      const used = new Set([version, before.version, before.previous, ownVersion()])
      const removed = await removeOlderVersions(folder, used)
      if (removed.length > 0) terminal.out(`removed to free the disk: ${removed.join(', ')}\n`)
    })
}

export function verifyCommand(program: Command, terminal: Terminal): void {
  program
    .command('verify [folder]')
    .description('compare the current version of an installation with what was released and signed')
    .option('--key <file...>', 'public keys that it must be signed by; otherwise those known from enrolment')
    .addHelpText('after', '\nExit code: 0 it is as released, 1 it is not, 2 the folder is no installation.')
    .action(async (folderFlag: string | undefined, { key }: InstallationFlags) => {
      const folder = await folderOf({ ...(folderFlag !== undefined && { folder: folderFlag }) })
      const paths = installationPaths(folder)
      const { version } = await readCurrent(folder)
      const keys = await trustedKeys(paths.data, key)
      try {
        const { files } = await verifyRelease(paths.version(version), keys)
        const count = Object.keys(files).length
        terminal.out(
          keys === undefined
            ? `${version}: ${count} files are as listed. Who made the list was not proven: no key is known here (--key)\n`
            : `${version}: ${count} files are as released and signed\n`,
        )
      } catch (error) {
        if (!(error instanceof ReleaseError)) throw error
        terminal.out(`${version}: ${error.message}\n`)
        process.exitCode = exitCodes.found
      }
    })
}

async function unpacked(folder: string, file: string | undefined, { key }: InstallationFlags): Promise<string> {
  if (file === undefined) throw new UsageError('name the package (hutong-edge-….tar.gz), or --back')
  const keys = await trustedKeys(installationPaths(folder).data, key)
  if (keys === undefined)
    throw new UsageError('no key to prove the package with: this edge is not enrolled; name the key with --key')
  return (await unpackRelease(resolve(file), folder, keys)).version
}

async function versionBefore(folder: string): Promise<string> {
  const { previous } = await readCurrent(folder)
  if (previous === null) throw new UsageError('there was no version before this one')
  return previous
}

/** @throws UsageError in a source tree */
export async function folderOf({ folder }: Pick<InstallationFlags, 'folder'>): Promise<string> {
  if (folder !== undefined) return resolve(folder)
  const own = await ownInstallation()
  if (own === undefined) throw new UsageError('this command was not started from an installation: name its folder')
  return resolve(own)
}
