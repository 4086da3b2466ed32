import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readState, fleetPaths } from '../../cli/supervise/state.js'
import { openRepository } from '../../cli/repository-access.js'
import { readCurrent } from '../../cli/installation/installation.js'
import { readEnvironment } from '../../core/environment.js'
import { pause } from '../../core/pause.js'
import type { Database } from '../../repository/database.js'
import { createDatabase } from '../repository/databases.js'
import { archivedAndSettled, verifyCampaign } from '../simulation/crash-verification.js'
import { badVersionText, Edge, versionText } from './edges/edge.js'
import { Platform } from './edges/platform.js'

// Three hospitals are upgraded while their laboratories send, and supervisor, program and gateway die by SIGKILL at every
// step of it. A service manager starts the supervisor again, nobody else helps: each edge ends on the right version, and
// every message that an LIS was told is safe is in the ledger once for each time it was told so.

const { kafkaBrokers, schemaRegistryUrl, databaseUrl, ci } = readEnvironment()
const stack =
  kafkaBrokers === undefined || schemaRegistryUrl === undefined || databaseUrl === undefined
    ? undefined
    : { kafkaBrokers, schemaRegistryUrl, databaseUrl }
if (ci && stack === undefined) throw new Error('CI needs the real stack')

/** Writes of each edge's supervisor that it does not outlive. At most two within a trial: the fourth start ends it. */
const killedAt: readonly (readonly string[])[] = [
  [
    ...['before unpacked 1.1.0', 'after trial 1.1.0', 'before keeping 1.1.0', 'after current 1.1.0'],
    ...['before returning 1.3.0', 'after returning 1.3.0', 'before returned 1.3.0'],
  ],
  [
    ...['after unpacked 1.1.0', 'before trial 1.1.0', 'after keeping 1.1.0', 'before kept 1.1.0'],
    ...['after trial 1.2.0', 'before rolled-back 1.2.0', 'after rolled-back 1.2.0'],
  ],
  ['before current 1.1.0', 'after kept 1.1.0'],
]
const messagesEach = 500
const perSecond = 5
const seed = 20_261_123
/** So that a download takes some seconds at the pace below. */
const ballast = (): string => `\n// ${randomBytes(600_000).toString('base64')}`
const bytesPerSecond = 250_000

describe.skipIf(stack === undefined || process.platform !== 'linux')('upgrades under kills', () => {
  const deadline = new AbortController()
  let timer: NodeJS.Timeout
  let folder = ''
  let platform: Platform
  let edges: readonly Edge[]
  let repository: Database

  beforeAll(async () => {
    setMaxListeners(0, deadline.signal)
    timer = setTimeout(() => deadline.abort(), 900_000)
    folder = await mkdtemp(join(tmpdir(), 'hutong-upgrade-'))
    platform = await Platform.open(folder, stack!)
    edges = await Promise.all(
      killedAt.map((places, index) => Edge.open(101 + index, folder, platform.gatewayPort, { killedAt: places })),
    )
    await platform.start(
      edges.map(({ feedConfig }) => feedConfig),
      {},
      deadline.signal,
    )
    repository = await openRepository(platform.configuration!)
  })

  afterAll(async () => {
    clearTimeout(timer)
    deadline.abort()
    await Promise.all((edges ?? []).map((one) => one.end()))
    await repository?.close()
    await platform?.end()
    await rm(folder, { recursive: true, force: true })
  })

  test('nothing acknowledged is lost, and every edge ends on the right version', { timeout: 960_000 }, async () => {
    const by = await platform.signer()
    for (const one of edges) {
      await one.install('1.0.0', by)
      await one.configure({ fleet: { probationSeconds: 6, bytesPerSecond } })
      await one.enrol(await platform.token(one.hospital, one.name))
      one.start()
    }
    expect(await Promise.all(edges.map((one) => one.untilUp(deadline.signal)))).not.toContain(false)
    const sending = Promise.all(edges.map((one) => one.send(messagesEach, perSecond, seed, deadline.signal)))

    const [first, second, third] = edges as readonly [Edge, Edge, Edge]
    const good = await platform.publish('1.1.0', versionText + ballast())
    const deaths = Promise.all([
      until(() => isDownloading(first)).then(() => first.kill()),
      until(() => isDownloading(second)).then(() => platform.gateway.kill()),
      untilOnTrial(second, '1.1.0').then(async () => {
        expect(await second.killProgram()).toBe(true)
        await second.kill()
      }),
      untilOnTrial(third, '1.1.0').then(async () => {
        expect(await third.killProgram()).toBe(true)
        await pause(3000, deadline.signal)
        await third.kill()
      }),
    ])
    deaths.catch(() => undefined) // awaited below
    const rolled = await platform.rollout(good, nameOf(first), repository, deadline.signal, 2)
    expect(rolled.rollout.state, `${JSON.stringify(rolled, undefined, 1)}\n${await told()}`).toBe('done')
    await deaths

    const bad = await platform.publish('1.2.0', badVersionText)
    const halted = await platform.rollout(bad, nameOf(second), repository, deadline.signal, 2)
    expect(halted.rollout.state, JSON.stringify(halted, undefined, 1)).toBe('halted')

    const calledOff = await platform.publish('1.3.0', versionText)
    const id = await platform.startRollout(calledOff, nameOf(first), 2)
    await until(async () => (await readCurrent(first.folder)).version === '1.3.0')
    await platform.command('fleet', 'rollout', 'abort', String(id), '--by', 'platform')
    for (const one of edges) {
      await until(async () => {
        const { change } = await stateOf(one)
        return change === null && (await readCurrent(one.folder)).version === '1.1.0' && !(await one.killsLeft())
      })
    }

    await sending
    for (const one of edges) expect(one.journal.totals().acknowledged, one.feed).toBe(messagesEach)
    await untilSettled()
    const reports = new Map((await platform.reports()).map(({ hospital, report }) => [hospital, report]))
    for (const { hospital } of edges) expect(reports.get(hospital)?.version, hospital).toBe('1.1.0')
    const outcome = (number: number): object => expect.objectContaining({ number, outcome: 'rolled-back' }) as object
    expect(reports.get(second.hospital)?.outcomes).toContainEqual(outcome(bad))
    expect(reports.get(first.hospital)?.outcomes).toContainEqual(outcome(calledOff))

    await Promise.all(edges.map((one) => one.stop()))
    await platform.stop()
    const reference = await createDatabase(stack!.databaseUrl)
    try {
      const verified = await verifyCampaign({
        configuration: platform.configuration!,
        feeds: edges.map(({ feed, hospital, journal }) => ({ feed, hospital, journal, transport: 'mllp' as const })),
        receiverStarts: 1,
        referenceUrl: reference.url,
        progress: () => undefined,
      })
      expect(verified.sent).toBe(edges.length * messagesEach)
    } finally {
      await reference.drop()
    }
  })

  const nameOf = ({ hospital, name }: Edge): string => `${hospital}/${name}`
  const dataDirOf = (one: Edge): string => join(one.folder, 'data')
  const stateOf = (one: Edge) => readState(fleetPaths(dataDirOf(one)).state)

  /** What is known of everybody, for a failure's message. */
  const told = async (): Promise<string> => {
    const each = edges.map(
      async (one) =>
        `--- ${one.feed} ${JSON.stringify(await stateOf(one))}\n${(await one.kills()).join(', ')}\n${one.complaints()}`,
    )
    return [platform.complaints(), ...(await Promise.all(each))].join('\n')
  }

  /** @throws Error where time is up */
  const until = async (condition: () => Promise<boolean>): Promise<void> => {
    while (!(await condition())) {
      if (deadline.signal.aborted) {
        throw new Error(await told())
      }
      await pause(20, deadline.signal)
    }
  }

  /** Some of a release is there, and not all of it. */
  const isDownloading = async (one: Edge): Promise<boolean> => {
    const { downloads } = fleetPaths(dataDirOf(one))
    const [name] = await readdir(downloads).catch(() => [])
    if (name === undefined) return false
    const size = (await stat(join(downloads, name)).catch(() => undefined))?.size ?? 0
    return size > 0 && size < 400_000
  }

  /** The program of the trial runs, for a second or so. */
  const untilOnTrial = async (one: Edge, version: string): Promise<void> => {
    await until(async () => {
      const { change } = await stateOf(one)
      const release = change?.phase === 'trial' ? change.release : undefined
      return release?.kind === 'package' && release.version === version && change!.starts > 0
    })
    await pause(1500, deadline.signal)
  }

  /** Everything acknowledged has its receipts. */
  const untilSettled = (): Promise<void> => {
    const acknowledged = edges.reduce((sum, { journal }) => sum + journal.totals().acknowledgements, 0)
    return until(async () => {
      await pause(1000, deadline.signal)
      const { archived, watermarks, settled } = await archivedAndSettled(repository)
      return archived >= acknowledged && archived === watermarks && settled === archived
    })
  }
})
