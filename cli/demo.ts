import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { pipelineRoles } from './config-schema.js'
import { demoHospitals } from './demo/hospitals.js'
import type { DemoSummary, DemoView } from './demo/figures.js'
import { runDemo } from './demo/run-demo.js'
import { demoFolder, demoSetting } from './demo/setting.js'
import { progressLineText, progressTable, summaryJson, summaryText } from './demo/show.js'
import { demoTexts, type DemoTexts } from './demo/texts.js'
import { untilStopped } from './run.js'
import { positive, whole } from './simulate.js'
import { exitCodes, type Terminal } from './terminal.js'

interface DemoFlags {
  readonly keep?: boolean
  readonly messages: number
  readonly seed?: number
  readonly rate: number
  readonly dataDir?: string
  readonly json?: boolean
}

export function demoCommand(program: Command, terminal: Terminal): void {
  program
    .command('demo')
    .description('three invented hospitals send their messages through the whole pipeline: see what it does')
    .option('--keep', 'go on at a slow rate after the summary, until Ctrl-C')
    .option('--messages <number>', 'messages to send, over all hospitals', whole(1, 10_000_000), 4000)
    .option(
      '--seed <number>',
      'the same seed sends the same messages (default: drawn, and printed)',
      whole(1, 0x7fff_ffff),
    )
    .option('--rate <number>', 'messages a second, over all hospitals', positive, 150)
    .option(
      '--data-dir <dir>',
      'folder of spool, log and database (default: one in the temporary folder, emptied by each run)',
    )
    .option('--json', 'the summary as one JSON object on standard output, progress on standard error')
    .addHelpText(
      'after',
      '\nRuns in one process on embedded stores. With HUTONG_KAFKA_BROKERS, HUTONG_SCHEMA_REGISTRY_URL and' +
        '\nHUTONG_DATABASE_URL set it runs on those, each role in a process of its own. HUTONG_LANG chooses zh or en.' +
        "\nExit code: 0 the repository and the simulators' journals agree, 1 they do not, 2 wrong arguments, 3 a part is away.",
    )
    .action(async (flags: DemoFlags) => {
      const summary = await demo(flags, terminal, untilStopped())
      if (flags.json === true) terminal.out(`${summaryJson(summary)}\n`)
      process.exitCode = summary.balanced ? exitCodes.ok : exitCodes.found
    })
}

async function demo(flags: DemoFlags, terminal: Terminal, signal: AbortSignal): Promise<DemoSummary> {
  const { environment } = terminal
  const { kafkaBrokers, schemaRegistryUrl, language } = environment
  if (kafkaBrokers !== undefined && schemaRegistryUrl === undefined) {
    throw new UsageError(
      'HUTONG_KAFKA_BROKERS is set, HUTONG_SCHEMA_REGISTRY_URL is not: with Kafka a schema registry is needed',
    )
  }
  const texts = demoTexts[language]
  const seed = flags.seed ?? 1 + Math.floor(Math.random() * 999_999)
  const setting = await demoSetting({ dataDir: await demoFolder(flags.dataDir), seed, environment })
  const say = flags.json === true ? (text: string) => terminal.err(text) : (text: string) => terminal.out(text)
  const { separate, embeddedDatabase, dataDir } = setting
  const stores = separate
    ? texts.separate(pipelineRoles.length)
    : embeddedDatabase
      ? texts.embedded
      : texts.embeddedLogOnly
  const hospitals = demoHospitals.map((hospital) => texts.hospital(hospital))
  const intro = [
    texts.title,
    ...hospitals,
    texts.plan(flags.messages, seed),
    stores,
    texts.dataDir(dataDir),
    texts.starting,
  ]
  say(`${intro.join('\n')}\n`)
  const screen = new Screen(terminal, texts)
  const keepRate = Math.min(flags.rate, 10)
  signal.addEventListener('abort', () => screen.interrupt(texts.stopped), { once: true })
  try {
    return await runDemo(
      setting,
      environment,
      {
        messages: flags.messages,
        seed,
        rate: flags.rate,
        ...(flags.keep === true && { keepRate }),
        started: ({ addresses }) => {
          for (const { role, url } of addresses) say(`${texts.metrics(role === 'all' ? texts.total : role, url)}\n`)
          say('\n')
        },
        progress: (view) => screen.show(view),
        finished: (summary) => {
          screen.end()
          say(summaryText(summary, setting, texts, language))
          if (flags.keep === true && !signal.aborted) say(`\n${texts.keeping(keepRate)}\n\n`)
        },
      },
      signal,
    )
  } finally {
    screen.end()
  }
}

const lineEveryMs = 5000

/** The live table, redrawn in place on a terminal; elsewhere a line every few seconds. */
class Screen {
  private lines = 0
  private lastLineAt = 0

  constructor(
    private readonly terminal: Terminal,
    private readonly texts: DemoTexts,
  ) {}

  show(view: DemoView): void {
    const { terminal, texts } = this
    if (terminal.interactive) {
      const text = progressTable(view, texts)
      terminal.err(`${this.lines === 0 ? '' : `\x1b[${this.lines}A\x1b[J`}${text}`)
      this.lines = text.split('\n').length - 1
    } else if (view.elapsedMs - this.lastLineAt >= lineEveryMs) {
      this.lastLineAt = view.elapsedMs
      terminal.err(`${progressLineText(view, texts)}\n`)
    }
  }

  /** Says something above the table. */
  interrupt(text: string): void {
    this.end()
    this.terminal.err(`${text}\n`)
  }

  /** Leaves the table as it stands. */
  end(): void {
    this.lines = 0
  }
}
