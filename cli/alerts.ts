import { userInfo } from 'node:os'
import type { Command } from 'commander'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { acknowledgeAlert, listAlerts, type Alert, type AlertFilter } from '../repository/alerts.js'
import { alertKinds } from '../services/watch/judge.js'
import { kindText, localMinute } from '../services/watch/notice-text.js'
import { onRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { table, type Terminal } from './terminal.js'

interface AlertFlags extends PlaceFlags {
  readonly feed?: string
  readonly hospital?: string
  readonly kind?: string
  readonly limit: string
  readonly json?: boolean
}

export function alertsCommand(program: Command, terminal: Terminal): void {
  const alerts = program.command('alerts').description('feeds that fell silent, lost numbers or moved their clock')
  withFilter(alerts.command('list'))
    .description('open alerts, the newest first')
    .action((flags: AlertFlags) => show(flags, terminal, { openOnly: true }))
  withFilter(alerts.command('history'))
    .description('open and closed alerts, the newest first')
    .action((flags: AlertFlags) => show(flags, terminal, {}))
  withPlace(alerts.command('ack <id>'))
    .description('take an open alert on: it is repeated and escalated no more')
    .option('--note <text>', 'what is known or being done; no patient data')
    .option('--by <name>', 'who (default: the user of this session)')
    .option('--json', 'one JSON object')
    .action(async (id: string, flags: AlertFlags & { note?: string; by?: string }) => {
      const number = numberOf('id', id)
      const by = flags.by ?? userInfo().username
      const alert = await onRepository(flags, terminal, (database) =>
        acknowledgeAlert(database, number, by, systemClock.now(), flags.note),
      )
      if (alert === undefined) throw new UsageError(`no open alert ${id}; hutong alerts list shows them`)
      terminal.out(
        flags.json === true
          ? `${JSON.stringify(alert)}\n`
          : `alert ${id} (${alert.feed ?? 'platform'}, ${alert.kind}) acknowledged by ${alert.acknowledgedBy}\n`,
      )
    })
}

function withFilter(command: Command): Command {
  return withPlace(command)
    .option('--feed <name>', 'this feed only')
    .option('--hospital <code>', 'this hospital only')
    .option('--kind <kind>', alertKinds.join(', '))
    .option('--limit <n>', 'at most this many', '100')
    .option('--json', 'one JSON object per line')
}

async function show(flags: AlertFlags, terminal: Terminal, filter: AlertFilter): Promise<void> {
  const { feed, hospital, kind } = flags
  if (kind !== undefined && !(alertKinds as readonly string[]).includes(kind)) {
    throw new UsageError(`--kind is one of ${alertKinds.join(', ')}, not ${kind}`)
  }
  const found = await onRepository(flags, terminal, (database) =>
    listAlerts(database, {
      ...filter,
      limit: numberOf('--limit', flags.limit),
      ...(feed !== undefined && { feed }),
      ...(hospital !== undefined && { hospital }),
      ...(kind !== undefined && { kind }),
    }),
  )
  if (flags.json === true) return found.forEach((alert) => terminal.out(`${JSON.stringify(alert)}\n`))
  if (found.length === 0) return terminal.out(filter.openOnly === true ? 'no open alerts\n' : 'no alerts\n')
  const head = ['id', 'state', 'hospital', 'feed', 'since', 'what', 'note']
  terminal.out(table([head, ...found.map((alert) => rowOf(alert, terminal))]))
}

function rowOf(alert: Alert, terminal: Terminal): readonly string[] {
  const { language } = terminal.environment
  const state =
    alert.closedAt !== null
      ? `closed ${localMinute(alert.closedAt)}`
      : alert.acknowledgedAt !== null
        ? `acknowledged by ${alert.acknowledgedBy}`
        : alert.escalatedAt !== null
          ? 'escalated'
          : 'open'
  const what = kindText(alert.kind, alert.facts, language)
  const who = [alert.hospital ?? '', alert.feed ?? 'platform']
  return [String(alert.id), state, ...who, localMinute(alert.since), what, alert.note ?? '']
}

function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new UsageError(`${name} must be a number from 1, not ${text}`)
  return value
}
