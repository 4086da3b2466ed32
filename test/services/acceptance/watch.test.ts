import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadCatalogue } from '../../../catalogue/catalogue.js'
import { watchChecklist } from '../../../cli/acceptance-watch.js'
import type { Configuration } from '../../../cli/config.js'
import { pipelineRoles } from '../../../cli/config-schema.js'
import { connectors } from '../../../cli/connectors.js'
import { openRuntime } from '../../../cli/runtime.js'
import type { Terminal } from '../../../cli/terminal.js'
import { readEnvironment } from '../../../core/environment.js'
import { RetryableError } from '../../../core/errors.js'
import { pause } from '../../../core/pause.js'
import { folderObjectStore } from '../../../log/object-store.js'
import { findFeed } from '../../../repository/feed-hours.js'
import { openEvidence, type EvidenceReader } from '../../../services/acceptance/gather.js'
import { judgeReport } from '../../../services/acceptance/report.js'
import { labMessage } from './sender.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hutong-watch-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const settings = { port: 1, patientAuthority: 'H002', sourceSystem: 'LIS', charset: 'GB18030' }
const dayMs = 86_400_000

test(
  'an item turns green while both are on the phone, and each message is read once',
  { timeout: 300_000 },
  async () => {
    const configuration = {
      environment: 'test',
      dataDir: folder,
      logLevel: 'silent',
      feeds: [{ name: 'lis', hospital: 'H002', connector: 'hl7v2-mllp', settings }],
    } as unknown as Configuration
    const runtime = await openRuntime({ configuration, connectors, roles: pipelineRoles, listen: false })
    const stop = new AbortController()
    const running = runtime.run(stop.signal)
    running.catch(() => undefined)
    const db = runtime.database!
    const parse = connectors.get('hl7v2-mllp')!.parser(settings as never)
    let parsed = 0
    let rounds = 0
    let evidence: EvidenceReader | undefined
    const judge = async (): Promise<ReturnType<typeof judgeReport> | undefined> => {
      rounds++
      if (rounds === 2) throw new RetryableError('the repository is away')
      const [feed] = await findFeed(db, 'lis', 'test')
      if (feed === undefined) return undefined
      const now = Date.now()
      evidence ??= openEvidence(
        {
          ...{ db, feed, charset: 'GB18030', kindsDeclared: ['ORU^R01'], outageWindows: [], hospitalCounts: new Map() },
          stores: { objects: folderObjectStore(join(folder, 'objects')), cipher: () => undefined },
          parser: (message) => {
            parsed++
            return parse(message)
          },
          catalogue: loadCatalogue({ mappingFiles: [] }),
          ...{ from: now - dayMs, to: now + dayMs },
        },
        60_000,
      )
      const facts = {
        ...{
          product: 'test',
          environment: 'test',
          hospital: 'H002',
          hospitalName: null,
          platformName: null,
          feed: 'lis',
        },
        ...{ connector: 'hl7v2-mllp', configurationSha256: '0'.repeat(64), period: { from: '', to: '' } },
        ...{ generatedAt: now, generatedBy: '测试员' },
      }
      return judgeReport(facts, await evidence.gather(now), new Map())
    }
    let said = ''
    const terminal: Terminal = {
      ...{ out: () => undefined, err: (text) => void (said += text), interactive: false },
      environment: { ...readEnvironment({}), language: 'en' },
    }
    const saying = async (pattern: RegExp): Promise<void> => {
      const end = Date.now() + 120_000
      while (!pattern.test(said)) {
        expect(Date.now(), `${String(pattern)} in ${said}`).toBeLessThan(end)
        await pause(50)
      }
    }
    const ended = new AbortController()
    try {
      const watching = watchChecklist(judge, terminal, { signal: ended.signal, everyMs: 50 })
      await saying(/no message of the feed has arrived yet[^]*is away: trying again/)
      const content = labMessage({ controlId: 'M1', at: Date.now(), report: 'R1' })
      await runtime.spool!.accept({ feed: 'lis', content, receivedAt: Date.now() })
      await saying(/✓ +passed +message-kinds/)
      expect(said).not.toMatch(/✓ +passed +duplicate/)
      await saying(/→ have /)
      await runtime.spool!.accept({ feed: 'lis', content, receivedAt: Date.now() })
      await saying(/✓ +passed +duplicate/)
      const before = rounds
      while (rounds < before + 5) await pause(50)
      expect(parsed).toBe(2)

      ended.abort()
      const judged = await watching
      const results = new Map(judged!.report.items.map(({ id, result }) => [id, result]))
      expect([results.get('duplicate'), results.get('correction')]).toEqual(['passed', 'not-shown'])
      expect(judged!.report.evidence).toMatchObject({ messages: 2, days: [{ received: 2, balanced: true }] })
    } finally {
      ended.abort()
      stop.abort()
      await running.catch(() => undefined)
      await runtime.close()
    }
  },
)
