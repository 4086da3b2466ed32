import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { receiveAstm } from '../../connectors/astm-lis2/receiver.js'
import type { Delivery } from '../../connectors/connector.js'
import { DeliveryQueue } from '../../connectors/delivery-queue.js'
import { receiveFiles } from '../../connectors/hl7v2-files/receiver.js'
import { receiveMllp } from '../../connectors/hl7v2-mllp/receiver.js'
import { AstmClient, results } from './astm-client.js'
import { MllpClient, msa, oru } from './mllp-client.js'
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
  const acknowledged = (): string[] =>
    [...new Set(clients.flatMap((c) => c.answers.map(msa)))].filter((a) => a.startsWith('AA ')).map((a) => a.slice(3))
  const offer = async (ids: readonly string[]): Promise<void> => {
    if (client === undefined || client.closed) clients.push((client = await MllpClient.open(port)))
    for (const id of ids) client.send(oru(id))
  }
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
    sendAgain: () => offer(sent.filter((id) => !acknowledged().includes(id))),
    acknowledged,
    crash: async () => {
      for (const c of clients) c.close()
    },
    close: async () => {
      for (const abort of aborts) abort.abort()
      for (const c of clients) c.close()
    },
  }
}

/** A file for each message: what is in the archive, the sender may forget. */
async function openFiles(): Promise<ReceiveHarness> {
  const folder = mkdtempSync(join(tmpdir(), 'hutong-contract-'))
  const inFlightMax = 8
  const aborts: AbortController[] = []
  const archive = join(folder, 'archive')
  return {
    inFlightMax,
    async start() {
      const abort = new AbortController()
      aborts.push(abort)
      const config = {
        folder,
        pollIntervalMs: 10,
        stableForMs: 0,
        maxInFlightMessages: inFlightMax,
        stopTimeoutMs: 500,
      }
      return { deliveries: receiveFiles(config, abort.signal), stop: () => abort.abort() }
    },
    async send(ids) {
      for (const id of ids) {
        writeFileSync(join(folder, `${id}.tmp`), oru(id))
        renameSync(join(folder, `${id}.tmp`), join(folder, `${id}.hl7`))
      }
    },
    sendAgain: async () => undefined,
    acknowledged: () => (existsSync(archive) ? readdirSync(archive).map((name) => name.replace(/\..*$/, '')) : []),
    crash: async () => {
      aborts.at(-1)?.abort()
    },
    close: async () => {
      for (const abort of aborts) abort.abort()
      await new Promise((resolve) => setTimeout(resolve, 30))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** An analyser for each message, for each sends one at a time; a refused one waits to be sent again. */
async function openAstm(): Promise<ReceiveHarness> {
  const inFlightMax = 8
  const sent: string[] = []
  const acknowledged = new Set<string>()
  const clients: AstmClient[] = []
  const aborts: AbortController[] = []
  let port = 0
  const once = { answerMs: 20_000, notReadyMs: 20, contentionMs: { instrument: 1, lis: 1 }, interruptMs: 1 }
  const offer = async (ids: readonly string[]): Promise<void> => {
    for (const id of ids) {
      const client: AstmClient = await AstmClient.open(port, once, (byte) => {
        // Gives up at the first NAK instead of repeating the frame at once.
        if (byte === 0x15) client.close()
        return byte
      })
      clients.push(client)
      void client.sendAll([results(id)]).then(() => {
        if (client.outcomes[0] === 'sent') acknowledged.add(id)
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
      await offer(ids)
    },
    sendAgain: () => offer(sent.filter((id) => !acknowledged.has(id))),
    acknowledged: () => [...acknowledged],
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

/** A source in memory that keeps the contract, or breaks it in one place. */
function openDouble(fault: Fault): ReceiveHarness {
  const inFlightMax = 8
  const acknowledged = new Set<string>()
  let waiting: string[] = []
  let refused: string[] = []
  const held = new Set<string>()
  let queue = new DeliveryQueue()
  let stopped = false
  const finish = (): void => {
    if (stopped && held.size === 0 && fault !== 'never-ends') queue.end()
  }
  const pump = (): void => {
    while (!stopped && waiting.length > 0 && (held.size < inFlightMax || fault === 'no-bound')) {
      const id = waiting.shift()!
      held.add(id)
      if (fault === 'acknowledges-early') acknowledged.add(id)
      let open = true
      const settle = async (positive: boolean): Promise<void> => {
        if (!open && fault !== 'settles-twice') throw new Error('a delivery was settled twice')
        open = false
        held.delete(id)
        if (positive || fault === 'acknowledges-refused') acknowledged.add(id)
        else refused.push(id)
        pump()
        finish()
      }
      const message = { content: oru(id), controlId: id, receivedAt: Date.now() }
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
    send: async (ids) => {
      waiting.push(...ids)
      pump()
    },
    sendAgain: async () => {
      waiting.push(...refused)
      refused = []
      pump()
    },
    acknowledged: () => [...acknowledged],
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
