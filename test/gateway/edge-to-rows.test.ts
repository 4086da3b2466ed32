import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Configuration } from '../../cli/config.js'
import { pipelineRoles, type Role } from '../../cli/config-schema.js'
import { connectors } from '../../cli/connectors.js'
import { freePort } from '../../cli/demo/setting.js'
import { openRuntime, type Runtime } from '../../cli/runtime.js'
import { MllpClient, msa, oru, until } from '../connectors/mllp-client.js'
import {
  edgeAuthority,
  edgeNames,
  serverNames,
  type CertificateFiles,
  type EdgeAuthority,
} from './edge-certificates.js'

let authority: EdgeAuthority
let server: CertificateFiles
let folder: string
let gatewayPort: number
let mllpPort: number
const stops: (() => Promise<void>)[] = []

beforeEach(async () => {
  authority = edgeAuthority('Test province')
  server = authority.issue(serverNames)
  folder = await mkdtemp(join(tmpdir(), 'hutong-edge-test-'))
  gatewayPort = await freePort()
  mllpPort = await freePort()
})
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
  authority.close()
  await rm(folder, { recursive: true, force: true })
})

const feed = (port: number): object => ({
  ...{ name: 'lis', hospital: 'H001', connector: 'hl7v2-mllp', settings: { port } },
})

async function run(
  name: string,
  roles: readonly Role[],
  more: object,
): Promise<{ runtime: Runtime; stop(): Promise<void> }> {
  const configuration = { environment: 'test', dataDir: join(folder, name), logLevel: 'silent', ...more }
  const runtime = await openRuntime({ connectors, roles, configuration: configuration as unknown as Configuration })
  const aborter = new AbortController()
  const running = runtime.run(aborter.signal)
  running.catch(() => undefined)
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> =>
    (stopped ??= (aborter.abort(), running.catch(() => undefined).then(() => runtime.close())))
  stops.push(stop)
  return { runtime, stop }
}

const province = (): ReturnType<typeof run> =>
  run('province', [...pipelineRoles.filter((role) => role !== 'receive'), 'gateway'], {
    gateway: { host: '127.0.0.1', port: gatewayPort, ...server, clientCaFile: authority.caFile },
    feeds: [feed(1)],
  })

const edge = (more: object = {}, certificate = authority.issue(edgeNames('H001'))): ReturnType<typeof run> =>
  run('edge', ['receive'], {
    uplink: { url: `https://localhost:${gatewayPort}`, caFile: authority.caFile, ...certificate, ...more },
    feeds: [feed(mllpPort)],
  })

async function send(...controlIds: string[]): Promise<void> {
  const client = await MllpClient.open(mllpPort)
  try {
    for (const id of controlIds) client.send(oru(id, { text: `值${id}` }))
    expect((await client.take(controlIds.length)).map((answer) => msa(answer))).toEqual(
      controlIds.map((id) => `AA ${id}`),
    )
  } finally {
    client.close()
  }
}

async function numbersSettled({ database }: Runtime): Promise<readonly number[]> {
  const rows = await database!.transaction((tx) =>
    tx.query<{ seq: string | number }>('SELECT DISTINCT seq FROM receipt ORDER BY seq'),
  )
  return rows.map(({ seq }) => Number(seq))
}

async function settled(runtime: Runtime, count: number): Promise<readonly number[]> {
  const end = Date.now() + 40_000
  for (;;) {
    const numbers = await numbersSettled(runtime)
    if (numbers.length >= count || Date.now() > end) return numbers
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const metricsOf = (runtime: Runtime): Promise<string> => runtime.metrics.registry.metrics()

test('MLLP to rows by the gateway, which is away at first, and again for a while', { timeout: 120_000 }, async () => {
  const { runtime: sender } = await edge()
  await send('M1', 'M2')
  await until(() => sender.spool?.statistics().depth === 2)
  const first = await province()
  expect(await settled(first.runtime, 2)).toEqual([1, 2])
  await first.stop()
  await send('M3')
  const second = await province()
  expect(await settled(second.runtime, 3)).toEqual([1, 2, 3])
  await until(() => sender.spool?.statistics().depth === 0)
  expect(await metricsOf(sender)).toContain('hutong_uplink_accepted 1')
  expect(await metricsOf(second.runtime)).toContain('hutong_gateway_messages_total{feed="lis",lane="live"}')
  const rows = await second.runtime.database!.transaction((tx) =>
    tx.query<{ code: string }>('SELECT h.code FROM hospital h JOIN feed f ON f.hospital_id = h.id'),
  )
  expect(rows).toEqual([{ code: 'H001' }])
})

test('through a proxy that wants a name and a password', { timeout: 120_000 }, async () => {
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const proxy = createServer()
  proxy.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization']}`)
    const far = connect(gatewayPort, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      far.pipe(socket).pipe(far)
    })
    for (const one of [socket, far]) {
      sockets.add(one)
      one.on('error', () => undefined).on('close', () => void [socket, far].map((each) => each.destroy()))
    }
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  stops.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => proxy.close(resolve))
  })
  const { runtime } = await province()
  const { port } = proxy.address() as AddressInfo
  await edge({ proxy: `http://edge:secret@127.0.0.1:${port}`, bytesPerSecond: 100_000 })
  await send('P1')
  expect(await settled(runtime, 1)).toEqual([1])
  const basic = Buffer.from('edge:secret').toString('base64')
  expect(asked[0]).toBe(`localhost:${gatewayPort} Basic ${basic}`)
})

test(
  'a certificate that has ended keeps the spool and is named; a new one in its place drains it',
  { timeout: 120_000 },
  async () => {
    const { runtime } = await province()
    const refused = await edge({}, authority.issue(edgeNames('H001'), { expired: true }))
    await send('E1')
    const seen = async (): Promise<boolean> =>
      (await metricsOf(refused.runtime)).includes('hutong_uplink_requests_total{outcome="certificate-expired"} 1')
    const end = Date.now() + 20_000
    while (!(await seen()) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await seen()).toBe(true)
    expect(refused.runtime.spool?.statistics().depth).toBe(1)
    await refused.stop()
    await edge()
    expect(await settled(runtime, 1)).toEqual([1])
  },
)
