import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startGateway, type Gateway } from '../../api/gateway/gateway-server.js'
import type { GatewayRoute } from '../../api/gateway/route.js'
import { createCertificate } from '../../core/certificates.js'
import { createKeyPair, issueEdgeCertificate, keyPem, type Authority } from '../../core/authority.js'
import { createLogger, Metrics } from '../../core/telemetry.js'
import { edgeAuthority, serverNames, type EdgeAuthority } from './edge-certificates.js'

// A province's root with two authorities below it: one of them issues for edges, the other for something else.

let folder: string
let servers: EdgeAuthority
let ours: Authority
let sibling: Authority
let root: string
let gateway: Gateway

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hutong-sibling-'))
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'root.key', '-out', 'root.pem', '-days', '2', '-subj', '/CN=Province')
  writeFileSync(join(folder, 'ca.ext'), 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n')
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  root = read('root.pem')
  const below = (name: string, serial: number): Authority => {
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'root.pem', '-CAkey', 'root.key', '-days', '2'],
      ...['-set_serial', String(serial), '-out', `${name}.pem`, '-extfile', 'ca.ext'],
    )
    const certificate = new X509Certificate(read(`${name}.pem`))
    return { certificate, key: createPrivateKey(read(`${name}.key`)), chain: read(`${name}.pem`) + root }
  }
  ours = below('edges', 11)
  sibling = below('websites', 12)
  servers = edgeAuthority('Servers')
  const route: GatewayRoute = {
    method: 'GET',
    path: '/who',
    identity: 'edge',
    handle: (_, { hospital, name }) => Promise.resolve({ json: { hospital, name } }),
  }
  gateway = await startGateway({
    ...{ host: '127.0.0.1', port: 0, ...servers.issue(serverNames), routes: [route], requestTimeoutMs: 10_000 },
    ...{ clientAuthorities: ours.chain, trusted: [ours.certificate] },
    ...{ metrics: new Metrics(), logger: createLogger({ level: 'silent' }) },
  })
})
afterAll(async () => {
  await gateway.close()
  servers.close()
  rmSync(folder, { recursive: true, force: true })
})

const pair = createKeyPair()
const leafOf = (authority: Authority): string =>
  issueEdgeCertificate(authority, {
    ...{ hospital: 'H001', edge: 'front-1', publicKey: pair.publicKey, lifetimeMs: 3_600_000, now: Date.now() },
  })

const ask = (cert: string): Promise<{ readonly status: number | undefined; readonly text: string }> =>
  new Promise((resolve, reject) => {
    const request = httpsRequest({
      ...{ host: 'localhost', port: gateway.port, path: '/who', agent: false },
      ...{ ca: readFileSync(servers.caFile), cert, key: keyPem(pair.privateKey) },
    })
    request.once('response', (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.once('end', () => resolve({ status: response.statusCode, text }))
    })
    request.once('error', reject)
    request.end()
  })

const pemOf = (authority: Authority): string => authority.certificate.toString()

test('an edge of the authority that issues for edges is known', async () => {
  const { status, text } = await ask(leafOf(ours) + pemOf(ours))
  expect([status, JSON.parse(text)]).toEqual([200, { hospital: 'H001', name: 'front-1' }])
})

test('the same name from another authority below the same root is refused', async () => {
  const { status, text } = await ask(leafOf(sibling) + pemOf(sibling))
  expect([status, (JSON.parse(text) as { code: string }).code]).toEqual([401, 'certificate-untrusted'])
})

test('and stays refused with a certificate in between that only looks as if ours had issued it', async () => {
  const order = {
    ...{ commonName: 'websites', publicKey: sibling.certificate.publicKey, use: 'authority' as const },
    ...{ notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 },
  }
  // Names ours as its issuer, signed by the sibling's own key.
  const bridge = createCertificate(order, { certificate: ours.certificate, key: sibling.key })
  const { status } = await ask(leafOf(sibling) + bridge + pemOf(sibling))
  expect(status).toBe(401)
})
