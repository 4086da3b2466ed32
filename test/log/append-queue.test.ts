import { expect, test } from 'vitest'
import { RecordError, RetryableError } from '../../core/errors.js'
import { AppendQueue, sizeOf, type AppendRequest } from '../../log/append-queue.js'
import type { LogRecord } from '../../log/event-log.js'

const record = (value: string, bytes = 100): LogRecord => ({ key: 'k', value: Buffer.alloc(bytes, value) })
const texts = (request: readonly AppendRequest[]): string[] =>
  request.flatMap(({ topic, records }) => records.map(({ value }) => `${topic}:${String.fromCharCode(value[0]!)}`))

function queueOf(options: { fail?: (nth: number) => boolean; batchBytesMax?: number } = {}) {
  const sent: string[][] = []
  let inFlight = 0
  const queue = new AppendQueue({
    requestBytesMax: 1000,
    batchBytesMaxOf: async () => options.batchBytesMax ?? 10_000,
    async send(requests) {
      expect(++inFlight, 'one request in flight').toBe(1)
      await new Promise((resolve) => setTimeout(resolve, 1))
      inFlight--
      const nth = sent.push(texts(requests))
      if (options.fail?.(nth) === true) throw new RetryableError(`request ${nth}`)
    },
  })
  return { queue, sent }
}

test('appends go out in order, one request at a time, those that wait together and cut by bytes', async () => {
  const { queue, sent } = queueOf()
  const letters = [...'abcdefghijklmnop']
  await Promise.all(letters.map((letter, index) => queue.append(index % 3 === 0 ? 's' : 't', [record(letter)])))
  expect(
    sent
      .flat()
      .map((one) => one.at(-1))
      .sort(),
  ).toEqual(letters)
  for (const topic of ['s', 't']) {
    const own = sent.flat().filter((one) => one.startsWith(topic))
    expect(own).toEqual([...own].sort())
  }
  expect(sent.length).toBeLessThan(letters.length / 2)
  for (const request of sent) expect(request.length * sizeOf(record('x'))).toBeLessThanOrEqual(1000)
})

test('a record larger than a request goes alone; one larger than the topic takes is refused before anything is sent', async () => {
  const { queue, sent } = queueOf({ batchBytesMax: 5000 })
  await queue.append('t', [record('a'), record('b', 3000), record('c')])
  expect(sent).toEqual([['t:a'], ['t:b'], ['t:c']])
  await expect(queue.append('t', [record('d'), record('e', 5000)])).rejects.toThrow(RecordError)
  expect(sent).toHaveLength(3)
})

test('a failed request fails every append in it, and what comes after a part that failed is not sent', async () => {
  const { queue, sent } = queueOf({ fail: (nth) => nth === 1 })
  const long = queue.append(
    't',
    Array.from({ length: 20 }, (_, index) => record(String.fromCharCode(97 + index))),
  )
  const later = queue.append('t', [record('z')])
  await expect(long).rejects.toThrow('request 1')
  await later
  expect(sent).toHaveLength(2)
  expect(sent[1]).toEqual(['t:z'])
})

test('nothing to append is done at once, and settled waits for what is under way', async () => {
  const { queue, sent } = queueOf()
  await queue.append('t', [])
  const going = queue.append('t', [record('a')])
  await Promise.resolve()
  await queue.settled()
  await going
  expect(sent).toEqual([['t:a']])
})
