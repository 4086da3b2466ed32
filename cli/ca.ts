import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { createKeyPair, createRoot, issueServerCertificate, keyPem, readAuthority } from '../core/authority.js'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { numberFrom1, type Terminal } from './terminal.js'

interface CaFlags {
  readonly dir: string
  readonly passphraseEnv?: string
}

const dayMs = 86_400_000

export function caCommand(program: Command, terminal: Terminal): void {
  const ca = program.command('ca').description('the authority that the certificates of gateways and edges come from')
  withFiles(ca.command('init'))
    .description('make an authority: a root for ten years and its key; nothing that is there is replaced')
    .option('--name <text>', 'what its certificate calls it', 'Hutong edges')
    .action((flags: CaFlags & { name: string }) => init(flags, terminal))
  withFiles(ca.command('server <hosts...>'))
    .description("make the gateway's certificate, for every host name and address that edges call it by")
    .option('--days <n>', 'lifetime, days', '825')
    .option('--out <stem>', 'writes <stem>.pem and <stem>.key', 'gateway')
    .action((hosts: string[], flags: CaFlags & { days: string; out: string }) => server(hosts, flags, terminal))
}

const withFiles = (command: Command): Command =>
  command
    .option('--dir <dir>', 'folder of the authority: ca.pem and ca.key', 'authority')
    .option('--passphrase-env <NAME>', 'environment variable with the passphrase of its key')

async function init(flags: CaFlags & { name: string }, terminal: Terminal): Promise<void> {
  const { dir, name } = flags
  const [certFile, keyFile] = [join(dir, 'ca.pem'), join(dir, 'ca.key')]
  const passphrase = passphraseOf(flags, terminal)
  const pair = createKeyPair()
  await mkdir(dir, { recursive: true, mode: 0o700 })
  // The key first: a certificate without its key would only look like an authority.
  await writeNew(keyFile, keyPem(pair.privateKey, passphrase), 0o600)
  await writeNew(certFile, createRoot(name, pair, systemClock.now()), 0o644)
  terminal.out(`authority: ${certFile}, key: ${keyFile} (keep it secret, keep a copy)\n`)
}

async function server(
  hosts: readonly string[],
  flags: CaFlags & { days: string; out: string },
  terminal: Terminal,
): Promise<void> {
  const { dir, out } = flags
  const wrong = hosts.find(
    (host) => !/^[A-Za-z0-9*]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/.test(host) && !/^[0-9A-Fa-f:]+$/.test(host),
  )
  if (wrong !== undefined) throw new UsageError(`${wrong} is no host name or address (without https:// and port)`)
  const days = numberFrom1('--days', flags.days)
  const passphrase = passphraseOf(flags, terminal)
  const files = { certFile: join(dir, 'ca.pem'), keyFile: join(dir, 'ca.key') }
  const authority = readAuthority('--dir', { ...files, ...(passphrase !== undefined && { passphrase }) })
  const pair = createKeyPair()
  const certificate = issueServerCertificate(authority, hosts, pair.publicKey, days * dayMs, systemClock.now())
  await writeNew(`${out}.key`, keyPem(pair.privateKey), 0o600)
  await writeNew(`${out}.pem`, certificate, 0o644)
  terminal.out(`gateway: ${out}.pem, key: ${out}.key, for ${hosts.join(', ')}, ${days} days\n`)
}

function passphraseOf({ passphraseEnv }: CaFlags, { environment }: Terminal): string | undefined {
  if (passphraseEnv === undefined) return undefined
  const passphrase = environment.variables[passphraseEnv]
  if (passphrase === undefined || passphrase === '') {
    throw new UsageError(`the environment variable ${passphraseEnv} is not set`)
  }
  return passphrase
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(
      code === 'EEXIST' ? `${path} is there already: it is not replaced` : `cannot write ${path}: ${code}`,
    )
  })
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}
