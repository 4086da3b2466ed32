import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, readdir, rename, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { dropFiles } from '../../cli/demo/file-simulator.js'
import { contentOf, Journal, type JournalEntry } from '../../cli/demo/journal.js'
import { hospitalMessages, take } from '../../cli/demo/messages.js'
import { sendOverMllp } from '../../cli/demo/mllp-simulator.js'
import { Random } from '../../cli/demo/random.js'
import { bloodCounts } from '../../cli/demo/templates.js'
import { cutMessages } from '../../connectors/hl7v2/framing.js'
import { readHeader } from '../../connectors/hl7v2/header.js'
import { hl7v2Parser } from '../../connectors/hl7v2/to-events.js'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

type Answer = (controlId: string, attempt: number, socket: Socket) => string | undefined

/** A receiver that answers as it is told; undefined keeps silent. */
async function receiver(answer: Answer): Promise<{ readonly port: number; readonly received: Buffer[] }> {
  const received: Buffer[] = []
  const seen = new Map<string, number>()
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    let arrived = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      arrived = Buffer.concat([arrived, chunk])
      for (let end = arrived.indexOf(0x1c); end >= 0; end = arrived.indexOf(0x1c)) {
        const content = arrived.subarray(arrived.indexOf(0x0b) + 1, end)
        arrived = arrived.subarray(end + 2)
        received.push(Buffer.from(content))
        const { controlId } = readHeader(content)
        const attempt = (seen.get(controlId) ?? 0) + 1
        seen.set(controlId, attempt)
        const msa = answer(controlId, attempt, socket)
        if (msa !== undefined) socket.write(`\x0bMSH|^~\\&|||||20250303||ACK|1|P|2.4\rMSA|${msa}\r\x1c\r`)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return { port: (server.address() as AddressInfo).port, received }
}

const messagesOf = (count: number) => take(hospitalMessages({ hospital: 'H002', seed: 7 }), count)
const never = new AbortController().signal
const host = '127.0.0.1'

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hutong-simulator-'))
  closing.push(() => rm(folder, { recursive: true, force: true }))
  return folder
}

describe('sendOverMllp', () => {
  test('sends all, and the journal adds up with what arrived', async () => {
    const { port, received } = await receiver((controlId) => `AA|${controlId}`)
    const journal = new Journal({ feed: 'h002-lis' })
    await sendOverMllp({ host, port, connections: 3, messages: messagesOf(200), journal }, never)
    expect(journal.totals()).toEqual({
      sent: 200,
      attempts: 200,
      acknowledged: 200,
      acknowledgements: 200,
      unanswered: 0,
      refused: 0,
    })
    const hashes = received.map((content) => createHash('sha256').update(content).digest('hex'))
    expect(journal.entries.map(({ sha256 }) => sha256).sort()).toEqual(hashes.sort())
    expect(journal.entries.every(({ code, acknowledgedAt }) => code === 'AA' && acknowledgedAt !== null)).toBe(true)
  })

  test('keeps the order of a connection and waits for each answer', async () => {
    const { port, received } = await receiver((controlId) => `CA|${controlId}`)
    const expected = [...messagesOf(60)].map(({ controlId }) => controlId)
    await sendOverMllp({ host, port, messages: messagesOf(60), journal: new Journal() }, never)
    expect(received.map((content) => readHeader(content).controlId)).toEqual(expected)
  })

  test('sends again what was refused for the moment, dropped, or answered for another message; not what was refused for good', async () => {
    const { port } = await receiver((controlId, attempt, socket) => {
      const kind = Number(controlId.slice(-2)) % 5
      if (kind === 4) return `AE|${controlId}`
      if (attempt > 1 || kind === 0) return `AA|${controlId}`
      if (kind === 1) return `CE|${controlId}`
      if (kind === 2) return void socket.destroy()
      return 'AA|somebody-else'
    })
    const journal = new Journal()
    const outcome = await sendOverMllp(
      { host, port, connections: 2, messages: messagesOf(40), journal, reconnectMs: 5 },
      never,
    )
    const { sent, acknowledged, acknowledgements, refused, attempts, unanswered } = journal.totals()
    const forGood = journal.entries.filter(({ code }) => code === 'AE').length
    expect(sent).toBe(40)
    expect(acknowledged).toBe(40 - forGood)
    expect(acknowledgements + refused + unanswered).toBe(attempts)
    expect(outcome.mismatches).toBeGreaterThan(0)
    expect(outcome.reconnects).toBeGreaterThan(0)
    expect(journal.entries.some(({ attempts: tries }) => tries > 1)).toBe(true)
  })

  test('sends again what was not answered in time', async () => {
    const { port } = await receiver((controlId, attempt) => (attempt === 1 ? undefined : `AA|${controlId}`))
    const journal = new Journal()
    await sendOverMllp({ host, port, messages: messagesOf(2), journal, ackTimeoutMs: 60, reconnectMs: 5 }, never)
    expect(journal.totals()).toMatchObject({ sent: 2, attempts: 4, acknowledged: 2, unanswered: 2 })
  })

  test('an answer lost on the way makes a second copy, and the journal says so', async () => {
    const { port, received } = await receiver((controlId) => `AA|${controlId}`)
    const journal = new Journal()
    const random = new Random(3)
    await sendOverMllp(
      { host, port, messages: messagesOf(60), journal, loseAnswers: 0.2, random, reconnectMs: 1 },
      never,
    )
    const { acknowledged, acknowledgements, unanswered } = journal.totals()
    expect(acknowledged).toBe(60)
    expect(acknowledgements).toBeGreaterThan(60)
    expect(unanswered).toBe(0)
    expect(received).toHaveLength(acknowledgements)
  })

  test('stops when told to, says what is not settled, and the journal file survives', async () => {
    const stop = new AbortController()
    let answered = 0
    const { port } = await receiver((controlId) => {
      if (++answered === 20) stop.abort()
      return answered <= 20 ? `AA|${controlId}` : undefined
    })
    const file = join(await temporaryFolder(), 'journal.ndjson')
    const journal = new Journal({ file })
    await sendOverMllp({ host, port, connections: 1, messages: messagesOf(1000), journal }, stop.signal)
    journal.close()
    const lines = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as JournalEntry)
    expect(lines).toEqual(journal.entries)
    expect(lines.filter(({ acknowledgedAt }) => acknowledgedAt !== null).length).toBeGreaterThanOrEqual(20)
  })

  test('says that nobody is there', async () => {
    const { port } = await receiver(() => undefined)
    for (const close of closing.splice(0)) await close()
    const sending = sendOverMllp(
      { host, port, messages: messagesOf(1), journal: new Journal(), unreachableMs: 100 },
      never,
    )
    await expect(sending).rejects.toThrow(`nobody answers on 127.0.0.1:${port}`)
  })
})

describe('dropFiles', () => {
  test('drops whole batch files under their final name only, and notes what became of them', async () => {
    const folder = await temporaryFolder()
    const names = new Set<string>()
    const contents: Buffer[] = []
    const stop = new AbortController()
    await mkdir(join(folder, 'archive'))
    await mkdir(join(folder, 'error'))
    // A receiver that takes every file it sees at once: it would see a half-written one.
    const reading = (async () => {
      while (!stop.signal.aborted) {
        for (const name of await readdir(folder)) {
          names.add(name.replace(/\d+/g, ''))
          if (!name.endsWith('.hl7')) continue
          contents.push(await readFile(join(folder, name)))
          await rename(join(folder, name), join(folder, contents.length === 2 ? 'error' : 'archive', name))
        }
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    })()
    const journal = new Journal()
    const messages = take(hospitalMessages({ hospital: 'H003', seed: 7 }), 130)
    const { files } = await dropFiles({ folder, messages, journal, messagesPerFile: 25, pollMs: 5 }, never)
    stop.abort()
    await reading
    expect(files).toBe(6)
    expect([...names].every((name) => ['archive', 'error', 'results-.hl', 'results-.hl.tmp'].includes(name))).toBe(true)
    const framed = contents.map((content) => cutMessages(content))
    expect(framed.map(({ messages: found }) => found.length)).toEqual([25, 25, 25, 25, 25, 5])
    expect(framed.every(({ flags }) => flags.length === 0)).toBe(true)
    expect(contents.every((content) => content.toString('latin1').startsWith('FHS|^~\\&|'))).toBe(true)
    expect(contents[0]!.includes('\r\nBTS|25\r\nFTS|1\r\n')).toBe(true)
    expect(journal.totals()).toMatchObject({ sent: 130, acknowledged: 105, refused: 25, unanswered: 0 })
  })
})

describe('bloodCounts', () => {
  test('are messages of their own: other numbers, patients and values, the same facts', () => {
    const source = bloodCounts({ hospital: 'H001', seed: 11 })
    const parse = hl7v2Parser()
    const reports = new Set<string>()
    const patients = new Set<string>()
    for (const message of take(source, 500)) {
      const content = contentOf(message)
      const { events, controlId } = parse({
        content,
        feed: 'f',
        hospital: 'H001',
        environment: 'test',
        receivedAt: Date.now(),
        messageId: '',
      })
      expect(controlId).toBe(message.controlId)
      const [event] = events
      if (event?.domain !== 'lab-report') throw new Error('not a laboratory report')
      expect(event.body.reportNumber).toBe(message.reportNumber)
      expect(event.body.observations).toHaveLength(24)
      expect(event.body.observations.every(({ value }) => /^\d+(\.\d+)?$/.test(value ?? ''))).toBe(true)
      reports.add(event.body.reportNumber)
      patients.add(event.body.patient.id)
    }
    expect(reports.size).toBe(500)
    expect(patients.size).toBeGreaterThan(50)
  })
})
