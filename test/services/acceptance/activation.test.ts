import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { acceptanceCommand } from '../../../cli/acceptance.js'
import { loadConfiguration } from '../../../cli/config.js'
import { pipelineRoles } from '../../../cli/config-schema.js'
import { connectors } from '../../../cli/connectors.js'
import { deadLettersCommand } from '../../../cli/dead-letters.js'
import { openRepository } from '../../../cli/repository-access.js'
import { openRuntime } from '../../../cli/runtime.js'
import type { Terminal } from '../../../cli/terminal.js'
import { readEnvironment } from '../../../core/environment.js'
import { RetryableError, UsageError } from '../../../core/errors.js'
import { readSigningKey } from '../../../core/signing.js'
import { listActivations, recordActivation, type FeedActivation } from '../../../repository/feed-activation.js'
import { openActivationGate } from '../../../services/acceptance/activation-gate.js'
import { signReport, type AcceptanceReport } from '../../../services/acceptance/report.js'
import { openDatabase, type Database } from '../../../repository/database.js'
import { migrate } from '../../../repository/migrate.js'
import { engines } from '../../repository/databases.js'
import { labMessage } from './sender.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hutong-activation-'))
})
afterEach(async () => {
  process.exitCode = 0
  await rm(folder, { recursive: true, force: true })
})

const environment = readEnvironment({})

/** What a command says and the code it ends with. */
async function hutong(...words: string[]): Promise<{ readonly said: string; readonly code: number }> {
  let said = ''
  const say = (text: string): void => void (said += text)
  const terminal: Terminal = { out: say, err: say, interactive: false, environment }
  const program = new Command('hutong').version('0.1.0').exitOverride()
  acceptanceCommand(program, terminal)
  deadLettersCommand(program, terminal)
  process.exitCode = 0
  await program.parseAsync(words, { from: 'user' })
  const code = Number(process.exitCode)
  process.exitCode = 0
  return { said, code }
}

async function configured(kind: 'test' | 'production', more = ''): Promise<string> {
  const file = join(folder, `${kind}.yaml`)
  const path = (name: string): string => JSON.stringify(join(folder, name))
  const text = `environment: ${kind}
dataDir: ${path(kind)}
logLevel: error
acceptance:
  keyFile: ${path('acceptance-key.pem')}
  trustedKeyFiles: [${path('acceptance-key.pub.pem')}]
feeds:
  - name: lis
    hospital: H002
    connector: hl7v2-mllp
    port: ${kind === 'test' ? 1 : 2}
    charset: GB18030
${more}`
  await writeFile(file, text)
  return file
}

/** Takes messages through the whole embedded path, until each has its receipt and its place in the archive. */
async function flow(file: string, messages: readonly Buffer[]): Promise<void> {
  const runtime = await openRuntime({
    configuration: await loadConfiguration(file, connectors, {}),
    connectors,
    roles: pipelineRoles,
    listen: false,
  })
  const stop = new AbortController()
  const running = runtime.run(stop.signal)
  running.catch(() => undefined)
  try {
    for (const content of messages) await runtime.spool!.accept({ feed: 'lis', content, receivedAt: Date.now() })
    const end = Date.now() + 200_000
    for (;;) {
      const [row] = await runtime.database!.transaction((tx) =>
        tx.query<{ count: number }>(
          'SELECT least((SELECT count(DISTINCT seq) FROM receipt), (SELECT count(*) FROM raw_message)) AS count',
        ),
      )
      if (row!.count === messages.length) return
      if (Date.now() > end) throw new Error(`${row!.count} settled`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  } finally {
    stop.abort()
    await running.catch(() => undefined)
    await runtime.close()
  }
}

async function inRepository<T>(kind: 'test' | 'production', work: (db: Database) => Promise<T>): Promise<T> {
  const db = await openRepository({ dataDir: join(folder, kind) })
  try {
    return await work(db)
  } finally {
    await db.close()
  }
}

const message = (): Buffer => labMessage({ controlId: 'M1', at: Date.now(), report: 'R1' })

test(
  'a production feed becomes rows once it is activated, and what came before waits',
  { timeout: 400_000 },
  async () => {
    const file = await configured('production')
    await flow(file, [message()])
    const facts = (db: Database): Promise<readonly object[]> =>
      db.transaction((tx) =>
        tx.query(`SELECT (SELECT count(*) FROM report) AS reports, (SELECT count(*) FROM patient) AS patients,
        (SELECT count(*) FROM raw_message) AS archived, (SELECT string_agg(code || ' ' || state, ',') FROM dead_letter) AS letters`),
      )
    expect(await inRepository('production', facts)).toEqual([
      { reports: 0, patients: 0, archived: 1, letters: 'feed-not-activated open' },
    ])
    const listed = (): ReturnType<typeof hutong> => hutong('acceptance', 'list', '--config', file, '--json')
    const waits = await listed()
    expect(waits.code).toBe(1)
    expect(JSON.parse(waits.said)).toMatchObject({ feed: 'lis', isActive: false, waiting: 1, by: null })
    const { said, code } = await hutong(
      'acceptance',
      'activate',
      'lis',
      '--config',
      file,
      '--override',
      '试点',
      '--by',
      '张工',
    )
    expect([code, said]).toEqual([0, expect.stringContaining('H002 lis activated by 张工') as string])
    const redriven = await hutong('dead-letters', 'redrive', '--code', 'feed-not-activated', '--config', file, '--yes')
    expect(redriven.said).toMatch(/1/)
    expect(await inRepository('production', facts)).toEqual([
      { reports: 1, patients: 1, archived: 1, letters: 'feed-not-activated resolved' },
    ])
    expect(await listed()).toMatchObject({ code: 0, said: expect.stringContaining('"isActive":true') as string })
    await configured('production', '    updates: snapshot\n')
    expect((await hutong('acceptance', 'list', '--config', file)).said).toMatch(/lis +changed since acceptance +张工/)
    await configured('production')
    await hutong('acceptance', 'deactivate', 'lis', '--config', file, '--reason', '下线', '--by', '张工')
    const entries = await inRepository('production', (db) => listActivations(db))
    expect(entries.map(({ isActive, by, reason, reportSha256 }) => [isActive, by, reason, reportSha256])).toEqual([
      [false, '张工', '下线', null],
      [true, '张工', '试点', null],
    ])
  },
)

test(
  'a signed report activates its own feed alone, as long as everything about it holds',
  { timeout: 400_000 },
  async () => {
    const testFile = await configured('test')
    await hutong('acceptance', 'keys', folder)
    await expect(hutong('acceptance', 'keys', folder)).rejects.toThrow(/EEXIST/)
    await flow(testFile, [message()])
    const ran = await hutong('acceptance', 'lis', '--config', testFile, '--out', folder, '--by', '王工')
    expect(ran.code).toBe(1)
    const json = ran.said.trim().split('; ').at(-1)!
    const pub = join(folder, 'acceptance-key.pub.pem')
    const verify = (): ReturnType<typeof hutong> => hutong('acceptance', 'verify', json, '--key', pub)
    expect((await verify()).said).toMatch(/signed; H002 lis, not-passed/)

    const production = await configured('production')
    const activate = (file = json): ReturnType<typeof hutong> =>
      hutong('acceptance', 'activate', 'lis', '--config', production, '--report', file, '--by', '王工')
    const entries = (): Promise<readonly FeedActivation[]> => inRepository('production', (db) => listActivations(db))
    await mkdir(join(folder, 'production'))
    expect(await activate()).toMatchObject({ code: 1, said: expect.stringContaining('not-passed') as string })

    const key = readSigningKey('key', join(folder, 'acceptance-key.pem'))
    const report = JSON.parse(await readFile(json, 'utf8')) as AcceptanceReport
    const rewrite = async (changes: Partial<AcceptanceReport>): Promise<void> => {
      const signed = signReport({ ...report, conclusion: 'passed', ...changes }, key)
      await writeFile(json, signed.json)
      await writeFile(`${json}.sig`, JSON.stringify(signed.signature))
    }
    const faulty: Readonly<Record<string, Partial<AcceptanceReport>>> = {
      'other-feed': { feed: 'ris' },
      'other-hospital': { hospital: 'H001' },
      'not-of-test': { environment: 'production' },
      'too-old': { generatedAt: Date.now() - 31 * 86_400_000 },
      'checklist-outdated': { checklist: 0 },
      'configuration-changed': { configurationSha256: '0'.repeat(64) },
    }
    for (const [fault, changes] of Object.entries(faulty)) {
      await rewrite(changes)
      expect(await activate(), fault).toMatchObject({
        code: 1,
        said: expect.stringContaining(`  ${fault}: `) as string,
      })
    }
    await rewrite({})
    const good = await readFile(json)
    await writeFile(json, good.toString().replace('王工', '李工'))
    expect((await activate()).said).toContain('signature-invalid')
    await writeFile(json, good)
    const pdf = json.replace(/json$/, 'pdf')
    const printed = await readFile(pdf)
    await writeFile(pdf, Buffer.concat([printed, Buffer.from(' ')]))
    expect((await activate()).said).toContain('pdf-differs')
    expect((await verify()).code).toBe(1)
    await writeFile(pdf, printed)
    expect(await entries()).toEqual([])

    expect((await activate()).code).toBe(0)
    expect(await entries()).toMatchObject([{ isActive: true, feed: 'lis', hospital: 'H002', by: '王工', reason: null }])
    // another reading of the same feed was never accepted
    await configured('production', '    updates: snapshot\n')
    expect((await activate()).said).toContain('configuration-changed')
    await expect(hutong('acceptance', 'activate', 'lis', '--config', testFile, '--override', 'x')).rejects.toThrow(
      UsageError,
    )
    await expect(hutong('acceptance', 'activate', 'lis', '--config', production, '--override', ' ')).rejects.toThrow(
      UsageError,
    )
    await expect(hutong('acceptance', 'lis', '--config', production)).rejects.toThrow(/test environment/)
  },
)

test('watching ends on Ctrl-C with the state so far, signed', { timeout: 400_000 }, async () => {
  const file = await configured('test')
  await hutong('acceptance', 'keys', folder)
  await flow(file, [message()])
  const others = process.listeners('SIGINT')
  const ended = hutong('acceptance', 'lis', '--config', file, '--out', folder, '--by', '王工', '--watch')
  const ours = (): NodeJS.SignalsListener[] => process.listeners('SIGINT').filter((one) => !others.includes(one))
  while (ours().length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  for (const interrupt of ours()) interrupt('SIGINT')
  const { said, code } = await ended
  expect(code).toBe(1)
  expect(said).toMatch(/✓ +passed +message-kinds/)
  expect(said).toMatch(/→ .+\n/)
  const json = said.trim().split('; ').at(-1)!
  const report = JSON.parse(await readFile(json, 'utf8')) as AcceptanceReport
  expect(report).toMatchObject({ conclusion: 'not-passed', evidence: { messages: 1 } })
  expect(ours()).toEqual([])
})

test.each(engines)(
  'the gate follows the record within its age, and stays with what it knows on $name',
  async ({ open }) => {
    const at = await open()
    try {
      let now = 0
      let away = false
      const db: Database = {
        ...at.db,
        transaction: (work) => (away ? Promise.reject(new RetryableError('away')) : at.db.transaction(work)),
      }
      away = true
      const early = openActivationGate(db, () => now)
      await expect(early('lis', 'H002')).rejects.toThrow(RetryableError)
      away = false
      const gate = openActivationGate(db, () => now)
      expect(await gate('lis', 'H002')).toBe(false)
      const entry = {
        at: 0,
        hospital: 'H002',
        feed: 'lis',
        by: 'x',
        reportSha256: null,
        configurationSha256: null,
        reason: 'x',
      }
      await recordActivation(at.db, { ...entry, isActive: true })
      expect(await gate('lis', 'H002')).toBe(false)
      now += 15_000
      expect([await gate('lis', 'H002'), await gate('lis', 'H001'), await gate('ris', 'H002')]).toEqual([
        true,
        false,
        false,
      ])
      away = true
      now += 15_000
      expect(await gate('lis', 'H002')).toBe(true)
      away = false
      await recordActivation(at.db, { ...entry, isActive: false })
      now += 15_000
      expect(await gate('lis', 'H002')).toBe(false)
      const run = (sql: string): Promise<unknown> => at.db.transaction((tx) => tx.execute(sql))
      await expect(run(`UPDATE feed_activation SET by = 'y'`)).rejects.toThrow(/only ever added/)
      await expect(run('DELETE FROM feed_activation')).rejects.toThrow(/only ever added/)
    } finally {
      await at.drop()
    }
  },
)

test('feeds that a production database already has are active', { timeout: 200_000 }, async () => {
  const earlier = join(folder, 'migrations')
  await cp(fileURLToPath(new URL('../../../repository/migrations', import.meta.url)), earlier, { recursive: true })
  await rm(join(earlier, '0010-acceptance.sql'))
  const db = await openDatabase()
  try {
    await migrate(db, earlier)
    await db.transaction((tx) =>
      tx.script(`INSERT INTO hospital (code) VALUES ('H002');
        INSERT INTO feed (hospital_id, name, environment) VALUES (1, 'lis', 'production'), (1, 'ris', 'test')`),
    )
    await migrate(db)
    const gate = openActivationGate(db, () => 0)
    expect([await gate('lis', 'H002'), await gate('ris', 'H002')]).toEqual([true, false])
  } finally {
    await db.close()
  }
})
