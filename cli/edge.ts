import { mkdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import type { Command } from 'commander'
import { systemClock } from '../core/clock.js'
import { createToken, secretHash, tokenText } from '../core/enrolment-token.js'
import { UsageError } from '../core/errors.js'
import { addToken, listEdges, revokeEdge, type EdgeStanding } from '../repository/edges.js'
import { localMinute } from '../services/watch/notice-text.js'
import { loadConfiguration } from './config.js'
import { connectors } from './connectors.js'
import { authorityOf, gatewayTrust } from './edge-authority.js'
import { onRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { table, type Terminal } from './terminal.js'

type ByFlags = PlaceFlags & { readonly by?: string; readonly json?: boolean }

export function edgeCommand(program: Command, terminal: Terminal): void {
  const edge = program
    .command('edge')
    .description('the edges of hospitals: who may enrol, who is there, who is revoked')
  withPlace(edge.command('token <hospital> <edge>'))
    .description('let a machine enrol once, under this name (hutong enrol); the token is shown here and kept nowhere')
    .option('--valid <time>', 'for how long: 30m, 24h, 7d', '24h')
    .option('--by <name>', 'who (default: the user of this session)')
    .option('--json', 'one JSON object')
    .addHelpText('after', '\nNeeds --config: the token names the authority of the gateway that is configured there.')
    .action((hospital: string, name: string, flags: ByFlags & { valid: string }) =>
      token(hospital, name, flags, terminal),
    )
  withPlace(edge.command('list'))
    .description('all edges known here, with their certificate and when a gateway last saw them')
    .option('--hospital <code>', 'this hospital only')
    .option('--json', 'one JSON object per line')
    .action((flags: PlaceFlags & { hospital?: string; json?: boolean }) => list(flags, terminal))
  withPlace(edge.command('revoke <hospital> <edge>'))
    .description(
      'refuse all certificates this edge has, whoever issued them, within a minute; it comes back with a new token',
    )
    .requiredOption('--reason <text>', 'why; no patient data')
    .option('--by <name>', 'who (default: the user of this session)')
    .option('--json', 'one JSON object')
    .action((hospital: string, name: string, flags: ByFlags & { reason: string }) =>
      revoke(hospital, name, flags, terminal),
    )
}

async function token(
  hospital: string,
  name: string,
  flags: ByFlags & { valid: string },
  terminal: Terminal,
): Promise<void> {
  checkNames(hospital, name)
  const validMs = durationMs(flags.valid)
  if (flags.config === undefined) throw new UsageError('--config: name the configuration of the gateway')
  const { gateway, dataDir } = await loadConfiguration(flags.config, connectors, terminal.environment.variables)
  const authority = gateway === undefined ? undefined : authorityOf(gateway)
  if (gateway === undefined || authority === undefined) {
    throw new UsageError(`${flags.config}: add gateway.authority, which issues the certificates (hutong ca init)`)
  }
  const made = createToken(gatewayTrust(gateway, authority).pin)
  const now = systemClock.now()
  const expiresAt = now + validMs
  const by = flags.by ?? userInfo().username
  // The first token is made before the gateway ever ran.
  await mkdir(dataDir ?? '.hutong', { recursive: true })
  await onRepository(flags, terminal, (database) =>
    addToken(database, { id: made.id, secretHash: secretHash(made.secret), hospital, name, by, now, expiresAt }),
  )
  const text = tokenText(made)
  if (flags.json === true) {
    terminal.out(`${JSON.stringify({ hospital, edge: name, id: made.id, token: text, expiresAt })}\n`)
    return
  }
  terminal.out(`${text}\n`)
  terminal.err(
    `for ${hospital} ${name}, once, until ${localMinute(expiresAt)}; at the edge: hutong enrol https://<gateway> <token>\n`,
  )
}

async function list(flags: PlaceFlags & { hospital?: string; json?: boolean }, terminal: Terminal): Promise<void> {
  const now = systemClock.now()
  const edges = await onRepository(flags, terminal, (database) => listEdges(database, now, flags.hospital))
  if (flags.json === true) {
    for (const edge of edges) terminal.out(`${JSON.stringify({ ...edge, state: stateOf(edge, now) })}\n`)
    return
  }
  if (edges.length === 0) return terminal.out('no edges\n')
  const head = ['hospital', 'edge', 'state', 'certificate until', 'last seen', 'revoked']
  terminal.out(table([head, ...edges.map((edge) => rowOf(edge, now))]))
}

/** What can be said of an edge from what is kept here. */
export function stateOf({ revokedAt, certificateUntil, tokenUntil, lastSeenAt }: EdgeStanding, now: number): string {
  if (certificateUntil !== null) return certificateUntil > now ? 'enrolled' : 'ended'
  if (tokenUntil !== null) return 'invited'
  if (revokedAt !== null) return 'revoked'
  return lastSeenAt === null ? 'not enrolled' : 'certificate from elsewhere'
}

function rowOf(edge: EdgeStanding, now: number): readonly string[] {
  const { hospital, name, certificateUntil, lastSeenAt, revokedAt, revokedBy, revokedReason } = edge
  const minute = (at: number | null): string => (at === null ? '' : localMinute(at))
  const revoked = revokedAt === null ? '' : `${localMinute(revokedAt)} by ${revokedBy}: ${revokedReason}`
  return [hospital, name, stateOf(edge, now), minute(certificateUntil), minute(lastSeenAt), revoked]
}

async function revoke(
  hospital: string,
  name: string,
  flags: ByFlags & { reason: string },
  terminal: Terminal,
): Promise<void> {
  checkNames(hospital, name)
  const by = flags.by ?? userInfo().username
  const now = systemClock.now()
  const isKnown = await onRepository(flags, terminal, (database) =>
    revokeEdge(database, { hospital, name }, { by, reason: flags.reason, now }),
  )
  if (flags.json === true) {
    terminal.out(`${JSON.stringify({ hospital, edge: name, by, isKnown })}\n`)
    return
  }
  const doubt = isKnown ? '' : '; nothing was known under that name, so look whether it is spelt as in its certificate'
  terminal.out(`${hospital} ${name} is revoked by ${by}; every gateway refuses it within a minute${doubt}\n`)
}

function checkNames(hospital: string, name: string): void {
  for (const text of [hospital, name]) {
    if (text === '' || text.length > 64) throw new UsageError('hospital and edge have 1 to 64 characters each')
  }
}

const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

/** @throws UsageError */
export function durationMs(text: string): number {
  const [, count, unit = ''] = /^(\d{1,4})([mhd])$/.exec(text) ?? []
  const value = Number(count) * (units[unit] ?? NaN)
  if (value > 0 && value <= 30 * units.d!) return value
  throw new UsageError(`--valid is a time as 30m, 24h or 7d, at most 30d, not ${text}`)
}
