import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadCatalogue } from '../../../catalogue/catalogue.js'
import type { Configuration } from '../../../cli/config.js'
import { pipelineRoles } from '../../../cli/config-schema.js'
import { connectors } from '../../../cli/connectors.js'
import { catalogueFile } from '../../../cli/demo/hospitals.js'
import { openRepository } from '../../../cli/repository-access.js'
import { openRuntime } from '../../../cli/runtime.js'
import { folderObjectStore } from '../../../log/object-store.js'
import type { Lane } from '../../../log/topics.js'
import type { Database } from '../../../repository/database.js'
import { findFeed } from '../../../repository/feed-hours.js'
import { dayStart } from '../../../repository/months.js'
import { checklist } from '../../../services/acceptance/checklist.js'
import { readOutageWindows } from '../../../services/acceptance/declared-outage.js'
import { gatherEvidence } from '../../../services/acceptance/gather.js'
import { judgeReport, type AcceptanceReport, type Waiver } from '../../../services/acceptance/report.js'
import { reportPdf } from '../../../services/acceptance/report-pdf.js'
import { readEnvironment } from '../../../core/environment.js'
import { labMessage, patientMessage, type Lab } from './sender.js'

/** One feed for the story that shows everything, and one for each item that this story is spoilt for. */
const feeds = ['all', ...checklist.items.map(({ id }) => id)]
const days = ['2026-03-02', '2026-03-03', '2026-03-04']
const hour = 3_600_000
const at = (day: number, hours: number): number => dayStart(days[day]!) + hours * hour

interface Sent {
  readonly content: Buffer
  readonly receivedAt: number
}

/** The story of a feed, by the lane its messages take; `spoilt` is what goes wrong in it. */
function story(spoilt: string): { readonly before: Sent[]; readonly held: Sent[]; readonly after: Sent[] } {
  let serial = 0
  const is = (item: string): boolean => spoilt === item
  const skew = is('clock') ? hour : 0
  const more: Partial<Lab> = {
    anonymous: is('patient-ids'),
    ...(is('charset-header') && { msh18: 'UNICODE UTF-8' }),
  }
  const lab = (when: number, report: string, rest: Partial<Lab> = {}): Sent => ({
    content: labMessage({ controlId: `C${++serial}`, at: when - skew, report, ...more, ...rest }),
    receivedAt: when + 3000,
  })
  const corrected = [['BXB', '7.7', '10^9/L']] as const
  const before = [
    lab(at(0, 9), 'R1'),
    lab(at(0, 9.1), 'R2', { patient: 2, name: '测试乙' }),
    lab(at(0, 9.2), 'R3', { patient: 3 }),
    ...(is('correction') ? [] : [lab(at(0, 10), 'R1', { status: 'C', values: corrected })]),
    ...(is('withdrawal') ? [] : [lab(at(0, 11), 'R2', { patient: 2, name: '测试乙', status: 'W' })]),
    ...(is('preliminary-final') ? [] : [lab(at(1, 8), 'R4', { status: 'P' })]),
    lab(at(1, 9), 'R4'),
    ...(is('message-kinds')
      ? []
      : [
          {
            content: patientMessage({ controlId: `C${++serial}`, at: at(1, 10) - skew, anonymous: is('patient-ids') }),
            receivedAt: at(1, 10) + 3000,
          },
        ]),
    ...(is('charset') ? [{ content: garbage(at(1, 11)), receivedAt: at(1, 11) }] : []),
    ...(is('units')
      ? [
          lab(at(1, 11), 'R5', {
            values: [
              ['BXB', '5.5', '某单位'],
              ['HXB', '4.4', '另一单位'],
            ],
          }),
        ]
      : []),
    ...(is('mapping')
      ? ['ZZ1', 'ZZ2', 'ZZ3', 'ZZ4'].map((code, n) => lab(at(1, 11 + n), `R5${n}`, { values: [[code, '5', '10^9/L']] }))
      : []),
    ...(is('dead-letters') ? [{ content: withoutReport(at(1, 11)), receivedAt: at(1, 11) }] : []),
    ...(is('report-keys') ? [lab(at(1, 11), 'R3', { patient: 4 })] : []),
    lab(at(2, 8), 'R6', is('rare-characters') ? {} : { name: '测㼆𬱖' }),
  ]
  if (!is('duplicate')) before.splice(3, 0, { ...before[2]!, receivedAt: at(0, 9.5) })
  const held = [lab(at(2, 9), 'R7'), lab(at(2, 9.1), 'R8')]
  const after = [lab(at(2, 12), 'R9')]
  return is('outage') ? { before: [...before, ...held], held: [], after } : { before, held, after }
}

/** Bytes that are no GB18030. */
const garbage = (when: number): Buffer =>
  Buffer.concat([
    labMessage({ controlId: 'X', at: when, report: 'R99' }),
    Buffer.from('NTE|1||\xff\xff\xff\r', 'latin1'),
  ])
const withoutReport = (when: number): Buffer =>
  Buffer.from(labMessage({ controlId: 'X', at: when, report: '' }).toString('latin1').replace('XCG^', '^'), 'latin1')

let folder: string
let db: Database

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hutong-acceptance-'))
  const stories = new Map(feeds.map((feed) => [feed, story(feed)]))
  let total = 0
  for (const [phase, lane] of [
    ['before', 'live'],
    ['held', 'bulk'],
    ['after', 'live'],
  ] as const) {
    const messages = [...stories].flatMap(([feed, parts]) => parts[phase].map((sent) => ({ feed, ...sent })))
    total += messages.length
    await send(messages, lane, total)
  }
  db = await openRepository({ dataDir: folder })
}, 600_000)

afterAll(async () => {
  await db.close()
  await rm(folder, { recursive: true, force: true })
})

const configuration = (): Configuration =>
  ({
    environment: 'test',
    dataDir: folder,
    logLevel: 'silent',
    catalogue: { mappings: [catalogueFile('mappings/demo-h002.tsv')] },
    feeds: feeds.map((name) => ({ name, hospital: 'H002', connector: 'hl7v2-mllp', settings: settingsOf(name) })),
  }) as unknown as Configuration

const settingsOf = (feed: string): Record<string, unknown> => ({
  port: 1,
  patientAuthority: 'H002',
  sourceSystem: feed,
  ...(feed !== 'charset-header' && { charset: 'GB18030' }),
})

/** Through spool, log, parse, normalise, sink and archive, until each has its receipt. */
async function send(messages: readonly (Sent & { readonly feed: string })[], lane: Lane, total: number): Promise<void> {
  const runtime = await openRuntime({
    configuration: configuration(),
    connectors,
    roles: pipelineRoles,
    listen: false,
    forwardLane: lane,
  })
  const stop = new AbortController()
  const running = runtime.run(stop.signal)
  running.catch(() => undefined)
  try {
    for (const message of messages) await runtime.spool!.accept(message)
    const end = Date.now() + 200_000
    for (;;) {
      const [row] = await runtime.database!.transaction((tx) =>
        tx.query<{ settled: number; archived: number }>(
          `SELECT (SELECT count(*) FROM raw_message) AS archived, (SELECT count(*) FROM (SELECT feed_id, epoch, seq
             FROM receipt GROUP BY 1, 2, 3 HAVING count(*) = max(event_count)) x) AS settled`,
        ),
      )
      if (row!.settled === total && row!.archived === total) return
      if (Date.now() > end) throw new Error(`settled ${row!.settled}, archived ${row!.archived} of ${total}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  } finally {
    stop.abort()
    await running.catch(() => undefined)
    await runtime.close()
  }
}

async function accept(
  name: string,
  options: {
    readonly counts?: ReadonlyMap<string, number>
    readonly waivers?: ReadonlyMap<string, Waiver>
    readonly outage?: string
  } = {},
): Promise<{ readonly report: AcceptanceReport; readonly unusable: readonly string[] }> {
  const [feed] = await findFeed(db, name, 'test')
  const parts = story(name)
  const sent = [...parts.before, ...parts.held, ...parts.after]
  const counts = new Map(
    days.map((day) => [
      day,
      sent.filter(({ receivedAt }) => new Date(receivedAt + 8 * hour).toISOString().startsWith(day)).length,
    ]),
  )
  const settings = settingsOf(name)
  const evidence = await gatherEvidence({
    db,
    feed: feed!,
    stores: { objects: folderObjectStore(join(folder, 'objects')), cipher: () => undefined },
    parser: connectors.get('hl7v2-mllp')!.parser(settings as never),
    catalogue: loadCatalogue({ mappingFiles: [catalogueFile('mappings/demo-h002.tsv')] }),
    charset: typeof settings['charset'] === 'string' ? settings['charset'] : null,
    kindsDeclared: ['ORU^R01', 'ADT^A08'],
    from: dayStart(days[0]!),
    to: dayStart(days[2]!) + 24 * hour,
    hospitalCounts: options.counts ?? counts,
    outageWindows: readOutageWindows(options.outage === undefined ? [] : [options.outage], days[2]!),
    now: dayStart(days[2]!) + 24 * hour,
  })
  const facts = {
    ...{ product: 'test', environment: 'test', hospital: 'H002', hospitalName: null, platformName: null, feed: name },
    ...{ connector: 'hl7v2-mllp', configurationSha256: '0'.repeat(64), period: { from: days[0]!, to: days[2]! } },
    ...{ generatedAt: at(2, 18), generatedBy: '测试员' },
  }
  return judgeReport(facts, evidence, options.waivers ?? new Map())
}

const notPassed = (report: AcceptanceReport): Record<string, string> =>
  Object.fromEntries(report.items.filter(({ result }) => result !== 'passed').map(({ id, result }) => [id, result]))

test('a feed that shows everything passes', async () => {
  const { report } = await accept('all')
  expect(notPassed(report)).toEqual({})
  expect(report.conclusion).toBe('passed')
  expect(report.evidence).toMatchObject({
    corrections: { count: 1 },
    withdrawals: { count: 1 },
    duplicates: { count: 1, storedTwice: 0 },
    outages: [{ messages: 2, missing: 0 }],
    discrepancies: 0,
  })
})

describe('a feed that fails one item fails that one alone', () => {
  const verdicts: Readonly<Record<string, string>> = {
    charset: 'failed',
    'charset-header': 'failed',
    units: 'failed',
    mapping: 'failed',
    'dead-letters': 'failed',
    'report-keys': 'failed',
    'patient-ids': 'failed',
    clock: 'failed',
  }
  const bySql = ['conservation', 'hospital-counts']
  test.each(checklist.items.filter(({ id }) => !bySql.includes(id)))('$id', async ({ id, isOptional }) => {
    const { report } = await accept(id)
    expect(notPassed(report)).toEqual({ [id]: verdicts[id] ?? 'not-shown' })
    expect(report.conclusion).toBe(isOptional === true ? 'passed' : 'not-passed')
  })
  test('hospital-counts', async () => {
    const { report } = await accept('hospital-counts', { counts: new Map([[days[0]!, 99]]) })
    expect(notPassed(report)).toEqual({ 'hospital-counts': 'failed' })
    const none = await accept('hospital-counts', { counts: new Map() })
    expect(notPassed(none.report)).toEqual({ 'hospital-counts': 'not-shown' })
  })
  test('conservation: a receipt that is gone', async () => {
    const [feed] = await findFeed(db, 'conservation', 'test')
    const deleted = await db.transaction((tx) =>
      tx.execute(
        'DELETE FROM receipt WHERE feed_id = $1::int4 AND seq = (SELECT max(seq) FROM receipt WHERE feed_id = $1::int4)',
        [String(feed!.id)],
      ),
    )
    expect(deleted).toBeGreaterThan(0)
    const { report } = await accept('conservation')
    expect(notPassed(report)).toEqual({ conservation: 'failed' })
  })
})

test('an outage under ten minutes counts within the time declared, where what came inside arrived after it', async () => {
  const arrived = (text: string | null): Promise<unknown> =>
    db.transaction((tx) =>
      tx.execute(
        `UPDATE raw_message SET archived_at = $1::timestamptz WHERE feed_id = (SELECT id FROM feed WHERE name = 'outage')
           AND received_at BETWEEN $2::timestamptz AND $3::timestamptz`,
        [text, `${days[2]!} 09:00+08`, `${days[2]!} 09:07+08`],
      ),
    )
  // by a clock of the database that is an hour ahead of the edge's
  await db.transaction((tx) =>
    tx.execute(`UPDATE raw_message SET archived_at = received_at + interval '1 hour 2 seconds'
      WHERE feed_id = (SELECT id FROM feed WHERE name = 'outage')`),
  )
  await arrived(`${days[2]!} 10:07:03+08`)
  const outage = '09:00-09:07'
  const itemOf = async (declared: string): Promise<unknown> => {
    const { report } = await accept('outage', { outage: declared })
    return report.items.find(({ id }) => id === 'outage')
  }
  expect(await itemOf(outage)).toMatchObject({ result: 'passed', figures: { held: 2, missing: 0, proven: 1 } })
  expect(await itemOf(`${days[2]!}T${outage}`)).toMatchObject({ result: 'passed' })
  const notShown = async (declared: string, why: RegExp): Promise<void> =>
    expect(await itemOf(declared)).toMatchObject({
      result: 'not-shown',
      finding: { en: expect.stringMatching(why) as string },
      figures: { declared: 1, proven: 0 },
    })
  await notShown('10:00-10:05', /nothing was received/)
  await arrived(`${days[2]!} 10:06:59+08`)
  await notShown(outage, /2 messages arrived within/)
  await arrived(null)
  await notShown(outage, /not recorded/)
  await arrived(`${days[2]!} 10:07:03+08`)
  expect(await itemOf(outage)).toMatchObject({ result: 'passed' })
  for (const wrong of ['09:07-09:00', '9:00-9:07', '2026-02-30T09:00-09:07', '25:00-26:00']) {
    expect(() => readOutageWindows([wrong], days[2]!), wrong).toThrow(/--outage/)
  }
})

test('a waiver counts where the item may be waived, and is told of where it is of no use', async () => {
  const waiver = { by: '主任', reason: '下月补测' }
  const { report, unusable } = await accept('outage', {
    waivers: new Map([
      ['outage', waiver],
      ['clock', waiver],
    ]),
  })
  expect(notPassed(report)).toEqual({ outage: 'waived' })
  expect(report.conclusion).toBe('passed')
  expect(unusable).toEqual(['clock'])
  const duplicate = await accept('duplicate', { waivers: new Map([['duplicate', waiver]]) })
  expect(duplicate.report.conclusion).toBe('not-passed')
  expect(duplicate.unusable).toEqual(['duplicate'])
})

test('the evidence names messages and says nothing about patients', async () => {
  const { report } = await accept('all')
  const text = JSON.stringify(report)
  for (const told of ['测试甲', '测㼆', '110101', '"P1"', 'R1"', '6.1']) expect(text).not.toContain(told)
  const ids = report.items.flatMap(({ messages }) => messages)
  expect(ids.length).toBeGreaterThan(5)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{64}$/)
})

const hasReader = ((): boolean => {
  try {
    execFileSync('pdftotext', ['-v'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

test.skipIf(!hasReader && !readEnvironment().ci)(
  'the PDF holds Chinese text that an independent reader finds, rare characters among it',
  async () => {
    const { report } = await accept('mapping', {
      waivers: new Map([['mapping', { by: '㼆某𠮷', reason: '𬱖≥μ𠮷祥\u0007\u{20104}' }]]),
    })
    const pdf = await reportPdf({ ...report, hospitalName: '互通示范第二医院', platformName: '示范平台' })
    const file = join(folder, 'report.pdf')
    await writeFile(file, pdf)
    const text = execFileSync('pdftotext', ['-layout', file, '-'], { encoding: 'utf8' })
    const told = [
      '医院数据接入联调测试报告',
      '互通示范第二医院',
      '结论：通过',
      '豁免',
      '逐日平账',
      '2026-03-03',
      'ZZ1',
      '签字（盖章）',
    ]
    for (const part of told) expect(text).toContain(part)
    for (const part of ['㼆某𠮷', '𬱖≥μ𠮷祥', 'U+0007', 'U+20104']) expect(text).toContain(part)
    expect(text).toMatch(/第\s*1\s*页.*共\s*[2-9]\s*页/)
    expect(execFileSync('pdffonts', [file], { encoding: 'utf8' })).toMatch(
      /NotoSansSC.*yes yes yes[^]*LXGWWenKai.*yes yes yes/,
    )
  },
)
