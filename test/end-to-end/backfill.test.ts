import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { pause } from '../../core/pause.js'
import { openDatabase } from '../../repository/database.js'
import { readJournal } from '../../services/history/journal.js'
import { ofDay, writeHistory } from '../services/history/messages.js'

const program = resolve(import.meta.dirname, '../../dist/cli/main.js')
const feed = 'h001-lis'
/** Everything in the process itself, whatever stack is up. */
const embedded = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HUTONG_')))
const running = new Set<ChildProcess>()
let folder = ''
let dataDir = ''

beforeAll(async () => {
  expect(existsSync(program), 'npm run build first').toBe(true)
  folder = await mkdtemp(join(tmpdir(), 'hutong-backfill-'))
  dataDir = join(folder, 'data')
  await writeHistory(join(folder, 'history'), {
    '2023-05-01/lis.hl7': ofDay('2023-05-01', 1, 60),
    '2023-05-02/morning.hl7': ofDay('2023-05-02', 101, 200),
    '2023-05-02/evening.hl7': ofDay('2023-05-02', 301, 200),
    '2023-05-03/lis.hl7': [
      ...ofDay('2023-05-03', 601, 40),
      'MSH|^~\\&|LIS|H001|A|B|20230503||ORU^R01|BAD|P|2.4\rOBX|1',
    ],
  })
}, 60_000)

afterEach(async () => {
  for (const child of running) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function hutong(...args: string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: embedded })
  running.add(child)
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const ended = once(child, 'close').then(() => {
    running.delete(child)
    return { code: child.exitCode, out, err }
  })
  return { child, ended }
}

const backfill = (...more: string[]): ReturnType<typeof hutong> =>
  hutong('backfill', feed, '--from-files', join(folder, 'history'), '--data-dir', dataDir, '--json', ...more)

/** Kills the process once `when` holds of the days in the journal; fails where it ends by itself first. */
async function killWhen(
  { child, ended }: ReturnType<typeof hutong>,
  when: (days: Awaited<ReturnType<typeof readJournal>>) => boolean,
  afterMs: number,
): Promise<void> {
  const journal = join(dataDir, 'backfill', feed)
  while (!when(await readJournal(journal))) {
    expect(child.exitCode, 'still sending').toBeNull()
    await pause(20)
  }
  await pause(afterMs)
  child.kill('SIGKILL')
  await ended
}

describe('a backfill that is killed', () => {
  test('goes on with the day it was at: every message is numbered once, and each day balances', async () => {
    const isSending = (days: Awaited<ReturnType<typeof readJournal>>): boolean =>
      days.get('2023-05-02')?.state === 'sending'
    await killWhen(backfill('--per-second', '40'), isSending, 3000)
    await killWhen(backfill('--per-second', '40'), isSending, 1500)
    const before = await readJournal(join(dataDir, 'backfill', feed))
    expect(before.get('2023-05-03')?.state, 'the newest day went first').toBe('settled')
    expect(before.has('2023-05-01')).toBe(false)

    const last = await backfill().ended
    expect(last.err).not.toMatch(/Error/)
    const done = last.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { day: string })
    expect(
      done.map(({ day }) => day),
      'the settled day is not sent again',
    ).toEqual(['2023-05-02', '2023-05-01'])
    expect(last.code, 'a day has a dead letter').toBe(1)

    const again = await backfill('--days', '2023-05-01..2023-05-02').ended
    expect(again).toMatchObject({ code: 0, out: '' })

    const status = await hutong('backfill', 'status', feed, '--data-dir', dataDir, '--recount', '--json').ended
    expect(status.code).toBe(0)
    expect(JSON.parse(status.out)).toMatchObject({
      balanced: true,
      days: [
        { day: '2023-05-01', read: 60, sent: 60, stored: 60, superseded: 0, difference: 0 },
        { day: '2023-05-02', read: 400, sent: 400, stored: 400, superseded: 0, difference: 0 },
        { day: '2023-05-03', read: 41, sent: 41, stored: 40, deadLettered: 1, difference: 0 },
      ],
    })
    const database = await openDatabase({ dir: join(dataDir, 'database') })
    try {
      const [kept] = await database.transaction((tx) =>
        tx.query(
          `SELECT count(*) AS messages, count(DISTINCT message_id) AS distinct, max(seq) AS last,
             count(*) FILTER (WHERE lane = 'bulk') AS bulk FROM raw_message`,
        ),
      )
      expect(kept).toEqual({ messages: 501, distinct: 501, last: 501, bulk: 501 })
    } finally {
      await database.close()
    }
  }, 400_000)

  test('is held against the count of the hospital, by day', async () => {
    const counts = join(folder, 'counts.csv')
    await writeFile(counts, 'date,count\n2023-05-01,60\n2023-05-02,403\n2023-05-03,41\n2023-05-04,7\n')
    const status = await hutong('backfill', 'status', feed, '--data-dir', dataDir, '--counts', counts).ended
    expect(status.code).toBe(1)
    expect(status.out).toContain('4 days, 2 balanced')
    expect(status.out).toContain('2023-05-02: 3 fewer than the hospital counts')
    expect(status.out).toContain('2023-05-04: 7 fewer than the hospital counts')
    expect(status.out).toMatch(/2023-05-03 .* balanced/)
  }, 60_000)

  test('waits while it is paused, and goes on', async () => {
    await writeHistory(join(folder, 'history'), { '2023-05-04/lis.hl7': ofDay('2023-05-04', 801, 7) })
    expect((await hutong('backfill', 'pause', feed, '--data-dir', dataDir).ended).code).toBe(0)
    const sending = backfill('--days', '2023-05-04')
    let err = ''
    sending.child.stderr!.on('data', (chunk: Buffer) => (err += chunk.toString()))
    while (!err.includes('waiting: paused')) {
      expect(sending.child.exitCode).toBeNull()
      await pause(50)
    }
    expect((await hutong('backfill', 'resume', feed, '--data-dir', dataDir).ended).code).toBe(0)
    expect(await sending.ended).toMatchObject({ code: 0, out: expect.stringContaining('"stored":7') })
  }, 200_000)
})
