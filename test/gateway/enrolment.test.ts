import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { enrolmentRoutes } from '../../api/gateway/enrolment.js'
import { startGateway, type Gateway, type GatewayOptions } from '../../api/gateway/gateway-server.js'
import { openRevocations, type RevocationOptions } from '../../api/gateway/revocations.js'
import type { GatewayRoute } from '../../api/gateway/route.js'
import { gatewayTrust } from '../../cli/edge-authority.js'
import { createKeyPair, issueEdgeCertificate, keyPem } from '../../core/authority.js'
import { createCertificateRequest } from '../../core/certificate-request.js'
import { certificatesOf } from '../../core/certificates.js'
import { createToken, readToken, secretHash, tokenText, type EnrolmentToken } from '../../core/enrolment-token.js'
import { RetryableError, UsageError } from '../../core/errors.js'
import { createLogger, Metrics } from '../../core/telemetry.js'
import { enrol } from '../../log/enrol.js'
import { identityFiles, pendingKey, type IdentityFiles } from '../../log/identity.js'
import type { Database } from '../../repository/database.js'
import { addToken, listEdges, markSeen, revokeEdge } from '../../repository/edges.js'
import { until } from '../connectors/mllp-client.js'
import { empty, engines, type TestDatabase } from '../repository/databases.js'
import { ownAuthority, type OwnAuthority } from './authorities.js'
import { edgeAuthority, edgeNames, type EdgeAuthority } from './edge-certificates.js'

const dayMs = 86_400_000
let own: OwnAuthority
let outside: EdgeAuthority
let database: TestDatabase
let folder: string
let metrics: Metrics
/** Ahead of the real clock, ms. */
let ahead = 0
let isAway = false
const now = (): number => Date.now() + ahead
const logger = createLogger({ level: 'silent' })
const stops: (() => Promise<void> | void)[] = []

/** The database of the test, which can be taken away. */
const db: Database = {
  kind: 'postgresql',
  transaction: (work) =>
    isAway ? Promise.reject(new RetryableError('the database is away')) : database.db.transaction(work),
  close: () => Promise.resolve(),
}

beforeAll(async () => {
  own = ownAuthority('Test province')
  outside = edgeAuthority('Authority outside')
  // The engine for which there is more than one connection, where it is at hand.
  database = await engines.at(-1)!.open()
}, 120_000)
afterAll(async () => {
  own.close()
  outside.close()
  await database.drop()
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hutong-enrolment-test-'))
  metrics = new Metrics()
  ahead = 0
  isAway = false
})
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
  await rm(folder, { recursive: true, force: true })
  await empty(database.db)
  await database.db.transaction((tx) => tx.script('TRUNCATE edge, edge_token, edge_certificate, edge_audit'))
})

const echo: GatewayRoute = {
  method: 'POST',
  path: '/v1/echo',
  identity: 'edge',
  handle: (_, { hospital, name }) => Promise.resolve({ json: { hospital, name } }),
}

let gateways = 0
async function gateway(
  more: Partial<RevocationOptions & GatewayOptions> & { readonly isAlone?: boolean; readonly of?: OwnAuthority } = {},
): Promise<Gateway> {
  const { authority, server } = more.of ?? own
  const cacheFile = more.cacheFile ?? join(folder, `revoked-${++gateways}.json`)
  const revocations = await openRevocations({
    ...(more.isAlone !== true && { db }),
    ...{ cacheFile, authorities: certificatesOf(authority.chain), now, metrics, logger, pollMs: 20 },
    ...more,
  })
  const { authorities } = gatewayTrust(server, authority)
  const issuing = { authority, lifetimeMs: 90 * dayMs, db, authorities, releaseKeys: ['key'] }
  const started = await startGateway({
    ...{ host: '127.0.0.1', port: 0, ...server, clientAuthorities: authority.chain },
    routes: [...enrolmentRoutes({ ...issuing, requestTimeoutMs: 20_000, now, metrics, logger }), echo],
    check: (edge) => revocations.check(edge),
    ...{ requestTimeoutMs: 20_000, metrics, logger },
    ...more,
  })
  const stop = new AbortController()
  const running = revocations.run(stop.signal)
  stops.push(async () => {
    stop.abort()
    await running
    await started.close()
  })
  return started
}

async function invite(
  hospital = 'H001',
  name = 'front-1',
  { validMs = dayMs, of = own }: { readonly validMs?: number; readonly of?: OwnAuthority } = {},
): Promise<EnrolmentToken> {
  const token = createToken(gatewayTrust(of.server, of.authority).pin)
  const expiresAt = now() + validMs
  await addToken(database.db, {
    ...{ id: token.id, secretHash: secretHash(token.secret), hospital, name, by: 'test', now: now(), expiresAt },
  })
  return token
}

const machine = (name: string): IdentityFiles => identityFiles(join(folder, name))
const addressOf = ({ port }: Gateway): string => `https://localhost:${port}`

interface Answer {
  readonly status: number | undefined
  readonly body: Record<string, unknown>
}

interface Call {
  readonly path?: string
  readonly as?: { readonly certFile: string; readonly keyFile: string }
  readonly body?: object
  readonly agent?: Agent
}

async function call(to: Gateway, { path = '/v1/echo', as, body = {}, agent }: Call = {}): Promise<Answer> {
  const credentials =
    as === undefined ? {} : { cert: await readFile(as.certFile, 'utf8'), key: await readFile(as.keyFile, 'utf8') }
  const text = JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      ...{ host: 'localhost', port: to.port, method: 'POST', path, ca: own.authority.chain, ...credentials },
      agent: agent ?? false,
      headers: { 'content-length': Buffer.byteLength(text) },
    })
    request.on('response', (response) => {
      let answer = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode, body: JSON.parse(answer) as Record<string, unknown> }),
      )
    })
    request.on('error', reject)
    request.end(text)
  })
}

const pairOf = ({ certFile }: IdentityFiles): NonNullable<Call['as']> => ({ certFile, keyFile: certFile })
const csrOf = (pair = createKeyPair()): string => createCertificateRequest('x', pair.privateKey, pair.publicKey)
const codeOf = async (answer: Promise<Answer>): Promise<unknown> => (await answer).body.code

test('a token becomes an identity that the gateway knows, of the name in the token', async () => {
  const to = await gateway()
  const files = machine('a')
  const token = readToken(tokenText(await invite('H:医', 'front 1')))
  const identity = await enrol({ gateway: addressOf(to), token, files })
  expect(identity).toEqual({ gateway: addressOf(to), hospital: 'H:医', edge: 'front 1', releaseKeys: ['key'] })
  expect((await readdir(files.folder)).sort()).toEqual(['ca.pem', 'edge.json', 'edge.pem'])
  if (process.platform !== 'win32') expect((await stat(files.certFile)).mode & 0o777).toBe(0o600)
  expect(await call(to, { as: pairOf(files) })).toEqual({ status: 200, body: { hospital: 'H:医', name: 'front 1' } })
  const { validFrom, validTo, serialNumber } = new X509Certificate(await readFile(files.certFile))
  expect((Date.parse(validTo) - Date.parse(validFrom)) / dayMs).toBeCloseTo(90, 1)
  expect(serialNumber).toHaveLength(32)
  await until(async () => (await listEdges(database.db, now()))[0]?.lastSeenAt !== null)
  expect(await listEdges(database.db, now())).toMatchObject([{ hospital: 'H:医', name: 'front 1', tokenUntil: null }])
})

test('of two that use a token at once, at two gateways, one enrols', async () => {
  const [one, two] = [await gateway(), await gateway()]
  const token = await invite()
  const outcomes = await Promise.allSettled(
    [one, two, one, two].map((to, index) => enrol({ gateway: addressOf(to), token, files: machine(`m${index}`) })),
  )
  const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []))
  expect(refused).toHaveLength(3)
  for (const error of refused) expect(error.message).toMatch(/^token-used: /)
  const rows = await database.db.transaction((tx) => tx.query(`SELECT 1 FROM edge_audit WHERE what = 'enrolled'`))
  expect(rows).toHaveLength(1)
})

test('an answer that was lost: the same machine asks again and is given the same certificate', async () => {
  const to = await gateway()
  const token = await invite()
  const files = machine('a')
  // The first attempt got as far as the gateway.
  const key = await pendingKey(files, `token-${token.id}`, undefined)
  const csr = createCertificateRequest('edge', key.privateKey, key.publicKey)
  const body = { id: token.id, secret: token.secret.toString('base64url'), csr }
  const lost = await call(to, { path: '/v1/enrol', body })
  await enrol({ gateway: addressOf(to), token, files })
  expect(await readFile(files.certFile, 'utf8')).toContain(String(lost.body.certificate).trim())
})

test('what is no valid token', async () => {
  const to = await gateway()
  const secretOf = (token: EnrolmentToken): object => ({
    ...{ id: token.id, secret: token.secret.toString('base64url'), csr: csrOf() },
  })
  const ask = (body: object): Promise<unknown> => codeOf(call(to, { path: '/v1/enrol', body }))
  const token = await invite()
  expect(await ask({ ...secretOf(token), secret: Buffer.alloc(20).toString('base64url') })).toBe('token-unknown')
  expect(await ask({ ...secretOf(token), id: '000000000000' })).toBe('token-unknown')
  expect(await ask({ ...secretOf(token), csr: 'none' })).toBe('csr-invalid')
  expect(await ask({ id: token.id })).toBe('csr-invalid')
  ahead = 2 * dayMs
  expect(await ask(secretOf(token))).toBe('token-expired')
  expect(await database.db.transaction((tx) => tx.query('SELECT 1 FROM edge_certificate'))).toEqual([])
  expect(() => readToken(tokenText(token).slice(0, -1))).toThrow(/no whole token/)
  expect(() => readToken(tokenText(token).replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')))).toThrow(UsageError)
})

test('guesses from one address are cut off for a minute, before the database is asked', async () => {
  const to = await gateway()
  const guess = { id: '000000000000', secret: 'AAAA', csr: csrOf() }
  const codes: unknown[] = []
  for (let attempt = 0; attempt < 12; attempt++) codes.push(await codeOf(call(to, { path: '/v1/enrol', body: guess })))
  expect(codes.slice(0, 10).every((code) => code === 'token-unknown')).toBe(true)
  expect(codes.slice(10)).toEqual(['too-many-attempts', 'too-many-attempts'])
  ahead = 61_000
  expect(await codeOf(call(to, { path: '/v1/enrol', body: guess }))).toBe('token-unknown')
})

test('a token for another province is not shown to this gateway', async () => {
  const other = ownAuthority('Another province')
  stops.push(() => other.close())
  const to = await gateway()
  const token = await invite('H001', 'front-1', { of: other })
  const attempt = enrol({ gateway: addressOf(to), token, files: machine('a') })
  await expect(attempt).rejects.toThrow(/is not the gateway that this token is for/)
  expect(await metrics.registry.metrics()).not.toContain('hutong_gateway_refusals_total{')
})

test('who stands between with the right certificate but not its key gets nothing', async () => {
  const mitm = ownAuthority('Test province')
  stops.push(() => mitm.close())
  // It shows the certificate of the pinned authority behind its own: public, and worth nothing.
  const to = await gateway({ of: mitm, chain: own.authority.chain })
  const token = await invite()
  await expect(enrol({ gateway: addressOf(to), token, files: machine('a') })).rejects.toThrow(
    /is not the gateway that this token is for|cannot be reached/,
  )
  const rows = await database.db.transaction((tx) => tx.query('SELECT used_at FROM edge_token'))
  expect(rows).toEqual([{ used_at: null }])
})

test('names that a request asks for are not looked at', async () => {
  const to = await gateway()
  const token = await invite('H001', 'front-1')
  const pair = createKeyPair()
  const csr = createCertificateRequest('URI:urn:hutong:edge:H002:front-1', pair.privateKey, pair.publicKey)
  const body = { id: token.id, secret: token.secret.toString('base64url'), csr, hospital: 'H002' }
  const { body: answer } = await call(to, { path: '/v1/enrol', body })
  const certificate = new X509Certificate(String(answer.certificate))
  expect(certificate.subjectAltName).toBe('URI:urn:hutong:edge:H001:front-1')
  expect(certificate.subject).toBe('CN=H001 front-1')
})

test('nothing is renewed without a certificate, nor for one from elsewhere', async () => {
  const to = await gateway({ clientCaFile: outside.caFile })
  const body = { csr: csrOf() }
  expect(await codeOf(call(to, { path: '/v1/renew', body }))).toBe('certificate-missing')
  expect(await codeOf(call(to, { path: '/v1/renew', body, as: outside.issue(edgeNames('H001')) }))).toBe(
    'certificate-elsewhere',
  )
})

test('after a renewal the old certificate renews nothing more once the new one is in use', async () => {
  const to = await gateway()
  const files = machine('a')
  await enrol({ gateway: addressOf(to), token: await invite(), files })
  const renew = (as: NonNullable<Call['as']>, csr: string): Promise<Answer> =>
    call(to, { path: '/v1/renew', body: { csr }, as })
  const next = createKeyPair()
  const first = await renew(pairOf(files), csrOf(next))
  // The answer was lost: the same key is given the same; and with no memory of it, another.
  expect((await renew(pairOf(files), csrOf(next))).body.certificate).toBe(first.body.certificate)
  ahead = 2000
  expect((await renew(pairOf(files), csrOf())).status).toBe(200)
  expect((await call(to, { as: pairOf(files) })).status).toBe(200)
  const file = join(folder, 'next.pem')
  await writeFile(file, `${String(first.body.certificate)}${keyPem(next.privateKey)}`)
  const renewed = { certFile: file, keyFile: file }
  expect(await codeOf(renew(renewed, csrOf(next)))).toBe('csr-invalid')
  const { fingerprint256 } = new X509Certificate(String(first.body.certificate))
  const fingerprint = fingerprint256.replaceAll(':', '').toLowerCase()
  await markSeen(database.db, [{ hospital: 'H001', name: 'front-1', fingerprint, seenAt: now() }])
  expect(await codeOf(renew(pairOf(files), csrOf()))).toBe('certificate-superseded')
  expect((await renew(renewed, csrOf())).status).toBe(200)
})

test('a revoked edge is refused on its open connection by every gateway, and is not renewed; a new token brings it back', async () => {
  const [one, two] = [await gateway(), await gateway()]
  const files = machine('a')
  const open = await invite()
  await enrol({ gateway: addressOf(one), token: await invite(), files })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  stops.push(() => agent.destroy())
  const as = pairOf(files)
  expect((await call(two, { as, agent })).status).toBe(200)
  await revokeEdge(database.db, { hospital: 'H001', name: 'front-1' }, { by: 'test', reason: 'stolen', now: now() })
  for (const to of [one, two]) {
    await until(async () => (await codeOf(call(to, { as, agent }))) === 'certificate-revoked')
    expect(await codeOf(call(to, { path: '/v1/renew', body: { csr: csrOf() }, as }))).toBe('certificate-revoked')
  }
  // Tokens that were open go with it.
  await expect(enrol({ gateway: addressOf(one), token: open, files: machine('b') })).rejects.toThrow(/^token-expired/)
  const again = machine('c')
  await enrol({ gateway: addressOf(one), token: await invite(), files: again })
  await until(async () => (await call(two, { as: pairOf(again) })).status === 200)
  expect(await codeOf(call(two, { as }))).toBe('certificate-revoked')
})

test('an edge of an authority outside is revoked by its name', async () => {
  const to = await gateway({ clientCaFile: outside.caFile })
  const as = outside.issue(edgeNames('H009', 'front-9'))
  expect((await call(to, { as })).status).toBe(200)
  await until(async () => (await listEdges(database.db, now())).length === 1)
  const known = await revokeEdge(
    database.db,
    { hospital: 'H009', name: 'front-9' },
    { by: 'test', reason: 'closed', now: now() },
  )
  expect(known).toBe(true)
  await until(async () => (await codeOf(call(to, { as }))) === 'certificate-revoked')
})

test('the list of an authority outside holds, is read again, and a broken one leaves the last in force', async () => {
  const [first, second] = [outside.issue(edgeNames('H001')), outside.issue(edgeNames('H002'))]
  const crlFile = join(folder, 'crl.pem')
  await writeFile(crlFile, outside.revoke(first))
  const authorities = certificatesOf(await readFile(outside.caFile, 'utf8'))
  const to = await gateway({ isAlone: true, clientCaFile: outside.caFile, crlFile, authorities })
  expect(await codeOf(call(to, { as: first }))).toBe('certificate-revoked')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  stops.push(() => agent.destroy())
  expect((await call(to, { as: second, agent })).status).toBe(200)
  await writeFile(crlFile, 'nothing')
  expect(await codeOf(call(to, { as: first }))).toBe('certificate-revoked')
  await writeFile(crlFile, outside.revoke(second))
  await until(async () => (await codeOf(call(to, { as: second, agent }))) === 'certificate-revoked')
  await writeFile(crlFile, own.authority.chain)
  await expect(gateway({ clientCaFile: outside.caFile, crlFile, authorities })).rejects.toThrow(/gateway.crlFile/)
})

test('while the database is away the last list holds, over a restart too, for a day', async () => {
  const cacheFile = join(folder, 'list.json')
  const files = machine('a')
  const bad = machine('b')
  const before = await gateway({ cacheFile })
  await enrol({ gateway: addressOf(before), token: await invite(), files })
  await enrol({ gateway: addressOf(before), token: await invite('H002', 'front-2'), files: bad })
  await revokeEdge(database.db, { hospital: 'H002', name: 'front-2' }, { by: 'test', reason: 'lost', now: now() })
  await until(async () => (await codeOf(call(before, { as: pairOf(bad) }))) === 'certificate-revoked')
  isAway = true
  const unused = createToken(gatewayTrust(own.server, own.authority).pin)
  const body = { id: unused.id, secret: unused.secret.toString('base64url'), csr: csrOf() }
  expect(await call(before, { path: '/v1/enrol', body })).toMatchObject({
    status: 503,
    body: { code: 'enrolment-unavailable' },
  })
  const after = await gateway({ cacheFile })
  expect((await call(after, { as: pairOf(files) })).status).toBe(200)
  expect(await codeOf(call(after, { as: pairOf(bad) }))).toBe('certificate-revoked')
  ahead = dayMs + 3_600_000
  expect(await codeOf(call(after, { as: pairOf(files) }))).toBe('revocations-unknown')
  isAway = false
  await until(async () => (await call(after, { as: pairOf(files) })).status === 200)
})

test('a gateway that never had a list lets nobody in until it has one', async () => {
  const pair = createKeyPair()
  const order = { hospital: 'H001', edge: 'front-1', publicKey: pair.publicKey, lifetimeMs: dayMs, now: now() }
  const file = join(folder, 'early.pem')
  await writeFile(file, issueEdgeCertificate(own.authority, order) + keyPem(pair.privateKey))
  const as = { certFile: file, keyFile: file }
  isAway = true
  const to = await gateway()
  expect(await codeOf(call(to, { as }))).toBe('revocations-unknown')
  isAway = false
  await until(async () => (await call(to, { as })).status === 200)
})
