import { createHash, type KeyObject } from 'node:crypto'
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startGateway, type Gateway } from '../../api/gateway/gateway-server.js'
import { releaseRoute } from '../../api/gateway/releases.js'
import { reportRoute } from '../../api/gateway/reports.js'
import { readCurrent, installationPaths } from '../../cli/installation/installation.js'
import { Supervisor, type SupervisorStep } from '../../cli/supervise/supervisor.js'
import { signRelease, type ReleaseManifest } from '../../core/fleet-release.js'
import { createLogger, Metrics } from '../../core/telemetry.js'
import { folderObjectStore, objectFile } from '../../log/object-store.js'
import { openDatabase, type Database } from '../../repository/database.js'
import { listEdgeReports, type KnownEdge } from '../../repository/edge-reports.js'
import { addRelease } from '../../repository/fleet-releases.js'
import { migrate } from '../../repository/migrate.js'
import { defaultPlan } from '../../services/fleet/plan.js'
import { orderRollout, startRollout } from '../../services/fleet/rollout.js'
import {
  edgeAuthority,
  edgeNames,
  serverNames,
  type CertificateFiles,
  type EdgeAuthority,
} from '../gateway/edge-certificates.js'
import { pack, signer, writeRelease, type Signer } from '../installation/releases.js'

const logger = createLogger({ level: 'silent', role: 'test' })
/** Stands for a version: runs, answers its supervisor, notes each start. */
const good = `
const { appendFileSync } = require('node:fs')
if (process.argv.includes('--check')) process.exit(0)
appendFileSync('starts.txt', __dirname.split(/[\\\\/]/).at(-3) + ' ' + process.argv[3].split(/[\\\\/]/).at(-1) + '\\n')
process.on('message', (word) => {
  if (word === 'hutong-stop') process.disconnect()
  if (word === 'hutong-health') process.send({ kind: 'health', ready: true, notReady: [], spool: null, uplinkAccepted: true,
    feeds: [{ name: 'lis', listening: true, lastAcceptedAt: null }] })
})
process.on('disconnect', () => process.exit(0))
`
const crashing = "if (!process.argv.includes('--check')) process.exit(7)"

let authority: EdgeAuthority
let server: CertificateFiles
let certificate: CertificateFiles
let database: Database
let gateway: Gateway
let releases: string
let by: Signer
let folder: string
const running = new Set<{ stop(): Promise<void> }>()

beforeAll(async () => {
  authority = edgeAuthority('Test province')
  server = authority.issue(serverNames)
  certificate = authority.issue(edgeNames('H001'))
  database = await openDatabase()
  await migrate(database)
  releases = await mkdtemp(join(tmpdir(), 'hutong-releases-'))
  const now = (): number => Date.now()
  const metrics = new Metrics()
  const common = { db: database, environment: 'test' }
  gateway = await startGateway({
    ...{
      host: '127.0.0.1',
      port: 0,
      ...server,
      clientCaFile: authority.caFile,
      requestTimeoutMs: 30_000,
      metrics,
      logger,
    },
    routes: [
      reportRoute({ ...common, requestTimeoutMs: 30_000, reportEverySeconds: 1, metrics, now }),
      releaseRoute({ ...common, dir: releases }),
    ],
  })
})
afterAll(async () => {
  await gateway.close()
  await database.close()
  authority.close()
  await rm(releases, { recursive: true, force: true })
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hutong-installation-'))
  by = signer()
  const paths = installationPaths(folder)
  await writeRelease(paths.version('1.0.0'), '1.0.0', { by, text: good })
  await writeFile(paths.current, JSON.stringify({ version: '1.0.0', previous: null }))
  await writeFile(join(folder, 'release.pub.pem'), pem(by.publicKey))
  await writeFile(paths.configuration, configuration())
  await database.transaction((tx) =>
    tx.script('TRUNCATE rollout_event, rollout_edge, rollout, fleet_release, edge_report'),
  )
})
afterEach(async () => {
  for (const one of running) await one.stop()
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
})

const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString()

const configuration = (more = '', port = gateway.port): string =>
  [
    'environment: test',
    `dataDir: ${JSON.stringify(join(folder, 'data'))}`,
    `uplink: ${JSON.stringify({ url: `https://localhost:${port}`, caFile: authority.caFile, ...certificate })}`,
    `fleet: ${JSON.stringify({ probationSeconds: 1, releaseKeyFiles: [join(folder, 'release.pub.pem')] })}`,
    'feeds:',
    '  - { name: lis, hospital: H001, connector: hl7v2-mllp, port: 2575 }',
    more,
  ].join('\n')

class Cut extends Error {}

/** A supervisor that ends like a process that is killed when it comes to `cutAt`. */
async function supervise(cutAt?: SupervisorStep): Promise<{ stop(): Promise<void>; readonly ended: Promise<unknown> }> {
  const aborter = new AbortController()
  const supervisor = await Supervisor.open({
    ...{ folder, logger, configFile: installationPaths(folder).configuration, supervisorVersion: '1.0.0' },
    ...{ variables: {}, now: () => Date.now(), tickMs: 50, stopTimeoutMs: 5000 },
    step: (step) => {
      if (step === cutAt) throw new Cut(step)
    },
  })
  const ended = supervisor.run(aborter.signal).catch((error: unknown) => error)
  const one = {
    ended,
    async stop() {
      running.delete(one)
      aborter.abort()
      await ended
    },
  }
  running.add(one)
  return one
}

async function publish(
  kind: ReleaseManifest['kind'],
  content: Buffer,
  more: Partial<ReleaseManifest> = {},
  key = by,
): Promise<ReleaseManifest> {
  await folderObjectStore(releases).put(content)
  const sha256 = createHash('sha256').update(content).digest('hex')
  const fixed = {
    format: 1,
    kind,
    sha256,
    bytes: content.length,
    version: '1.1.0',
    environment: 'test',
    edge: null,
  } as const
  return addRelease(
    database,
    (number) => {
      const manifest = { ...fixed, hospital: 'H001', number, ...more }
      return { manifest, signed: signRelease(manifest, key.privateKey) }
    },
    { by: 'tester', now: Date.now() },
  )
}

async function packageOf(text: string, version = '1.1.0', key = by): Promise<Buffer> {
  const from = await mkdtemp(join(tmpdir(), 'hutong-package-'))
  try {
    await writeRelease(join(from, 'hutong', 'versions', version), version, { by: key, text })
    await pack(from, join(from, 'package.tar.gz'))
    return await readFile(join(from, 'package.tar.gz'))
  } finally {
    await rm(from, { recursive: true, force: true })
  }
}

async function known(when: (edge: KnownEdge) => boolean): Promise<KnownEdge> {
  const end = Date.now() + 60_000
  for (;;) {
    const [edge] = await listEdgeReports(database)
    if (edge !== undefined && when(edge)) return edge
    if (Date.now() > end) throw new Error(`not seen; last: ${JSON.stringify(edge)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const give = (release: number): ReturnType<typeof startRollout> =>
  startRollout(database, { release, plan: defaultPlan, canaries: [], by: 'tester', now: Date.now() })

const outcome = (edge: KnownEdge, number: number): string | undefined => {
  const found = edge.report.outcomes.find((one) => one.number === number)
  return found && `${found.outcome} ${found.code ?? ''}`.trim()
}

/** Under load the trial may be over before it has crashed often enough to be called that. */
const isRolledBack = (edge: KnownEdge, number: number): boolean =>
  ['rolled-back crash-loop', 'rolled-back not-ready'].includes(outcome(edge, number) ?? '')

test('a package is tried, kept, and left again when the province takes it back', { timeout: 120_000 }, async () => {
  await supervise()
  const first = await known(({ report }) => report.ready && report.clockSkewMs !== null)
  expect(first).toMatchObject({ hospital: 'H001', edge: 'front-1', report: { version: '1.0.0', packageNumber: null } })
  expect(first.report.certificateUntil).toBeGreaterThan(Date.now())
  const { number } = await publish('package', await packageOf(good))
  const { id } = await give(number)
  const kept = await known(({ report }) => report.packageNumber === number && report.trial === null)
  expect(outcome(kept, number)).toBe('switched')
  expect(await readCurrent(folder)).toEqual({ version: '1.1.0', previous: '1.0.0' })
  await orderRollout(database, id, 'abort', { by: 'tester', now: Date.now() })
  const back = await known((edge) => outcome(edge, number) === 'rolled-back ordered')
  expect(back.report).toMatchObject({ version: '1.0.0', packageNumber: null })
  expect((await readCurrent(folder)).version).toBe('1.0.0')
})

test('a package that crashes is rolled back; current.json never names it', { timeout: 120_000 }, async () => {
  await supervise()
  await known(({ report }) => report.ready)
  const { number } = await publish('package', await packageOf(crashing))
  await give(number)
  const edge = await known((one) => isRolledBack(one, number) && one.report.ready)
  expect(edge.report.version).toBe('1.0.0')
  expect(await readCurrent(folder)).toEqual({ version: '1.0.0', previous: null })
})

test(
  'what is tampered with, signed by a stranger, or for another hospital is refused',
  { timeout: 120_000 },
  async () => {
    await supervise()
    await known(({ report }) => report.ready)
    const stranger = signer()
    const foreign = await publish('package', await packageOf(good, '1.1.0', stranger), {}, stranger)
    await give(foreign.number)
    await known((edge) => outcome(edge, foreign.number) === 'refused signature-refused')
    // Signed outside, but not the release within.
    const inner = await publish('package', await packageOf(good, '1.2.0', stranger), { version: '1.2.0' })
    await give(inner.number)
    await known((edge) => outcome(edge, inner.number) === 'refused package-refused')
    const touched = await publish('package', await packageOf(good, '1.3.0'), { version: '1.3.0' })
    const file = objectFile(releases, touched.sha256)
    const bytes = await readFile(file)
    bytes[100]! ^= 1
    await writeFile(file, bytes)
    await give(touched.number)
    await known((edge) => outcome(edge, touched.number) === 'refused bytes-differ')
    expect(await readdir(installationPaths(folder).versions)).toEqual(['1.0.0'])
  },
)

test(
  'a configuration is checked, tried and kept; one that loses the gateway is left',
  { timeout: 120_000 },
  async () => {
    await supervise()
    await known(({ report }) => report.ready)
    const broken = await publish('configuration', Buffer.from(configuration('logLevel: loud')))
    await give(broken.number)
    await known((edge) => outcome(edge, broken.number) === 'refused configuration-invalid')
    const quiet = await publish('configuration', Buffer.from(configuration('logLevel: warn')))
    await give(quiet.number)
    const kept = await known(({ report }) => report.configurationNumber === quiet.number && report.trial === null)
    expect(kept.report.configuration).toBe(quiet.sha256)
    const lost = await publish('configuration', Buffer.from(configuration('', 1)))
    await give(lost.number)
    const back = await known((edge) => outcome(edge, lost.number) === 'rolled-back uplink-refused')
    expect(back.report.configuration).toBe(quiet.sha256)
  },
)

const steps: SupervisorStep[] = [
  'prepared',
  'trial-written',
  'trial-stopped',
  'trial-started',
  'keeping-written',
  'switched',
  'settled',
]
test.each(steps)(
  'cut off at %s, the next start runs, and ends with the new version',
  { timeout: 120_000 },
  async (step) => {
    const cut = await supervise(step)
    await known(({ report }) => report.ready)
    const { number } = await publish('package', await packageOf(good))
    await give(number)
    expect(await cut.ended).toBeInstanceOf(Cut)
    running.delete(cut as never)
    await appendFile(join(folder, 'starts.txt'), 'cut\n')
    // Whatever the launcher starts now is a whole version.
    const { version } = await readCurrent(folder)
    expect(await readdir(installationPaths(folder).version(version))).toContain('RELEASE.json')
    await supervise()
    const edge = await known(({ report }) => report.packageNumber === number && report.trial === null && report.ready)
    expect(edge.report.version).toBe('1.1.0')
    expect(await readCurrent(folder)).toEqual({ version: '1.1.0', previous: '1.0.0' })
  },
)

test('cut off when a roll back is written, the version before runs', { timeout: 120_000 }, async () => {
  const cut = await supervise('rolled-back')
  await known(({ report }) => report.ready)
  const { number } = await publish('package', await packageOf(crashing))
  await give(number)
  expect(await cut.ended).toBeInstanceOf(Cut)
  await supervise()
  const edge = await known((one) => isRolledBack(one, number) && one.report.ready)
  expect(edge.report.version).toBe('1.0.0')
})
