import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Certificate {
  readonly certificate: string
  readonly key: string
}

export interface Authority extends Certificate {
  /** A certificate for `localhost` and 127.0.0.1 with this common name, PEM. */
  sign(commonName: string): Certificate
}

/** A certificate authority of its own, made with the openssl command; `close` removes its files. */
export function createAuthority(commonName: string): { readonly authority: Authority; close(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'hutong-ca-'))
  const path = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', `/CN=${commonName}`)
  let count = 0
  const sign = (name: string): Certificate => {
    const stem = `c${++count}`
    openssl('req', ...newKey, '-keyout', `${stem}.key`, '-out', `${stem}.csr`, '-subj', `/CN=${name}`)
    writeFileSync(path(`${stem}.ext`), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
    openssl(
      ...['x509', '-req', '-in', `${stem}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-set_serial', String(count)],
      ...['-days', '2', '-out', `${stem}.pem`, '-extfile', `${stem}.ext`],
    )
    return { certificate: readFileSync(path(`${stem}.pem`), 'utf8'), key: readFileSync(path(`${stem}.key`), 'utf8') }
  }
  const authority = {
    certificate: readFileSync(path('ca.pem'), 'utf8'),
    key: readFileSync(path('ca.key'), 'utf8'),
    sign,
  }
  return { authority, close: () => rmSync(folder, { recursive: true, force: true }) }
}
