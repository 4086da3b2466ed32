import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { gatewayTrust } from '../../cli/edge-authority.js'
import { pipelineRoles } from '../../cli/config-schema.js'
import { freePort } from '../../cli/demo/setting.js'
import type { Runtime } from '../../cli/runtime.js'
import { createSigningKeys } from '../../core/signing.js'
import { createToken, secretHash, type EnrolmentToken } from '../../core/enrolment-token.js'
import { enrol } from '../../log/enrol.js'
import { identityFiles } from '../../log/identity.js'
import { addToken, listEdges, revokeEdge } from '../../repository/edges.js'
import { until } from '../connectors/mllp-client.js'
import { ownAuthority, type OwnAuthority } from './authorities.js'
import { connectProxy, lisFeed, metricsOf, sendResults } from './lis.js'
import { RunningPlaces, settledNumbers, type Running } from './running.js'

let own: OwnAuthority
let places: RunningPlaces
let folder: string
let gatewayPort: number
let mllpPort: number
const edge = { hospital: 'H001', name: 'front-1' }

beforeEach(async () => {
  own = ownAuthority('Test province')
  places = await RunningPlaces.open()
  folder = places.folder
  gatewayPort = await freePort()
  mllpPort = await freePort()
})
afterEach(async () => {
  await places.end()
  own.close()
})

const province = async (edgeDays = 90, more: object = {}): Promise<Running> => {
  const running = await places.run('province', [...pipelineRoles.filter((role) => role !== 'receive'), 'gateway'], {
    gateway: {
      ...{ host: '127.0.0.1', port: gatewayPort, ...own.server, ...more },
      authority: { ...own.files, edgeDays },
    },
    feeds: [lisFeed(1)],
  })
  await running.reachable
  return running
}

/** Knows of the province what `hutong enrol` left in its folder, and nothing else. */
const enrolledEdge = (more: object = {}): Promise<Running> =>
  places.run('edge', ['receive'], { uplink: more, feeds: [lisFeed(mllpPort)] })

async function invite({ database }: Runtime): Promise<EnrolmentToken> {
  const token = createToken(gatewayTrust(own.server, own.authority).pin)
  const now = Date.now()
  const expiresAt = now + 3_600_000
  await addToken(database!, {
    ...{ id: token.id, secretHash: secretHash(token.secret), ...edge, by: 'test', now, expiresAt },
  })
  return token
}

const files = (): ReturnType<typeof identityFiles> => identityFiles(join(folder, 'edge'))
const gateway = (): string => `https://localhost:${gatewayPort}`
const settled = async (runtime: Runtime, count: number): Promise<readonly number[]> =>
  (await settledNumbers(runtime, count))['lis'] ?? []
const send = (...controlIds: string[]): Promise<void> => sendResults(mllpPort, ...controlIds)

test(
  'enrolled through a proxy, messages flow with what enrolment left, through the proxy',
  { timeout: 120_000 },
  async () => {
    const releaseKey = join(folder, 'release.pem')
    const { publicKey } = createSigningKeys()
    await writeFile(releaseKey, publicKey)
    const { runtime } = await province(90, { releaseKeyFiles: [releaseKey] })
    const proxy = await connectProxy(gatewayPort, places)
    const way = { proxy: `http://edge:secret@127.0.0.1:${proxy.port}` }
    await expect(enrolledEdge(way)).rejects.toThrow(/run hutong enrol/)
    const identity = await enrol({ gateway: gateway(), token: await invite(runtime), files: files(), ...way })
    expect(identity.releaseKeys).toEqual([publicKey])
    const askedToEnrol = proxy.asked.length
    expect(askedToEnrol).toBeGreaterThanOrEqual(2)
    await enrolledEdge(way)
    await send('M1', 'M2')
    expect(await settled(runtime, 2)).toEqual([1, 2])
    expect(proxy.asked.length).toBeGreaterThan(askedToEnrol)
    expect(new Set(proxy.asked)).toEqual(new Set([`localhost:${gatewayPort} Basic ${basic('edge:secret')}`]))
  },
)

const basic = (text: string): string => Buffer.from(text).toString('base64')

test('a certificate is renewed under traffic, and nothing is lost', { timeout: 400_000 }, async () => {
  const { runtime } = await province(100 / 86_400)
  await enrol({ gateway: gateway(), token: await invite(runtime), files: files() })
  const first = await readFile(files().certFile, 'utf8')
  const { runtime: sender } = await enrolledEdge()
  let sent = 0
  const isRenewed = async (): Promise<boolean> => {
    await send(`R${++sent}`)
    return (await metricsOf(sender)).includes('hutong_uplink_renewals_total{outcome="renewed"}')
  }
  await until(isRenewed, 200_000)
  expect(await readFile(files().certFile, 'utf8')).not.toBe(first)
  // The line goes over to the new certificate, which the gateway then sees.
  const isSeen = async (): Promise<boolean> => {
    await send(`R${++sent}`)
    const rows = await runtime.database!.transaction((tx) =>
      tx.query<{ seen: boolean }>(
        'SELECT first_seen_at IS NOT NULL AS seen FROM edge_certificate ORDER BY issued_at DESC LIMIT 1',
      ),
    )
    return rows[0]!.seen
  }
  await until(isSeen, 150_000)
  const numbers = await settled(runtime, sent)
  expect(numbers).toEqual(Array.from({ length: sent }, (_, index) => index + 1))
  expect(await metricsOf(runtime)).not.toContain('hutong_gateway_refusals_total{code="certificate')
})

test('revoked, the spool holds; with a new token the same spool is sent', { timeout: 180_000 }, async () => {
  const { runtime } = await province()
  await enrol({ gateway: gateway(), token: await invite(runtime), files: files() })
  const { runtime: sender, stop } = await enrolledEdge()
  await send('V1')
  expect(await settled(runtime, 1)).toEqual([1])
  await revokeEdge(runtime.database!, edge, { by: 'test', reason: 'lost', now: Date.now() })
  let sent = 1
  // Until every gateway knows, which is within a minute, what is sent still comes through.
  await until(async () => {
    if (!(sender.spool!.statistics().depth > 0)) await send(`V${++sent}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
    return (await metricsOf(sender)).includes('hutong_uplink_requests_total{outcome="certificate-revoked"}')
  }, 60_000)
  // What was refused may have been a watermark alone.
  await send(`V${++sent}`)
  expect(sender.spool!.statistics().depth).toBeGreaterThan(0)
  await stop()
  await enrol({ gateway: gateway(), token: await invite(runtime), files: files() })
  await enrolledEdge()
  const numbers = await settled(runtime, sent)
  expect(numbers).toEqual(Array.from({ length: sent }, (_, index) => index + 1))
  expect((await listEdges(runtime.database!, Date.now()))[0]).toMatchObject({ ...edge, revokedBy: 'test' })
})
