import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  createKeyPair,
  createRoot,
  issueEdgeCertificate,
  issueServerCertificate,
  keyPem,
  readAuthority,
  type AuthorityFiles,
} from '../../core/authority.js'
import { createCertificateRequest, requestedKey } from '../../core/certificate-request.js'
import { certificatesOf } from '../../core/certificates.js'
import { readRevocationLists, revocationKey } from '../../core/revocation-list.js'

const dayMs = 86_400_000
let folder: string
const path = (name: string): string => join(folder, name)
const write = (name: string, text: string): string => {
  writeFileSync(path(name), text)
  return path(name)
}
/** The independent reader and maker. */
const openssl = (...args: string[]): string => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' }).toString()

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hutong-certificates-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function root(passphrase?: string): AuthorityFiles {
  const pair = createKeyPair()
  return {
    certFile: write('ca.pem', createRoot('省 edges', pair, Date.now())),
    keyFile: write('ca.key', keyPem(pair.privateKey, passphrase)),
    ...(passphrase !== undefined && { passphrase }),
  }
}

const order = (now = Date.now()) => ({
  ...{ hospital: 'H:医,1', edge: 'front-1', publicKey: createKeyPair().publicKey, lifetimeMs: 90 * dayMs, now },
})

test('openssl accepts what we issue for its purpose, and for no other', () => {
  const authority = readAuthority('test', root('secret'))
  write('edge.pem', issueEdgeCertificate(authority, order()))
  const hosts = ['gateway.example.org', '10.1.2.3', 'fd00::1']
  write('server.pem', issueServerCertificate(authority, hosts, createKeyPair().publicKey, 825 * dayMs, Date.now()))
  const verify = (purpose: string, file: string): string =>
    openssl('verify', '-x509_strict', '-CAfile', 'ca.pem', '-purpose', purpose, file)
  expect(verify('sslclient', 'edge.pem')).toBe('edge.pem: OK\n')
  expect(verify('sslserver', 'server.pem')).toBe('server.pem: OK\n')
  expect(() => verify('sslserver', 'edge.pem')).toThrow()
  expect(() => verify('sslclient', 'server.pem')).toThrow()
  const names = (file: string): string => openssl('x509', '-in', file, '-noout', '-ext', 'subjectAltName')
  expect(names('edge.pem')).toContain('URI:urn:hutong:edge:H%3A%E5%8C%BB%2C1:front-1')
  expect(names('server.pem')).toContain('DNS:gateway.example.org, IP Address:10.1.2.3, IP Address:FD00:0:0:0:0:0:0:1')
  expect(() => openssl('x509', '-in', 'edge.pem', '-noout', '-checkend', String(89 * 86_400))).not.toThrow()
  expect(() => openssl('x509', '-in', 'edge.pem', '-noout', '-checkend', String(91 * 86_400))).toThrow()
})

test.each([
  ['an elliptic curve', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384']],
  ['RSA', ['-newkey', 'rsa:2048']],
  ['Ed25519', ['-newkey', 'ed25519']],
])('an intermediate of the province, made with openssl, issues: %s', (_, kind) => {
  openssl(
    'req',
    '-x509',
    ...kind,
    '-nodes',
    '-keyout',
    'root.key',
    '-out',
    'root.pem',
    '-days',
    '9',
    '-subj',
    '/CN=Root',
  )
  openssl('req', ...kind, '-nodes', '-keyout', 'mid.key', '-out', 'mid.csr', '-subj', '/C=CN/O=Province/CN=Mid')
  write('mid.ext', 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n')
  const signer = ['-CA', 'root.pem', '-CAkey', 'root.key', '-CAcreateserial', '-days', '5', '-extfile', 'mid.ext']
  openssl('x509', '-req', '-in', 'mid.csr', '-out', 'mid.pem', ...signer)
  write('chain.pem', readFileSync(path('mid.pem'), 'utf8') + readFileSync(path('root.pem'), 'utf8'))
  const authority = readAuthority('test', { certFile: path('chain.pem'), keyFile: path('mid.key') })
  write('edge.pem', issueEdgeCertificate(authority, order()))
  expect(openssl('verify', '-CAfile', 'root.pem', '-untrusted', 'mid.pem', 'edge.pem')).toBe('edge.pem: OK\n')
  const [edge, , top] = certificatesOf(readFileSync(path('edge.pem'), 'utf8'))
  expect(top?.subject).toBe('CN=Root')
  // It outlives nobody who vouches for it.
  expect(edge?.validTo).toBe(authority.certificate.validTo)
})

test('a certificate after a revocation begins after it', () => {
  const authority = readAuthority('test', root())
  const after = Date.now() - 1
  const [edge] = certificatesOf(issueEdgeCertificate(authority, { ...order(), after }))
  expect(Date.parse(edge!.validFrom)).toBeGreaterThan(after)
})

test('a request is read as openssl reads it, and only with its own signature', () => {
  const pair = createKeyPair()
  const csr = createCertificateRequest('edge', pair.privateKey, pair.publicKey)
  write('edge.csr', csr)
  expect(() => openssl('req', '-in', 'edge.csr', '-verify', '-noout')).not.toThrow()
  expect(requestedKey(csr).equals(pair.publicKey)).toBe(true)
  const other = createKeyPair()
  expect(() => requestedKey(createCertificateRequest('edge', pair.privateKey, other.publicKey))).toThrow(/signature/)
  expect(() => requestedKey(csr.replace(/\n.{64}\n/, '\nAAAA\n'))).toThrow()
  expect(() => requestedKey('hello')).toThrow(/no PKCS #10/)
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'rsa.key', '-out', 'rsa.csr', '-subj', '/CN=x')
  expect(() => requestedKey(readFileSync(path('rsa.csr'), 'utf8'))).toThrow(/P-256/)
  openssl(
    ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'o.key', '-out', 'o.csr'],
    ...['-subj', '/CN=x', '-addext', 'subjectAltName=URI:urn:hutong:edge:H002:a'],
  )
  const key = createPublicKey(createPrivateKey(readFileSync(path('o.key'))))
  expect(requestedKey(readFileSync(path('o.csr'), 'utf8')).equals(key)).toBe(true)
})

test('files that are no authority are named', () => {
  const files = root('secret')
  const without = { certFile: files.certFile, keyFile: files.keyFile }
  expect(() => readAuthority('gateway.authority', without)).toThrow(/gateway.authority.keyFile: .*passphrase missing/)
  expect(() => readAuthority('a', { ...files, passphrase: 'wrong' })).toThrow(/cannot be read with its passphrase/)
  const other = write('other.key', keyPem(createKeyPair().privateKey))
  expect(() => readAuthority('a', { certFile: files.certFile, keyFile: other })).toThrow(/is not the key of/)
  const pair = createKeyPair()
  const leaf = issueServerCertificate(readAuthority('a', files), ['localhost'], pair.publicKey, dayMs, Date.now())
  const leafFiles = { certFile: write('leaf.pem', leaf), keyFile: write('leaf.key', keyPem(pair.privateKey)) }
  expect(() => readAuthority('a', leafFiles)).toThrow(/certificate of no authority/)
})

test('a list of revoked certificates counts only with the signature of an authority we trust', () => {
  const files = root()
  const authority = readAuthority('test', files)
  write('good.pem', issueEdgeCertificate(authority, order()))
  write('bad.pem', issueEdgeCertificate(authority, order()))
  write('ca.cnf', '[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ndefault_md=sha256\n')
  write('index.txt', '')
  const signer = ['-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key']
  openssl('ca', ...signer, '-revoke', 'bad.pem')
  openssl('ca', ...signer, '-gencrl', '-crldays', '3', '-out', 'crl.pem')
  const pem = readFileSync(path('crl.pem'), 'utf8')
  const { revoked, nextUpdate } = readRevocationLists(pem, [authority.certificate])
  const isRevoked = (name: string): boolean =>
    revoked.has(revocationKey(certificatesOf(readFileSync(path(name), 'utf8'))[0]!))
  expect([isRevoked('bad.pem'), isRevoked('good.pem')]).toEqual([true, false])
  expect((nextUpdate - Date.now()) / dayMs).toBeCloseTo(3, 1)
  const namesake = createKeyPair()
  const [stranger] = certificatesOf(createRoot('省 edges', namesake, Date.now()))
  expect(() => readRevocationLists(pem, [stranger!])).toThrow(/not signed by an authority/)
  expect(() => readRevocationLists('', [authority.certificate])).toThrow(/no list/)
})
