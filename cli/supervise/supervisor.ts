import { statfs } from 'node:fs/promises'
import { resolve as resolvePath } from 'node:path'
import type { OutcomeCode, EdgeReport, ReportAnswer } from '../../core/fleet-report.js'
import type { SignedRelease } from '../../core/fleet-release.js'
import { readManifest } from '../../core/fleet-release.js'
import { RetryableError } from '../../core/errors.js'
import { pause } from '../../core/pause.js'
import type { Logger } from '../../core/telemetry.js'
import { openFleetLink, type FleetLink } from '../../log/fleet-link.js'
import { installationPaths, readCurrent, removeOthers, switchTo } from '../installation/installation.js'
import { startChild, type Child, type Program } from './child.js'
import type { RunHealth } from './health.js'
import { judgeTrial, type TrialView } from './judge-trial.js'
import { believe, NotTaken, prepare, type PrepareOptions } from './prepare.js'
import { certificateOf, linkOptionsOf, readSetting, releaseKeysOf, type Setting } from './setting.js'
import { fleetPaths, readState, writeState, type CandidateRelease, type Change, type FleetState } from './state.js'
import { keeping, refused, returning, rolledBack, settled, trialBegun, trialStarted, wanted } from './transitions.js'

export interface SupervisorOptions {
  /** Of the installation; programs run there. */
  readonly folder: string
  /** The site's own configuration. */
  readonly configFile: string
  readonly supervisorVersion: string
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly logger: Logger
  /** ms since 1970. */
  readonly now: () => number
  /** How often it looks, and how long a program may take to stop, ms (defaults 1000 and 60,000). */
  readonly tickMs?: number
  readonly stopTimeoutMs?: number
  /** Told of each step that is over; a test ends the process there. */
  readonly step?: (name: SupervisorStep) => void
}

export type SupervisorStep =
  | 'prepared'
  | 'trial-written'
  | 'trial-stopped'
  | 'trial-started'
  | 'keeping-written'
  | 'switched'
  | 'settled'
  | 'rolled-back'

const healthTimeoutMs = 10_000
const backOffMs = { first: 1000, most: 60_000, forgottenAfter: 300_000 }
/** A release that could not be taken for a reason that may pass is looked at again after so long. */
const againAfterMs = 600_000

/**
 * Keeps one program running, reports to the province and moves between versions and configurations, so that whatever it is
 * cut off at, the next start finds an installation that runs (docs/decisions/0140). Everything happens in one loop, but
 * for a download beside it.
 */
export class Supervisor {
  private readonly paths: ReturnType<typeof fleetPaths>
  private state!: FleetState
  private setting: Setting
  private link: { readonly file: string; readonly link: FleetLink } | undefined
  private child: Child | undefined
  private version = ''
  private crashes = 0
  private inARow = 0
  private startAt = 0
  private reportAt = 0
  private reportEveryMs: number
  private clockSkewMs: number | null = null
  private health: RunHealth | undefined
  private trial = { startedAt: 0, crashes: 0, reported: false, byFormer: undefined as boolean | undefined }
  private fetching: { readonly number: number; readonly done: Promise<() => Promise<void>>; stop(): void } | undefined
  private readonly notBefore = new Map<number, number>()

  private constructor(
    private readonly options: SupervisorOptions,
    private readonly local: Setting,
  ) {
    this.setting = local
    this.paths = fleetPaths(dataDirOf(options.folder, local))
    this.reportEveryMs = reportEveryMs(local)
  }

  /** @throws UsageError where there is no installation, or its configuration or state cannot be used */
  static async open(options: SupervisorOptions): Promise<Supervisor> {
    await readCurrent(options.folder)
    const supervisor = new Supervisor(options, await readSetting(options.configFile, options.variables))
    supervisor.state = await readState(supervisor.paths.state)
    return supervisor
  }

  /** Until the signal aborts; the program is stopped then. */
  async run(signal: AbortSignal): Promise<void> {
    await this.recover()
    try {
      while (!signal.aborted) {
        await this.keepRunning()
        this.health = await this.child?.health(healthTimeoutMs)
        if (performance.now() >= this.reportAt) await this.report(signal)
        await this.takePrepared()
        await this.judge(signal)
        await pause(this.options.tickMs ?? 1000, signal)
      }
    } finally {
      this.fetching?.stop()
      await this.child?.stop(this.stopTimeoutMs)
      this.link?.link.close()
    }
  }

  private get stopTimeoutMs(): number {
    return this.options.stopTimeoutMs ?? 60_000
  }

  /** What was cut off is completed, or begun again. */
  private async recover(): Promise<void> {
    const { change } = this.state
    if (change !== null && change.phase !== 'trial') await this.complete(change)
    const { version } = await readCurrent(this.options.folder)
    if (this.state.package !== null && this.state.package.version !== version) {
      // Somebody changed the version by hand.
      await this.write({ ...this.state, package: null, previousPackage: null })
    }
    const { change: trial } = this.state
    await this.choose().catch(async (error: unknown) => {
      if (trial === null) throw error
      await this.write(rolledBack(this.state, trial, 'configuration-invalid', this.options.now()))
      await this.choose()
    })
  }

  private async write(state: FleetState): Promise<void> {
    await writeState(this.paths.state, state)
    this.state = state
  }

  /** Version and configuration that are to run now. */
  private async choose(): Promise<void> {
    const { change, configuration } = this.state
    const trial = change?.phase === 'trial' ? change.release : undefined
    this.version = trial?.kind === 'package' ? trial.version : (await readCurrent(this.options.folder)).version
    const sha256 = trial?.kind === 'configuration' ? trial.sha256 : configuration?.sha256
    this.setting = sha256 === undefined ? this.local : await this.pulled(sha256)
    this.reportEveryMs = reportEveryMs(this.setting)
  }

  private pulled(sha256: string): Promise<Setting> {
    return readSetting(this.paths.configuration(sha256), this.options.variables)
  }

  private get program(): Program {
    const { folder } = this.options
    const entry = installationPaths(folder).entry(this.version)
    return { entry, args: ['run', this.setting.file], cwd: folder }
  }

  private async keepRunning(): Promise<void> {
    if (this.child?.isRunning() === true) {
      if (performance.now() - this.child.startedAt > backOffMs.forgottenAfter) this.inARow = 0
      return
    }
    const onTrial = this.state.change?.phase === 'trial' ? this.state.change : undefined
    if (this.child !== undefined) {
      this.child = undefined
      this.crashes++
      this.inARow++
      if (onTrial !== undefined) this.trial.crashes++
      const waitMs = Math.min(backOffMs.most, backOffMs.first * 2 ** (this.inARow - 1))
      this.startAt = performance.now() + waitMs
      this.options.logger.warn({ version: this.version, waitMs }, 'the program ended: it is started again')
    }
    if (performance.now() < this.startAt) return
    if (onTrial !== undefined && this.trial.startedAt === 0) {
      await this.write(trialStarted(this.state, onTrial))
      this.trial = { startedAt: performance.now(), crashes: 0, reported: false, byFormer: undefined }
    }
    this.child = startChild(this.program)
    if (onTrial !== undefined) this.options.step?.('trial-started')
  }

  private async restart(): Promise<void> {
    await this.child?.stop(this.stopTimeoutMs)
    this.child = undefined
    this.startAt = 0
    this.inARow = 0
    this.health = undefined
    this.trial = { startedAt: 0, crashes: 0, reported: false, byFormer: undefined }
    await this.choose()
    await this.keepRunning()
  }

  /** The way to the gateway by the configuration that runs. */
  private async linkNow(): Promise<FleetLink | undefined> {
    const { file } = this.setting
    if (this.link?.file === file) return this.link.link
    this.link?.link.close()
    this.link = undefined
    const options = await linkOptionsOf(this.setting.configuration)
    if (options === undefined) return undefined
    this.link = { file, link: openFleetLink(options) }
    return this.link.link
  }

  private async report(signal: AbortSignal): Promise<void> {
    this.reportAt = performance.now() + this.reportEveryMs
    try {
      const answer = await this.tell(await this.linkNow(), signal)
      if (answer === undefined) return
      if (this.trial.startedAt > 0) this.trial.reported = true
      if (answer.reportEverySeconds !== null) this.reportEveryMs = answer.reportEverySeconds * 1000
      this.reportAt = performance.now() + this.reportEveryMs
      await this.follow(answer)
    } catch (error) {
      // The same line, a proxy or a file that is not there: the edge goes on without the province.
      if (!signal.aborted) this.options.logger.warn({ cause: (error as Error).message }, 'the report was not taken')
    }
  }

  private async tell(link: FleetLink | undefined, signal: AbortSignal): Promise<ReportAnswer | undefined> {
    if (link === undefined) return undefined
    const sentAt = this.options.now()
    const { answer, tripMs } = await link.report(await this.describe(), signal)
    this.clockSkewMs = Math.round(sentAt + tripMs / 2 - answer.serverTime)
    return answer
  }

  private async describe(): Promise<EdgeReport> {
    const { change, configuration, outcomes } = this.state
    const trial = change?.phase === 'trial' ? change.release : undefined
    const { health, setting } = this
    const disk = await statfs(dataDirOf(this.options.folder, this.local)).catch(() => undefined)
    return {
      format: 1,
      at: this.options.now(),
      environment: setting.configuration.environment,
      version: this.version,
      supervisorVersion: this.options.supervisorVersion,
      configuration: setting.sha256,
      packageNumber: trial?.kind === 'package' ? trial.number : (this.state.package?.number ?? null),
      configurationNumber: trial?.kind === 'configuration' ? trial.number : (configuration?.number ?? null),
      trial: trial?.number ?? null,
      fetching: this.fetching?.number ?? null,
      outcomes,
      ready: health?.ready ?? false,
      notReady: health === undefined ? ['program'] : health.notReady.slice(0, 16),
      crashes: this.crashes,
      spool: health?.spool ?? null,
      disk: disk === undefined ? null : { freeBytes: disk.bavail * disk.bsize, totalBytes: disk.blocks * disk.bsize },
      clockSkewMs: this.clockSkewMs,
      certificateUntil: (await certificateOf(setting.configuration))?.until ?? null,
      uplinkAccepted: health?.uplinkAccepted ?? null,
      feeds:
        health?.feeds ??
        setting.configuration.feeds.map(({ name }) => ({ name, listening: false, lastAcceptedAt: null })),
    }
  }

  private async follow(answer: ReportAnswer): Promise<void> {
    for (const number of answer.leave) await this.leave(number)
    for (const signed of [answer.package, answer.configuration]) {
      if (signed !== null && this.fetching === undefined && this.state.change === null) await this.consider(signed)
    }
  }

  private async consider(signed: SignedRelease): Promise<void> {
    // Only to know which release is spoken of; nothing is believed of it yet.
    const number = readManifest(signed.manifest)?.number
    if (number === undefined || this.state.failed.includes(number)) return
    if ((this.notBefore.get(number) ?? 0) > performance.now()) return
    const { configuration } = this.setting
    const identity = await certificateOf(configuration)
    if (identity === undefined) return
    const scope = { ...identity, environment: configuration.environment }
    try {
      const keys = await releaseKeysOf(configuration)
      const manifest = believe(signed, { keys, scope })
      const verdict = wanted(this.state, manifest)
      if (verdict === 'nothing') return
      if (verdict === 'older-than-known') throw new NotTaken(verdict)
      const link = (await this.linkNow())!
      const { folder, variables } = this.options
      const stop = new AbortController()
      const { setting } = this
      const dataDir = dataDirOf(folder, this.local)
      const work: PrepareOptions = { folder, dataDir, keys, scope, link, variables, setting, signal: stop.signal }
      const done = prepare(manifest, work).then(
        (candidate) => () => this.begin(candidate),
        (error: unknown) => () => this.decline(number, error),
      )
      this.fetching = { number, done, stop: () => stop.abort() }
      this.options.logger.info({ number, kind: manifest.kind, version: manifest.version }, 'a release is fetched')
    } catch (error) {
      await this.decline(number, error)
    }
  }

  private async takePrepared(): Promise<void> {
    const { fetching } = this
    if (fetching === undefined) return
    const next = await Promise.race([fetching.done, Promise.resolve(undefined)])
    if (next === undefined) return
    this.fetching = undefined
    await next()
  }

  private async decline(number: number, error: unknown): Promise<void> {
    const { logger, now } = this.options
    this.notBefore.set(number, performance.now() + againAfterMs)
    if (error instanceof NotTaken) {
      logger.warn(
        { number, code: error.code, cause: (error.cause as Error | undefined)?.message },
        'a release is refused',
      )
      const next = refused(this.state, number, error.code, now(), { again: error.again })
      // On a full disk it is remembered until the next start: the edge goes on.
      await this.write(next).catch(() => (this.state = next))
      this.reportAt = 0
    } else if (error instanceof RetryableError || (error as Error).name === 'AbortError') {
      this.notBefore.delete(number)
      logger.warn(
        { number, cause: (error as Error).message },
        'the download was cut off: it goes on with the next report',
      )
    } else logger.error({ number, err: error }, 'a release could not be prepared')
  }

  private async begin(release: CandidateRelease): Promise<void> {
    this.options.step?.('prepared')
    const { health } = this
    const feeds = (health?.feeds ?? []).filter(({ listening }) => listening).map(({ name }) => name)
    await this.write(trialBegun(this.state, release, { uplinkAccepted: health?.uplinkAccepted ?? null, feeds }))
    this.options.step?.('trial-written')
    this.options.logger.info({ number: release.number, kind: release.kind }, 'a release is on trial')
    await this.child?.stop(this.stopTimeoutMs)
    this.options.step?.('trial-stopped')
    await this.restart()
    this.reportAt = 0
  }

  private async judge(signal: AbortSignal): Promise<void> {
    const { change } = this.state
    if (change?.phase !== 'trial') return
    const { health } = this
    const view: TrialView = {
      elapsedMs: this.trial.startedAt === 0 ? 0 : performance.now() - this.trial.startedAt,
      probationMs: (this.local.configuration.fleet?.probationSeconds ?? 300) * 1000,
      starts: change.starts,
      crashes: this.trial.crashes,
      health: health && {
        ready: health.ready,
        listening: health.feeds.filter(({ listening }) => listening).map(({ name }) => name),
        uplinkAccepted: health.uplinkAccepted,
      },
      feeds: this.setting.configuration.feeds.map(({ name }) => name),
      before: change.before,
      reported: this.trial.reported,
      reportedByFormer: this.trial.byFormer,
    }
    const verdict = judgeTrial(view)
    if (verdict.state === 'keep') await this.keep(change)
    else if (verdict.state === 'roll-back') await this.rollBack(change, verdict.code)
    else if (verdict.state === 'ask-former-uplink') this.trial.byFormer = await this.askFormer(signal)
    // The gateway is away for both: asked again with the next report.
    else if (this.trial.byFormer === false && performance.now() >= this.reportAt) this.trial.byFormer = undefined
  }

  /** Whether the gateway takes a report by the uplink that was used before the trial. */
  private async askFormer(signal: AbortSignal): Promise<boolean> {
    const { configuration } = this.state
    const former = configuration === null ? this.local : await this.pulled(configuration.sha256)
    try {
      const options = await linkOptionsOf(former.configuration)
      if (options === undefined) return false
      const link = openFleetLink(options)
      try {
        return (await this.tell(link, signal)) !== undefined
      } finally {
        link.close()
      }
    } catch {
      return false
    }
  }

  private async keep(change: Change): Promise<void> {
    const decided = keeping(this.state, change)
    await this.write(decided)
    this.options.step?.('keeping-written')
    await this.complete(decided.change!)
    this.trial.startedAt = 0
    this.reportAt = 0
  }

  /** Makes current.json follow what was decided; the same again after a cut changes nothing. */
  private async complete(change: Change): Promise<void> {
    const { folder, now, logger, step } = this.options
    const { release, phase } = change
    if (release.kind === 'package') {
      const current = await readCurrent(folder)
      if (phase === 'keeping') await switchTo(folder, release.version)
      else if (current.version === release.version && current.previous !== null)
        await switchTo(folder, current.previous)
      step?.('switched')
    }
    await this.write(settled(this.state, change, now()))
    step?.('settled')
    logger.info({ number: release.number, phase }, 'the change is over')
    await this.free()
  }

  private async rollBack(change: Change, code: OutcomeCode): Promise<void> {
    const { logger, now, step } = this.options
    logger.warn({ number: change.release.number, code }, 'the release is rolled back')
    await this.write(rolledBack(this.state, change, code, now()))
    step?.('rolled-back')
    await this.restart()
    this.reportAt = 0
  }

  /** The province takes a release back. */
  private async leave(number: number): Promise<void> {
    const { change, package: version, configuration } = this.state
    if (this.fetching?.number === number) {
      this.fetching.stop()
      await this.fetching.done
      this.fetching = undefined
      await this.write(refused(this.state, number, 'ordered', this.options.now()))
    }
    if (change?.phase === 'trial' && change.release.number === number) return this.rollBack(change, 'ordered')
    if (change !== null) return
    const release: CandidateRelease | undefined =
      version?.number === number
        ? { kind: 'package', ...version }
        : configuration?.number === number
          ? { kind: 'configuration', ...configuration }
          : undefined
    if (release === undefined) return
    if (release.kind === 'package' && (await readCurrent(this.options.folder)).previous === null) return
    const decided = returning(this.state, release)
    await this.write(decided)
    await this.child?.stop(this.stopTimeoutMs)
    await this.complete(decided.change!)
    await this.restart()
    this.reportAt = 0
  }

  /** Frees what is neither used now, nor to go back to, nor what this very process was loaded from. */
  private async free(): Promise<void> {
    const { folder, supervisorVersion } = this.options
    const { version, previous } = await readCurrent(folder)
    const versions = new Set([version, previous, supervisorVersion])
    await removeOthers(installationPaths(folder).versions, versions)
    const { configuration, previousConfiguration } = this.state
    const kept = new Set(
      [configuration, previousConfiguration].map((one) => (one === null ? '' : `${one.sha256}.yaml`)),
    )
    await removeOthers(this.paths.configurations, kept)
    await removeOthers(this.paths.downloads, new Set())
  }
}

const dataDirOf = (folder: string, { configuration }: Setting): string =>
  resolvePath(folder, configuration.dataDir ?? '.hutong')

const reportEveryMs = ({ configuration }: Setting): number => (configuration.fleet?.reportEverySeconds ?? 60) * 1000
