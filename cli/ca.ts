import { createPrivateKey } from 'node:crypto'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { readServerCertificate } from '../api/gateway/server-certificate.js'
import {
  createKeyPair,
  createRoot,
  issueServerCertificate,
  keyPem,
  publicOf,
  readAuthority,
  type KeyPair,
} from '../core/authority.js'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { replaceFile } from '../log/replace-file.js'
import { numberFrom1, type Terminal } from './terminal.js'

interface CaFlags {
  readonly dir: string
  readonly passphraseEnv?: string
}

interface ServerFlags extends CaFlags {
  readonly days: string
  readonly out: string
  readonly renew?: boolean
}

const dayMs = 86_400_000

export function caCommand(program: Command, terminal: Terminal): void {
  const ca = program.command('ca').description('the authority that the certificates of gateways and edges come from')
  withFiles(ca.command('init'))
    .description('make an authority: a root for ten years and its key; nothing that is there is replaced')
    .option('--name <text>', 'what its certificate calls it', 'Hutong edges')
    .action((flags: CaFlags & { name: string }) => init(flags, terminal))
  withFiles(ca.command('server [hosts...]'))
    .description("make the gateway's certificate, for every host name and address that edges call it by")
    .option('--renew', 'replace the certificate of <stem>.pem; its key stays, and its names where none are given')
    .option('--days <n>', 'lifetime, days', '825')
    .option('--out <stem>', 'writes <stem>.pem and <stem>.key', 'gateway')
    .action((hosts: string[], flags: ServerFlags) => server(hosts, flags, terminal))
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

async function server(given: readonly string[], flags: ServerFlags, terminal: Terminal): Promise<void> {
  const { dir, out, renew = false } = flags
  const before = renew ? readPair(out) : undefined
  const hosts = given.length > 0 ? given : (before?.hosts ?? [])
  if (hosts.length === 0) throw new UsageError('name every host name and address that edges call the gateway by')
  const wrong = hosts.find(
    (host) => !/^[A-Za-z0-9*]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/.test(host) && !/^[0-9A-Fa-f:]+$/.test(host),
  )
  if (wrong !== undefined) throw new UsageError(`${wrong} is no host name or address (without https:// and port)`)
  const days = numberFrom1('--days', flags.days)
  const passphrase = passphraseOf(flags, terminal)
  const files = { certFile: join(dir, 'ca.pem'), keyFile: join(dir, 'ca.key') }
  const authority = readAuthority('--dir', { ...files, ...(passphrase !== undefined && { passphrase }) })
  const pair = before ?? createKeyPair()
  const certificate = issueServerCertificate(authority, hosts, pair.publicKey, days * dayMs, systemClock.now())
  if (before === undefined) {
    await writeNew(`${out}.key`, keyPem(pair.privateKey), 0o600)
    await writeNew(`${out}.pem`, certificate, 0o644)
  } else {
    // One file alone changes: no gateway can find half of a new pair.
    await replaceFile(`${out}.pem`, certificate)
  }
  terminal.out(`gateway: ${out}.pem, key: ${out}.key, for ${hosts.join(', ')}, ${days} days\n`)
}

/** Key and names of what is there. @throws UsageError where it is no pair */
function readPair(out: string): KeyPair & { readonly hosts: readonly string[] } {
  const { certificate, pem } = readServerCertificate({ certFile: `${out}.pem`, keyFile: `${out}.key` })
  const privateKey = createPrivateKey(pem.key)
  const names = (certificate.subjectAltName ?? '').split(', ')
  const hosts = names.flatMap((name) => /^(?:DNS|IP Address):([^"]+)$/.exec(name)?.[1] ?? [])
  return { privateKey, publicKey: publicOf(privateKey), hosts }
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
