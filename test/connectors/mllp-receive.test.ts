import { afterEach, describe, expect, test } from 'vitest'
import type { Delivery } from '../../connectors/connector.js'
import type { MllpReceiveConfig } from '../../connectors/hl7v2-mllp/config.js'
import type { MllpEvent } from '../../connectors/hl7v2-mllp/events.js'
import { hl7v2Mllp } from '../../connectors/hl7v2-mllp/hl7v2-mllp.js'
import type { MllpReceiver } from '../../connectors/hl7v2-mllp/receiver.js'
import { RefusedError, RetryableError, UsageError } from '../../core/errors.js'
import { framed, MllpClient, msa, oru, until } from './mllp-client.js'

interface Running {
  readonly receiver: MllpReceiver
  readonly port: number
  readonly taken: Delivery[]
  readonly events: MllpEvent[]
  stop(): Promise<void>
  client(options?: Parameters<typeof MllpClient.open>[1]): Promise<MllpClient>
}

const running: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of running.splice(0)) await stop()
})

/** Starts a receiver on a free port; `settle` does with each delivery what the spool would, by default accept. */
async function start(
  config: MllpReceiveConfig = {},
  settle: (delivery: Delivery) => unknown = (delivery) => delivery.accept(),
): Promise<Running> {
  const abort = new AbortController()
  const events: MllpEvent[] = []
  const receiver = hl7v2Mllp.receive({ port: 0, ...config }, abort.signal, { onEvent: (event) => events.push(event) })
  const taken: Delivery[] = []
  const clients: MllpClient[] = []
  const loop = (async () => {
    for await (const delivery of receiver) {
      taken.push(delivery)
      settle(delivery)
    }
  })()
  const { port } = await receiver.listening
  const stop = async (): Promise<void> => {
    abort.abort()
    await loop
    for (const client of clients) client.close()
  }
  running.push(stop)
  const client = async (options?: Parameters<typeof MllpClient.open>[1]): Promise<MllpClient> => {
    const opened = await MllpClient.open(port, options)
    clients.push(opened)
    return opened
  }
  return { receiver, port, taken, events, stop, client }
}

const codes = (answers: readonly string[]): string[] => answers.map(msa)

describe('acknowledgement', () => {
  test('comes after accept and not before', async () => {
    const { client, taken, receiver } = await start({}, () => undefined)
    const sender = await client()
    sender.send(oru('A1'))
    await until(() => taken.length === 1)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(sender.answers).toEqual([])
    expect(receiver.stats()).toMatchObject({ received: 1, acknowledged: 0, inFlight: 1 })
    await taken[0]!.accept()
    expect(codes(await sender.take(1))).toEqual(['AA A1'])
    expect(receiver.stats()).toMatchObject({ acknowledged: 1, inFlight: 0, inFlightBytes: 0 })
  })

  test('the bytes are the sender’s', async () => {
    const { client, taken } = await start()
    const sender = await client()
    const bytes = Buffer.from([...oru('A1'), 0xd0, 0x7c, 0x00, 0xff, 0x0d])
    sender.send(bytes)
    await sender.take(1)
    expect(taken[0]!.message.content.equals(bytes)).toBe(true)
    expect(taken[0]!.message.controlId).toBe('A1')
  })

  test('answers keep the order of the messages, in whatever order they become durable', async () => {
    const { client, taken } = await start({}, () => undefined)
    const sender = await client()
    sender.write(Buffer.concat(['A1', 'A2', 'A3', 'A4'].map((id) => framed(oru(id)))))
    await until(() => taken.length === 4)
    await taken[3]!.accept()
    await taken[1]!.refuse(new RefusedError('disk-full', 'full'))
    await taken[2]!.accept()
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(sender.answers).toEqual([])
    await taken[0]!.accept()
    expect(codes(await sender.take(4))).toEqual(['AA A1', 'AR A2', 'AA A3', 'AA A4'])
  })

  test('a connection that waits holds up no other', async () => {
    const { client, taken } = await start({}, (delivery) => {
      if (delivery.message.controlId !== 'SLOW') void delivery.accept()
    })
    const slow = await client()
    const quick = await client()
    slow.send(oru('SLOW'))
    await until(() => taken.length === 1)
    quick.send(oru('Q1'))
    expect(codes(await quick.take(1))).toEqual(['AA Q1'])
    expect(slow.answers).toEqual([])
  })

  test('settling twice is a bug that says so', async () => {
    const { client, taken } = await start({}, () => undefined)
    const sender = await client()
    sender.send(oru('A1'))
    await until(() => taken.length === 1)
    await taken[0]!.accept()
    await expect(taken[0]!.refuse(new RefusedError('disk-full', 'full'))).rejects.toThrow('twice')
    expect(codes(await sender.take(1))).toEqual(['AA A1'])
  })
})
