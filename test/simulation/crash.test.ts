import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readEnvironment } from '../../core/environment.js'
import { crashCampaign, type CampaignOptions } from './crash-campaign.js'
import { crashPlan } from './crash-plan.js'

const environment = readEnvironment()
const { databaseUrl, schemaRegistryUrl, ci } = environment
const stack =
  databaseUrl === undefined || schemaRegistryUrl === undefined ? undefined : { databaseUrl, schemaRegistryUrl }
const number = (name: string, otherwise: number): number => Number(environment.variables[name] ?? otherwise)
/** A failure is run again by its seed: HUTONG_CRASH_SEED=… */
const seed = number('HUTONG_CRASH_SEED', 1 + Math.floor(Math.random() * 999_999))

const progress = (text: string): void => void process.stdout.write(`crash: ${text}\n`)
const common = { seed, progress }

test('the same seed gives the same plan, with everything that was asked for', () => {
  const options = {
    seed,
    processes: ['receive', 'parse', 'normalise', 'sink'],
    receivers: ['receive'],
    kills: 52,
    powerCuts: 12,
    brokerKills: 3,
    wanCuts: 5,
    gapMs: [100, 200] as const,
  }
  const plan = crashPlan(options)
  expect(crashPlan(options)).toEqual(plan)
  expect(crashPlan({ ...options, seed: seed + 1 })).not.toEqual(plan)
  const count = (kind: string, target: string): number =>
    plan.filter((action) => action.kind === kind && action.target === target).length
  for (const role of options.processes) expect(count('kill', role), role).toBe(13)
  expect(count('power-cut', 'receive')).toBe(12)
  expect(count('broker-kill', 'broker')).toBe(3)
  expect([count('wan-drop', 'wan'), count('wan-blackhole', 'wan')]).toEqual([3, 2])
})

describe('crash campaign', () => {
  test('is built and has the real stack in CI', () => {
    expect(existsSync(join(resolve(import.meta.dirname, '../..'), 'dist/cli/main.js')), 'npm run build first').toBe(
      true,
    )
    if (ci) expect(stack, 'CI needs HUTONG_DATABASE_URL and HUTONG_SCHEMA_REGISTRY_URL').toBeDefined()
  })

  test.runIf(stack !== undefined)(
    'loses nothing and doubles nothing on the real stack',
    async () => {
      const options: CampaignOptions = {
        ...common,
        ...(stack !== undefined && { stack }),
        messages: number('HUTONG_CRASH_MESSAGES', 20_000),
        kills: number('HUTONG_CRASH_KILLS', 52),
        powerCuts: number('HUTONG_CRASH_POWER_CUTS', 12),
        brokerKills: number('HUTONG_CRASH_BROKER_KILLS', 3),
        gapMs: [200, 3000],
        deadlineMs: 600_000,
      }
      const result = await crashCampaign(options)
      progress(JSON.stringify(result))
      expect(result.sentOverMllp).toBeGreaterThanOrEqual(options.messages)
      expect(result.acknowledgements).toBeGreaterThanOrEqual(options.messages)
      expect(killed(result.killed)).toBe(options.kills)
      expect(result.killed['power-cut'] ?? 0).toBe(options.powerCuts)
      expect(result.killed['broker-kill'] ?? 0).toBe(options.brokerKills)
    },
    780_000,
  )

  test('loses nothing and doubles nothing on the embedded stack', async () => {
    const options: CampaignOptions = {
      ...common,
      messages: 800,
      kills: 5,
      powerCuts: 3,
      brokerKills: 0,
      gapMs: [200, 2500],
      deadlineMs: 300_000,
    }
    const result = await crashCampaign(options)
    progress(JSON.stringify(result))
    expect(result.sentOverMllp).toBeGreaterThanOrEqual(options.messages)
    expect(killed(result.killed)).toBe(options.kills)
    expect(result.killed['power-cut']).toBe(options.powerCuts)
  }, 240_000)

  test.each(stack === undefined ? ['embedded'] : ['embedded', 'real'])(
    'loses nothing and doubles nothing by edges and gateways, the line cut, on the %s stack',
    async (name) => {
      const isReal = name === 'real'
      const options: CampaignOptions = {
        ...common,
        ...(isReal && stack !== undefined && { stack }),
        gateways: isReal ? 2 : 1,
        messages: isReal ? number('HUTONG_CRASH_EDGE_MESSAGES', 1500) : 300,
        kills: isReal ? 10 : 4,
        powerCuts: 3,
        brokerKills: isReal ? 1 : 0,
        wanCuts: 4,
        gapMs: [200, 1500],
        deadlineMs: 400_000,
      }
      const result = await crashCampaign(options)
      progress(JSON.stringify(result))
      expect(result.sentOverMllp).toBeGreaterThanOrEqual(options.messages)
      expect(killed(result.killed)).toBe(options.kills)
      expect(result.killed).toMatchObject({ 'power-cut': 3, 'wan-drop': 2, 'wan-blackhole': 2 })
      expect(Math.min(...result.carried), 'each gateway was reached').toBeGreaterThan(0)
    },
    600_000,
  )
})

const killed = (by: Readonly<Record<string, number>>): number =>
  Object.entries(by).reduce((sum, [name, count]) => sum + (name.includes('-') ? 0 : count), 0)
