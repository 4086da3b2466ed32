import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { freshnessOf, FreshnessSamples } from '../../cli/demo/freshness.js'
import { configurationFrom, configurationText, demoFolder, demoSetting } from '../../cli/demo/setting.js'
import { readEnvironment } from '../../core/environment.js'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})
const temporary = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'hutong-setting-'))
  folders.push(folder)
  return folder
}

describe('the configuration of a demonstration', () => {
  test('on embedded stores names the three feeds and their mappings', async () => {
    const environment = readEnvironment({})
    const setting = await demoSetting({ dataDir: await temporary(), seed: 5, environment })
    const configuration = configurationFrom(configurationText(setting, environment, ['receive'], 0), environment)
    expect(configuration.feeds.map(({ name, hospital, connector }) => [name, hospital, connector])).toEqual([
      ['h001-lis', 'H001', 'hl7v2-mllp'],
      ['h002-lis', 'H002', 'hl7v2-mllp'],
      ['h003-files', 'H003', 'hl7v2-files'],
    ])
    expect(configuration.feeds[1]!.settings).toMatchObject({ charset: 'GB18030' })
    expect(configuration.kafka).toBeUndefined()
    expect(configuration.database).toBeUndefined()
    for (const file of configuration.catalogue!.mappings!) expect(await readFile(file, 'utf8')).toContain('local_code')
    expect(setting).toMatchObject({ separate: false, embeddedDatabase: true, embeddedLog: true })
  })

  test('on the real stack takes addresses from the environment, keeps secrets out of the file and its feeds apart', async () => {
    const environment = readEnvironment({
      HUTONG_KAFKA_BROKERS: '127.0.0.1:9092,127.0.0.1:9093',
      HUTONG_SCHEMA_REGISTRY_URL: 'http://127.0.0.1:8081',
      HUTONG_DATABASE_URL: 'postgres://hutong:secret@127.0.0.1/hutong',
    })
    const setting = await demoSetting({ dataDir: await temporary(), seed: 46_655, environment })
    const text = configurationText(setting, environment, ['sink'], 9100)
    expect(text).not.toContain('secret')
    const configuration = configurationFrom(text, environment)
    expect(configuration.kafka).toMatchObject({ brokers: ['127.0.0.1:9092', '127.0.0.1:9093'], prefix: 'hutong.demo' })
    expect(configuration.database!.url).toContain('secret')
    expect(configuration.feeds.map(({ name }) => name)).toEqual([
      'demo-0zzz-h001-lis',
      'demo-0zzz-h002-lis',
      'demo-0zzz-h003-files',
    ])
    expect(setting).toMatchObject({ separate: true, embeddedDatabase: false, embeddedLog: false })
  })
})

describe('the folder of a demonstration', () => {
  test('is emptied by the next run, and left alone while another process uses it or where somebody else made it', async () => {
    const before = process.env['TMPDIR']
    process.env['TMPDIR'] = await temporary()
    try {
      const first = await demoFolder(undefined)
      await writeFile(join(first, 'left'), 'behind')
      expect(await demoFolder(undefined)).toBe(first)
      await expect(stat(join(first, 'left'))).rejects.toThrow('ENOENT')
      await writeFile(join(first, 'hutong-demo.pid'), String(process.ppid))
      await writeFile(join(first, 'left'), 'in use')
      const second = await demoFolder(undefined)
      expect(second).not.toBe(first)
      expect(await readFile(join(first, 'left'), 'utf8')).toBe('in use')
      await rm(join(first, 'hutong-demo.pid'))
      expect(await demoFolder(undefined)).not.toBe(first)
      expect(await readFile(join(first, 'left'), 'utf8')).toBe('in use')
    } finally {
      if (before === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = before
    }
  })

  test('asked for is never emptied', async () => {
    const folder = await temporary()
    await writeFile(join(folder, 'mine'), 'kept')
    expect(await demoFolder(folder)).toBe(folder)
    expect(await readFile(join(folder, 'mine'), 'utf8')).toBe('kept')
  })
})

describe('freshness', () => {
  test('of samples is exact, by feed and over all', () => {
    const samples = new FreshnessSamples()
    for (let ms = 1; ms <= 100; ms++) samples.add('a', ms)
    for (let ms = 1001; ms <= 1100; ms++) samples.add('b', ms)
    expect(samples.percentiles('a')).toEqual({ p50: 50, p95: 95, p99: 99, count: 100 })
    expect(samples.percentiles()).toEqual({ p50: 100, p95: 1090, p99: 1098, count: 200 })
    expect(samples.percentiles('c')).toEqual({ p50: null, p95: null, p99: null, count: 0 })
  })

  test('of a metrics page lies within its buckets, over the feeds asked for', () => {
    const page = [
      'hutong_freshness_seconds_bucket{le="0.1",feed="a"} 50',
      'hutong_freshness_seconds_bucket{le="1",feed="a"} 99',
      'hutong_freshness_seconds_bucket{le="+Inf",feed="a"} 100',
      'hutong_freshness_seconds_bucket{le="0.1",feed="b"} 0',
      'hutong_freshness_seconds_bucket{le="1",feed="b"} 0',
      'hutong_freshness_seconds_bucket{le="+Inf",feed="b"} 100',
    ].join('\n')
    expect(freshnessOf(page, ['a'])).toEqual({ p50: 100, p95: expect.closeTo(926.5, 0), p99: 1000, count: 100 })
    expect(freshnessOf(page, ['a', 'b']).p50).toBe(1000)
    expect(freshnessOf(page, ['a', 'b'], page.replaceAll(/feed="b".*/g, 'feed="c"} 0')).p50).toBe(1000)
    expect(freshnessOf(page, ['a'], page).count).toBe(0)
    expect(freshnessOf(page, ['c'])).toEqual({ p50: null, p95: null, p99: null, count: 0 })
  })
})
