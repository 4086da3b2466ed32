import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { filesOf } from './files.js'
import { configurationOf, withPlace, type PlaceFlags } from './repository-access.js'
import { onPipeline, sendFiles, type ReplayResult } from './replay.js'
import { exitCodes, progressLine, type Terminal } from './terminal.js'

interface Flags extends PlaceFlags {
  readonly feed: string
  readonly hospital?: string
  readonly charset?: string
  readonly rate?: string
  readonly json?: boolean
}

/** What has been done, by day, so that a stopped backfill goes on where it was. */
interface Progress {
  readonly feed: string
  readonly days: Record<string, ReplayResult & { readonly files: number }>
}

const undated = 'undated'

export function backfillCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('backfill <folder>'))
    .description(
      'send years of history through the bulk lane, day by day; a stopped backfill goes on with the day it was at',
    )
    .requiredOption('--feed <name>', 'the feed the history belongs to')
    .option('--hospital <code>', 'whose data it is, for a feed the configuration does not name', 'LOCAL')
    .option('--charset <name>', "the sender's charset, for a feed the configuration does not name")
    .option('--rate <n>', 'messages a second at most')
    .option('--json', 'one JSON object per day')
    .addHelpText(
      'after',
      `
The day of a file is the first date in its path below the folder: 2024-03-05 or 20240305. Files without one come last.
A day is done when each of its messages has its receipt; <data-dir>/backfill-<feed>.json keeps the days that are done.
Days go oldest first. A day whose files grew since (more files than recorded) is done again: nothing is stored twice.
Exit code: 0 all days done and none has dead letters, 1 some have.`,
    )
    .action(async (folder: string, flags: Flags) => {
      const rate = flags.rate === undefined ? undefined : Number(flags.rate)
      if (rate !== undefined && !(rate > 0))
        throw new UsageError(`--rate must be a number of messages a second, not ${flags.rate}`)
      const configuration = await configurationOf(flags, terminal)
      const stateFile = join(configuration.dataDir ?? '.hutong', `backfill-${flags.feed}.json`)
      const progress = await readProgress(stateFile, flags.feed)
      const days = await filesByDay(folder)
      const line = progressLine(terminal)
      const lane = 'bulk' as const
      const { feed, hospital, charset } = flags
      const place = {
        feed,
        lane,
        ...(hospital !== undefined && { hospital }),
        ...(charset !== undefined && { charset }),
      }
      const open = [...days].filter(([day, files]) => progress.days[day]?.files !== files.length)
      if (open.length > 0) {
        await onPipeline(configuration, place, async (runtime) => {
          for (const [index, [day, files]] of open.entries()) {
            const result = await sendFiles(runtime, each(files), {
              ...place,
              ...(rate !== undefined && { rate }),
              progress: (text) => line.show(`${day} (${index + 1} of ${open.length} days): ${text}`),
            })
            progress.days[day] = { ...result, files: files.length }
            await writeProgress(stateFile, progress)
            line.end()
            terminal.out(
              flags.json === true
                ? `${JSON.stringify({ day, files: files.length, ...result })}\n`
                : describe(day, result),
            )
          }
        })
      } else terminal.err('all days are done\n')
      const bad = Object.values(progress.days).some((day) => day.deadLettered + day.refused > 0)
      process.exitCode = bad ? exitCodes.found : exitCodes.ok
    })
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values
}

async function filesByDay(folder: string): Promise<Map<string, string[]>> {
  const days = new Map<string, string[]>()
  for await (const file of filesOf([folder])) {
    const day = dayOf(relative(folder, file))
    const files = days.get(day)
    if (files === undefined) days.set(day, [file])
    else files.push(file)
  }
  return new Map([...days].sort(([a], [b]) => (a === undated ? 1 : b === undated ? -1 : a < b ? -1 : 1)))
}

/** The first date in a path, as YYYY-MM-DD; `undated` where there is none. */
export function dayOf(path: string): string {
  for (const match of path.matchAll(/(?<!\d)((?:19|20)\d{2})-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])/g)) {
    const [, year, month, day] = match
    return `${year}-${month}-${day}`
  }
  return undated
}

async function readProgress(file: string, feed: string): Promise<Progress> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return { feed, days: {} }
  try {
    return JSON.parse(text) as Progress
  } catch (error) {
    throw new UsageError(`${file} is not readable; remove it to start over (nothing is stored twice)`, { cause: error })
  }
}

async function writeProgress(file: string, progress: Progress): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(`${file}.tmp`, `${JSON.stringify(progress, null, 2)}\n`)
  await rename(`${file}.tmp`, file)
}

const describe = (day: string, result: ReplayResult): string =>
  `${day}: received ${result.received} = stored ${result.stored} + superseded ${result.superseded} + dead-lettered ` +
  `${result.deadLettered} + ignored ${result.ignored}; ${result.messagesPerSecond} messages/s\n`
