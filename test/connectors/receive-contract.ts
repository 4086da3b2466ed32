import { describe, expect, test } from 'vitest'
import type { Delivery, IncomingMessage } from '../../connectors/connector.js'
import { RefusedError } from '../../core/errors.js'
import { until } from './mllp-client.js'

/** A source of messages with a sender at its far end, as the contract needs it. */
export interface ReceiveHarness {
  /** Most messages that may be handed over and not settled. */
  readonly inFlightMax: number
  /** A receiver on the source; after `stop` or `crash` another one may be started on the same source. */
  start(): Promise<{
    readonly deliveries: AsyncIterable<Delivery>
    /** Asks it to stop; resolves at once. */
    stop(): void
  }>
  /** The sender offers messages it has never offered. */
  send(controlIds: readonly string[]): Promise<void>
  /** The sender offers again what it holds no positive answer for, as it would after a broken connection. */
  sendAgain(): Promise<void>
  /** The sender offers these bytes, each as a message. */
  sendBytes(messages: readonly Buffer[]): Promise<void>
  /** Control ids the sender may forget, for it was told that they are stored. */
  acknowledged(): readonly string[]
  /** Positive answers, repeats counted. */
  answered(): number
  /** A message of this source that carries the id and the text in GB18030, as it is handed over. */
  message(controlId: string, text: string): Buffer
  /** Bytes that the source hands over and no parser reads. */
  readonly poison: Buffer
  /** The id in what was handed over; its control id where left out. */
  idOf?(message: IncomingMessage): string
  /** The receiver dies without a word; what was handed over is never settled. */
  crash(): Promise<void>
  close(): Promise<void>
}

export interface ReceiveCheck {
  readonly name: string
  run(harness: ReceiveHarness): Promise<void>
}

/** Long enough for an answer that should not be there to arrive. */
const quietMs = 150
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, quietMs))
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `C${i + 1}`)
const idsOf = (harness: ReceiveHarness, deliveries: readonly Delivery[]): string[] =>
  deliveries.map(({ message }) => harness.idOf?.(message) ?? message.controlId ?? '')

/** Takes deliveries into a list until the source ends. */
function take(deliveries: AsyncIterable<Delivery>): { readonly taken: Delivery[]; readonly ended: Promise<void> } {
  const taken: Delivery[] = []
  const ended = (async () => {
    for await (const delivery of deliveries) taken.push(delivery)
  })()
  ended.catch(() => undefined)
  return { taken, ended }
}

/** What every receiver owes its sender and the spool. */
export const receiveChecks: readonly ReceiveCheck[] = [
  {
    name: 'tells the sender nothing before the message is durable, and then does',
    async run(harness) {
      const { deliveries } = await harness.start()
      const { taken } = take(deliveries)
      await harness.send(['C1'])
      await until(() => taken.length === 1)
      await quiet()
      expect(harness.acknowledged()).toEqual([])
      await taken[0]!.accept()
      await until(() => harness.acknowledged().includes('C1'))
    },
  },
  {
    name: 'a refused message is not acknowledged and stays with the sender',
    async run(harness) {
      const { deliveries } = await harness.start()
      const { taken } = take(deliveries)
      await harness.send(['C1'])
      await until(() => taken.length === 1)
      await taken[0]!.refuse(new RefusedError('disk-full', 'full'))
      await quiet()
      expect(harness.acknowledged()).toEqual([])
      await harness.sendAgain()
      await until(() => taken.length === 2)
      expect(idsOf(harness, taken)).toEqual(['C1', 'C1'])
      await taken[1]!.accept()
      await until(() => harness.acknowledged().includes('C1'))
    },
  },
  {
    name: 'hands over the bytes that were sent, each once where nothing fails',
    async run(harness) {
      const { deliveries } = await harness.start()
      const { taken } = take(deliveries)
      await harness.send(numbered(20))
      const settled = new Set<Delivery>()
      await until(() => {
        for (const delivery of taken) {
          if (!settled.has(delivery)) void delivery.accept()
          settled.add(delivery)
        }
        return harness.acknowledged().length === 20
      })
      await quiet()
      expect(idsOf(harness, taken).sort()).toEqual(numbered(20).sort())
      for (const { message } of taken)
        expect(message.content.toString('latin1')).toContain(idsOf(harness, [{ message } as Delivery])[0])
    },
  },
  {
    name: 'after a crash in the middle nothing is missing',
    async run(harness) {
      const first = take((await harness.start()).deliveries)
      const names = numbered(Math.min(6, harness.inFlightMax))
      await harness.send(names)
      await until(() => first.taken.length === names.length)
      const stored = first.taken.filter((_, i) => i % 2 === 0)
      for (const delivery of stored) await delivery.accept()
      await harness.crash()
      const second = take((await harness.start()).deliveries)
      await harness.sendAgain()
      const owed = names.filter((name) => !idsOf(harness, stored).includes(name))
      await until(() => owed.every((name) => idsOf(harness, second.taken).includes(name)))
      expect(harness.acknowledged().filter((name) => owed.includes(name))).toEqual([])
    },
  },
  {
    name: 'reads no further than it may have under way',
    async run(harness) {
      const { deliveries } = await harness.start()
      const { taken } = take(deliveries)
      const names = numbered(harness.inFlightMax * 3)
      await harness.send(names)
      await until(() => taken.length >= harness.inFlightMax)
      await quiet()
      expect(taken.length).toBeLessThanOrEqual(harness.inFlightMax)
      for (let i = 0; i < names.length; i++) {
        await until(() => taken.length > i)
        await taken[i]!.accept()
      }
      await until(() => harness.acknowledged().length === names.length)
    },
  },
  {
    name: 'a stop lets what is under way finish, and the source ends',
    async run(harness) {
      const { deliveries, stop } = await harness.start()
      const { taken, ended } = take(deliveries)
      await harness.send(['C1', 'C2'])
      await until(() => taken.length === 2)
      stop()
      await taken[0]!.accept()
      await taken[1]!.refuse(new RefusedError('disk-full', 'full'))
      await ended
      await until(() => harness.acknowledged().includes('C1'))
      expect(harness.acknowledged()).toEqual(['C1'])
    },
  },
  {
    name: 'hands over the bytes as they are, whatever their charset',
    async run(harness) {
      const { deliveries } = await harness.start()
      const { taken } = take(deliveries)
      const sent = harness.message('C1', '弱阳性，复查；𠮷，①')
      await harness.sendBytes([sent])
      await until(() => taken.length === 1)
      expect(taken[0]!.message.content.equals(sent)).toBe(true)
      await taken[0]!.accept()
    },
  },
  {
    name: 'the same bytes twice are answered twice',
    async run(harness) {
      const { deliveries } = await harness.start()
      const { taken } = take(deliveries)
      const sent = harness.message('C1', '钾')
      await harness.sendBytes([sent, sent])
      const settled = new Set<Delivery>()
      await until(() => {
        for (const delivery of taken.filter((one) => !settled.has(one))) {
          settled.add(delivery)
          void delivery.accept()
        }
        return harness.answered() === 2
      })
      for (const { message } of taken) expect(message.content.equals(sent)).toBe(true)
    },
  },
  {
    name: 'what no parser will read is handed over too, and holds nothing up',
    async run(harness) {
      const { deliveries } = await harness.start()
      const { taken } = take(deliveries)
      await harness.sendBytes([harness.poison, harness.message('C2', '钾')])
      await until(() => taken.length === 2)
      for (const delivery of taken) await delivery.accept()
      await until(() => harness.answered() === 2)
      const contents = taken.map(({ message }) => message.content)
      expect(contents.some((content) => content.equals(harness.poison))).toBe(true)
    },
  },
  {
    name: 'a delivery is settled once',
    async run(harness) {
      const { deliveries } = await harness.start()
      const { taken } = take(deliveries)
      await harness.send(['C1'])
      await until(() => taken.length === 1)
      await taken[0]!.accept()
      await expect(taken[0]!.refuse(new RefusedError('disk-full', 'full'))).rejects.toThrow()
    },
  },
]

/** Runs every check against a fresh harness each. */
export function receiveContract(name: string, open: () => Promise<ReceiveHarness>): void {
  describe(`receive contract: ${name}`, () => {
    test.each(receiveChecks)('$name', async ({ run }) => {
      const harness = await open()
      try {
        await run(harness)
      } finally {
        await harness.close()
      }
    })
  })
}
