import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { astmParser } from '../../connectors/astm-lis2/to-events.js'
import { RecordError } from '../../core/errors.js'

const golden = join(import.meta.dirname, '..', 'golden', 'astm-lis2')
const inputs = readdirSync(golden, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => readFileSync(join(golden, entry.name, 'input.astm')))

test('whatever becomes of the bytes: events, a reason, or an error with a code', { timeout: 60_000 }, () => {
  const parsers = [
    astmParser({}),
    astmParser({ patientIdFrom: ['P-5.2', 'O-3'], reportNumberFrom: ['O-4', 'O-3'], testCodeComponent: 9 }),
    astmParser({ charset: 'GBK', valueComponent: 2, reportNumberRecycles: 'year', updates: 'snapshot' }),
  ]
  const seen = { events: 0, ignored: 0, errors: 0 }
  let state = 20_260_101
  const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 8
  for (let round = 0; round < 3000; round++) {
    const content = Buffer.from(inputs[next() % inputs.length]!)
    for (let times = next() % 8; times > 0; times--) content[next() % content.length] = next() & 0xff
    const input = { content, feed: 'f', hospital: 'H', environment: 'test', receivedAt: 1.7e12, messageId: 'm' }
    try {
      const { events, ignored } = parsers[round % parsers.length]!(input)
      expect(events.length > 0, `round ${round}`).toBe(ignored === undefined)
      seen[ignored === undefined ? 'events' : 'ignored']++
    } catch (error) {
      if (!(error instanceof RecordError)) throw new Error(`round ${round}`, { cause: error })
      seen.errors++
    }
  }
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(50)
})
