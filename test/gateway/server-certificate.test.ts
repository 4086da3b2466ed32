import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { Command } from 'commander'
import { stringify } from 'yaml'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startGateway, type Gateway } from '../../api/gateway/gateway-server.js'
import type { GatewayRoute } from '../../api/gateway/route.js'
import { caCommand } from '../../cli/ca.js'
import { doctorCommand } from '../../cli/doctor.js'
import type { Terminal } from '../../cli/terminal.js'
import { createKeyPair, issueEdgeCertificate, issueServerCertificate, keyPem } from '../../core/authority.js'
import { readEnvironment } from '../../core/environment.js'
import { Metrics, type Logger } from '../../core/telemetry.js'
import { ownAuthority, type OwnAuthority } from './authorities.js'

const dayMs = 86_400_000
const hosts = ['localhost', '127.0.0.1']
let own: OwnAuthority
let other: OwnAuthority
let gateway: Gateway
let agent: Agent
let said: { readonly level: string; readonly cause: unknown; readonly text: string }[]
let metrics: Metrics

const note =
  (level: string) =>
  (about: { cause?: unknown }, text: string): void =>
    void said.push({ level, cause: about.cause, text })
const logger = {
  debug: note('debug'),
  info: note('info'),
  warn: note('warn'),
  error: note('error'),
} as unknown as Logger
const route: GatewayRoute = {
  method: 'GET',
  path: '/who',
  identity: 'edge',
  handle: (_, { hospital }) => Promise.resolve({ json: { hospital } }),
}

beforeEach(async () => {
  own = ownAuthority('Test province')
  other = ownAuthority('Another authority')
  said = []
  metrics = new Metrics()
  agent = new Agent({ keepAlive: true, maxSockets: 1 })
  writeFileSync(join(own.folder, 'clients.pem'), readFileSync(own.files.certFile))
  gateway = await startGateway({
    ...{ host: '127.0.0.1', port: 0, ...own.server, clientCaFile: join(own.folder, 'clients.pem') },
    ...{ routes: [route], requestTimeoutMs: 10_000, metrics, logger },
  })
})
afterEach(async () => {
  process.exitCode = 0
  agent.destroy()
  await gateway.close()
  own.close()
  other.close()
})

const pair = createKeyPair()
/** One certificate by authority: an agent keeps a connection for those who show the same. */
const issued = new WeakMap<OwnAuthority, string>()
function client(by: OwnAuthority): { readonly cert: string; readonly key: string } {
  const order = { hospital: 'H001', edge: 'front-1', publicKey: pair.publicKey, lifetimeMs: 3_600_000, now: Date.now() }
  const cert = issued.get(by) ?? issueEdgeCertificate(by.authority, order)
  issued.set(by, cert)
  return { cert, key: keyPem(pair.privateKey) }
}

interface Seen {
  readonly status: number | undefined
  readonly text: string
  readonly socket: TLSSocket
  readonly shown: string
}

const ask = (over: Agent | false, by = own): Promise<Seen> =>
  new Promise((resolve, reject) => {
    const request = httpsRequest({
      ...{ host: 'localhost', port: gateway.port, path: '/who', agent: over, ...client(by) },
      ca: readFileSync(own.files.certFile),
    })
    request.once('response', (response) => {
      const socket = response.socket as TLSSocket
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      const shown = socket.getPeerX509Certificate()?.fingerprint256 ?? ''
      response.once('end', () => resolve({ status: response.statusCode, text, socket, shown }))
    })
    request.once('error', reject)
    request.end()
  })

const newPair = (days: number, by = own): { readonly cert: string; readonly key: string } => {
  const { publicKey, privateKey } = createKeyPair()
  const cert = issueServerCertificate(by.authority, hosts, publicKey, days * dayMs, Date.now())
  return { cert, key: keyPem(privateKey) }
}
const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256
const gauge = async (name: string): Promise<number> =>
  Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await metrics.registry.metrics())?.[1])
const refused = (): Promise<number> => gauge('hutong_gateway_certificate_refused')

test('a new pair is taken without a restart, and open connections stay', { timeout: 60_000 }, async () => {
  const before = await ask(agent)
  expect(before.status).toBe(200)
  const next = newPair(400)
  // One file after the other: half of a pair is not taken.
  writeFileSync(own.server.keyFile, next.key)
  for (let time = 0; time < 3; time++) gateway.certificate.look()
  expect(await refused()).toBe(1)
  const errors = said.filter(({ level }) => level === 'error')
  expect(errors).toHaveLength(1)
  expect(errors[0]?.cause).toContain(`${own.server.keyFile} is not the key of ${own.server.certFile}`)
  expect((await ask(false)).shown).toBe(before.shown)
  writeFileSync(own.server.certFile, next.cert)
  gateway.certificate.look()
  expect(await refused()).toBe(0)
  const kept = await ask(agent)
  expect(kept.status).toBe(200)
  expect(kept.socket).toBe(before.socket)
  const fresh = await ask(false)
  expect([fresh.status, fresh.shown]).toEqual([200, fingerprint(next.cert)])
  expect(await gauge('hutong_gateway_certificate_until_timestamp_seconds')).toBe(
    Date.parse(new X509Certificate(next.cert).validTo) / 1000,
  )
})

test.each<[string, () => void, RegExp]>([
  ['torn', () => writeFileSync(own.server.certFile, newPair(400).cert.slice(0, 300)), /holds no certificate/],
  ['not of the key', () => writeFileSync(own.server.certFile, newPair(400).cert), /is not the key of/],
  ['without a key', () => writeFileSync(own.server.keyFile, ''), /cannot be read as a key/],
  ['without authorities', () => writeFileSync(join(own.folder, 'clients.pem'), ''), /clients.pem holds no certificate/],
  [
    'past its end',
    () => {
      const { cert, key } = newPair(-1)
      writeFileSync(own.server.keyFile, key)
      writeFileSync(own.server.certFile, cert)
    },
    /it ended on/,
  ],
])('what is %s is refused with its reason, and the old one stays', { timeout: 60_000 }, async (_, spoil, reason) => {
  const before = await ask(false)
  spoil()
  gateway.certificate.look()
  expect(await refused()).toBe(1)
  expect(String(said.find(({ level }) => level === 'error')?.cause)).toMatch(reason)
  expect(await ask(false)).toMatchObject({ status: 200, shown: before.shown })
})

test('an authority that is added is believed from then on', { timeout: 60_000 }, async () => {
  expect((await ask(false, other)).status).toBe(401)
  const both = readFileSync(own.files.certFile, 'utf8') + readFileSync(other.files.certFile, 'utf8')
  writeFileSync(join(own.folder, 'clients.pem'), both)
  gateway.certificate.look()
  expect((await ask(false, other)).status).toBe(200)
  expect((await ask(false)).status).toBe(200)
})

test('the end is said a month before, once a day', async () => {
  // The fixture's certificate lasts a day.
  for (let time = 0; time < 3; time++) gateway.certificate.look()
  expect(said.filter(({ level, text }) => level === 'warn' && text.includes('ends soon'))).toHaveLength(1)
})

async function hutong(command: (program: Command, terminal: Terminal) => void, ...args: string[]): Promise<string> {
  let text = ''
  const program = new Command().exitOverride()
  command(program, {
    ...{ out: (part: string) => void (text += part), err: () => undefined, interactive: false },
    environment: readEnvironment({}),
  })
  await program.parseAsync(['node', 'hutong', ...args])
  return text
}

test('hutong ca server --renew replaces one file, keeps key and names, and doctor says until when', async () => {
  const out = own.server.certFile.replace(/\.pem$/, '')
  const doctor = async (): Promise<object | undefined> => {
    const file = join(own.folder, 'province.yaml')
    const feeds = [{ name: 'lis', hospital: 'H001', connector: 'hl7v2-mllp', port: 1 }]
    const place = { port: gateway.port, host: '127.0.0.1', ...own.server, clientCaFile: own.files.certFile }
    writeFileSync(file, stringify({ environment: 'test', dataDir: join(own.folder, 'data'), gateway: place, feeds }))
    const { findings } = JSON.parse(await hutong(doctorCommand, 'doctor', '--config', file, '--json')) as {
      findings: { part: string }[]
    }
    return findings.find(({ part }) => part === 'certificate')
  }
  expect(await doctor()).toMatchObject({ state: 'warning' })
  const before = [readFileSync(own.server.keyFile, 'utf8'), fingerprint(readFileSync(own.server.certFile, 'utf8'))]
  await hutong(caCommand, 'ca', 'server', '--renew', '--dir', own.folder, '--out', out, '--days', '400')
  const after = readFileSync(own.server.certFile, 'utf8')
  expect(readFileSync(own.server.keyFile, 'utf8')).toBe(before[0])
  expect(fingerprint(after)).not.toBe(before[1])
  expect(new X509Certificate(after).subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1')
  expect(await doctor()).toMatchObject({ state: 'ok' })
  gateway.certificate.look()
  expect((await ask(false)).shown).toBe(fingerprint(after))
  await expect(
    hutong(caCommand, 'ca', 'server', '--renew', '--dir', own.folder, '--out', `${out}-none`),
  ).rejects.toThrow('cannot read')
  await expect(hutong(caCommand, 'ca', 'server', 'localhost', '--dir', own.folder, '--out', out)).rejects.toThrow(
    'is not replaced',
  )
}, 60_000)
