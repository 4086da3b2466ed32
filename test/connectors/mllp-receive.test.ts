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
  const receiver = hl7v2Mllp.receive({ port: 0, stopTimeoutMs: 200, ...config }, abort.signal, {
    onEvent: (event) => events.push(event),
  })
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

describe('modes (HL7 v2.5.1 section 2.9, tables 0008 and 0155)', () => {
  const accept = (delivery: Delivery) => delivery.accept()
  const refuse = (delivery: Delivery) => delivery.refuse(new RefusedError('disk-full', 'full'))
  test.each([
    // MSH-15, MSH-16, when stored, when not stored
    ['', '', ['AA'], ['AR']],
    ['AL', '', ['CA'], ['CE']],
    ['AL', 'NE', ['CA'], ['CE']],
    ['al ', 'ne', ['CA'], ['CE']],
    ['AL', 'AL', ['CA'], ['CE']],
    ['SU', 'NE', ['CA'], []],
    ['ER', 'NE', [], ['CE']],
    ['NE', 'NE', [], []],
    ['', 'NE', [], []],
    ['NE', 'AL', ['AA'], ['AR']],
    ['', 'AL', ['AA'], ['AR']],
    ['NE', 'SU', ['AA'], []],
    ['NE', 'ER', [], ['AR']],
    ['XX', 'NE', ['CA'], ['CE']],
  ])('MSH-15 %j, MSH-16 %j', async (msh15, msh16, stored, notStored) => {
    for (const [settle, expected] of [
      [accept, stored],
      [refuse, notStored],
    ] as const) {
      const { client } = await start({}, settle)
      const sender = await client()
      sender.send(oru('E1', { msh15, msh16 }))
      // A message in original mode after it shows that nothing more was answered before.
      sender.send(oru('LAST'))
      const answers = codes(await sender.take(expected.length + 1))
      expect(answers.slice(0, -1)).toEqual(expected.map((code) => `${code} E1`))
      expect(answers.at(-1)).toMatch(/ LAST$/)
    }
  })

  test('a feed may ask for original mode whatever the messages say', async () => {
    const { client } = await start({ acknowledgement: 'original' })
    const sender = await client()
    sender.send(oru('E1', { msh15: 'AL', msh16: 'NE' }))
    expect(codes(await sender.take(1))).toEqual(['AA E1'])
  })

  test('a feed may ask for the application acknowledgement when the message is stored', async () => {
    const { client } = await start({ applicationAcknowledgement: 'when-stored' })
    const sender = await client()
    sender.send(oru('E1', { msh15: 'AL', msh16: 'AL' }))
    expect(codes(await sender.take(2))).toEqual(['CA E1', 'AA E1'])
    sender.send(oru('E2', { msh15: 'AL', msh16: 'NE' }))
    sender.send(oru('E3'))
    expect(codes(await sender.take(4)).slice(2)).toEqual(['CA E2', 'AA E3'])
  })

  test.each([
    [new RefusedError('disk-full', ''), 'AR', /disk of the receiver is full/],
    [new RefusedError('stopping', ''), 'AR', /stopping/],
    [new RefusedError('validation', ''), 'AE', /validation/],
    [new RetryableError(''), 'AR', /Send again later/],
  ])('refused by %s', async (error, code, text) => {
    const { client, receiver } = await start({}, (delivery) => delivery.refuse(error))
    const sender = await client()
    sender.send(oru('A1'))
    const [answer] = await sender.take(1)
    expect(msa(answer)).toBe(`${code} A1`)
    expect(answer).toMatch(text)
    expect(answer).toMatch(/\rERR\|\|\|207\^Application internal error\^HL70357\|E\|\|\|\|Not stored/)
    const reason = error instanceof RefusedError ? error.reason : 'retry-later'
    expect(receiver.stats()).toMatchObject({ received: 1, acknowledged: 0, refused: { [reason]: 1 } })
  })

  test('the answer turns sender and receiver round, in the bytes and with the separators of the sender', async () => {
    const { client } = await start({}, refuse)
    const sender = await client()
    // 检 in GBK is BC EC, 譢 is D7 7C: its second byte is the usual field separator.
    const gbk = Buffer.from([0xbc, 0xec, 0xd7, 0x7c])
    const header = Buffer.concat([
      Buffer.from('MSH|$~\\&|'),
      gbk,
      Buffer.from('|H1|HUTONG|P|20260102030405||ORU$R01|G1|P|2.3.1||||||GB18030\r'),
      Buffer.from('OBX|1\r'),
    ])
    sender.send(header)
    const [answer] = await sender.take(1)
    const [msh, msaLine, ...more] = answer!.split('\r')
    expect(msh).toMatch(
      /^MSH\|\$~\\&\|HUTONG\|P\|\xbc\xec\xd7\x7c\|H1\|\d{14}\+0800\|\|ACK\$R01\$ACK\|\w{1,20}\|P\|2\.3\.1\|\|\|\|\|\|GB18030$/,
    )
    expect(msaLine).toMatch(/^MSA\|AR\|G1\|Not stored: /)
    expect(more).toEqual([''])
  })
})

describe('framing', () => {
  test.each([
    ['no CR at the end', '\x1c'],
    ['LF at the end', '\x1c\n'],
    ['CR LF at the end', '\x1c\r\n'],
  ])('%s', async (_name, end) => {
    const { client } = await start()
    const sender = await client()
    for (const id of ['A1', 'A2']) {
      sender.write(Buffer.concat([Buffer.of(0x0b), oru(id), Buffer.from(end, 'latin1')]))
      await sender.take(id === 'A1' ? 1 : 2)
    }
    expect(codes(sender.answers)).toEqual(['AA A1', 'AA A2'])
  })

  test('several messages in a packet, with junk between, and one over many packets', async () => {
    const { client, receiver } = await start()
    const sender = await client()
    sender.write(Buffer.concat([framed(oru('A1')), Buffer.from('\r\nJUNK\r\n'), framed(oru('A2'))]))
    expect(codes(await sender.take(2))).toEqual(['AA A1', 'AA A2'])
    const bytes = framed(oru('A3'))
    for (const byte of bytes) {
      sender.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(codes(await sender.take(3))[2]).toBe('AA A3')
    expect(receiver.stats()).toMatchObject({ received: 3, acknowledged: 3, junkBytes: 4, heldBytes: 0 })
  })

  test('a block without a readable MSH gets an AR without a control id and is counted', async () => {
    const { client, taken, receiver } = await start()
    const sender = await client()
    sender.send('hello')
    sender.send(oru('A1'))
    const answers = await sender.take(2)
    expect(codes(answers)).toEqual(['AR ', 'AA A1'])
    expect(answers[0]).toContain('Start each MLLP block with MSH')
    expect(taken).toHaveLength(1)
    expect(receiver.stats()).toMatchObject({ received: 2, refused: { 'no-readable-msh': 1 } })
  })

  test('a message above the limit is refused in its turn, and the connection goes on', async () => {
    const { client, taken, receiver } = await start({ maxMessageBytes: 10_000 })
    const sender = await client()
    sender.send(oru('A1'))
    sender.send(oru('BIG', { text: 'x'.repeat(100_000) }))
    sender.send(oru('A2'))
    const answers = await sender.take(3)
    expect(codes(answers)).toEqual(['AA A1', 'AR BIG', 'AA A2'])
    expect(answers[1]).toContain('larger than this receiver takes')
    expect(taken.map((delivery) => delivery.message.controlId)).toEqual(['A1', 'A2'])
    expect(receiver.stats()).toMatchObject({ received: 3, refused: { 'too-large': 1 }, heldBytes: 0 })
  })

  test('a message without end is refused when its time is over, and the connection closed', async () => {
    const { client, receiver, events } = await start({ frameTimeoutMs: 100 })
    const sender = await client()
    sender.write(Buffer.concat([Buffer.of(0x0b), oru('HALF')]))
    await until(() => sender.closed && receiver.stats().connectionsOpen === 0)
    expect(codes(sender.answers)).toEqual(['AR HALF'])
    expect(sender.answers[0]).toContain('0x1C 0x0D')
    expect(receiver.stats()).toMatchObject({ refused: { 'bad-frame': 1 }, connectionsTimedOut: 1, heldBytes: 0 })
    expect(events).toContainEqual(expect.objectContaining({ event: 'disconnected', reason: 'frame-timeout' }))
  })

  test('a sender that drips bytes cannot keep a message open for ever', async () => {
    const { client, receiver } = await start({ frameTimeoutMs: 150 })
    const sender = await client()
    sender.write(Buffer.of(0x0b))
    const drip = setInterval(() => sender.write('x'), 10)
    await until(() => sender.closed)
    clearInterval(drip)
    expect(receiver.stats().connectionsTimedOut).toBe(1)
  })

  test('a connection cut within a message counts as refused', async () => {
    const { client, receiver, taken } = await start()
    const sender = await client()
    sender.write(Buffer.concat([framed(oru('A1')), Buffer.of(0x0b), oru('HALF')]))
    await sender.take(1)
    sender.close()
    await until(() => receiver.stats().connectionsOpen === 0)
    expect(receiver.stats()).toMatchObject({ refused: { 'bad-frame': 1 }, heldBytes: 0 })
    expect(taken).toHaveLength(1)
  })
})

describe('limits', () => {
  test('an idle connection is closed, one that waits for its answer is not', async () => {
    const { client, taken, receiver } = await start({ idleTimeoutMs: 100 }, () => undefined)
    const idle = await client()
    const waiting = await client()
    waiting.send(oru('A1'))
    await until(() => idle.closed && taken.length === 1)
    expect(waiting.closed).toBe(false)
    expect(receiver.stats().connectionsTimedOut).toBe(1)
    await taken[0]!.accept()
    expect(codes(await waiting.take(1))).toEqual(['AA A1'])
  })

  test('a connection beyond the limit is closed at once and counted', async () => {
    const { client, receiver } = await start({ maxConnections: 2 })
    const [first] = [await client(), await client()]
    const third = await client()
    await until(() => third.closed)
    expect(receiver.stats()).toMatchObject({ connectionsOpen: 2, connectionsRefused: { 'too-many': 1 } })
    first!.close()
    await until(() => receiver.stats().connectionsOpen === 1)
    const again = await client()
    again.send(oru('A1'))
    expect(codes(await again.take(1))).toEqual(['AA A1'])
  })

  test('peers that are not on the list are closed at once', async () => {
    const refused = await start({ allow: ['10.0.0.0/8'] })
    const sender = await refused.client()
    await until(() => sender.closed)
    expect(refused.receiver.stats()).toMatchObject({ connectionsAccepted: 0, connectionsRefused: { 'not-allowed': 1 } })
    const mapped = await start({ host: '::', allow: ['127.0.0.0/8'] })
    const allowed = await mapped.client()
    allowed.send(oru('A1'))
    expect(codes(await allowed.take(1))).toEqual(['AA A1'])
  })

  test('one connection has no more than its share under way, and stops being read', async () => {
    const { client, taken, receiver } = await start({ maxInFlightPerConnection: 4 }, () => undefined)
    const sender = await client()
    const ids = Array.from({ length: 200 }, (_, i) => `P${i}`)
    sender.write(Buffer.concat(ids.map((id) => framed(oru(id, { text: 'x'.repeat(3000) })))))
    await until(() => taken.length === 4)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(taken).toHaveLength(4)
    for (let i = 0; i < ids.length; i++) {
      await until(() => taken.length > i)
      await taken[i]!.accept()
      expect(receiver.stats().inFlight).toBeLessThanOrEqual(4)
    }
    expect(codes(await sender.take(200))).toEqual(ids.map((id) => `AA ${id}`))
  })

  test('all connections together have no more than the limit under way, and each gets its turn', async () => {
    const { client, taken, receiver } = await start({ maxInFlightMessages: 3 }, () => undefined)
    const senders = await Promise.all(Array.from({ length: 8 }, () => client()))
    for (const [n, sender] of senders.entries()) {
      sender.write(Buffer.concat([0, 1, 2].map((i) => framed(oru(`S${n}-${i}`)))))
    }
    for (let i = 0; i < 24; i++) {
      await until(() => taken.length > i)
      expect(receiver.stats().inFlight).toBeLessThanOrEqual(3)
      await taken[i]!.accept()
    }
    for (const [n, sender] of senders.entries()) {
      expect(codes(await sender.take(3))).toEqual([0, 1, 2].map((i) => `AA S${n}-${i}`))
    }
  })

  test('messages under way are bounded in bytes, and a larger one still passes', async () => {
    const { client, taken, receiver } = await start({ maxInFlightBytes: 5000 }, () => undefined)
    const senders = await Promise.all(Array.from({ length: 4 }, () => client()))
    for (const [n, sender] of senders.entries()) sender.send(oru(`B${n}`, { text: 'x'.repeat(20_000) }))
    for (let i = 0; i < 4; i++) {
      await until(() => taken.length === i + 1)
      expect(receiver.stats().inFlight).toBe(1)
      await taken[i]!.accept()
    }
    for (const sender of senders) expect(codes(await sender.take(1))[0]).toMatch(/^AA B/)
  })

  test('incomplete messages share bounded memory: the largest holder is closed, the small ones live', async () => {
    const { client, receiver } = await start({ maxMessageBytes: 1_000_000, maxHeldBytes: 1 })
    const small = await client()
    small.write(Buffer.concat([Buffer.of(0x0b), oru('SMALL')]))
    const hostile = await Promise.all(Array.from({ length: 6 }, () => client()))
    for (const sender of hostile) sender.write(Buffer.concat([Buffer.of(0x0b), Buffer.alloc(600_000, 'x')]))
    await until(() => receiver.stats().connectionsShed > 0)
    expect(receiver.stats().heldBytes).toBeLessThanOrEqual(2_000_000)
    small.write('\x1c\r')
    expect(codes(await small.take(1))).toEqual(['AA SMALL'])
  })

  test('floods and frames without end cost no memory and hold up nobody', async () => {
    const { client, receiver } = await start({ maxMessageBytes: 100_000 })
    const endless = await client()
    const flood = await client()
    endless.write(Buffer.of(0x0b))
    const chunk = Buffer.alloc(1024 * 1024, 'x')
    const starts = Buffer.alloc(1024 * 1024, 0x0b)
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 128; i++) {
      await Promise.all([
        new Promise((resolve) => endless.socket.write(chunk, resolve)),
        new Promise((resolve) => flood.socket.write(starts, resolve)),
      ])
    }
    expect(receiver.stats().heldBytes).toBeLessThanOrEqual(100_000)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(96 * 1024 * 1024)
    const honest = await client()
    honest.send(oru('A1'))
    expect(codes(await honest.take(1))).toEqual(['AA A1'])
  })

  test('a sender that never reads its answers is not read any more', async () => {
    const { client, receiver } = await start()
    const sender = await client()
    sender.socket.pause()
    const packet = Buffer.concat(Array.from({ length: 200 }, (_, i) => framed(oru(`N${i}`))))
    let received = -1
    let quietRounds = 0
    // Until the receiver has read nothing for many rounds though there is something to read.
    await until(() => {
      const before = received
      received = receiver.stats().received
      if (sender.socket.writableLength < 2_000_000) for (let i = 0; i < 20; i++) sender.socket.write(packet)
      quietRounds = received === before ? quietRounds + 1 : 0
      return sender.socket.writableLength >= 2_000_000 && quietRounds > 50
    })
    const other = await client()
    other.send(oru('OTHER'))
    expect(codes(await other.take(1))).toEqual(['AA OTHER'])
    expect(receiver.stats().received - received).toBe(1)
    expect(sender.socket.writableLength).toBeGreaterThan(0)
  })
})

describe('connections', () => {
  test('a sender that closes its half still gets its answers', async () => {
    const { client, taken } = await start({}, () => undefined)
    const sender = await client({ allowHalfOpen: true })
    sender.send(oru('A1'))
    sender.socket.end(Buffer.concat([Buffer.of(0x0b), oru('A2'), Buffer.of(0x1c)]))
    await until(() => taken.length === 2)
    await taken[1]!.accept()
    await taken[0]!.accept()
    await until(() => sender.ended)
    expect(codes(sender.answers)).toEqual(['AA A1', 'AA A2'])
  })

  test('a sender that is gone when its message is durable is counted, and nothing breaks', async () => {
    const { client, taken, receiver } = await start({}, () => undefined)
    const sender = await client()
    sender.send(oru('A1'))
    await until(() => taken.length === 1)
    sender.socket.resetAndDestroy()
    await until(() => receiver.stats().connectionsOpen === 0)
    await taken[0]!.accept()
    await until(() => receiver.stats().unanswered === 1)
    expect(receiver.stats()).toMatchObject({ acknowledged: 0, inFlight: 0 })
    const next = await client()
    next.send(oru('A2'))
    await until(() => taken.length === 2)
    await taken[1]!.accept()
    expect(codes(await next.take(1))).toEqual(['AA A2'])
  })

  test('an address that is taken fails with what to mend', async () => {
    const { port } = await start()
    const second = hl7v2Mllp.receive({ port }, new AbortController().signal)
    await expect(second.listening).rejects.toThrow(UsageError)
    await expect(second[Symbol.asyncIterator]().next()).rejects.toThrow(/EADDRINUSE/)
  })
})

describe('stopping', () => {
  test('answers what is under way, refuses what nobody took, and ends', async () => {
    const abort = new AbortController()
    const receiver = hl7v2Mllp.receive({ port: 0 }, abort.signal)
    const { port } = await receiver.listening
    const sender = await MllpClient.open(port)
    sender.write(Buffer.concat([framed(oru('A1')), framed(oru('A2')), Buffer.of(0x0b), oru('HALF')]))
    const deliveries = receiver[Symbol.asyncIterator]()
    const first = await deliveries.next()
    await until(() => receiver.stats().inFlight === 2)
    abort.abort()
    const end = deliveries.next()
    await until(() => receiver.stats().refused.stopping === 2)
    expect(sender.answers).toEqual([])
    await (first.value as Delivery).accept()
    expect(await end).toEqual({ done: true, value: undefined })
    await until(() => sender.closed)
    expect(codes(sender.answers)).toEqual(['AA A1', 'AR A2', 'AR HALF'])
    expect(receiver.stats()).toMatchObject({ received: 2, acknowledged: 1, connectionsOpen: 0, inFlight: 0 })
    const late = await MllpClient.open(port)
    expect(late.error?.code).toBe('ECONNREFUSED')
  })

  test('waits no longer than it may for what is never settled', async () => {
    const { client, taken, receiver, stop } = await start({ stopTimeoutMs: 50 }, () => undefined)
    const sender = await client()
    sender.send(oru('A1'))
    await until(() => taken.length === 1)
    await stop()
    expect(sender.answers).toEqual([])
    await taken[0]!.accept()
    expect(receiver.stats()).toMatchObject({ connectionsOpen: 0, inFlight: 0 })
  })

  test('leaving the loop stops the receiver and refuses the rest', async () => {
    const receiver = hl7v2Mllp.receive({ port: 0 }, new AbortController().signal)
    const { port } = await receiver.listening
    const sender = await MllpClient.open(port)
    sender.write(Buffer.concat([framed(oru('A1')), framed(oru('A2'))]))
    for await (const delivery of receiver) {
      await until(() => receiver.stats().received === 2)
      await delivery.accept()
      break
    }
    await until(() => sender.closed)
    expect(codes(sender.answers)).toEqual(['AA A1', 'AR A2'])
  })

  test('a signal that has already aborted never listens', async () => {
    const receiver = hl7v2Mllp.receive({ port: 0 }, AbortSignal.abort())
    await expect(receiver.listening).rejects.toThrow()
    expect(await receiver[Symbol.asyncIterator]().next()).toEqual({ done: true, value: undefined })
  })
})

describe('what is reported', () => {
  test('carries no content', async () => {
    const { client, events } = await start({ maxMessageBytes: 500 })
    const sender = await client()
    sender.send(oru('BIG', { text: '机密'.repeat(500) }))
    sender.send('机密')
    await sender.take(2)
    expect(events.map((event) => event.event)).toEqual(['listening', 'connected', 'refused', 'refused'])
    expect(JSON.stringify(events)).not.toMatch(/机密|T1001|测试/)
    expect(events[2]).toMatchObject({ reason: 'too-large', controlId: 'BIG' })
  })
})
