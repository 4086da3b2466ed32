import { expect, test } from 'vitest'
import { isProven, OutageObserver } from '../../../services/acceptance/declared-outage.js'
import type { DeclaredOutage } from '../../../services/acceptance/evidence.js'

const minute = 60_000
const window = { from: 100 * minute, to: 105 * minute }

/** Messages by number, minute of receipt and minute of arrival. */
const observe = (
  ...messages: readonly (readonly [seq: number, received: number, archived: number | null])[]
): DeclaredOutage => {
  const observer = new OutageObserver(window)
  for (const [seq, received, archived] of messages) {
    observer.add({
      ...{ epoch: 1, seq, receivedAt: received * minute, archivedAt: archived === null ? null : archived * minute },
      messageId: `m${seq}`,
    })
  }
  return observer.finish()
}

test('what came inside, arrived after it, and was followed, proves an outage', () => {
  const outage = observe([7, 99, 99], [8, 101, 106], [9, 104, 106], [10, 107, 107])
  expect(outage).toMatchObject({ messages: 2, missing: 0, arrivedInside: 0, isFollowed: true, first: 'm8', last: 'm9' })
  expect(isProven(outage)).toBe(true)
})

test.each([
  ['nothing was received inside', observe([7, 99, 99], [8, 107, 107])],
  ['one message arrived inside', observe([7, 99, 99], [8, 101, 101], [9, 104, 106], [10, 107, 107])],
  ['nothing followed', observe([7, 99, 99], [8, 101, 106])],
  ['arrival was not recorded', observe([7, 99, 99], [8, 101, null], [9, 107, 107])],
  ['the clock of the database is ahead, and nothing was late', observe([7, 99, 199], [8, 101, 201], [9, 107, 207])],
  ['nothing stands beside it that tells what is late', observe([7, 99, null], [8, 101, 106])],
])('%s: no proof', (_, outage) => {
  expect(isProven(outage)).toBe(false)
})

test('numbers missing before, within and after are counted', () => {
  expect(observe([7, 99, 99], [9, 101, 106], [11, 104, 106], [14, 107, 107], [20, 109, 109]).missing).toBe(4)
})
