import { afterEach, beforeEach, expect, test } from 'vitest'
import { pipelineRoles } from '../../cli/config-schema.js'
import { freePort } from '../../cli/demo/setting.js'
import type { Runtime } from '../../cli/runtime.js'
import { until } from '../connectors/mllp-client.js'
import {
  edgeAuthority,
  edgeNames,
  serverNames,
  type CertificateFiles,
  type EdgeAuthority,
} from './edge-certificates.js'
import { connectProxy, lisFeed, metricsOf, sendResults } from './lis.js'
import { RunningPlaces, settledNumbers, type Running } from './running.js'

let authority: EdgeAuthority
let server: CertificateFiles
let places: RunningPlaces
let gatewayPort: number
let mllpPort: number

beforeEach(async () => {
  authority = edgeAuthority('Test province')
  server = authority.issue(serverNames)
  places = await RunningPlaces.open()
  gatewayPort = await freePort()
  mllpPort = await freePort()
})
afterEach(async () => {
  await places.end()
  authority.close()
})

const province = (): Promise<Running> =>
  places.run('province', [...pipelineRoles.filter((role) => role !== 'receive'), 'gateway'], {
    gateway: { host: '127.0.0.1', port: gatewayPort, ...server, clientCaFile: authority.caFile },
    feeds: [lisFeed(1)],
  })

const edge = (more: object = {}, certificate = authority.issue(edgeNames('H001'))): Promise<Running> =>
  places.run('edge', ['receive'], {
    uplink: { url: `https://localhost:${gatewayPort}`, caFile: authority.caFile, ...certificate, ...more },
    feeds: [lisFeed(mllpPort)],
  })

const send = (...controlIds: string[]): Promise<void> => sendResults(mllpPort, ...controlIds)

const settled = async (runtime: Runtime, count: number): Promise<readonly number[]> =>
  (await settledNumbers(runtime, count))['lis'] ?? []

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
  const { port, asked } = await connectProxy(gatewayPort, places)
  const { runtime } = await province()
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
