import { setMaxListeners } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRepository } from '../../cli/repository-access.js'
import { readEnvironment } from '../../core/environment.js'
import { pause } from '../../core/pause.js'
import type { Database } from '../../repository/database.js'
import { createDatabase } from '../repository/databases.js'
import { archivedAndSettled, verifyCampaign } from '../simulation/crash-verification.js'
import { badVersionText, Edge, versionText } from './edges/edge.js'
import { Platform } from './edges/platform.js'

// A province on the real stack and twenty hospitals as processes: whatever befalls lines and edges, in the end every
// message that an LIS was told is safe is in the ledger once for each time it was told so.

const { kafkaBrokers, schemaRegistryUrl, databaseUrl, ci } = readEnvironment()
const stack =
  kafkaBrokers === undefined || schemaRegistryUrl === undefined || databaseUrl === undefined
    ? undefined
    : { kafkaBrokers, schemaRegistryUrl, databaseUrl }
if (ci && stack === undefined) throw new Error('CI needs the real stack')

const edgeCount = 20
const messagesEach = 300
const perSecond = 4
const seed = 20_261_122
const hourMs = 3_600_000

describe.skipIf(stack === undefined)('twenty edges', () => {
  const deadline = new AbortController()
  let timer: NodeJS.Timeout
  let folder = ''
  let platform: Platform
  let edges: readonly Edge[]
  let repository: Database

  const edge = (number: number): Edge => edges[number - 101]!

  beforeAll(async () => {
    setMaxListeners(0, deadline.signal)
    timer = setTimeout(() => deadline.abort(), 900_000)
    folder = await mkdtemp(join(tmpdir(), 'hutong-edges-'))
    platform = await Platform.open(folder, stack!)
    edges = await Promise.all(
      Array.from({ length: edgeCount }, (_, index) =>
        Edge.open(
          101 + index,
          folder,
          platform.gatewayPort,
          101 + index === wrongClock ? { clockShiftMs: -3 * hourMs } : {},
        ),
      ),
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

  const revoked = 103
  const wrongClock = 104
  const fullDisk = 105
  const silentLines = [106, 107]
  const brokenLines = [108, 109, 110]

  test('the ledger balances to the message', { timeout: 960_000 }, async () => {
    const by = await platform.signer()
    await Promise.all(edges.map((one) => one.install('1.0.0', by)))
    await Promise.all(edges.map((one) => one.configure(one.number === fullDisk ? { spool: diskIsFull } : {})))
    // A few at a time: each command is a process of its own.
    for (let at = 0; at < edges.length; at += 4) {
      await Promise.all(
        edges.slice(at, at + 4).map(async (one) => one.enrol(await platform.token(one.hospital, one.name))),
      )
    }
    for (const one of edges) one.start()
    const up = await Promise.all(edges.map((one) => one.untilUp(deadline.signal)))
    expect(up).not.toContain(false)

    const sending = Promise.all(edges.map((one) => one.send(messagesEach, perSecond, seed, deadline.signal)))
    await pause(4000, deadline.signal)
    for (const number of silentLines) edge(number).wan.cut('blackhole')
    for (const number of brokenLines) edge(number).wan.cut('drop')
    await platform.command('edge', 'revoke', edge(revoked).hospital, edge(revoked).name, '--reason', '设备失窃')
    await pause(8000, deadline.signal)
    expect(edge(fullDisk).journal.totals()).toMatchObject({ acknowledged: 0 })
    expect(edge(fullDisk).journal.totals().refused).toBeGreaterThan(0)
    await platform.gateway.kill()
    await edge(112).kill()
    await edge(fullDisk).configure()
    await edge(fullDisk).restart()
    await pause(4000, deadline.signal)
    for (const number of [...silentLines, ...brokenLines]) edge(number).wan.restore()

    // Under traffic: every edge that is heard of takes a good version; a bad one goes no further than the canary.
    const good = await platform.publish('1.1.0', versionText)
    const rolled = await platform.rollout(good, `${edge(101).hospital}/front-1`, repository, deadline.signal)
    expect(rolled.rollout.state, JSON.stringify(rolled, undefined, 1)).toBe('done')
    const bad = await platform.publish('1.2.0', badVersionText)
    const halted = await platform.rollout(bad, `${edge(102).hospital}/front-1`, repository, deadline.signal)
    expect(halted.rollout.state).toBe('halted')
    expect(halted.edges.filter(({ outcome }) => outcome !== 'pending')).toEqual([
      expect.objectContaining({ hospital: edge(102).hospital, outcome: 'failed' }),
    ])
    const reports = await platform.reports()
    for (const { hospital, report } of reports) {
      const isAway = hospital === edge(revoked).hospital
      expect(report.version, hospital).toBe(isAway ? '1.0.0' : '1.1.0')
    }
    const ofCanary = reports.find(({ hospital }) => hospital === edge(102).hospital)?.report.outcomes
    expect(ofCanary).toContainEqual(expect.objectContaining({ number: bad, outcome: 'rolled-back' }))
    const skewOf = (number: number): number =>
      reports.find(({ hospital }) => hospital === edge(number).hospital)?.report.clockSkewMs ?? NaN
    expect(Math.abs(skewOf(wrongClock) + 3 * hourMs)).toBeLessThan(60_000)
    expect(Math.abs(skewOf(101))).toBeLessThan(60_000)

    await sending
    for (const one of edges) expect(one.journal.totals().acknowledged, one.feed).toBe(messagesEach)

    // What is left is the revoked edge's: the province holds its messages up to then, its spool the rest.
    const others = edges.filter(({ number }) => number !== revoked)
    await untilSettled(others)
    const { acknowledgements } = edge(revoked).journal.totals()
    const before = await settledOf(edge(revoked).feed)
    expect(before).toBeLessThan(acknowledgements)
    await pause(5000, deadline.signal)
    expect(await settledOf(edge(revoked).feed), 'nothing of a revoked edge arrives').toBe(before)

    await edge(revoked).stop()
    await edge(revoked).enrol(await platform.token(edge(revoked).hospital, edge(revoked).name))
    await edge(revoked).restart()
    await untilSettled(edges)

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
      expect(verified.sent).toBe(edgeCount * messagesEach)
      expect(verified.received).toBeGreaterThanOrEqual(verified.acknowledgements)
    } finally {
      await reference.drop()
    }
  })

  const diskIsFull = { diskReserveMegabytes: 1_000_000_000 }

  const settledOf = async (feed: string): Promise<number> => {
    const [row] = await repository.transaction((tx) =>
      tx.query<{ settled: number }>(
        `SELECT count(*) AS settled FROM (SELECT FROM receipt r JOIN feed f ON f.id = r.feed_id WHERE f.name = $1::text
          GROUP BY epoch, seq HAVING count(*) >= max(event_count)) s`,
        [feed],
      ),
    )
    return row?.settled ?? 0
  }

  /** Everything acknowledged at these edges has its receipts. */
  const untilSettled = async (some: readonly Edge[]): Promise<void> => {
    for (;;) {
      const settled = await Promise.all(some.map(({ feed }) => settledOf(feed)))
      const open = some.filter(({ journal }, index) => settled[index]! < journal.totals().acknowledgements)
      const { archived, settled: all } = await archivedAndSettled(repository)
      if (open.length === 0 && archived === all) return
      if (deadline.signal.aborted) {
        const told = open.map((one) => `${one.feed} of ${one.journal.totals().acknowledgements}\n${one.complaints()}`)
        throw new Error(`not settled: ${settled.join(' ')}\n${told.join('\n')}\n${platform.complaints()}`)
      }
      await pause(1000, deadline.signal)
    }
  }
})
