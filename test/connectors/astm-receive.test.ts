import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { enq, eot } from '../../connectors/astm-lis2/control.js'
import { receiveAstm, type AstmReceiver } from '../../connectors/astm-lis2/receiver.js'
import { encodeFrame } from '../../connectors/astm-lis2/control.js'
import type { AstmReceiveConfig } from '../../connectors/astm-lis2/config.js'
import { analyserMessages } from '../../cli/demo/astm-messages.js'
import { sendOverAstm } from '../../cli/demo/astm-simulator.js'
import { contentOf, Journal, type SimulatedMessage } from '../../cli/demo/journal.js'
import { take } from '../../cli/demo/messages.js'
import { Random } from '../../cli/demo/random.js'
import { RefusedError } from '../../core/errors.js'
import { messageId } from '../../core/ids.js'
import type { Delivery } from '../../connectors/connector.js'
import { AstmClient, quickTimes, results, serialServer } from './astm-client.js'
import { until } from './mllp-client.js'

const aborts: AbortController[] = []
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
  for (const abort of aborts.splice(0)) abort.abort()
})

/** A receiver whose deliveries are settled by `settle`, all accepted by default. */
async function receiving(
  config: Partial<AstmReceiveConfig> = {},
  settle: (delivery: Delivery) => Promise<void> = (delivery) => delivery.accept(),
) {
  const abort = new AbortController()
  aborts.push(abort)
  const receiver: AstmReceiver = receiveAstm({ port: 0, stopTimeoutMs: 500, ...config }, abort.signal)
  const taken: Delivery[] = []
  const ended = (async () => {
    for await (const delivery of receiver) {
      taken.push(delivery)
      await settle(delivery)
    }
  })()
  const port = receiver.listening === undefined ? 0 : (await receiver.listening).port
  return { receiver, taken, port, ended, stop: () => abort.abort() }
}

async function client(port: number): Promise<AstmClient> {
  const opened = await AstmClient.open(port)
  closers.push(() => opened.close())
  return opened
}

const text = (delivery: Delivery | undefined): string => delivery?.message.content.toString() ?? ''

describe('a real line', { timeout: 60_000 }, () => {
  test('several messages over one connection, as they were sent', async () => {
    const { port, taken, receiver } = await receiving()
    const analyser = await client(port)
    const messages = ['A1', 'A2', 'A3'].map((id) => results(id))
    await analyser.sendAll(messages)
    expect(analyser.outcomes).toEqual(['sent', 'sent', 'sent'])
    expect(taken.map((delivery) => delivery.message.content)).toEqual(messages)
    expect(taken.map((delivery) => delivery.message.controlId)).toEqual(['A1', 'A2', 'A3'])
    expect(receiver.stats()).toMatchObject({ acknowledged: 3, unfinished: 0, inFlight: 0 })
  })

  test('analysers that lose answers, garble frames and contend: everything acknowledged was taken with its bytes', async () => {
    const { port, taken, receiver } = await receiving()
    const journal = new Journal({ feed: 'line' })
    const { faults } = await sendOverAstm(
      {
        ...{ host: '127.0.0.1', port, connections: 3, journal, random: new Random(7, 'line'), againMs: 5 },
        ...{ loseAnswers: 0.05, badChecksum: 0.05, contention: 0.2, times: quickTimes },
        messages: take<SimulatedMessage>(analyserMessages({ hospital: 'H002', seed: 7 }), 60),
      },
      new AbortController().signal,
    )
    expect(journal.totals().acknowledged).toBe(60)
    for (const count of Object.values(faults)) expect(count).toBeGreaterThan(0)
    const ids = new Set(taken.map(({ message }) => messageId('line', message.content)))
    for (const entry of journal.entries) expect(ids.has(entry.messageId!), entry.controlId).toBe(true)
    // Broken connections leave beginnings of messages; nothing else is foreign.
    const whole = taken.filter(({ message }) => /\rL\|1\|N\r$/.test(message.content.toString('latin1')))
    expect(new Set(whole.map(({ message }) => messageId('line', message.content))).size).toBe(60)
    expect(receiver.stats().line['bad-checksum']).toBe(faults.badChecksum)
    expect(receiver.stats().line.repeated).toBeGreaterThan(0)
  })

  test('a full disk: NAK, the analyser repeats the frame, and the message arrives once there is room', async () => {
    let refusals = 3
    const { port, taken, receiver } = await receiving({}, (delivery) =>
      refusals-- > 0 ? delivery.refuse(new RefusedError('disk-full', 'full')) : delivery.accept(),
    )
    const analyser = await client(port)
    await analyser.sendAll([results('A1')])
    expect(analyser.outcomes).toEqual(['sent'])
    expect(taken.map(text)).toEqual(Array(4).fill(results('A1').toString()))
    expect(receiver.stats()).toMatchObject({ acknowledged: 1, refused: { 'disk-full': 3 } })
  })

  test('storing that takes longer than a sender waits: NAK first, ACK when it is durable, one message', async () => {
    let settle: (() => void) | undefined
    const { port, taken, receiver } = await receiving({ answerTimeoutMs: 100 }, async (delivery) => {
      await new Promise<void>((resolve) => (settle = resolve))
      await delivery.accept()
    })
    const analyser = await client(port)
    analyser.send(results('A1'))
    await until(() => analyser.answers.includes(0x15))
    expect(analyser.outcomes).toEqual([])
    settle!()
    await until(() => analyser.outcomes.length === 1)
    expect(analyser.outcomes).toEqual(['sent'])
    expect(taken).toHaveLength(1)
    expect(receiver.stats().line.repeated).toBeGreaterThan(0)
  })

  test('a message without L is kept, and enquiries wait until it is stored', async () => {
    let full = true
    const { port, taken, receiver } = await receiving({}, (delivery) =>
      full ? delivery.refuse(new RefusedError('disk-full', 'full')) : delivery.accept(),
    )
    const analyser = await client(port)
    const beginning = results('A1').subarray(0, results('A1').indexOf('L|1'))
    await analyser.sendAll([beginning])
    expect(analyser.outcomes).toEqual(['sent'])
    await until(() => taken.length === 1)
    expect(text(taken[0])).toBe(beginning.toString())
    await analyser.sendAll([results('A2')])
    expect(analyser.outcomes).toEqual(['sent', 'not-ready'])
    full = false
    await until(() => receiver.stats().unanswered === 1)
    await analyser.sendAll([results('A2')])
    expect(analyser.outcomes.at(-1)).toBe('sent')
    expect(taken.map(text).slice(-2)).toEqual([beginning.toString(), results('A2').toString()])
  })

  test('what the connection cut off is kept', async () => {
    const { port, taken, receiver } = await receiving()
    const analyser = await client(port)
    analyser.write(Buffer.from([enq]))
    await until(() => analyser.answers.length === 1)
    analyser.write(encodeFrame(1, Buffer.from('H|\\^&|A9\r'), true))
    await until(() => analyser.answers.length === 2)
    analyser.close()
    await until(() => taken.length === 1)
    expect(text(taken[0])).toBe('H|\\^&|A9\r')
    expect(receiver.stats().unfinished).toBe(1)
  })

  test('garbage, an endless frame and a silent peer hold nobody up, and are closed when idle', async () => {
    const { port, taken, receiver } = await receiving({ idleTimeoutMs: 3000, maxFrameBytes: 1000, frameTimeoutMs: 200 })
    const hostile = await Promise.all([client(port), client(port), client(port)])
    hostile[0]!.write(Buffer.alloc(300_000, 0xe9))
    hostile[1]!.write(Buffer.concat([Buffer.of(enq), Buffer.from('\x021H|'), Buffer.alloc(300_000, 0x78)]))
    const analyser = await client(port)
    await analyser.sendAll([results('A1'), results('A2')])
    expect(analyser.outcomes).toEqual(['sent', 'sent'])
    await until(() => hostile.every(({ closed }) => closed))
    expect(taken).toHaveLength(2)
    const stats = receiver.stats()
    expect(stats.line['timed-out']).toBe(1)
    expect(stats.junkBytes).toBeGreaterThanOrEqual(300_000)
    expect(stats.connectionsTimedOut).toBeGreaterThanOrEqual(3)
  })

  test('a connection whose message is being stored is not idle', async () => {
    const { port, receiver } = await receiving({ idleTimeoutMs: 200 }, async (delivery) => {
      await new Promise((resolve) => setTimeout(resolve, 1000))
      await delivery.accept()
    })
    const analyser = await client(port)
    await analyser.sendAll([results('A1')])
    expect(analyser.outcomes).toEqual(['sent'])
    expect(receiver.stats().acknowledged).toBe(1)
  })

  test('connections beyond the bound and peers that are not allowed are not taken', async () => {
    const few = await receiving({ maxConnections: 1 })
    await client(few.port)
    const second = await client(few.port)
    await until(() => second.closed)
    expect(few.receiver.stats().connectionsRefused['too-many']).toBe(1)

    const strict = await receiving({ allow: ['192.0.2.0/24'] })
    const stranger = await client(strict.port)
    await until(() => stranger.closed)
    expect(strict.receiver.stats().connectionsRefused['not-allowed']).toBe(1)
  })

  test('an EOT before the message is stored: the sender hears of it by sending again, the spool has it', async () => {
    let settle: (() => void) | undefined
    const { port, taken, receiver } = await receiving({}, async (delivery) => {
      await new Promise<void>((resolve) => (settle = resolve))
      await delivery.accept()
    })
    const socket = connect({ host: '127.0.0.1', port })
    closers.push(() => socket.destroy())
    socket.on('error', () => undefined)
    const frames = ['H|\\^&|A1\r', 'L|1|N\r'].map((record, at) => encodeFrame(at + 1, Buffer.from(record), true))
    socket.write(Buffer.concat([Buffer.of(enq), ...frames, Buffer.of(eot)]))
    await until(() => taken.length === 1)
    settle!()
    await until(() => receiver.stats().unanswered === 1)
    expect(receiver.stats()).toMatchObject({ acknowledged: 0, inFlight: 0, unfinished: 0 })
  })
})

describe('as a client of a serial server', { timeout: 60_000 }, () => {
  test('connects, takes what the analyser sends, and connects again after the server went away', async () => {
    const analysers: AstmClient[] = []
    const server = await serialServer((socket) => analysers.push(new AstmClient(socket)))
    closers.push(server.close)
    const { taken, receiver, stop, ended } = await receiving({ mode: 'connect', port: server.port, reconnectMs: 20 })
    await until(() => analysers.length === 1)
    await analysers[0]!.sendAll([results('A1')])
    analysers[0]!.close()
    await until(() => analysers.length === 2)
    await analysers[1]!.sendAll([results('A2')])
    expect(taken.map((delivery) => delivery.message.controlId)).toEqual(['A1', 'A2'])
    expect(receiver.stats()).toMatchObject({ connectionsAccepted: 2, acknowledged: 2 })
    stop()
    await ended
  })

  test('goes on trying where nobody listens yet', async () => {
    const server = await serialServer(() => undefined)
    server.close()
    const { receiver, stop, ended } = await receiving({ mode: 'connect', port: server.port, reconnectMs: 10 })
    await until(() => receiver.stats().connectFailures > 1)
    stop()
    await ended
  })
})

describe('messages of the simulator', () => {
  test('the same seed sends the same bytes, each with its control id', () => {
    const first = [...take<SimulatedMessage>(analyserMessages({ hospital: 'H001', seed: 3 }), 5)]
    const again = [...take<SimulatedMessage>(analyserMessages({ hospital: 'H001', seed: 3 }), 5)]
    expect(first).toEqual(again)
    for (const message of first) expect(contentOf(message).toString()).toContain(`H|\\^&|${message.controlId}|`)
  })
})
