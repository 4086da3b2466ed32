// One round of the watch over many feeds with a year of habit: how long, and how many statements. A round in which every
// feed has sent since the last one, one in which none has, one in which all have just fallen silent, and one with all
// those alerts open.
// `npx vite-node bench/watch.ts [feeds,…] [rounds] [days of habit] [messages of each feed in the ledger]` prints ms as
// min, median, max, and the statements of a round; PostgreSQL where HUTONG_DATABASE_URL is set, else PGlite.
import { loadavg } from 'node:os'
import { readEnvironment } from '../core/environment.js'
import { createLogger, Metrics } from '../core/telemetry.js'
import { folderObjectStore } from '../log/object-store.js'
import { listAlerts } from '../repository/alerts.js'
import { openDatabase } from '../repository/database.js'
import { migrate } from '../repository/migrate.js'
import { headerTime } from '../services/watch/header-time.js'
import { openWatch } from '../services/watch/watch.js'
import { createDatabase } from '../test/repository/databases.js'
import { countStatements, namedFeeds, seedHabits, seedMessages } from '../test/services/watch/habitual-feeds.js'

const feedCounts = (process.argv[2] ?? '300,2000').split(',').map(Number)
const rounds = Number(process.argv[3] ?? 5)
const days = Number(process.argv[4] ?? 365)
const messages = Number(process.argv[5] ?? 2000)
const { databaseUrl } = readEnvironment()

process.stdout.write(
  `node ${process.version}, ${databaseUrl === undefined ? 'PGlite' : 'PostgreSQL'}, ${days} days of habit, ${messages} messages a feed; ms: min / median / max\n`,
)
for (const count of feedCounts) await measure(count)

async function measure(count: number): Promise<void> {
  const created = databaseUrl === undefined ? undefined : await createDatabase(databaseUrl)
  const db = await openDatabase(created === undefined ? {} : { url: created.url })
  try {
    await migrate(db)
    await measureOn(countStatements(db), count)
  } finally {
    await db.close()
    await created?.drop()
  }
}

async function measureOn(db: ReturnType<typeof countStatements>, count: number): Promise<void> {
  let now = Date.parse('2026-06-10T10:00:00+08:00')
  const feeds = namedFeeds(count)
  const ids = await seedHabits(db, feeds, { days, now })
  let seq = 0
  const send = async (each: number): Promise<void> => {
    for (let first = 0; first < ids.length; first += 50) {
      const some = ids.slice(first, first + 50)
      await seedMessages(db, some, { after: seq, count: each, until: now, stepMs: 5000 })
    }
    seq += each
  }
  await send(messages)
  await db.transaction((tx) => tx.script('ANALYZE'))
  const watch = openWatch({
    db,
    config: { routes: [] },
    environment: 'test',
    feeds,
    messageTime: headerTime({ objects: folderObjectStore('unused'), cipher: () => undefined }),
    metrics: new Metrics(),
    logger: createLogger({ level: 'silent' }),
    now: () => now,
  })
  const timed = async (name: string, times: number, before: () => Promise<void>): Promise<void> => {
    const figures: number[] = []
    let statements = 0
    for (let round = 0; round < times; round++) {
      await before()
      db.take()
      const start = performance.now()
      await watch.round()
      figures.push(performance.now() - start)
      statements = Math.max(statements, db.take())
    }
    figures.sort((a, b) => a - b)
    const shown = [figures[0]!, figures[figures.length >> 1]!, figures.at(-1)!].map((ms) => ms.toFixed(0)).join(' / ')
    process.stdout.write(
      `${count} feeds, ${name}  ${shown}  , ${statements} statements, load ${loadavg()[0]!.toFixed(1)}\n`,
    )
  }
  const pass = (ms: number) => (): Promise<void> => {
    now += ms
    return Promise.resolve()
  }
  await timed('first after a start', 1, pass(1000))
  // every feed is looked at before what follows
  for (let round = 0; round * 100 < count; round++) await watch.round()
  await timed('all have sent', rounds, async () => {
    now += 60_000
    await send(6)
  })
  await timed('none has sent', rounds, pass(60_000))
  await timed('all fall silent', 1, pass(2 * 3_600_000))
  await timed('all alerts open', rounds, pass(60_000))
  const open = await listAlerts(db, { openOnly: true, limit: 100_000 })
  if (open.length !== count) throw new Error(`${open.length} alerts of ${count}`)
}
