import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { receiveAstm } from '../../connectors/astm-lis2/receiver.js'
import type { Delivery } from '../../connectors/connector.js'
import { encode } from '../../connectors/hl7v2/encode.js'
import { DeliveryQueue } from '../../connectors/delivery-queue.js'
import { hl7v2Files } from '../../connectors/hl7v2-files/hl7v2-files.js'
import { receiveMllp } from '../../connectors/hl7v2-mllp/receiver.js'
import { AstmClient, results } from './astm-client.js'
import { filesHarness } from './files-harness.js'
import { hl7Message, hl7Poison, MllpClient, msa } from './mllp-client.js'
import { receiveChecks, receiveContract, type ReceiveHarness } from './receive-contract.js'

receiveContract('hl7v2-mllp', openMllp)
receiveContract('hl7v2-files', openFiles)
receiveContract('astm-lis2', openAstm)

async function openMllp(): Promise<ReceiveHarness> {
  const inFlightMax = 8
  const sent: string[] = []
  const clients: MllpClient[] = []
  const aborts: AbortController[] = []
  let client: MllpClient | undefined
  let port = 0
  const positive = (): string[] => clients.flatMap((c) => c.answers.map(msa)).filter((a) => a.startsWith('AA '))
  const acknowledged = (): string[] => [...new Set(positive())].map((a) => a.slice(3))
  const offerBytes = async (messages: readonly Buffer[]): Promise<void> => {
    if (client === undefined || client.closed) clients.push((client = await MllpClient.open(port)))
    for (const message of messages) client.send(message)
  }
  const offer = (ids: readonly string[]): Promise<void> => offerBytes(ids.map((id) => hl7Message(id, '钾')))
  return {
    inFlightMax,
    async start() {
      const abort = new AbortController()
      aborts.push(abort)
      const receiver = receiveMllp({ port: 0, maxInFlightMessages: inFlightMax, stopTimeoutMs: 500 }, abort.signal)
      port = (await receiver.listening).port
      client = undefined
      return { deliveries: receiver, stop: () => abort.abort() }
    },
    send: async (ids) => {
      sent.push(...ids)
      await offer(ids)
    },
    sendBytes: offerBytes,
    sendAgain: () => offer(sent.filter((id) => !acknowledged().includes(id))),
    acknowledged,
    answered: () => positive().length,
    message: hl7Message,
    poison: hl7Poison,
    crash: async () => {
      for (const c of clients) c.close()
    },
    close: async () => {
      for (const abort of aborts) abort.abort()
      for (const c of clients) c.close()
    },
  }
}

function openFiles(): Promise<ReceiveHarness> {
  const folder = mkdtempSync(join(tmpdir(), 'hutong-contract-'))
  return Promise.resolve(
    filesHarness({
      folder,
      ending: '.hl7',
      receive: hl7v2Files.receive,
      message: hl7Message,
      poison: hl7Poison,
      close: () => Promise.resolve(rmSync(folder, { recursive: true, force: true })),
    }),
  )
}

/** An analyser for each message, for each sends one at a time; a refused one waits to be sent again. */
async function openAstm(): Promise<ReceiveHarness> {
  const inFlightMax = 8
  const sent: string[] = []
  const answered: string[] = []
  const clients: AstmClient[] = []
  const aborts: AbortController[] = []
  let port = 0
  const once = { answerMs: 20_000, notReadyMs: 20, contentionMs: { instrument: 1, lis: 1 }, interruptMs: 1 }
  const message = (id: string, comment: string): Buffer => encode(results(id, { comment }).toString('utf8'), 'gb18030')
  const offer = async (messages: readonly Buffer[]): Promise<void> => {
    for (const message of messages) {
      const client: AstmClient = await AstmClient.open(port, once, (byte) => {
        // Gives up at the first NAK instead of repeating the frame at once.
        if (byte === 0x15) client.close()
        return byte
      })
      clients.push(client)
      void client.sendAll([message]).then(() => {
        if (client.outcomes[0] === 'sent') answered.push(message.toString('latin1').split('|')[2] ?? '')
        client.close()
      })
    }
  }
  return {
    inFlightMax,
    async start() {
      const abort = new AbortController()
      aborts.push(abort)
      const receiver = receiveAstm({ port: 0, maxInFlightMessages: inFlightMax, stopTimeoutMs: 500 }, abort.signal)
      port = (await receiver.listening!).port
      return { deliveries: receiver, stop: () => abort.abort() }
    },
    send: async (ids) => {
      sent.push(...ids)
      await offer(ids.map((id) => message(id, '复查')))
    },
    sendBytes: offer,
    sendAgain: () => offer(sent.filter((id) => !answered.includes(id)).map((id) => message(id, '复查'))),
    acknowledged: () => [...new Set(answered)],
    answered: () => answered.length,
    message,
    poison: Buffer.from('H|\\^&|POISON\rQQ|?\rL|1|N\r'),
    crash: async () => {
      for (const client of clients) client.close()
    },
    close: async () => {
      for (const abort of aborts) abort.abort()
      for (const client of clients) client.close()
    },
  }
}

type Fault =
  | 'none'
  | 'acknowledges-early'
  | 'acknowledges-refused'
  | 'forgets-on-crash'
  | 'no-bound'
  | 'never-ends'
  | 'settles-twice'
  | 'recodes'
  | 'swallows-repeats'
  | 'drops-what-it-cannot-read'

interface Offer {
  readonly id: string
  readonly content: Buffer
}

const idIn = (content: Buffer): string => content.toString('latin1').split('|')[9] ?? ''

/** A source in memory that keeps the contract, or breaks it in one place. */
function openDouble(fault: Fault): ReceiveHarness {
  const inFlightMax = 8
  const acknowledged: string[] = []
  let waiting: Offer[] = []
  let refused: Offer[] = []
  const held = new Set<Offer>()
  const seen = new Set<string>()
  let queue = new DeliveryQueue()
  let stopped = false
  const finish = (): void => {
    if (stopped && held.size === 0 && fault !== 'never-ends') queue.end()
  }
  const pump = (): void => {
    while (!stopped && waiting.length > 0 && (held.size < inFlightMax || fault === 'no-bound')) {
      const offered = waiting.shift()!
      const { id } = offered
      if (fault === 'swallows-repeats' && seen.has(id)) continue
      if (fault === 'drops-what-it-cannot-read' && offered.content.equals(hl7Poison)) continue
      seen.add(id)
      held.add(offered)
      if (fault === 'acknowledges-early') acknowledged.push(id)
      let open = true
      const settle = async (positive: boolean): Promise<void> => {
        if (!open && fault !== 'settles-twice') throw new Error('a delivery was settled twice')
        open = false
        held.delete(offered)
        if (positive || fault === 'acknowledges-refused') acknowledged.push(id)
        else refused.push(offered)
        pump()
        finish()
      }
      const content = fault === 'recodes' ? Buffer.from(offered.content.toString('utf8')) : offered.content
      const message = { content, controlId: id, receivedAt: Date.now() }
      queue.push({ message, accept: () => settle(true), refuse: () => settle(false) } satisfies Delivery)
    }
  }
  return {
    inFlightMax,
    async start() {
      queue = new DeliveryQueue()
      stopped = false
      pump()
      const current = queue
      return {
        deliveries: { [Symbol.asyncIterator]: () => ({ next: () => current.next() }) },
        stop: () => {
          stopped = true
          finish()
        },
      }
    },
    poison: hl7Poison,
    message: hl7Message,
    send: async (ids) => {
      waiting.push(...ids.map((id) => ({ id, content: hl7Message(id, '钾') })))
      pump()
    },
    sendBytes: async (messages) => {
      waiting.push(...messages.map((content) => ({ id: idIn(content), content })))
      pump()
    },
    sendAgain: async () => {
      waiting.push(...refused)
      refused = []
      pump()
    },
    acknowledged: () => [...new Set(acknowledged)],
    answered: () => acknowledged.length,
    crash: async () => {
      if (fault !== 'forgets-on-crash') waiting = [...held, ...waiting]
      held.clear()
      queue.end()
    },
    close: async () => queue.end(),
  }
}

receiveContract('a source in memory', async () => openDouble('none'))

describe('the contract finds a receiver that', () => {
  const allowedMs = 3000
  test.each<[Fault, RegExp]>([
    ['acknowledges-early', /before the message is durable/],
    ['acknowledges-refused', /refused message/],
    ['forgets-on-crash', /crash in the middle/],
    ['no-bound', /no further than it may/],
    ['never-ends', /a stop lets/],
    ['settles-twice', /settled once/],
    ['recodes', /whatever their charset/],
    ['swallows-repeats', /the same bytes twice/],
    ['drops-what-it-cannot-read', /no parser will read/],
  ])('%s', async (fault, expected) => {
    const [check] = receiveChecks.filter(({ name }) => expected.test(name))
    const harness = openDouble(fault)
    const outcome = await Promise.race([
      check!.run(harness).then(
        () => 'passed',
        () => 'failed',
      ),
      new Promise((resolve) => setTimeout(() => resolve('hung'), allowedMs)),
    ])
    await harness.close()
    expect(outcome).not.toBe('passed')
  })
})
