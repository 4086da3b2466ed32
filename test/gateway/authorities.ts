import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createKeyPair,
  createRoot,
  issueServerCertificate,
  keyPem,
  readAuthority,
  type Authority,
} from '../../core/authority.js'

/** An authority of ours in a folder, and a gateway's certificate of it; made without openssl. */
export interface OwnAuthority {
  readonly authority: Authority
  readonly folder: string
  /** As `gateway.authority` of a configuration. */
  readonly files: { readonly certFile: string; readonly keyFile: string }
  readonly server: { readonly certFile: string; readonly keyFile: string }
  close(): void
}

export function ownAuthority(name: string): OwnAuthority {
  const folder = mkdtempSync(join(tmpdir(), 'hutong-own-ca-'))
  const write = (file: string, text: string): string => {
    writeFileSync(join(folder, file), text)
    return join(folder, file)
  }
  const pair = createKeyPair()
  const now = Date.now()
  const files = {
    certFile: write('ca.pem', createRoot(name, pair, now)),
    keyFile: write('ca.key', keyPem(pair.privateKey)),
  }
  const authority = readAuthority('test', files)
  const key = createKeyPair()
  const certificate = issueServerCertificate(authority, ['localhost', '127.0.0.1'], key.publicKey, 86_400_000, now)
  const server = {
    certFile: write('gateway.pem', certificate),
    keyFile: write('gateway.key', keyPem(key.privateKey)),
  }
  return { authority, folder, files, server, close: () => rmSync(folder, { recursive: true, force: true }) }
}
