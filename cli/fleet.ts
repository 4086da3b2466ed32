import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import type { Command } from 'commander'
import { Value } from '@sinclair/typebox/value'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { signRelease, type ReleaseManifest } from '../core/fleet-release.js'
import { createSigningKeys, readSigningKey } from '../core/signing.js'
import { folderObjectStore } from '../log/object-store.js'
import { listEdgeReports } from '../repository/edge-reports.js'
import { addRelease, listReleases } from '../repository/fleet-releases.js'
import { listRollouts, lockRollout, rolloutEdges, rolloutEvents } from '../repository/rollouts.js'
import { defaultPlan, rolloutPlan, type EdgeName, type RolloutPlan } from '../services/fleet/plan.js'
import { orderRollout, startRollout, type RolloutOrder } from '../services/fleet/rollout.js'
import { edgeRows, edgeSheet, fleetTexts, localTime } from './fleet/show.js'
import { releasesDirOf } from './fleet-role.js'
import { checkConfiguration, formatProblem } from './config.js'
import { connectors } from './connectors.js'
import { configurationOf, onRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { table, type Terminal } from './terminal.js'

interface FleetFlags extends PlaceFlags {
  readonly json?: boolean
  readonly by?: string
}

const byOf = ({ by }: FleetFlags): string => by ?? userInfo().username
const withJson = (command: Command): Command => withPlace(command).option('--json', 'JSON instead of a table')
const withBy = (command: Command): Command =>
  withJson(command).option('--by <name>', 'who (default: the user of this session)')

export function fleetCommand(program: Command, terminal: Terminal): void {
  const fleet = program.command('fleet').description('edges: what they report, and what they are given to run')
  withJson(fleet.command('list'))
    .description('all edges that have reported, trouble first')
    .action(async (flags: FleetFlags) => {
      const edges = await onRepository(flags, terminal, (db) => listEdgeReports(db))
      const { language } = terminal.environment
      const now = systemClock.now()
      if (flags.json === true) return edges.forEach((edge) => terminal.out(`${JSON.stringify(edge)}\n`))
      if (edges.length === 0) return terminal.out(`${fleetTexts[language].none}\n`)
      terminal.out(table([fleetTexts[language].head, ...edgeRows(edges, now, language)]))
    })
  withJson(fleet.command('show <hospital> <edge>'))
    .description('everything one edge said last')
    .action(async (hospital: string, edge: string, flags: FleetFlags) => {
      const edges = await onRepository(flags, terminal, (db) => listEdgeReports(db))
      const found = edges.filter((one) => one.hospital === hospital && one.edge === edge)
      if (found.length === 0)
        throw new UsageError(`${hospital}/${edge} has not reported; hutong fleet list shows who has`)
      for (const one of found) {
        terminal.out(flags.json === true ? `${JSON.stringify(one)}\n` : edgeSheet(one, terminal.environment.language))
      }
    })
  releaseCommands(fleet, terminal)
  rolloutCommands(fleet, terminal)
}

interface PublishFlags extends FleetFlags {
  readonly key: string
  readonly releaseVersion: string
  readonly environment: string
  readonly hospital?: string
  readonly edge?: string
}

function releaseCommands(fleet: Command, terminal: Terminal): void {
  fleet
    .command('keygen <name>')
    .description('make the Ed25519 pair that releases are signed with: <name>.pem (keep it offline) and <name>.pub.pem')
    .action(async (name: string) => {
      const { privateKey, publicKey } = createSigningKeys()
      // wx: a key is never written over.
      await writeFile(`${name}.pem`, privateKey, { mode: 0o600, flag: 'wx' }).catch((cause: unknown) => {
        throw new UsageError(`cannot write ${name}.pem: ${(cause as NodeJS.ErrnoException).code}`, { cause })
      })
      await writeFile(`${name}.pub.pem`, publicKey, { flag: 'wx' }).catch((cause: unknown) => {
        throw new UsageError(`cannot write ${name}.pub.pem: ${(cause as NodeJS.ErrnoException).code}`, { cause })
      })
      terminal.out(`${name}.pem ${name}.pub.pem\n`)
    })
  const publish = fleet
    .command('publish')
    .description('sign a package or configuration and put it where gateways find it')
  const signed = (command: Command): Command =>
    withBy(command)
      .requiredOption('--key <file>', 'private key, PEM')
      .requiredOption('--environment <name>', 'production or test: edges of the other do not take it')
  signed(publish.command('package <file>'))
    .requiredOption('--release-version <version>', 'of the package: what is unpacked must say the same')
    .option('--hospital <code>', 'for this hospital only')
    .action((file: string, flags: PublishFlags) => publishRelease('package', file, flags, terminal))
  signed(publish.command('configuration <file>'))
    .requiredOption('--hospital <code>', 'whose configuration it is: others do not take it')
    .option('--edge <name>', 'for this edge of the hospital only')
    .option('--release-version <text>', 'a name for people (default: the first digits of its hash)', '')
    .action((file: string, flags: PublishFlags) => publishRelease('configuration', file, flags, terminal))
  withJson(fleet.command('releases'))
    .description('what was published, the newest first')
    .action(async (flags: FleetFlags) => {
      const releases = await onRepository(flags, terminal, (db) => listReleases(db))
      if (flags.json === true) return releases.forEach((one) => terminal.out(`${JSON.stringify(one)}\n`))
      const head = ['number', 'kind', 'version', 'environment', 'hospital', 'edge', 'sha256', 'published', 'by']
      const rows = releases.map((one) => [
        ...[String(one.number), one.kind, one.version, one.environment, one.hospital ?? '*', one.edge ?? '*'],
        ...[one.sha256.slice(0, 12), localTime(one.publishedAt), one.publishedBy],
      ])
      terminal.out(table([head, ...rows]))
    })
}

async function publishRelease(
  kind: 'package' | 'configuration',
  file: string,
  flags: PublishFlags,
  terminal: Terminal,
): Promise<void> {
  const { environment, hospital = null, edge = null } = flags
  if (environment !== 'production' && environment !== 'test') {
    throw new UsageError(`--environment is production or test, not ${environment}`)
  }
  const key = readSigningKey('--key', flags.key)
  const content = await readFile(file).catch((cause: unknown) => {
    throw new UsageError(`cannot read ${file}: ${(cause as Error).message}`, { cause })
  })
  if (kind === 'configuration') refuseUnfit(file, content.toString('utf8'), environment, hospital)
  const sha256 = createHash('sha256').update(content).digest('hex')
  const version = flags.releaseVersion === '' ? sha256.slice(0, 12) : flags.releaseVersion
  const place = await configurationOf(flags, terminal)
  await folderObjectStore(releasesDirOf(place)).put(content)
  const published = await onRepository(flags, terminal, (db) =>
    addRelease(
      db,
      (number) => {
        const bytes = content.length
        const manifest: ReleaseManifest = {
          format: 1,
          kind,
          sha256,
          bytes,
          number,
          version,
          environment,
          hospital,
          edge,
        }
        return { manifest, signed: signRelease(manifest, key) }
      },
      { by: byOf(flags), now: systemClock.now() },
    ),
  )
  terminal.out(
    flags.json === true
      ? `${JSON.stringify(published)}\n`
      : `release ${published.number}: ${kind} ${version}; hutong fleet rollout start ${published.number} gives it to edges\n`,
  )
}

/** Checked as the edge will, but for ${NAME}: the secrets are at the site. @throws UsageError */
function refuseUnfit(file: string, text: string, environment: string, hospital: string | null): void {
  const names = [...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g)].map(([, name]) => [name, 'x'] as const)
  const { configuration, problems } = checkConfiguration(text, connectors, Object.fromEntries(names))
  if (configuration === undefined) {
    throw new UsageError(problems.map((problem) => formatProblem(file, problem)).join('\n'))
  }
  if (configuration.environment !== environment) throw new UsageError(`${file} is for ${configuration.environment}`)
  const other = configuration.feeds.find((feed) => feed.hospital !== hospital)
  if (other !== undefined) throw new UsageError(`feed ${other.name} is of ${other.hospital}, not of ${hospital}`)
  if (configuration.uplink === undefined) throw new UsageError(`${file} has no uplink: an edge could not report`)
}

interface StartFlags extends FleetFlags {
  readonly canary?: readonly string[]
  readonly canaries: string
  readonly shares: string
  readonly soakMinutes: string
  readonly maxFailures: string
  readonly awayMinutes: string
}

function rolloutCommands(fleet: Command, terminal: Terminal): void {
  const rollout = fleet
    .command('rollout')
    .description('give a release to edges in stages; it halts by itself on failures')
  withBy(rollout.command('start <release>'))
    .description('canaries first, then shares of all edges that it is for')
    .option('--canary <hospital/edge...>', 'these edges are the canaries')
    .option('--canaries <n>', 'so many are chosen where none are named', String(defaultPlan.canaries))
    .option('--shares <list>', 'of all edges, rising to 1', defaultPlan.shares.join(','))
    .option('--soak-minutes <n>', 'a stage lasts at least so long', String(defaultPlan.soakSeconds / 60))
    .option('--max-failures <n>', 'one more, and it halts and those switched go back', String(defaultPlan.failuresMax))
    .option(
      '--away-minutes <n>',
      'an edge not heard of for so long is not waited for',
      String(defaultPlan.awaySeconds / 60),
    )
    .action(async (release: string, flags: StartFlags) => {
      const canaries = (flags.canary ?? []).map(edgeName)
      const started = await onRepository(flags, terminal, (db) =>
        startRollout(db, {
          ...{ release: positive('release', release), plan: planOf(flags), canaries, by: byOf(flags) },
          now: systemClock.now(),
        }),
      )
      terminal.out(
        flags.json === true
          ? `${JSON.stringify(started)}\n`
          : `rollout ${started.id} to ${started.edges} edges; hutong fleet rollout show ${started.id}\n`,
      )
    })
  for (const [order, text] of [
    ['pause', 'offer it to no further edge'],
    ['resume', 'go on with the stage, which soaks again'],
    ['abort', 'end it: edges that have it go back to what they ran before'],
  ] as const satisfies readonly (readonly [RolloutOrder, string])[]) {
    withBy(rollout.command(`${order} <id>`))
      .description(text)
      .action(async (id: string, flags: FleetFlags) => {
        const number = positive('id', id)
        const now = systemClock.now()
        await onRepository(flags, terminal, (db) => orderRollout(db, number, order, { by: byOf(flags), now }))
        terminal.out(flags.json === true ? `${JSON.stringify({ id: number, order })}\n` : `rollout ${id}: ${order}\n`)
      })
  }
  withJson(rollout.command('list'))
    .description('the newest first')
    .action(async (flags: FleetFlags) => {
      const all = await onRepository(flags, terminal, (db) => listRollouts<RolloutPlan>(db))
      if (flags.json === true) return all.forEach((one) => terminal.out(`${JSON.stringify(one)}\n`))
      const head = ['id', 'release', 'kind', 'version', 'environment', 'state', 'stage', 'started']
      const rows = all.map((one) => [
        ...[String(one.id), String(one.releaseNumber), one.kind, one.version, one.environment, one.state],
        ...[`${one.stage}/${one.plan.shares.length}`, localTime(one.startedAt)],
      ])
      terminal.out(table([head, ...rows]))
    })
  withJson(rollout.command('show <id>'))
    .description('its edges, and who did what')
    .action(async (id: string, flags: FleetFlags) => {
      const number = positive('id', id)
      const found = await onRepository(flags, terminal, (db) =>
        db.transaction(async (tx) => {
          const one = await lockRollout<RolloutPlan>(tx, number)
          return { rollout: one, edges: await rolloutEdges(tx, number), events: await rolloutEvents(tx, number) }
        }),
      )
      const { rollout: one } = found
      if (one === undefined) throw new UsageError(`there is no rollout ${id}`)
      if (flags.json === true) return terminal.out(`${JSON.stringify(found)}\n`)
      terminal.out(`${one.kind} ${one.version} (release ${one.releaseNumber}): ${one.state}, `)
      terminal.out(`stage ${one.stage} of ${one.plan.shares.length} since ${localTime(one.stageSince)}\n\n`)
      const rows = found.edges.map((edge) => [
        ...[edge.hospital, edge.edge, String(edge.stage), edge.outcome, edge.reason ?? ''],
        edge.offeredAt === null ? '' : localTime(edge.offeredAt),
      ])
      terminal.out(table([['hospital', 'edge', 'stage', 'outcome', 'reason', 'offered'], ...rows]))
      const events = found.events.map(({ at, by, event, detail }) => [localTime(at), by, event, detail ?? ''])
      terminal.out(`\n${table([['at', 'by', 'event', 'detail'], ...events])}`)
    })
}

function planOf(flags: StartFlags): RolloutPlan {
  const plan = {
    canaries: Number(flags.canaries),
    shares: flags.shares.split(',').map(Number),
    soakSeconds: Math.round(Number(flags.soakMinutes) * 60),
    failuresMax: Number(flags.maxFailures),
    awaySeconds: Math.round(Number(flags.awayMinutes) * 60),
  }
  const { shares } = plan
  const rises = shares.every((share, index) => share > (shares[index - 1] ?? 0)) && shares.at(-1) === 1
  if (Value.Check(rolloutPlan, plan) && rises) return plan
  throw new UsageError('--canaries from 1, --shares rising to 1 such as 0.1,0.5,1, --max-failures and minutes from 0')
}

function edgeName(text: string): EdgeName {
  const [hospital, edge, ...more] = text.split('/')
  if (hospital && edge && more.length === 0) return { hospital, edge }
  throw new UsageError(`--canary is hospital/edge, not ${text}`)
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new UsageError(`${name} must be a number from 1, not ${text}`)
  return value
}
