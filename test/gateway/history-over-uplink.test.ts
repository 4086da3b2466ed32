import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import type { Configuration } from '../../cli/config.js'
import { pipelineRoles, type Role } from '../../cli/config-schema.js'
import { connectors } from '../../cli/connectors.js'
import { freePort } from '../../cli/demo/setting.js'
import { openRuntime, type Runtime } from '../../cli/runtime.js'
import { historyEpochsFrom } from '../../core/ids.js'
import { pause } from '../../core/pause.js'
import { MllpClient, msa, oru } from '../connectors/mllp-client.js'
import { ofDay, writeHistory } from '../services/history/messages.js'
import { edgeAuthority, edgeNames, serverNames } from './edge-certificates.js'

const program = resolve(import.meta.dirname, '../../dist/cli/main.js')
/** Everything in the process itself, whatever stack is up. */
const embedded = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HUTONG_')))
const stops: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function hutong(...args: string[]): Promise<{ readonly code: number | null; readonly out: string }> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'], env: embedded })
  stops.push(() => void child.kill('SIGKILL'))
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  await once(child, 'close')
  return { code: child.exitCode, out }
}

async function start(
  roles: readonly Role[],
  configuration: object,
): Promise<{ runtime: Runtime; stop(): Promise<void> }> {
  const runtime = await openRuntime({ connectors, roles, configuration: configuration as Configuration })
  const aborter = new AbortController()
  const running = runtime.run(aborter.signal).catch(() => undefined)
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => (stopped ??= (aborter.abort(), running.then(() => runtime.close())))
  stops.push(stop)
  return { runtime, stop }
}

test('a hospital sends its history over the uplink while its receiver runs; the province says what became of it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hutong-history-uplink-'))
  stops.push(() => rm(folder, { recursive: true, force: true }))
  const authority = edgeAuthority('Test province')
  stops.push(() => authority.close())
  const gatewayPort = await freePort()
  const mllpPort = await freePort()
  const feed = { name: 'lis', hospital: 'H001', connector: 'hl7v2-mllp' }
  const common = { environment: 'test', logLevel: 'error' }
  const edge = {
    ...common,
    dataDir: join(folder, 'edge'),
    uplink: {
      url: `https://localhost:${gatewayPort}`,
      caFile: authority.caFile,
      ...authority.issue(edgeNames('H001')),
    },
  }
  await writeHistory(join(folder, 'history'), {
    '2023-05-01/lis.hl7': ofDay('2023-05-01', 1, 30),
    '2023-05-02/lis.hl7': ofDay('2023-05-02', 101, 20),
  })
  const configFile = join(folder, 'edge.yaml')
  await writeFile(configFile, stringify({ ...edge, feeds: [{ ...feed, port: mllpPort }] }))

  const province = await start([...pipelineRoles.filter((role) => role !== 'receive'), 'gateway'], {
    ...common,
    dataDir: join(folder, 'province'),
    gateway: { host: '127.0.0.1', port: gatewayPort, ...authority.issue(serverNames), clientCaFile: authority.caFile },
    feeds: [{ ...feed, settings: { port: 1 } }],
  })
  await start(['receive'], { ...edge, feeds: [{ ...feed, settings: { port: mllpPort } }] })
  const client = await MllpClient.open(mllpPort)
  client.send(oru('LIVE1', { text: '值' }))
  expect((await client.take(1)).map((answer) => msa(answer))).toEqual(['AA LIVE1'])
  client.close()

  const files = ['--from-files', join(folder, 'history'), '--config', configFile]
  const sent = await hutong('backfill', 'lis', ...files, '--json')
  expect(sent.code).toBe(0)
  const days = sent.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  expect(days).toMatchObject([
    { day: '2023-05-02', state: 'sent', read: 20, sent: 20, inFlight: 20 },
    { day: '2023-05-01', state: 'sent', read: 30, sent: 30, inFlight: 30 },
  ])
  expect(await hutong('backfill', 'lis', ...files, '--json'), 'nothing is sent twice').toEqual({ code: 0, out: '' })
  const here = await hutong('backfill', 'status', 'lis', '--config', configFile)
  expect(here.code, 'the hospital cannot tell').toBe(1)

  const ledger = (): Promise<readonly { lane: string; history: boolean; messages: number }[]> =>
    province.runtime.database!.transaction((tx) =>
      tx.query(
        `SELECT m.lane, m.epoch >= ${historyEpochsFrom} AS history, count(DISTINCT m.seq) AS messages FROM raw_message m
         JOIN receipt r ON r.feed_id = m.feed_id AND r.epoch = m.epoch AND r.seq = m.seq GROUP BY 1, 2 ORDER BY 1`,
      ),
    )
  const wanted = [
    { lane: 'bulk', history: true, messages: 50 },
    { lane: 'live', history: false, messages: 1 },
  ]
  for (const end = Date.now() + 90_000; JSON.stringify(await ledger()) !== JSON.stringify(wanted); await pause(200)) {
    if (Date.now() > end) expect(await ledger()).toEqual(wanted)
  }
  await province.stop()
  const state = join(folder, 'edge', 'backfill', 'lis')
  const there = ['--state', state, '--recount', '--data-dir', join(folder, 'province'), '--json']
  const status = await hutong('backfill', 'status', 'lis', ...there)
  expect(JSON.parse(status.out)).toMatchObject({
    balanced: true,
    days: [
      { day: '2023-05-01', state: 'settled', stored: 30 },
      { day: '2023-05-02', state: 'settled', stored: 20 },
    ],
  })
  expect(status.code).toBe(0)
}, 300_000)
