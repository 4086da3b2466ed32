import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { pipelineRoles } from '../../cli/config-schema.js'
import { freePort } from '../../cli/demo/setting.js'
import { systemClock } from '../../core/clock.js'
import { openSpool } from '../../log/spool-store.js'
import { MllpClient, oru, until } from '../connectors/mllp-client.js'
import { edgeAuthority, edgeNames, serverNames, type EdgeAuthority } from './edge-certificates.js'
import { RunningPlaces, settledNumbers } from './running.js'
import { reconciled } from '../repository/reconciled.js'

let authority: EdgeAuthority
let places: RunningPlaces

beforeEach(async () => {
  authority = edgeAuthority('Test province')
  places = await RunningPlaces.open()
})
afterEach(async () => {
  await places.end()
  authority.close()
})

const day = 86_400_000
// Three batches of the log at the most: the drain pauses between them, under its rate budget.
const backlog = 2050
const live = 20

/** What an edge took in while its line was down: for three days, the last of it just now. */
async function fillSpool(dataDir: string): Promise<void> {
  const spool = await openSpool({
    dir: join(dataDir, 'spool'),
    environment: 'test',
    clock: systemClock,
    retention: { maxAgeMs: 1e12, maxBytes: 1e12 },
    diskReserveBytes: 0,
  })
  const from = Date.now() - 3 * day
  try {
    const pending: Promise<unknown>[] = []
    for (let index = 0; index < backlog; index++) {
      const receivedAt = from + Math.floor((index * 3 * day) / (backlog - 1))
      const id = `OLD${index}`
      pending.push(spool.accept({ feed: 'lis-1', content: oru(id), receivedAt, controlId: id }))
    }
    await Promise.all(pending)
  } finally {
    await spool.close()
  }
}

test(
  'three days of a cut line drain in the bulk lane, while what another hospital sends is stored before the drain ends',
  { timeout: 400_000 },
  async () => {
    const gatewayPort = await freePort()
    const mllpPort = await freePort()
    const feed = (name: string, hospital: string, port: number): object => ({
      ...{ name, hospital, connector: 'hl7v2-mllp', settings: { port } },
    })
    await fillSpool(join(places.folder, 'edge-1'))
    const order: string[] = []
    const province = await places.run(
      'province',
      [...pipelineRoles.filter((role) => role !== 'receive'), 'gateway'],
      {
        gateway: {
          ...{ host: '127.0.0.1', port: gatewayPort, clientCaFile: authority.caFile },
          ...authority.issue(serverNames),
        },
        bulk: { recordsPerSecond: 60 },
        feeds: [feed('lis-1', 'H001', 1), feed('lis-2', 'H002', 2)],
      },
      {
        settled: (events) => void order.push(...events.map((event) => event.feed)),
      },
    )
    const edge = (name: string, hospital: string, port: number): Promise<unknown> =>
      places.run(`edge-${name}`, ['receive'], {
        uplink: {
          ...{ url: `https://localhost:${gatewayPort}`, caFile: authority.caFile },
          ...authority.issue(edgeNames(hospital)),
        },
        feeds: [feed(`lis-${name}`, hospital, port)],
      })
    await edge('2', 'H002', mllpPort)
    await edge('1', 'H001', await freePort())
    // the drain has begun
    await until(() => order.includes('lis-1'), 60_000)
    const client = await MllpClient.open(mllpPort)
    try {
      for (let index = 0; index < live; index++) client.send(oru(`NEW${index}`))
      await client.take(live)
    } finally {
      client.close()
    }
    const numbers = await settledNumbers(province.runtime, backlog + live)
    expect(numbers['lis-1']).toEqual(Array.from({ length: backlog }, (_, index) => index + 1))
    expect(numbers['lis-2']).toEqual(Array.from({ length: live }, (_, index) => index + 1))
    const last = order.lastIndexOf('lis-2')
    expect(last, 'all that is live stands before the drain ends').toBeLessThan(order.lastIndexOf('lis-1'))
    const metrics = await province.runtime.metrics.registry.metrics()
    const taken = (feedName: string, lane: string): number =>
      Number(
        new RegExp(`hutong_gateway_messages_total{feed="${feedName}",lane="${lane}"} (\\d+)`).exec(metrics)?.[1] ?? 0,
      )
    expect(taken('lis-2', 'bulk')).toBe(0)
    expect(taken('lis-2', 'live')).toBe(live)
    // the last of three days' messages have just come in: they are not old
    expect(taken('lis-1', 'live')).toBeGreaterThan(0)
    expect(taken('lis-1', 'live')).toBeLessThan(10)
    expect(taken('lis-1', 'bulk') + taken('lis-1', 'live')).toBe(backlog)
    const { balanced, days } = await reconciled(province.runtime.database!)
    expect(balanced).toBe(true)
    expect(days.reduce((sum, one) => sum + one.received, 0)).toBe(backlog + live)
    expect(days.reduce((sum, one) => sum + one.inFlight, 0)).toBe(0)
  },
)
