import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, openSync, closeSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Environment } from '../../core/environment.js'
import { RetryableError } from '../../core/errors.js'
import { createLogger } from '../../core/telemetry.js'
import { pause } from '../../core/pause.js'
import type { Database } from '../../repository/database.js'
import { pipelineRoles, type Role } from '../config-schema.js'
import { connectors } from '../connectors.js'
import { openRepository } from '../repository-access.js'
import { ensureSchemas, openRuntime } from '../runtime.js'
import { freshnessOf, FreshnessSamples, type Percentiles } from './freshness.js'
import { configurationFrom, configurationText, freePort, type DemoSetting } from './setting.js'

/** The pipeline of a demonstration, running. */
export interface DemoPipeline {
  readonly database: Database
  /** Metrics of each process. */
  readonly addresses: readonly { readonly role: string; readonly url: string }[]
  readonly configurationFile: string
  /** Of these feeds together, since it was last reset. */
  freshness(feeds: readonly string[]): Promise<Percentiles>
  resetFreshness(): Promise<void>
  /** Rejects when a part of it ends by itself. */
  readonly failed: Promise<never>
  stop(): Promise<void>
}

/** Starts what the setting asks for and resolves when it takes messages. @throws RetryableError where a part is not there */
export function startPipeline(setting: DemoSetting, environment: Environment): Promise<DemoPipeline> {
  return setting.separate ? startProcesses(setting, environment) : startHere(setting, environment)
}

async function startHere(setting: DemoSetting, environment: Environment): Promise<DemoPipeline> {
  const port = await freePort()
  const text = configurationText(setting, environment, pipelineRoles, port)
  const configurationFile = writeConfiguration(setting, 'demo', text)
  const configuration = configurationFrom(text, environment)
  await ensureSchemas(configuration)
  const samples = new FreshnessSamples()
  const runtime = await openRuntime({
    configuration,
    connectors,
    roles: pipelineRoles,
    logger: createLogger({ level: 'error', role: 'demo' }),
    settled: (events) => {
      for (const { feed, disposition, receivedAt, settledAt } of events) {
        if (disposition === 'stored') samples.add(feed, Math.max(0, settledAt - receivedAt))
      }
    },
  })
  const { database } = runtime
  if (database === undefined) throw new Error('a demonstration needs a repository')
  const stop = new AbortController()
  const running = runtime.run(stop.signal)
  const failed = endOf(running, stop.signal)
  return {
    database,
    configurationFile,
    addresses: [{ role: 'all', url: `http://127.0.0.1:${port}/metrics` }],
    failed,
    freshness: (feeds) => Promise.resolve(samples.percentiles(feeds.length === 1 ? feeds[0] : undefined)),
    resetFreshness: () => Promise.resolve(samples.reset()),
    async stop() {
      stop.abort()
      await running.catch(() => undefined).finally(() => runtime.close())
    },
  }
}

/** Rejects where the work ends before it was told to. */
function endOf(running: Promise<unknown>, signal: AbortSignal): Promise<never> {
  const failed = running.then(
    () =>
      signal.aborted ? new Promise<never>(() => undefined) : Promise.reject(new Error('the pipeline ended early')),
    (error: unknown) => (signal.aborted ? new Promise<never>(() => undefined) : Promise.reject(error as Error)),
  )
  failed.catch(() => undefined)
  return failed
}

interface RoleProcess {
  readonly role: Role
  readonly port: number
  readonly child: ChildProcess
  readonly logFile: string
  readonly ended: Promise<unknown>
}

async function startProcesses(setting: DemoSetting, environment: Environment): Promise<DemoPipeline> {
  const configuration = configurationFrom(configurationText(setting, environment, pipelineRoles, 0), environment)
  await ensureSchemas(configuration)
  // The migrations run once, before five processes ask for them at the same time.
  const database = await openRepository(configuration)
  const stopping = new AbortController()
  const processes: RoleProcess[] = []
  const stop = async (): Promise<void> => {
    stopping.abort()
    await Promise.all(processes.map(endProcess))
    await database.close()
  }
  try {
    for (const role of pipelineRoles) processes.push(await startRole(role, setting, environment))
    const failed = endOf(Promise.race(processes.map(({ ended }) => ended)), stopping.signal)
    await Promise.race([failed, Promise.all(processes.map(untilReady))])
    const sink = processes.find(({ role }) => role === 'sink')
    const sinkPage = (): Promise<string> => (sink === undefined ? Promise.resolve('') : pageOf(sink.port, '/metrics'))
    let earlierPage = ''
    return {
      database,
      configurationFile: join(setting.dataDir, 'receive.yaml'),
      addresses: processes.map(({ role, port }) => ({ role, url: `http://127.0.0.1:${port}/metrics` })),
      failed,
      freshness: async (feeds) => freshnessOf(await sinkPage(), feeds, earlierPage),
      async resetFreshness() {
        earlierPage = await sinkPage()
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startRole(role: Role, setting: DemoSetting, environment: Environment): Promise<RoleProcess> {
  const port = await freePort()
  const file = writeConfiguration(setting, role, configurationText(setting, environment, [role], port))
  mkdirSync(join(setting.dataDir, 'logs'), { recursive: true })
  const logFile = join(setting.dataDir, 'logs', `${role}.log`)
  const log = openSync(logFile, 'a')
  const child = spawn(process.execPath, [programFile(), 'run', file, '--role', role], {
    stdio: ['ignore', 'ignore', log],
  })
  closeSync(log)
  const ended = new Promise((_, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      const said = readFileSync(logFile, 'utf8').trim().split('\n').slice(-3).join('\n')
      reject(
        new RetryableError(`role ${role} ended (${signal ?? `exit code ${code}`}); its log ${logFile} says:\n${said}`),
      )
    })
  })
  ended.catch(() => undefined)
  return { role, port, child, logFile, ended }
}

const readyMaxMs = 60_000

async function untilReady({ role, port, logFile }: RoleProcess): Promise<void> {
  const until = performance.now() + readyMaxMs
  const never = new AbortController().signal
  for (;;) {
    const page = await pageOf(port, '/health/ready').catch(() => '')
    if (page.includes('"ready":true')) return
    if (performance.now() > until) {
      throw new RetryableError(`role ${role} is not ready after ${readyMaxMs / 1000} s; see ${logFile} ${page}`)
    }
    await pause(150, never)
  }
}

async function endProcess({ child }: RoleProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000)
  await exited
  clearTimeout(timer)
}

async function pageOf(port: number, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) })
  return response.text()
}

function writeConfiguration(setting: DemoSetting, name: string, text: string): string {
  const file = join(setting.dataDir, `${name}.yaml`)
  writeFileSync(file, text)
  return file
}

/** The program's entry: beside this file as built, in dist where the sources run as they are (tests). */
function programFile(): string {
  const [built = '', ...others] = ['../main.js', '../../dist/cli/main.js'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  )
  return [built, ...others].find((path) => existsSync(path)) ?? built
}
