import { expect, test } from 'vitest'
import { RetryableError } from '../../core/errors.js'
import { CommitQueue } from '../../log/commit-queue.js'
import type { Position } from '../../log/event-log.js'

const place = (partition: number, offset: bigint): Position => ({
  topic: 'raw' as Position['topic'],
  partition,
  offset,
})
const never = new AbortController().signal

/** A broker that answers when told to. */
function broker(): { queue: CommitQueue; sent: (readonly Position[])[]; answer: (error?: Error) => Promise<void> } {
  const sent: (readonly Position[])[] = []
  const open: ((error?: Error) => void)[] = []
  const queue = new CommitQueue((positions) => {
    sent.push(positions)
    return new Promise((resolve, reject) => open.push((error) => (error === undefined ? resolve() : reject(error))))
  })
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return {
    queue,
    sent,
    async answer(error) {
      await turn()
      open.shift()!(error)
      await turn()
    },
  }
}

test('what is asked for together, or while another is under way, goes in one request', async () => {
  const { queue, sent, answer } = broker()
  const first = [queue.commit(place(0, 1n), never), queue.commit(place(1, 2n), never)]
  await new Promise((resolve) => setImmediate(resolve))
  const second = [queue.commit(place(0, 3n), never), queue.commit(place(2, 4n), never)]
  await answer()
  await Promise.all(first)
  await answer()
  await Promise.all(second)
  expect(sent).toEqual([
    [place(0, 1n), place(1, 2n)],
    [place(0, 3n), place(2, 4n)],
  ])
})

test('a partition taken away while its commit waits is not committed', async () => {
  const { queue, sent, answer } = broker()
  const taken = new AbortController()
  const first = queue.commit(place(0, 1n), never)
  await new Promise((resolve) => setImmediate(resolve))
  const lost = queue.commit(place(1, 2n), taken.signal)
  const kept = queue.commit(place(2, 3n), never)
  lost.catch(() => undefined)
  taken.abort()
  await answer()
  await answer()
  await Promise.all([first, kept])
  await expect(lost).rejects.toThrow(RetryableError)
  expect(sent.flat()).toEqual([place(0, 1n), place(2, 3n)])
})

test('a request that fails fails those in it, and the next one goes on', async () => {
  const { queue, answer } = broker()
  const failed = queue.commit(place(0, 1n), never)
  failed.catch(() => undefined)
  await answer(new RetryableError('away'))
  await expect(failed).rejects.toThrow('away')
  const again = queue.commit(place(0, 1n), never)
  await answer()
  await again
})
