import type { Command } from 'commander'
import { RecordError, UsageError, recordErrors, type RecordErrorCode } from '../core/errors.js'
import { createLogger } from '../core/telemetry.js'
import { unpackContent } from '../pipelines/content.js'
import { dryRun } from '../pipelines/dry-run.js'
import { redrive } from '../pipelines/redrive.js'
import { pause } from '../core/pause.js'
import {
  deadLettersByCause,
  listDeadLetters,
  redrivable,
  showDeadLetter,
  type DeadLetterFilter,
} from '../repository/dead-letters.js'
import { settlement } from '../repository/settlement.js'
import { catalogueOf, openRuntime, parsersOf, type Runtime } from './runtime.js'
import { connectors } from './connectors.js'
import { pipelineRoles } from './config-schema.js'
import { configurationOf, onRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { exitCodes, progressLine, table, type Terminal } from './terminal.js'

interface FilterFlags extends PlaceFlags {
  readonly code?: string
  readonly feed?: string
  readonly stage?: string
  readonly state?: string
  readonly limit?: string
  readonly json?: boolean
}

export function deadLettersCommand(program: Command, terminal: Terminal): void {
  const letters = program
    .command('dead-letters')
    .description('what could not be stored: why, where from, and sending it again')
  withFilter(letters.command('list'))
    .description('dead letters by cause and feed; with --each one line each')
    .option('--each', 'one line each instead of causes')
    .option('--json', 'one JSON object per line')
    .action(async (flags: FilterFlags & { each?: boolean }) => {
      await onRepository(flags, terminal, async (database) => {
        const filter = filterOf(flags)
        if (flags.each === true) {
          const found = await listDeadLetters(database, filter)
          if (flags.json === true) return found.forEach((one) => terminal.out(`${JSON.stringify(one)}\n`))
          const rows = found.map((one) => [
            String(one.id),
            one.state,
            one.stage,
            one.code,
            one.feed ?? '',
            String(one.seq ?? ''),
            one.controlId ?? '',
            [one.segment, one.field].filter(Boolean).join(' '),
          ])
          return terminal.out(
            table([['id', 'state', 'stage', 'code', 'feed', 'number', 'control id', 'place'], ...rows]),
          )
        }
        const causes = await deadLettersByCause(database, filter)
        if (flags.json === true) return causes.forEach((one) => terminal.out(`${JSON.stringify(one)}\n`))
        const rows = causes.map((one) => [
          String(one.count),
          one.state,
          one.code,
          one.stage,
          one.feed ?? '',
          meaning(one.code, terminal),
        ])
        return terminal.out(
          causes.length === 0
            ? 'no dead letters\n'
            : table([['count', 'state', 'code', 'stage', 'feed', 'meaning'], ...rows]),
        )
      })
    })
  withPlace(letters.command('show <id>'))
    .description('everything kept of one dead letter; may quote the message')
    .option('--json', 'one JSON object')
    .action(async (id: string, flags: FilterFlags) => {
      const letter = await onRepository(flags, terminal, (database) => showDeadLetter(database, numberOf('id', id)))
      if (letter === undefined) throw new UsageError(`no dead letter ${id}; hutong dead-letters list --each shows them`)
      const shown = { ...letter, payload: letter.payload?.toString('base64') ?? null }
      if (flags.json === true) terminal.out(`${JSON.stringify(shown)}\n`)
      else {
        terminal.out(
          table(
            Object.entries(shown)
              .filter(([, value]) => value !== null)
              .map(([key, value]) => [key, String(value)]),
          ),
        )
        terminal.out(`\n${meaning(letter.code, terminal)}\n${remedy(letter.code, terminal)}\n`)
      }
    })
  withFilter(letters.command('redrive'))
    .description(
      'send the messages of dead letters through the pipeline again; without --yes only says what would happen',
    )
    .option('--id <id>', 'this dead letter only')
    .option('--yes', 'do it')
    .option('--json', 'one JSON object')
    .addHelpText(
      'after',
      '\nThe dry run parses and normalises each message with the configuration given and says which would pass now.',
    )
    .action(async (flags: FilterFlags & { id?: string; yes?: boolean }) => {
      const filter = { ...filterOf(flags), ...(flags.id !== undefined && { id: numberOf('id', flags.id) }) }
      if (flags.yes === true) await redriveNow(filter, flags, terminal)
      else await redriveDryRun(filter, flags, terminal)
    })
}

function withFilter(command: Command): Command {
  return withPlace(command)
    .option('--code <code>', 'this error code only')
    .option('--feed <name>', 'this feed only')
    .option('--stage <name>', 'raw, parse, normalise or sink')
    .option('--state <name>', 'open, redriven or resolved', 'open')
    .option('--limit <n>', 'at most this many')
}

function filterOf(flags: FilterFlags): DeadLetterFilter {
  const { code, feed, stage, state, limit } = flags
  if (state !== undefined && state !== 'open' && state !== 'redriven' && state !== 'resolved') {
    throw new UsageError(`--state is open, redriven or resolved, not ${state}`)
  }
  return {
    ...(code !== undefined && { code }),
    ...(feed !== undefined && { feed }),
    ...(stage !== undefined && { stage }),
    ...(state !== undefined && { state }),
    ...(limit !== undefined && { limit: numberOf('--limit', limit) }),
  }
}

function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new UsageError(`${name} must be a number from 1, not ${text}`)
  return value
}

async function redriveDryRun(filter: DeadLetterFilter, flags: FilterFlags, terminal: Terminal): Promise<void> {
  const configuration = await configurationOf(flags, terminal)
  const runtime = await openRuntime({
    configuration,
    connectors,
    roles: ['sink'],
    logger: createLogger({ level: 'warn' }),
  })
  try {
    if (runtime.database === undefined) throw new Error('the sink role has a repository')
    const parserFor = parsersOf({ configuration, connectors, parserForUnknown: parserByConnector })
    const catalogue = catalogueOf(configuration)
    const outcomes = new Map<string, number>()
    let messages = 0
    for await (const { message } of redrivable(runtime.database, filter)) {
      messages++
      const outcome = await tryAgain(message, runtime, parserFor, catalogue)
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
    if (flags.json === true)
      terminal.out(`${JSON.stringify({ dryRun: true, messages, outcomes: Object.fromEntries(outcomes) })}\n`)
    else {
      const rows = [...outcomes].map(([outcome, count]) => [String(count), outcome])
      terminal.out(messages === 0 ? 'nothing matches\n' : table([['messages', 'would now'], ...rows]))
      if (messages > 0) terminal.out('Nothing was sent. Add --yes to do it.\n')
    }
  } finally {
    await runtime.close()
  }
}

const parserByConnector = (_feed: string, name: string): ReturnType<ReturnType<typeof parsersOf>> =>
  connectors.get(name)?.parser({ folder: '.' } as never)

async function tryAgain(
  message: Parameters<typeof unpackContent>[0] & {
    readonly feed: string
    readonly connector: string
    readonly hospital: string
    readonly environment: string
    readonly receivedAt: number
    readonly seq: number
  },
  runtime: Runtime,
  parserFor: ReturnType<typeof parsersOf>,
  catalogue: ReturnType<typeof catalogueOf>,
): Promise<string> {
  const { feed, connector, hospital, environment, receivedAt, seq } = message
  const parser = parserFor(feed, connector)
  if (parser === undefined) return 'dead-letter: feed-unknown'
  try {
    const content = await unpackContent(message, runtime.stores)
    const { events, deadLetters, ignored } = dryRun(content, {
      parser,
      catalogue,
      feed,
      hospital,
      environment,
      receivedAt,
      seq,
    })
    const first = deadLetters[0]
    if (first !== undefined) return `dead-letter: ${first.code}`
    return ignored === null
      ? `pass (${[...new Set(events.map(({ domain }) => domain))].join(', ')})`
      : `be ignored: ${ignored}`
  } catch (error) {
    if (error instanceof RecordError) return `dead-letter: ${error.code}`
    throw error
  }
}

async function redriveNow(filter: DeadLetterFilter, flags: FilterFlags, terminal: Terminal): Promise<void> {
  const configuration = await configurationOf(flags, terminal)
  const embedded = configuration.kafka === undefined
  const runtime = await openRuntime({
    configuration,
    connectors,
    roles: embedded ? pipelineRoles : ['sink'],
    listen: false,
    parserForUnknown: parserByConnector,
    logger: createLogger({ level: 'warn' }),
  })
  const stop = new AbortController()
  // On Kafka the deployment's roles do the work; the embedded log has nobody but this process.
  const running = embedded ? runtime.run(stop.signal) : Promise.resolve()
  try {
    if (runtime.database === undefined) throw new Error('the sink role has a repository')
    const { database, log, codec } = runtime
    const line = progressLine(terminal)
    const sent = await redrive(filter, { database, log, codec, progress: (count) => line.show(`sent ${count}`) })
    line.end()
    if (embedded) await untilResolved(database, filter)
    const spans = sent.map(({ feed, epoch, seq }) => ({ feed, epoch, from: seq, to: seq }))
    const result = embedded ? await settlement(database, spans) : undefined
    if (flags.json === true) terminal.out(`${JSON.stringify({ dryRun: false, messages: sent.length, ...result })}\n`)
    else if (result === undefined) terminal.out(`${sent.length} messages sent again; the running roles take them\n`)
    else
      terminal.out(
        `${sent.length} messages sent again: ${result.stored} stored, ${result.superseded} superseded, ${result.deadLettered} dead-lettered again\n`,
      )
    process.exitCode = result !== undefined && result.deadLettered > 0 ? exitCodes.found : exitCodes.ok
  } finally {
    stop.abort()
    await running.finally(() => runtime.close())
  }
}

/** Until no letter is on its way any more: each is resolved, or open again with its new cause. */
async function untilResolved(
  database: Parameters<typeof listDeadLetters>[0],
  { feed, id }: DeadLetterFilter,
): Promise<void> {
  const filter = {
    state: 'redriven' as const,
    limit: 1,
    ...(feed !== undefined && { feed }),
    ...(id !== undefined && { id }),
  }
  for (let waited = 0; waited < 600; waited++) {
    if ((await listDeadLetters(database, filter)).length === 0) return
    await pause(100, new AbortController().signal)
  }
}

function textOf(code: string): (typeof recordErrors)[RecordErrorCode] | undefined {
  return code in recordErrors ? recordErrors[code as RecordErrorCode] : undefined
}

function meaning(code: string, terminal: Terminal): string {
  const text = textOf(code)
  return (terminal.environment.language === 'zh' ? text?.zh : text?.en) ?? ''
}

function remedy(code: string, terminal: Terminal): string {
  const text = textOf(code)
  if (text === undefined) return ''
  return terminal.environment.language === 'zh' ? `处理办法：${text.doZh}` : `What to do: ${text.doEn}`
}
