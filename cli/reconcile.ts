import type { Command } from 'commander'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { openSpool } from '../log/spool-store.js'
import { reconcile, type Discrepancy, type Reconciliation } from '../repository/reconcile.js'
import type { Configuration } from './config.js'
import { configurationOf, onRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { exitCodes, table, type Terminal } from './terminal.js'

interface Flags extends PlaceFlags {
  readonly feed?: string
  readonly day?: string
  readonly grace: string
  readonly spool?: string
  readonly json?: boolean
}

export function reconcileCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('reconcile'))
    .description(
      'prove that received = stored + superseded + dead-lettered + ignored + in flight, and name what is missing',
    )
    .option('--feed <name>', 'this feed only')
    .option('--day <YYYY-MM-DD>', 'this day only, by the calendar of +08:00')
    .option('--grace <seconds>', 'a message without receipts is in flight this long before it counts as missing', '60')
    .option('--spool <dir>', "also verify this spool's records (while no receive role holds it)")
    .option('--json', 'one JSON object: {"balanced","days":[…],"discrepancies":[…],"discrepancyCount"}')
    .addHelpText('after', '\nExit code: 0 balanced, 1 something is missing, 3 the repository is not there.')
    .action(async (flags: Flags) => {
      const graceMs = Number(flags.grace) * 1000
      if (!Number.isFinite(graceMs) || graceMs < 0)
        throw new UsageError(`--grace must be a number of seconds, not ${flags.grace}`)
      if (flags.day !== undefined && !/^\d{4}-\d{2}-\d{2}$/.test(flags.day))
        throw new UsageError(`--day must be YYYY-MM-DD, not ${flags.day}`)
      const result = await onRepository(flags, terminal, (database) =>
        reconcile(database, {
          now: systemClock.now(),
          graceMs,
          ...(flags.feed !== undefined && { feed: flags.feed }),
          ...(flags.day !== undefined && { day: flags.day }),
        }),
      )
      const damaged =
        flags.spool === undefined ? [] : await verifySpool(flags.spool, await configurationOf(flags, terminal))
      const balanced = result.balanced && damaged.length === 0
      if (flags.json === true) terminal.out(`${JSON.stringify({ ...result, balanced, spool: damaged })}\n`)
      else terminal.out(describe(result, damaged))
      process.exitCode = balanced ? exitCodes.ok : exitCodes.found
    })
}

interface SpoolFault {
  readonly feed: string
  readonly epoch: number
  readonly seq: number
  readonly problem: string
}

async function verifySpool(
  dir: string,
  { environment }: Pick<Configuration, 'environment'>,
): Promise<readonly SpoolFault[]> {
  const spool = await openSpool({
    dir,
    environment,
    clock: systemClock,
    retention: { maxAgeMs: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER },
    diskReserveBytes: 0,
  })
  try {
    const faults: SpoolFault[] = []
    for await (const { position, problem } of spool.verify()) faults.push({ ...position, problem })
    return faults
  } finally {
    await spool.close()
  }
}

function describe(result: Reconciliation, damaged: readonly SpoolFault[]): string {
  const head = ['feed', 'day', 'received', 'stored', 'superseded', 'dead-lettered', 'ignored', 'in flight', '']
  const rows = result.days.map((day) => [
    day.feed,
    day.day,
    ...[day.received, day.stored, day.superseded, day.deadLettered, day.ignored, day.inFlight].map(String),
    day.balanced ? 'balanced' : 'NOT BALANCED',
  ])
  const missing = result.discrepancies.map((one) => `${place(one)}  ${one.kind}: ${one.detail}\n`)
  const more = result.discrepancyCount - result.discrepancies.length
  const spool = damaged.map((one) => `${one.feed} epoch ${one.epoch} number ${one.seq}  spool record ${one.problem}\n`)
  return table([head, ...rows]) + missing.join('') + (more > 0 ? `and ${more} more\n` : '') + spool.join('')
}

const place = ({ feed, epoch, seq, eventIndex, controlId }: Discrepancy): string =>
  `${feed} epoch ${epoch} number ${seq}${eventIndex === null ? '' : ` event ${eventIndex}`}${controlId === null ? '' : ` (control id ${controlId})`}`
