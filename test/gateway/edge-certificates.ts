import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** An authority with files that a configuration can name; made with the openssl command. */
export interface EdgeAuthority {
  readonly caFile: string
  /** With these subjectAltName entries, for example `URI:urn:hutong:edge:H001:front-1`. */
  issue(names: string, dates?: { readonly expired: boolean }): CertificateFiles
  close(): void
}

export const serverNames = 'DNS:localhost,IP:127.0.0.1'
export const edgeNames = (hospital: string, name = 'front-1'): string => `URI:urn:hutong:edge:${hospital}:${name}`

export function edgeAuthority(commonName: string): EdgeAuthority {
  const folder = mkdtempSync(join(tmpdir(), 'hutong-edge-ca-'))
  const path = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', `/CN=${commonName}`)
  // `openssl ca` alone can set both dates of a certificate.
  const lines = ['[ca]', 'default_ca=own', '[own]', 'database=index.txt', 'new_certs_dir=.', 'serial=serial.txt']
  lines.push('default_md=sha256', 'policy=any', 'unique_subject=no', '[any]', 'commonName=supplied', '')
  writeFileSync(path('ca.cnf'), lines.join('\n'))
  writeFileSync(path('index.txt'), '')
  writeFileSync(path('serial.txt'), '1000\n')
  let count = 0
  return {
    caFile: path('ca.pem'),
    issue(names, { expired } = { expired: false }) {
      const stem = `c${++count}`
      openssl('req', ...newKey, '-keyout', `${stem}.key`, '-out', `${stem}.csr`, '-subj', `/CN=${stem}`)
      writeFileSync(path(`${stem}.ext`), `subjectAltName=${names}\n`)
      const dates = expired ? ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z'] : ['-days', '2']
      openssl(
        ...['ca', '-batch', '-notext', '-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key'],
        ...['-in', `${stem}.csr`, '-out', `${stem}.pem`, '-extfile', `${stem}.ext`, ...dates],
      )
      return { certFile: path(`${stem}.pem`), keyFile: path(`${stem}.key`) }
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
