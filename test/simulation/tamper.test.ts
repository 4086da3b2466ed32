import { execFile } from 'node:child_process'
import { open, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Configuration } from '../../cli/config.js'
import { contentOf, type SimulatedMessage } from '../../cli/demo/journal.js'
import { hospitalMessages, take } from '../../cli/demo/messages.js'
import { onPipeline } from '../../cli/replay.js'
import { openRepository } from '../../cli/repository-access.js'
import { systemClock } from '../../core/clock.js'
import type { LedgerPosition } from '../../core/ids.js'
import { openSpool } from '../../log/spool-store.js'
import type { Spool } from '../../log/spool.js'
import { pause } from '../../core/pause.js'
import type { Database } from '../../repository/database.js'
import type { Discrepancy } from '../../repository/reconcile.js'
import { settlement } from '../../repository/settlement.js'
import { stacks, type Place } from '../end-to-end/stacks.js'

const program = resolve(import.meta.dirname, '../../dist/cli/main.js')
const feed = 'tampered-lis'
const hospital = { hospital: 'H002', charset: 'GB18030' } as const

/** One thing deleted by hand: rows of a table that `where` finds, $1 to $3 being feed_id, epoch and seq of the message. */
interface Tampering {
  readonly name: string
  /** Finds the message to hit: feed_id, epoch, seq. */
  readonly victim: string
  readonly deletes: readonly { readonly table: string; readonly where: string }[]
  readonly kind: Discrepancy['kind']
}

const ofMessage = '(feed_id, epoch, seq) = ($1, $2, $3)'
const oneObservation = `(report_id, panel_id, local_code_id, sub_id, occurrence) = (SELECT report_id, panel_id, local_code_id,
  sub_id, occurrence FROM observation o JOIN receipt r ON r.id = o.owner WHERE (r.feed_id, r.epoch, r.seq) = ($1, $2, $3)
  ORDER BY local_code_id LIMIT 1)`
const ownsReport = `SELECT r.feed_id, r.epoch, r.seq FROM report p JOIN receipt r ON r.id = p.owner
  ORDER BY r.epoch, r.seq OFFSET 3 LIMIT 1`
const stored = `SELECT feed_id, epoch, seq FROM receipt WHERE disposition = 'stored' ORDER BY epoch, seq OFFSET 5 LIMIT 1`
const deadLettered = `SELECT feed_id, epoch, seq FROM dead_letter WHERE seq IS NOT NULL ORDER BY epoch, seq LIMIT 1`
const everything = ['raw_message', 'receipt', 'dead_letter'].map((table) => ({ table, where: ofMessage }))

const tamperings: readonly Tampering[] = [
  {
    name: 'one observation',
    victim: ownsReport,
    deletes: [{ table: 'observation', where: oneObservation }],
    kind: 'row-missing',
  },
  {
    name: 'one report',
    victim: ownsReport,
    deletes: [
      {
        table: 'report',
        where: 'owner IN (SELECT id FROM receipt r WHERE (r.feed_id, r.epoch, r.seq) = ($1, $2, $3))',
      },
    ],
    kind: 'row-missing',
  },
  {
    name: 'one archived message',
    victim: stored,
    deletes: [{ table: 'raw_message', where: ofMessage }],
    kind: 'raw-missing',
  },
  {
    name: 'one dead letter',
    victim: deadLettered,
    deletes: [{ table: 'dead_letter', where: ofMessage }],
    kind: 'dead-letter-missing',
  },
  { name: 'one receipt', victim: stored, deletes: [{ table: 'receipt', where: ofMessage }], kind: 'receipt-missing' },
  { name: 'every trace of one message', victim: stored, deletes: everything, kind: 'message-missing' },
  {
    name: 'every trace of the last message',
    victim: 'SELECT feed_id, epoch, seq FROM raw_message ORDER BY epoch DESC, seq DESC LIMIT 1',
    deletes: everything,
    kind: 'message-missing',
  },
]

describe.each(stacks())('hutong reconcile on the $name stack', (stack) => {
  let place: Place
  const accepted = new Map<string, string>()

  beforeAll(async () => {
    place = await stack.open()
    await onPipeline(place.configuration, hospital, async ({ spool, database }) => {
      if (spool === undefined || database === undefined) throw new Error('no spool, no repository')
      const positions = await acceptAll(spool, sample(1))
      positions.forEach(([position, controlId]) => accepted.set(nameOf(position), controlId))
      await untilInFlight(
        database,
        positions.map(([position]) => position),
        0,
      )
      await untilWatermark(database, positions.length)
    })
  }, 180_000)
  afterAll(() => place.end(), 60_000)

  test('is balanced before anybody tampers', async () => {
    const { code, found } = await reconcileCommand(place.configuration)
    expect(found).toMatchObject({ balanced: true, discrepancyCount: 0, discrepancies: [] })
    expect(code).toBe(0)
  }, 60_000)

  test.each(tamperings)(
    'names the message after $name was deleted',
    async (tampering) => {
      const { configuration } = place
      const victim = await onDatabase(configuration, (database) => tamper(database, tampering))
      const { code, found } = await reconcileCommand(configuration)
      const { kind } = tampering
      const wholeIsGone = kind === 'message-missing'
      const controlId = wholeIsGone ? null : accepted.get(nameOf(victim))
      // With the archived message its control id is gone from the database.
      const named = kind === 'raw-missing' ? null : controlId
      expect(
        found.discrepancies.map(({ kind, feed, epoch, seq, controlId }) => ({ kind, feed, epoch, seq, controlId })),
      ).toEqual([{ kind, ...victim, controlId: named }])
      expect(found).toMatchObject({ balanced: false, discrepancyCount: 1 })
      expect(code).toBe(1)
      await onDatabase(configuration, (database) => putBack(database, tampering))
    },
    120_000,
  )

  test('is balanced again when everything deleted has been put back', () => expectBalanced(place.configuration), 60_000)

  test.each(['damaged', 'erased'] as const)(
    'names a message whose spool record was %s before it was forwarded',
    async (how) => {
      const own = await stack.open()
      try {
        const { configuration } = own
        const dir = join(configuration.dataDir ?? '', 'spool')
        const spool = await openSpool(spoolOptions(dir))
        const positions = await acceptAll(spool, sample(2)).finally(() => spool.close())
        const [victim, controlId] = positions[7]!
        await spoil(dir, controlId, how)
        const verified = await reconcileCommand(configuration, '--spool', dir)
        expect(verified.found.spool).toEqual([{ ...victim, problem: expect.stringMatching(/^(damaged|missing)$/) }])
        expect(verified.code).toBe(1)

        await onPipeline(configuration, hospital, async ({ database }) => {
          if (database === undefined) throw new Error('no repository')
          await untilInFlight(
            database,
            positions.map(([position]) => position),
            1,
          )
          await untilWatermark(database, positions.length)
        })
        const { code, found } = await reconcileCommand(configuration)
        expect(found.discrepancies.map(({ kind, feed, epoch, seq }) => ({ kind, feed, epoch, seq }))).toEqual([
          { kind: 'message-missing', ...victim },
        ])
        expect(code).toBe(1)
      } finally {
        await own.end()
      }
    },
    180_000,
  )
})

async function expectBalanced(configuration: Configuration): Promise<void> {
  const { code, found } = await reconcileCommand(configuration)
  expect(found).toMatchObject({ balanced: true, discrepancyCount: 0, discrepancies: [] })
  expect(code).toBe(0)
}

/** Some messages of the second hospital, unreadable ones among them. */
function sample(seed: number): readonly SimulatedMessage[] {
  const messages = [...take(hospitalMessages({ hospital: 'H002', seed }), 500)]
  const broken = messages.filter(({ kind }) => kind === 'broken').slice(0, 2)
  const good = messages.filter(({ kind }) => kind === 'original').slice(0, 30)
  return [...good.slice(0, 10), ...broken, ...good.slice(10)]
}

async function acceptAll(
  spool: Spool,
  messages: readonly SimulatedMessage[],
): Promise<readonly (readonly [LedgerPosition, string])[]> {
  const positions: [LedgerPosition, string][] = []
  for (const message of messages) {
    const { controlId } = message
    const position = await spool.accept({ feed, content: contentOf(message), receivedAt: Date.now(), controlId })
    positions.push([position, controlId])
  }
  return positions
}

const spoolOptions = (dir: string) => ({
  dir,
  environment: 'test',
  clock: systemClock,
  retention: { maxAgeMs: 1e12, maxBytes: 1e12 },
  diskReserveBytes: 0,
})

const nameOf = ({ feed: name, epoch, seq }: LedgerPosition): string => `${name} ${epoch}/${seq}`

async function untilInFlight(database: Database, positions: readonly LedgerPosition[], goal: number): Promise<void> {
  const epoch = positions[0]?.epoch ?? 1
  const span = { feed, epoch, from: 1, to: positions.length }
  await until('receipts', async () => (await settlement(database, [span])).inFlight <= goal)
}

/** Up to this watermark is archived: the archive's own group may lag behind the receipts. One message may be lost. */
async function untilWatermark(database: Database, seq: number): Promise<void> {
  const sql = 'SELECT coalesce(max(seq), 0) AS seq, (SELECT count(*) FROM raw_message) AS raw FROM feed_watermark'
  await until('archive and watermark', async () => {
    const [row] = await database.transaction((tx) => tx.query<{ seq: number; raw: number }>(sql))
    return row !== undefined && row.seq >= seq && row.raw >= seq - 1
  })
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const latest = performance.now() + 120_000
  while (!(await holds())) {
    if (performance.now() > latest) throw new Error(`${what}: nothing after 120 s`)
    await pause(100, new AbortController().signal)
  }
}

async function onDatabase<T>(configuration: Configuration, work: (database: Database) => Promise<T>): Promise<T> {
  const database = await openRepository(configuration)
  try {
    return await work(database)
  } finally {
    await database.close()
  }
}

/** Deletes what the tampering says and keeps it aside; resolves with the message it belongs to. */
function tamper(database: Database, { victim, deletes }: Tampering): Promise<LedgerPosition> {
  return database.transaction(async (tx) => {
    const [hit] = await tx.query<{ feed_id: number; epoch: number; seq: number }>(victim)
    if (hit === undefined) throw new Error('no victim found')
    const place = [hit.feed_id, hit.epoch, hit.seq].map(String)
    let deleted = 0
    for (const { table, where } of deletes) {
      const located = where.replaceAll('$1', place[0]!).replaceAll('$2', place[1]!).replaceAll('$3', place[2]!)
      await tx.execute(`CREATE TABLE aside_${table} AS SELECT * FROM ${table} WHERE ${located}`)
      deleted += await tx.execute(`DELETE FROM ${table} WHERE ${located}`)
    }
    if (deletes.length === 1 && deleted !== 1) throw new Error(`deleted ${deleted} rows, not one`)
    return { feed, epoch: hit.epoch, seq: hit.seq }
  })
}

function putBack(database: Database, { deletes }: Tampering): Promise<void> {
  return database.transaction(async (tx) => {
    for (const { table } of deletes) {
      await tx.execute(`INSERT INTO ${table} OVERRIDING SYSTEM VALUE SELECT * FROM aside_${table}`)
      await tx.execute(`DROP TABLE aside_${table}`)
    }
  })
}

/** Flips a bit of the record with this control id, or writes zeros over all of it. */
async function spoil(dir: string, controlId: string, how: 'damaged' | 'erased'): Promise<void> {
  for (const name of (await readdir(dir)).filter((one) => one.endsWith('.segment'))) {
    const file = await open(join(dir, name), 'r+')
    try {
      const bytes = await file.readFile()
      const at = bytes.indexOf(`|${controlId}|`)
      if (at < 0) continue
      if (how === 'damaged') {
        bytes[at + 1] = bytes[at + 1]! ^ 0x01
        await file.write(bytes, at + 1, 1, at + 1)
      } else {
        const start = bytes.lastIndexOf('HTFR', at)
        const end = bytes.indexOf('HTFR', at)
        await file.write(Buffer.alloc(end - start), 0, end - start, start)
      }
      await file.sync()
      return
    } finally {
      await file.close()
    }
  }
  throw new Error(`no record with control id ${controlId} in the spool`)
}

interface CommandResult {
  readonly code: number
  readonly found: {
    readonly balanced: boolean
    readonly discrepancyCount: number
    readonly discrepancies: readonly Discrepancy[]
    readonly spool: readonly unknown[]
  }
}

/** The command as a user calls it, in a process of its own. */
function reconcileCommand(configuration: Configuration, ...more: string[]): Promise<CommandResult> {
  const { dataDir = '', database } = configuration
  const args = [program, 'reconcile', '--json', '--grace', '0', '--data-dir', dataDir, ...more]
  const env = { ...process.env, HUTONG_DATABASE_URL: database?.url ?? '', HUTONG_KAFKA_BROKERS: '' }
  return new Promise((done, fail) => {
    execFile(process.execPath, args, { env, timeout: 60_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code)
      try {
        done({ code, found: JSON.parse(stdout) as CommandResult['found'] })
      } catch {
        fail(new Error(`hutong reconcile ended with ${code}: ${stdout}${stderr}`))
      }
    })
  })
}
