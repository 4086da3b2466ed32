import { afterAll, describe, expect, test } from 'vitest'
import { eventLogCases, eventLogContract, type EventLogFixture } from './event-log-contract.js'
import { faults, MemoryBroker, MemoryLog, type Fault } from './memory-log.js'

function memoryFixture(fault?: Fault, waits: { readonly patienceMs?: number; readonly quietMs?: number } = {}) {
  const broker = new MemoryBroker()
  let log = new MemoryLog(broker, fault)
  const fixture: EventLogFixture = {
    get log() {
      return log
    },
    async reopen() {
      await log.close()
      log = new MemoryLog(broker, fault)
    },
    topic: (label) => label,
    group: (label) => label,
    dispose: () => log.close(),
    ...waits,
  }
  return fixture
}

eventLogContract('in memory', async () => memoryFixture())

describe('the contract suite catches every broken log', () => {
  let doubles = 0
  const caughtBy = new Map<string, number>(eventLogCases.map((one) => [one.title, 0]))

  test.concurrent.for(faults)('%s', async (fault) => {
    const results = await Promise.all(
      eventLogCases.map(async (one) => {
        const fixture = memoryFixture(fault, { patienceMs: 1_500, quietMs: 120 })
        try {
          await one.run(fixture)
          return undefined
        } catch {
          return one.title
        } finally {
          await fixture.dispose()
        }
      }),
    )
    doubles++
    const failed = results.filter((title) => title !== undefined)
    for (const title of failed) caughtBy.set(title, (caughtBy.get(title) ?? 0) + 1)
    expect(failed, `no case fails on a log that ${fault}`).not.toHaveLength(0)
  })

  afterAll(() => {
    if (doubles < faults.length) return // a part of the doubles was asked for (-t)
    const idle = [...caughtBy].filter(([, count]) => count === 0).map(([title]) => title)
    expect(idle, 'cases that catch no broken log prove nothing').toEqual([])
  })
})
