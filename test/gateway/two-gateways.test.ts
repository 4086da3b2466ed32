import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { pipelineRoles } from '../../cli/config-schema.js'
import { freePort } from '../../cli/demo/setting.js'
import { ensureSchemas, type Runtime } from '../../cli/runtime.js'
import { pause } from '../../core/pause.js'
import { MllpClient, oru, until } from '../connectors/mllp-client.js'
import { stacks, type Place } from '../end-to-end/stacks.js'
import { reconciled } from '../repository/reconciled.js'
import { TcpRelay } from '../simulation/tcp-relay.js'
import { edgeAuthority, edgeNames, serverNames, type EdgeAuthority } from './edge-certificates.js'
import { RunningPlaces, settledNumbers } from './running.js'

// Two instances on one log: an embedded log belongs to one process, so this is of the real stack alone.
const real = stacks().filter(({ name }) => name === 'real')

describe.runIf(real.length > 0)('two gateways on one Kafka', () => {
  let authority: EdgeAuthority
  let places: RunningPlaces
  let place: Place
  let relay: TcpRelay
  let mllpPort: number
  const gateways: Runtime[] = []
  const feed = (port: number): object => ({
    ...{ name: 'lis', hospital: 'H001', connector: 'hl7v2-mllp', settings: { port } },
  })

  beforeEach(async () => {
    authority = edgeAuthority('Test province')
    places = await RunningPlaces.open()
    place = await real[0]!.open()
    mllpPort = await freePort()
    const ports = [await freePort(), await freePort()]
    relay = await TcpRelay.open(ports)
    gateways.length = 0
    await ensureSchemas(place.configuration)
    for (const [index, port] of ports.entries()) {
      const server = authority.issue(serverNames)
      const gateway = { host: '127.0.0.1', port, ...server, clientCaFile: authority.caFile }
      const parts = { ...partsOf(place), gateway, feeds: [feed(1)] }
      gateways.push((await places.run(`gateway-${index}`, ['gateway'], parts)).runtime)
    }
  }, 120_000)
  afterEach(async () => {
    await places.end()
    await relay.close()
    await place.end()
    authority.close()
  }, 120_000)

  const partsOf = ({ configuration: { kafka, schemaRegistry, database } }: Place): object => ({
    ...{ kafka, schemaRegistry, database },
  })
  const messagesTaken = async (gateway: Runtime): Promise<number> => {
    const text = await gateway.metrics.registry.metrics()
    const counts = [...text.matchAll(/^hutong_gateway_messages_total{[^}]*} (\d+)$/gm)]
    return counts.reduce((sum, [, count]) => sum + Number(count), 0)
  }
  const send = async (ids: readonly string[]): Promise<void> => {
    const client = await MllpClient.open(mllpPort)
    for (const id of ids) client.send(oru(id, { text: `值${id}` }))
    await client.take(ids.length)
    client.close()
  }
  const numbered = (letter: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `${letter}${index}`)

  test(
    'a batch whose answer was lost is taken by the other too; rows and receipts are exact',
    { timeout: 240_000 },
    async () => {
      const roles = pipelineRoles.filter((role) => role !== 'receive')
      const { runtime } = await places.run('province', roles, { ...partsOf(place), feeds: [feed(1)] })
      const edge = await places.run('edge', ['receive'], {
        uplink: {
          ...{ url: `https://localhost:${relay.port}`, caFile: authority.caFile },
          ...authority.issue(edgeNames('H001')),
        },
        feeds: [feed(mllpPort)],
      })
      const sum = async (): Promise<number> => {
        const counts = await Promise.all(gateways.map(messagesTaken))
        return (counts[0] ?? 0) + (counts[1] ?? 0)
      }
      const isTaken = async (count: number, withinMs: number): Promise<boolean> => {
        const end = Date.now() + withinMs
        while ((await sum()) < count && Date.now() < end) await pause(50)
        return (await sum()) >= count
      }
      await send(numbered('A', 10))
      expect(await isTaken(10, 60_000)).toBe(true)
      let sent = 10
      let repeated = 0
      for (let attempt = 0; repeated < 3 && attempt < 10; attempt++) {
        await until(() => edge.runtime.spool?.statistics().depth === 0)
        const before = await sum()
        relay.cut('answers')
        await send(numbered(`B${attempt}-`, 10))
        sent += 10
        // at least the first batch of them is in the log, and the edge does not know
        if (await isTaken(before + 1, 10_000)) {
          expect(edge.runtime.spool?.statistics().depth).toBe(10)
          repeated++
        } // else the edge was opening a connection just then, which needs answers to be one
        relay.restore()
        await until(() => edge.runtime.spool?.statistics().depth === 0)
      }
      expect(repeated).toBe(3)
      expect(await settledNumbers(runtime, sent)).toEqual({
        lis: Array.from({ length: sent }, (_, index) => index + 1),
      })
      expect(await sum(), 'batches were repeated across instances').toBeGreaterThan(sent)
      for (const gateway of gateways) expect(await messagesTaken(gateway)).toBeGreaterThan(0)
      const { balanced, days } = await reconciled(runtime.database!)
      expect(balanced).toBe(true)
      expect(days.reduce((total, { received }) => total + received, 0)).toBe(sent)
      const inexact = await runtime.database!.transaction((tx) =>
        tx.query('SELECT seq FROM receipt GROUP BY feed_id, epoch, seq HAVING count(*) <> max(event_count)'),
      )
      expect(inexact, 'each event of each number has one receipt').toEqual([])
    },
  )
})
