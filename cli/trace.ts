import type { Command } from 'commander'
import { trace, type Trace } from '../repository/trace.js'
import { onRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { exitCodes, type Terminal } from './terminal.js'

export function traceCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('trace <what>'))
    .description(
      'the whole journey of a message or a row: bytes, events, receipts, rows and the versions they displaced',
    )
    .option('--reveal', 'show patient data as stored (masked otherwise)')
    .option('--json', 'one JSON object: {"messages":[…],"rows":[…]}')
    .addHelpText(
      'after',
      '\n<what> is a control id (MSH-10), a report number, or a row such as report:123 or observation:123.' +
        '\nExit code: 0 found, 1 nothing found.',
    )
    .action(async (what: string, flags: PlaceFlags & { reveal?: boolean; json?: boolean }) => {
      const found = await onRepository(flags, terminal, (database) =>
        trace(database, what, { reveal: flags.reveal === true }),
      )
      const empty = found.messages.length + found.rows.length === 0
      if (flags.json === true) terminal.out(`${JSON.stringify(found)}\n`)
      else terminal.out(empty ? `nothing is known of ${what}\n` : describe(found))
      process.exitCode = empty ? exitCodes.found : exitCodes.ok
    })
}

function describe({ messages, rows }: Trace): string {
  const lines: string[] = []
  for (const message of messages) {
    lines.push(`message ${message.feed}/${message.epoch}/${message.seq}`)
    lines.push(...facts(message, ['feed', 'epoch', 'seq', 'events'], '  '))
    for (const event of message.events) {
      const { eventIndex, eventCount, disposition, reason, stage } = event
      lines.push(
        `  event ${eventIndex + 1} of ${eventCount}: ${[disposition, reason, stage].filter(Boolean).join(', ')}`,
      )
      lines.push(...facts(event, ['eventIndex', 'eventCount', 'disposition', 'reason', 'stage'], '    '))
    }
  }
  for (const row of rows) {
    lines.push(
      `${row.isCurrent ? 'row    ' : 'version'} ${row.reference}${row.owner === null ? '' : `  from ${row.owner}`}`,
    )
    lines.push(...facts(row, ['reference', 'isCurrent', 'owner'], '  '))
  }
  return lines.map((line) => `${line}\n`).join('')
}

/** The remaining facts of an object, one line; objects within are shown as JSON. */
function facts(value: object, told: readonly string[], indent: string): string[] {
  const shown = Object.entries(value)
    .filter(([key, fact]) => !told.includes(key) && fact !== null && fact !== undefined && fact !== '')
    .map(([key, fact]) => `${key} ${typeof fact === 'object' ? JSON.stringify(fact) : String(fact)}`)
  return shown.length === 0 ? [] : [`${indent}${shown.join('  ')}`]
}
