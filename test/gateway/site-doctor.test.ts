import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { doctorCommand } from '../../cli/doctor.js'
import { bytesPerDay, outageDays } from '../../cli/doctor/outage-room.js'
import { onPipeline } from '../../cli/replay.js'
import type { Configuration } from '../../cli/config.js'
import { freePort } from '../../cli/demo/setting.js'
import { readEnvironment } from '../../core/environment.js'
import { helloOfGateway } from '../../log/uplink-hello.js'
import { edgeAuthority, edgeNames, serverNames, type EdgeAuthority } from './edge-certificates.js'
import { RunningPlaces } from './running.js'

let authority: EdgeAuthority
let places: RunningPlaces
let gatewayPort: number

const feed = (name: string, hospital: string): object => ({
  ...{ name, hospital, connector: 'hl7v2-mllp', settings: { port: 1 } },
})

beforeEach(async () => {
  authority = edgeAuthority('Test province')
  places = await RunningPlaces.open()
  gatewayPort = await freePort()
  const gateway = {
    host: '127.0.0.1',
    port: gatewayPort,
    ...authority.issue(serverNames),
    clientCaFile: authority.caFile,
  }
  await places.run('province', ['gateway'], { gateway, feeds: [feed('lis', 'H001'), feed('ris', 'H002')] })
})
afterEach(async () => {
  process.exitCode = 0
  await places.end()
  authority.close()
})

const uplinkAs = (
  certificate = authority.issue(edgeNames('H001')),
): Record<'url' | 'caFile' | 'certFile' | 'keyFile', string> => ({
  url: `https://localhost:${gatewayPort}`,
  caFile: authority.caFile,
  ...certificate,
})

interface Finding {
  readonly part: string
  readonly state: string
  readonly detail: string
}

async function doctor(more: object, language = 'en'): Promise<{ findings: readonly Finding[]; exitCode: unknown }> {
  const file = join(places.folder, 'edge.yaml')
  const dataDir = join(places.folder, 'edge')
  await writeFile(file, stringify({ environment: 'test', dataDir, ...more }))
  let text = ''
  const program = new Command()
  doctorCommand(program, {
    out: (part) => void (text += part),
    err: () => undefined,
    interactive: false,
    environment: readEnvironment({ HUTONG_LANG: language }),
  })
  await program.parseAsync(['node', 'hutong', 'doctor', '--config', file, '--json'])
  return { findings: (JSON.parse(text) as { findings: Finding[] }).findings, exitCode: process.exitCode }
}

const of = (findings: readonly Finding[], part: string): readonly Finding[] =>
  findings.filter((one) => one.part === part)
const mllp = async (name: string, hospital: string): Promise<object> => ({
  ...{ name, hospital, connector: 'hl7v2-mllp', port: await freePort() },
})

test(
  'a site that is set up rightly: gateway, feed, clock and certificate are in order',
  { timeout: 60_000 },
  async () => {
    const { findings, exitCode } = await doctor({ uplink: uplinkAs(), feeds: [await mllp('lis', 'H001')] })
    expect(findings.filter(({ state }) => state === 'failure')).toEqual([])
    expect(exitCode).toBe(0)
    expect(of(findings, 'gateway')).toMatchObject([
      { state: 'ok', detail: 'the gateway knows this edge as front-1 of H001' },
    ])
    expect(of(findings, 'feed lis')).toMatchObject([{ state: 'ok' }])
    expect(of(findings, 'clock')).toMatchObject([{ state: 'ok' }])
    expect(of(findings, 'certificate')).toMatchObject([{ state: 'warning' }]) // of two days
    expect(
      findings.some(({ part }) => ['kafka', 'registry', 'repository'].includes(part)),
      "the province's",
    ).toBe(false)
  },
)

test('what is set up wrongly is named with what to do, in Chinese too', { timeout: 60_000 }, async () => {
  const folder = join(places.folder, 'nobody')
  const files = { name: 'files', hospital: 'H001', connector: 'hl7v2-files', folder }
  const open = { ...(await mllp('ris', 'H002')), host: '0.0.0.0' }
  const guarded = { ...(await mllp('lis', 'H001')), host: '0.0.0.0', allow: ['192.0.2.0/24'] }
  const feeds = [await mllp('his', 'H001'), open, files, guarded]
  const { findings, exitCode } = await doctor({ uplink: uplinkAs(), feeds }, 'zh')
  expect(exitCode).toBe(1)
  expect(of(findings, 'feed his')[0]).toMatchObject({
    state: 'failure',
    detail: expect.stringMatching(/feed-unknown.*处理办法/) as string,
  })
  expect(of(findings, 'feed ris')[0]).toMatchObject({
    state: 'failure',
    detail: expect.stringMatching(/hospital-forged/) as string,
  })
  const ports = of(findings, 'ports').filter(({ state }) => state === 'warning')
  expect(ports.map(({ detail }) => detail)).toEqual([expect.stringContaining('ris 接受任何能连到本机的机器')])
  const folders = of(findings, 'feed files').filter(({ state }) => state === 'failure')
  expect(folders[0]?.detail).toContain('ENOENT')
})

test('a refused certificate and a gateway that is away are told apart', { timeout: 60_000 }, async () => {
  const expired = uplinkAs(authority.issue(edgeNames('H001'), { expired: true }))
  await expect(helloOfGateway(expired)).rejects.toThrow(/^certificate-expired: .*what to do/)
  const away = { ...uplinkAs(), url: `https://localhost:${await freePort()}` }
  await expect(helloOfGateway(away)).rejects.toThrow('ECONNREFUSED')
})

test('days of outage: what the spool writes in a day against the free disk and its own limit', () => {
  const gib = 1024 ** 3
  const room = { freeBytes: 11 * gib, reserveBytes: gib, retentionBytes: 20 * gib, bytesPerDay: gib / 2 }
  expect(outageDays(room)).toBe(20)
  expect(outageDays({ ...room, retentionBytes: 4 * gib })).toBe(8)
  expect(outageDays({ ...room, freeBytes: gib / 2 })).toBe(0)
  const day = 86_400_000
  const file = (bytes: number, from: number, to: number): { bytes: number; createdAt: number; changedAt: number } => ({
    ...{ bytes, createdAt: from * day, changedAt: to * day },
  })
  expect(bytesPerDay([file(300, 0, 2), file(100, 2, 4)])).toEqual({ bytes: 100, spanDays: 4 })
  expect(bytesPerDay([file(300, 0, 0.5)])).toEqual({ bytes: 600, spanDays: 0.5 })
  expect(bytesPerDay([file(300, 0, 0.04)]), 'too short to tell').toBeUndefined()
  expect(bytesPerDay([])).toBeUndefined()
})

test('replay says that it is of the province', async () => {
  const configuration = { environment: 'test', feeds: [], uplink: uplinkAs() } as unknown as Configuration
  await expect(onPipeline(configuration, {}, () => Promise.resolve())).rejects.toThrow(/replay runs in the province/)
})
