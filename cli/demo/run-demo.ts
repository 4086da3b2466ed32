import { performance } from 'node:perf_hooks'
import { systemClock } from '../../core/clock.js'
import type { Environment } from '../../core/environment.js'
import { pause } from '../../core/pause.js'
import { deadLettersByCause, listDeadLetters } from '../../repository/dead-letters.js'
import { feedProgress, topWorkItems } from '../../repository/progress.js'
import { reconcile } from '../../repository/reconcile.js'
import { dropFiles } from './file-simulator.js'
import { addsUp, type DemoSummary, type DemoView, type SourceFigures } from './figures.js'
import { Journal } from './journal.js'
import { hospitalMessages, runTag, simulatedMorning, take, type GeneratedMessage } from './messages.js'
import { sendOverMllp } from './mllp-simulator.js'
import { startPipeline, type DemoPipeline } from './pipeline.js'
import { Random } from './random.js'
import type { DemoSetting, DemoSource } from './setting.js'

export interface DemoOptions {
  /** Over all sources. */
  readonly messages: number
  readonly seed: number
  /** Messages a second over all sources. */
  readonly rate: number
  /** After the summary go on at this rate until `signal` aborts; end where unset. */
  readonly keepRate?: number
  /** The pipeline takes messages now. */
  readonly started: (pipeline: DemoPipeline) => void
  readonly progress: (view: DemoView) => void
  readonly finished: (summary: DemoSummary) => void
}

/**
 * Starts the pipeline, plays the hospitals against it, waits until everything acknowledged has its receipts, and adds up.
 * When `signal` aborts the simulators stop, what they sent is still waited for. @throws RetryableError where a part is away
 */
export async function runDemo(
  setting: DemoSetting,
  environment: Environment,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<DemoSummary> {
  const pipeline = await startPipeline(setting, environment)
  const halt = new AbortController()
  try {
    options.started(pipeline)
    const demo = new Demo(setting, options, pipeline)
    return await Promise.race([pipeline.failed, demo.run(AbortSignal.any([signal, halt.signal]))])
  } finally {
    halt.abort()
    await pipeline.stop()
  }
}

/** Without any progress for this long what is in flight counts as lost. */
const stalledMs = 30_000

const warmUpMessages = 30
/** The archive may lag behind the receipts this long; what is missing then is missing. */
const archiveMaxMs = 20_000

class Demo {
  private readonly started = performance.now()
  private readonly since = systemClock.now()
  private readonly feeds: readonly string[]
  private readonly simulators: readonly SourceSimulator[]
  private readonly rates = new Map<
    string,
    { readonly at: number; readonly settled: number; readonly perSecond: number }
  >()
  private queryMs = 0

  constructor(
    setting: DemoSetting,
    private readonly options: DemoOptions,
    private readonly pipeline: DemoPipeline,
  ) {
    this.feeds = setting.sources.map(({ feed }) => feed)
    this.simulators = setting.sources.map((source) => new SourceSimulator(source, options.seed))
  }

  async run(signal: AbortSignal): Promise<DemoSummary> {
    const { messages, rate, keepRate } = this.options
    // The first few messages wait for consumers to join and code to warm up; the freshness of the others is measured.
    const warmUp = Math.min(messages, warmUpMessages)
    await this.send(warmUp, rate, 'starting', signal)
    if (warmUp < messages) {
      await this.pipeline.resetFreshness()
      await this.send(messages - warmUp, rate, 'sending', signal)
    }
    let summary = await this.summary()
    this.options.finished(summary)
    if (keepRate === undefined || signal.aborted) return summary
    await this.send(Infinity, keepRate, 'keeping', signal)
    summary = await this.summary()
    this.options.finished(summary)
    return summary
  }

  private async send(
    messages: number,
    rate: number,
    phase: 'starting' | 'sending' | 'keeping',
    signal: AbortSignal,
  ): Promise<void> {
    const counts = shares(messages, this.simulators)
    const sending = Promise.all(
      this.simulators.map((simulator, index) =>
        simulator.send(counts[index] ?? 0, rate * simulator.source.hospital.share, signal),
      ),
    )
    let done = false
    const finished = sending.finally(() => (done = true))
    finished.catch(() => undefined)
    const never = new AbortController().signal
    while (!done) {
      await Promise.race([finished, pause(Math.max(500, 10 * this.queryMs), never)])
      await this.show(phase)
    }
    await finished
    let settled = -1
    let changedAt = performance.now()
    for (;;) {
      const figures = await this.show(phase === 'starting' ? phase : 'settling')
      if (figures.every(({ inFlight }) => inFlight === 0)) return
      const now = figures.reduce((sum, { journal, inFlight }) => sum + journal.acknowledgements - inFlight, 0)
      if (now !== settled) [settled, changedAt] = [now, performance.now()]
      if (performance.now() - changedAt > stalledMs) return
      await pause(Math.max(200, 5 * this.queryMs), never)
    }
  }

  private async show(phase: DemoView['phase']): Promise<readonly SourceFigures[]> {
    const figures = await this.figures()
    const at = performance.now()
    const sources = figures.map((entry) => {
      const settled = entry.stored + entry.superseded + entry.deadLettered + entry.ignored
      const before = this.rates.get(entry.source.feed) ?? { at: this.started, settled: 0, perSecond: 0 }
      const now = (1000 * (settled - before.settled)) / Math.max(1, at - before.at)
      const perSecond = before.perSecond === 0 ? now : 0.6 * before.perSecond + 0.4 * now
      this.rates.set(entry.source.feed, { at, settled, perSecond })
      return { ...entry, settledPerSecond: perSecond }
    })
    this.options.progress({ elapsedMs: at - this.started, phase, sources })
    return figures
  }

  private async figures(): Promise<SourceFigures[]> {
    // The journals first: what they count has been in the spool before, so nothing seems settled that is not sent.
    const journals = this.simulators.map(({ journal }) => journal.totals())
    const asked = performance.now()
    const progress = await feedProgress(this.pipeline.database, this.feeds, this.since)
    this.queryMs = performance.now() - asked
    return Promise.all(
      this.simulators.map(async ({ source }, index) => {
        const found = progress.find(({ feed }) => feed === source.feed)
        const { stored = 0, superseded = 0, deadLettered = 0, ignored = 0 } = found ?? {}
        const journal = journals[index] ?? {
          sent: 0,
          attempts: 0,
          acknowledged: 0,
          acknowledgements: 0,
          unanswered: 0,
          refused: 0,
        }
        const inFlight = Math.max(0, journal.acknowledgements - stored - superseded - deadLettered - ignored)
        const freshness = await this.pipeline.freshness([source.feed])
        return { source, journal, stored, superseded, deadLettered, ignored, inFlight, freshness }
      }),
    )
  }

  private async summary(): Promise<DemoSummary> {
    const { database } = this.pipeline
    const sources = await this.figures()
    const causes = new Map<string, number>()
    let deadLetterId: number | undefined
    let discrepancies = 0
    for (const feed of this.feeds) {
      for (const { code, count } of await deadLettersByCause(database, { feed, receivedFrom: this.since })) {
        causes.set(code, (causes.get(code) ?? 0) + count)
      }
      deadLetterId ??= (await listDeadLetters(database, { feed, receivedFrom: this.since, limit: 1 }))[0]?.id
      discrepancies += await this.discrepancies(feed)
    }
    const hospitals = this.simulators.map(({ source }) => source.hospital.code)
    const unmapped = await topWorkItems(database, { kinds: ['unmapped-code', 'unmapped-unit'], hospitals, limit: 5 })
    return {
      seed: this.options.seed,
      seconds: Math.round((performance.now() - this.started) / 100) / 10,
      sources,
      freshness: await this.pipeline.freshness(this.feeds),
      deadLetterCauses: [...causes].map(([code, count]) => ({ code, count })).sort((a, b) => b.count - a.count),
      unmapped,
      reconcile: { balanced: discrepancies === 0, discrepancies },
      examples: { ...this.exampleReport(), deadLetterId },
      balanced: sources.every(addsUp) && discrepancies === 0,
    }
  }

  /** What reconcile names, once the archive, which goes its own way, has caught up with the receipts. */
  private async discrepancies(feed: string): Promise<number> {
    const until = performance.now() + archiveMaxMs
    for (;;) {
      const { discrepancyCount } = await reconcile(this.pipeline.database, { feed, now: systemClock.now(), graceMs: 0 })
      if (discrepancyCount === 0 || performance.now() > until) return discrepancyCount
      await pause(300, new AbortController().signal)
    }
  }

  /** A report with a history, so that its trace shows one. */
  private exampleReport(): { readonly reportNumber: string | undefined; readonly controlId: string | undefined } {
    const entries = this.simulators
      .flatMap(({ journal }) => journal.entries)
      .filter((entry) => entry.acknowledgedAt !== null)
    const found =
      entries.find(({ kind }) => kind === 're-verification') ??
      entries.find(({ kind }) => kind === 'correction') ??
      entries.find(({ reportNumber }) => reportNumber !== undefined)
    return { reportNumber: found?.reportNumber, controlId: found?.controlId }
  }
}

/** Whole numbers in the proportion of the hospitals' shares that add up to `total`. */
function shares(total: number, simulators: readonly SourceSimulator[]): number[] {
  if (total === Infinity) return simulators.map(() => Infinity)
  const counts = simulators.map(({ source }) => Math.floor(total * source.hospital.share))
  const [first = 0, ...others] = counts
  return [first + total - counts.reduce((sum, count) => sum + count, 0), ...others]
}

/** One hospital's sender with the journal it keeps over all phases. */
class SourceSimulator {
  readonly journal: Journal
  private readonly messages: Iterator<GeneratedMessage>
  private phase = 0

  constructor(
    readonly source: DemoSource,
    private readonly seed: number,
  ) {
    this.journal = new Journal({ feed: source.feed })
    this.messages = hospitalMessages({ hospital: source.hospital.code, seed })
  }

  async send(count: number, rate: number, signal: AbortSignal): Promise<void> {
    const { hospital, port, folder } = this.source
    const messages = take(this.messages, count)
    const { journal } = this
    this.phase++
    if (port !== undefined) {
      const gbk = hospital.code === 'H002'
      const random = new Random(this.seed, `answers/${hospital.code}/${this.phase}`)
      const connections = gbk ? 24 : 32
      // The second hospital's LIS loses an answer now and then, and sends those messages twice.
      const loseAnswers = gbk ? 0.01 : 0
      const target = { host: '127.0.0.1', port, unreachableMs: 30_000 }
      await sendOverMllp({ ...target, messages, journal, connections, rate, loseAnswers, random }, signal)
    } else if (folder !== undefined) {
      const messagesPerFile = Math.max(1, Math.min(25, Math.ceil(rate / 2)))
      const namePrefix = `results-${runTag(this.seed)}-${this.phase}`
      await dropFiles(
        { folder, messages, journal, rate, messagesPerFile, namePrefix, startAt: simulatedMorning },
        signal,
      )
    }
  }
}
