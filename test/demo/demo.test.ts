import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { DemoSummary, DemoView } from '../../cli/demo/figures.js'
import { runDemo } from '../../cli/demo/run-demo.js'
import { demoSetting } from '../../cli/demo/setting.js'
import { readEnvironment, type Environment } from '../../core/environment.js'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function demonstrate(environment: Environment, messages: number, signal = new AbortController().signal) {
  const dataDir = await mkdtemp(join(tmpdir(), 'hutong-demo-test-'))
  folders.push(dataDir)
  const seed = 1 + Math.floor(Math.random() * 999_999)
  const setting = await demoSetting({ dataDir, seed, environment })
  const views: DemoView[] = []
  const summaries: DemoSummary[] = []
  let metrics = ''
  const summary = await runDemo(
    setting,
    environment,
    {
      messages,
      seed,
      rate: 1000,
      started: ({ addresses }) => {
        const [first] = addresses
        if (first !== undefined) void fetch(first.url).then(async (page) => (metrics = await page.text()))
      },
      progress: (view) => views.push(view),
      finished: (done) => summaries.push(done),
    },
    signal,
  )
  return { setting, summary, summaries, views, metrics, seed }
}

function expectBalanced(summary: DemoSummary, messages: number, seed: number): void {
  const said = `seed ${seed}: ${JSON.stringify(summary.sources.map(({ source: _, ...figures }) => figures))}`
  expect(summary.balanced, said).toBe(true)
  const sum = (read: (source: DemoSummary['sources'][number]) => number): number =>
    summary.sources.reduce((total, source) => total + read(source), 0)
  expect(sum(({ journal }) => journal.sent)).toBe(messages)
  expect(sum(({ journal }) => journal.acknowledged)).toBe(messages)
  const ledger = sum(({ stored, superseded, deadLettered, ignored }) => stored + superseded + deadLettered + ignored)
  expect(ledger, said).toBe(sum(({ journal }) => journal.acknowledgements))
  expect(sum(({ stored }) => stored)).toBeGreaterThan(messages * 0.8)
  expect(summary.reconcile).toEqual({ balanced: true, discrepancies: 0 })
  expect(summary.freshness.count).toBeGreaterThan(0)
  expect(summary.unmapped.map(({ hospital }) => hospital)).toContain('H003')
  expect(summary.examples.reportNumber).toMatch(/^R/)
}

describe('the demonstration', () => {
  test('on embedded stores adds up to the message', { timeout: 180_000 }, async () => {
    const { summary, summaries, views, metrics, setting, seed } = await demonstrate(readEnvironment({}), 300)
    expectBalanced(summary, 300, seed)
    expect(summaries).toEqual([summary])
    expect(views.at(-1)!.sources.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0])
    expect(metrics).toContain('hutong_messages_acknowledged_total')
    const outbox = setting.sources.find(({ folder }) => folder !== undefined)!.folder!
    expect((await readdir(outbox)).filter((name) => name.endsWith('.hl7') || name.endsWith('.tmp'))).toEqual([])
  })

  test('stopped early, accounts for what had been sent', { timeout: 180_000 }, async () => {
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 1500)
    const { summary, seed } = await demonstrate(readEnvironment({}), 1_000_000, stop.signal)
    expect(summary.balanced, `seed ${seed}`).toBe(true)
    expect(summary.sources.reduce((total, { journal }) => total + journal.sent, 0)).toBeLessThan(1_000_000)
  })

  const real = readEnvironment()
  const there =
    real.kafkaBrokers !== undefined && real.schemaRegistryUrl !== undefined && real.databaseUrl !== undefined
  test.skipIf(!there && !real.ci)(
    'on Kafka and PostgreSQL, in a process for each role, adds up to the message',
    { timeout: 180_000 },
    async () => {
      expect(there, 'CI needs HUTONG_KAFKA_BROKERS, HUTONG_SCHEMA_REGISTRY_URL and HUTONG_DATABASE_URL').toBe(true)
      const { summary, setting, seed } = await demonstrate(real, 300)
      expect(setting.separate).toBe(true)
      expectBalanced(summary, 300, seed)
    },
  )
})
