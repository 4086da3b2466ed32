import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Delivery } from '../../connectors/connector.js'
import type { FilesReceiveConfig } from '../../connectors/files/config.js'
import { hl7v2Files } from '../../connectors/hl7v2-files/hl7v2-files.js'
import type { FilesReceiver } from '../../connectors/files/receiver.js'
import type { FilesEvent } from '../../connectors/files/statistics.js'
import { RefusedError, RetryableError } from '../../core/errors.js'
import { oru, until } from './mllp-client.js'

let folder: string
const running: (() => Promise<void>)[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hutong-files-'))
})
afterEach(async () => {
  for (const stop of running.splice(0)) await stop()
  rmSync(folder, { recursive: true, force: true })
})

interface Running {
  readonly receiver: FilesReceiver
  readonly taken: Delivery[]
  readonly events: FilesEvent[]
  stop(): Promise<void>
}

function start(
  config: Partial<FilesReceiveConfig> = {},
  settle: (delivery: Delivery) => unknown = (delivery) => delivery.accept(),
): Running {
  const abort = new AbortController()
  const events: FilesEvent[] = []
  const receiver = hl7v2Files.receive(
    { folder, pollIntervalMs: 10, stableForMs: 0, stopTimeoutMs: 200, ...config },
    abort.signal,
    { onEvent: (event) => events.push(event) },
  )
  const taken: Delivery[] = []
  const loop = (async () => {
    for await (const delivery of receiver) {
      taken.push(delivery)
      await settle(delivery)
    }
  })()
  const stop = async (): Promise<void> => {
    abort.abort()
    await loop
  }
  running.push(stop)
  return { receiver, taken, events, stop }
}

/** As a careful sender does it: under another name first. */
function drop(name: string, content: Buffer | string): void {
  writeFileSync(join(folder, `${name}.tmp`), content)
  renameSync(join(folder, `${name}.tmp`), join(folder, name))
}

const batch = (ids: readonly string[], stated = ids.length): Buffer =>
  Buffer.concat([
    Buffer.from('FHS|^~\\&|LIS\rBHS|^~\\&|LIS\r'),
    ...ids.map((id) => oru(id)),
    Buffer.from(`BTS|${stated}\rFTS|1\r`),
  ])
const ids = (taken: readonly Delivery[]): (string | undefined)[] => taken.map((delivery) => delivery.message.controlId)
const list = (sub: string): string[] => (existsSync(join(folder, sub)) ? readdirSync(join(folder, sub)).sort() : [])
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `M${i + 1}`)

describe('files', () => {
  test('each message of a batch is a delivery; the file goes to the archive unchanged', async () => {
    const { receiver, taken } = start()
    drop('day.hl7', batch(['A1', 'A2', 'A3']))
    await until(() => list('archive').length === 1 && receiver.stats().filesDone === 1)
    expect(taken.map(({ message }) => [message.controlId, message.sourceName, message.sourceIndex])).toEqual([
      ['A1', 'day.hl7', 1],
      ['A2', 'day.hl7', 2],
      ['A3', 'day.hl7', 3],
    ])
    expect(taken[1]!.message.content.equals(oru('A2').subarray(0, -1))).toBe(true)
    expect(readFileSync(join(folder, 'archive', 'day.hl7')).equals(batch(['A1', 'A2', 'A3']))).toBe(true)
    expect(existsSync(join(folder, 'day.hl7'))).toBe(false)
    expect(receiver.stats()).toMatchObject({
      accepted: 3,
      received: 3,
      inFlight: 0,
      batchesTruncated: 0,
      filesInError: 0,
    })
  })

  test('nothing leaves the folder before every message is accepted', async () => {
    const { taken, receiver } = start({}, () => undefined)
    drop('a.hl7', batch(['A1', 'A2']))
    await until(() => taken.length === 2)
    await taken[1]!.accept()
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(existsSync(join(folder, 'a.hl7'))).toBe(true)
    expect(receiver.stats()).toMatchObject({ filesDone: 0, filesOpen: 1 })
    await taken[0]!.accept()
    await until(() => list('archive').length === 1)
    await expect(taken[0]!.accept()).rejects.toThrow('twice')
  })

  test('the same name twice: nothing in the archive is overwritten', async () => {
    const { receiver } = start()
    for (const [n, id] of ['A1', 'A2', 'A3'].entries()) {
      drop('a.hl7', oru(id))
      await until(() => receiver.stats().filesDone === n + 1)
    }
    const contents = list('archive').map((name) => readFileSync(join(folder, 'archive', name), 'utf8'))
    expect(contents.sort()).toEqual(['A1', 'A2', 'A3'].map((id) => oru(id).toString()).sort())
  })

  test.each([
    ['a count that differs', batch(['A1', 'A2'], 3)],
    ['no trailers', batch(['A1', 'A2']).subarray(0, -14)],
  ])('a truncated batch (%s) is flagged, and its messages are taken', async (_name, content) => {
    const { receiver, taken, events } = start()
    drop('a.hl7', content)
    await until(() => receiver.stats().filesDone === 1)
    expect(ids(taken)).toEqual(['A1', 'A2'])
    expect(receiver.stats().batchesTruncated).toBe(1)
    expect(events).toContainEqual(expect.objectContaining({ event: 'file-done', batchTruncated: true, refused: 0 }))
    expect(list('archive')).toHaveLength(1)
  })

  test.each([
    ['empty', Buffer.alloc(0)],
    ['binary', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 256))],
    ['text', Buffer.from('hello\r\n')],
  ])('a file without any message (%s) goes to the error folder with a note', async (_name, content) => {
    const { receiver, taken } = start()
    drop('a.hl7', content)
    await until(() => receiver.stats().filesInError === 1 && list('error').length === 2)
    expect(list('error')).toEqual(['a.hl7', 'a.hl7.error.json'])
    expect(readFileSync(join(folder, 'error', 'a.hl7')).equals(content)).toBe(true)
    expect(JSON.parse(readFileSync(join(folder, 'error', 'a.hl7.error.json'), 'utf8'))).toEqual({
      file: 'a.hl7',
      messages: 0,
      refused: [{ index: 0, reason: 'no-message' }],
    })
    expect(taken).toEqual([])
  })

  test('what can never be stored is named in a note; the rest of the file is taken', async () => {
    const { receiver, taken } = start({ maxMessageBytes: 2000 }, (delivery) =>
      delivery.message.controlId === 'V' ? delivery.refuse(new RefusedError('validation', 'no')) : delivery.accept(),
    )
    drop('a.hl7', Buffer.concat([oru('A1'), oru('BIG', { text: 'x'.repeat(5000) }), oru('V'), oru('A2')]))
    await until(() => list('error').length === 2)
    await until(() => receiver.stats().filesDone === 1)
    expect(ids(taken)).toEqual(['A1', 'V', 'A2'])
    const note: unknown = JSON.parse(readFileSync(join(folder, 'error', 'a.hl7.error.json'), 'utf8'))
    expect(note).toEqual({
      file: 'a.hl7',
      messages: 4,
      refused: [
        { index: 2, reason: 'too-large', controlId: 'BIG' },
        { index: 3, reason: 'validation', controlId: 'V' },
      ],
    })
    expect(receiver.stats()).toMatchObject({ accepted: 2, refused: { 'too-large': 1, validation: 1 } })
  })

  test('a refusal that may pass is tried again from that message on', async () => {
    let full = true
    const { taken, receiver } = start({}, (delivery) =>
      full && delivery.message.controlId === 'A2'
        ? delivery.refuse(new RefusedError('disk-full', 'full'))
        : delivery.accept(),
    )
    drop('a.hl7', batch(['A1', 'A2', 'A3']))
    await until(() => receiver.stats().refused['disk-full'] > 1)
    expect(existsSync(join(folder, 'a.hl7'))).toBe(true)
    expect(ids(taken).filter((id) => id === 'A1')).toHaveLength(1)
    full = false
    await until(() => receiver.stats().filesDone === 1)
    expect(receiver.stats().accepted).toBe(3)
    expect(ids(taken).slice(-2)).toEqual(['A2', 'A3'])
  })

  test('RetryableError is such a refusal', async () => {
    let tries = 0
    const { receiver } = start({}, (delivery) =>
      ++tries < 3 ? delivery.refuse(new RetryableError('not just now')) : delivery.accept(),
    )
    drop('a.hl7', oru('A1'))
    await until(() => receiver.stats().filesDone === 1)
    expect(receiver.stats()).toMatchObject({ accepted: 1, refused: { 'retry-later': 2 }, filesInError: 0 })
  })
})

describe('files that are not complete', () => {
  test('a file that still grows is left alone until it is stable', async () => {
    const { taken, receiver } = start({ stableForMs: 150 })
    for (let i = 1; i <= 8; i++) {
      appendFileSync(join(folder, 'a.hl7'), oru(`A${i}`))
      await new Promise((resolve) => setTimeout(resolve, 25))
      expect(taken).toEqual([])
    }
    await until(() => receiver.stats().filesDone === 1)
    expect(ids(taken)).toEqual(['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7', 'A8'])
  })

  test('a file that grows while its messages are under way is read on, its last message again', async () => {
    const { taken, receiver } = start({}, () => undefined)
    const whole = oru('A2', { text: 'complete' })
    drop('a.hl7', Buffer.concat([oru('A1'), whole.subarray(0, 100)]))
    await until(() => taken.length === 2)
    appendFileSync(join(folder, 'a.hl7'), Buffer.concat([whole.subarray(100), oru('A3')]))
    for (const delivery of taken.slice()) await delivery.accept()
    await until(() => taken.length === 4)
    expect(existsSync(join(folder, 'a.hl7'))).toBe(true)
    for (const delivery of taken.slice(2)) await delivery.accept()
    await until(() => receiver.stats().filesDone === 1)
    expect(ids(taken)).toEqual(['A1', 'A2', 'A2', 'A3'])
    expect(taken[2]!.message.content.equals(whole.subarray(0, -1))).toBe(true)
    expect(receiver.stats().filesResumed).toBe(1)
  })

  test('another file under the same name is not put away with the one that was read', async () => {
    const { taken, receiver } = start({}, () => undefined)
    drop('a.hl7', oru('A1'))
    await until(() => taken.length === 1)
    drop('a.hl7', oru('B1'))
    await taken[0]!.accept()
    await until(() => taken.length === 2)
    expect(ids(taken)).toEqual(['A1', 'B1'])
    expect(list('archive')).toEqual([])
    await taken[1]!.accept()
    await until(() => receiver.stats().filesDone === 1)
    expect(readFileSync(join(folder, 'archive', 'a.hl7')).equals(oru('B1'))).toBe(true)
  })

  test('with a done-marker nothing else matters, and the marker goes with the file', async () => {
    const { taken, receiver } = start({ doneMarker: '.ok', stableForMs: 3_600_000 })
    writeFileSync(join(folder, 'a.hl7'), oru('A1'))
    writeFileSync(join(folder, 'b.hl7'), oru('B1'))
    writeFileSync(join(folder, 'c.hl7'), oru('C1'))
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(taken).toEqual([])
    writeFileSync(join(folder, 'a.hl7.ok'), '')
    writeFileSync(join(folder, 'b.ok'), '')
    await until(() => receiver.stats().filesDone === 2)
    expect(ids(taken)).toEqual(['A1', 'B1'])
    await until(() => !existsSync(join(folder, 'a.hl7.ok')) && !existsSync(join(folder, 'b.ok')))
    expect(existsSync(join(folder, 'c.hl7'))).toBe(true)
  })

  test('a marker left over from an earlier file does not count', async () => {
    writeFileSync(join(folder, 'a.hl7.ok'), '')
    utimesSync(join(folder, 'a.hl7.ok'), new Date(Date.now() - 60_000), new Date(Date.now() - 60_000))
    writeFileSync(join(folder, 'a.hl7'), oru('A1'))
    const { taken } = start({ doneMarker: '.ok' })
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(taken).toEqual([])
    writeFileSync(join(folder, 'a.hl7.ok'), '')
    await until(() => taken.length === 1)
  })

  test('names of files that are being written are ignored, whatever the pattern', async () => {
    for (const suffix of ['.tmp', '.part', '.PART', '.filepart', '.crdownload', '~']) {
      writeFileSync(join(folder, `a.hl7${suffix}`), oru('NO'))
    }
    writeFileSync(join(folder, 'a.HL7'), oru('YES'))
    const { taken, receiver } = start({ patterns: ['*'] })
    await until(() => receiver.stats().filesDone === 1)
    expect(ids(taken)).toEqual(['YES'])
  })

  test('a file that vanishes before it is read is counted', async () => {
    writeFileSync(join(folder, 'a.hl7'), oru('A1'))
    writeFileSync(join(folder, 'b.hl7'), oru('B1'))
    const { receiver, taken, events } = start({}, (delivery) => {
      rmSync(join(folder, 'b.hl7'))
      return delivery.accept()
    })
    await until(() => receiver.stats().filesVanished === 1)
    expect(ids(taken)).toEqual(['A1'])
    expect(events).toContainEqual(expect.objectContaining({ event: 'file-vanished' }))
  })

  test('a file that cannot be put away is not read again, and put away when it can be', async () => {
    writeFileSync(join(folder, 'blocked'), '')
    drop('a.hl7', batch(['A1', 'A2']))
    const { receiver, taken, events } = start({ archiveFolder: join(folder, 'blocked', 'archive') })
    await until(() => receiver.stats().retries > 3)
    expect(existsSync(join(folder, 'a.hl7'))).toBe(true)
    expect(events.filter((event) => event.event === 'file-retry')).toHaveLength(1)
    rmSync(join(folder, 'blocked'))
    await until(() => receiver.stats().filesDone === 1)
    expect(existsSync(join(folder, 'blocked', 'archive', 'a.hl7'))).toBe(true)
    expect(ids(taken)).toEqual(['A1', 'A2'])
  })

  test.skipIf(process.platform === 'win32')('a file that cannot be opened is tried again', async () => {
    writeFileSync(join(folder, 'a.hl7'), oru('A1'))
    chmodSync(join(folder, 'a.hl7'), 0)
    chmodSync(folder, 0o777)
    // nothing is closed to root: then as nobody
    const isRoot = process.getuid!() === 0
    if (isRoot) process.seteuid!(65_534)
    try {
      const { receiver, taken, events } = start()
      await until(() => receiver.stats().retries > 1)
      expect(events.filter((event) => event.event === 'file-retry')).toHaveLength(1)
      if (isRoot) process.seteuid!(0)
      chmodSync(join(folder, 'a.hl7'), 0o600)
      await until(() => taken.length === 1)
    } finally {
      if (isRoot) process.seteuid!(0)
    }
  })

  test('a folder that is not there yet is waited for', async () => {
    const late = join(folder, 'late')
    const { receiver, taken, events } = start({ folder: late })
    await until(() => receiver.stats().retries > 1)
    expect(events).toEqual([{ event: 'folder-unavailable', code: 'ENOENT' }])
    mkdirSync(late)
    writeFileSync(join(late, 'a.hl7'), oru('A1'))
    await until(() => taken.length === 1)
  })
})

describe('names and order', () => {
  test('by name, or oldest first', async () => {
    for (const [name, age] of [
      ['b.hl7', 30],
      ['a.hl7', 10],
      ['c.hl7', 20],
    ] as const) {
      writeFileSync(join(folder, name), oru(name[0]!.toUpperCase()))
      const time = new Date(Date.now() - age * 1000)
      utimesSync(join(folder, name), time, time)
    }
    const byName = start({ after: 'keep', stateFolder: join(folder, 'state-1') })
    await until(() => byName.taken.length === 3)
    await byName.stop()
    expect(ids(byName.taken)).toEqual(['A', 'B', 'C'])
    const byTime = start({ order: 'mtime', after: 'keep', stateFolder: join(folder, 'state-2') })
    await until(() => byTime.taken.length === 3)
    expect(ids(byTime.taken)).toEqual(['B', 'C', 'A'])
  })

  test('a name in GBK bytes is read, moved and shown as text', async () => {
    // 检验.hl7 in GBK, as an old Windows share gives it.
    const name = Buffer.concat([Buffer.from([0xbc, 0xec, 0xd1, 0xe9]), Buffer.from('.hl7')])
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), name]), oru('A1'))
    writeFileSync(join(folder, "o'dd [x] 报告 #1%.hl7"), oru('A2'))
    const { taken, receiver, events } = start()
    await until(() => receiver.stats().filesDone === 2)
    expect(taken.map((delivery) => delivery.message.sourceName).sort()).toEqual(["o'dd [x] 报告 #1%.hl7", '检验.hl7'])
    expect(list('archive')).toEqual(["o'dd [x] 报告 #1%.hl7", '检验.hl7'])
    expect(JSON.stringify(events)).not.toMatch(/检验|报告/)
  })

  test('folders below are read where asked for, the own ones never', async () => {
    mkdirSync(join(folder, 'lis', 'x'), { recursive: true })
    writeFileSync(join(folder, 'lis', 'x', 'a.hl7'), oru('A1'))
    const flat = start()
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(flat.taken).toEqual([])
    await flat.stop()
    const { taken, receiver } = start({ subfolders: true })
    await until(() => receiver.stats().filesDone === 1)
    expect(taken[0]!.message.sourceName).toBe('lis/x/a.hl7')
    expect(existsSync(join(folder, 'archive', 'lis', 'x', 'a.hl7'))).toBe(true)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(taken).toHaveLength(1)
  })

  test('delete removes, keep leaves and does not read again, not even after a restart', async () => {
    const deleting = start({ after: 'delete' })
    drop('a.hl7', oru('A1'))
    await until(() => deleting.receiver.stats().filesDone === 1)
    expect(existsSync(join(folder, 'a.hl7'))).toBe(false)
    await deleting.stop()
    const keeping = start({ after: 'keep' })
    drop('b.hl7', oru('B1'))
    await until(() => keeping.receiver.stats().filesDone === 1)
    await keeping.stop()
    const again = start({ after: 'keep' })
    drop('c.hl7', oru('C1'))
    await until(() => again.receiver.stats().filesDone === 1)
    appendFileSync(join(folder, 'b.hl7'), oru('B2'))
    await until(() => again.receiver.stats().filesDone === 2)
    expect(ids(again.taken)).toEqual(['C1', 'B1', 'B2'])
    expect(existsSync(join(folder, 'b.hl7'))).toBe(true)
  })
})

describe('bounds and crashes', () => {
  test('a huge file is read in bounded memory, no faster than it is taken', async () => {
    const message = oru('M', { text: 'x'.repeat(20_000) })
    writeFileSync(join(folder, 'big.hl7.tmp'), Buffer.concat(Array.from({ length: 3000 }, () => message)))
    renameSync(join(folder, 'big.hl7.tmp'), join(folder, 'big.hl7'))
    let most = 0
    const { receiver, taken } = start({ maxInFlightMessages: 50, maxInFlightBytes: 300_000 }, () => undefined)
    let settledUpTo = 0
    await until(() => {
      const { inFlight, inFlightBytes } = receiver.stats()
      expect(inFlight).toBeLessThanOrEqual(50)
      most = Math.max(most, inFlightBytes)
      for (const delivery of taken.splice(0)) {
        settledUpTo++
        void delivery.accept()
      }
      return receiver.stats().filesDone === 1
    })
    expect(settledUpTo).toBe(3000)
    expect(most).toBeLessThan(300_000 + 2 * message.length)
  })

  test('after a stop in the middle it goes on where it stood', async () => {
    const names = numbered(1000)
    drop('a.hl7', batch(names))
    const first = start({ maxInFlightMessages: 10 }, (delivery) => delivery.accept())
    await until(() => first.taken.length > 300)
    await first.stop()
    expect(existsSync(join(folder, 'a.hl7'))).toBe(true)
    const second = start()
    await until(() => second.receiver.stats().filesDone === 1)
    expect(ids([...first.taken, ...second.taken])).toEqual(names)
    expect(second.receiver.stats().filesResumed).toBe(1)
    expect(list('.hutong')).toEqual([])
  })

  test('after a crash nothing is missing and little comes twice', async () => {
    const names = numbered(1000)
    drop('a.hl7', batch(names))
    // A receiver that is never told to stop and whose taker dies with deliveries in hand leaves what a killed one does.
    const abandoned = hl7v2Files
      .receive({ folder, pollIntervalMs: 10, stableForMs: 0, stopTimeoutMs: 10 }, new AbortController().signal)
      [Symbol.asyncIterator]()
    const accepted: Delivery[] = []
    for (let i = 0; i < 450; i++) {
      const next = await abandoned.next()
      const delivery = next.value as Delivery
      if (i % 7 !== 3 || i < 400) {
        await delivery.accept()
        accepted.push(delivery)
      }
    }
    const second = start()
    await until(() => second.receiver.stats().filesDone === 1)
    const all = ids([...accepted, ...second.taken])
    expect(new Set(all)).toEqual(new Set(names))
    expect(all.length - names.length).toBeLessThan(200)
    await abandoned.return?.()
  })

  test('a damaged progress file is as good as none', async () => {
    drop('a.hl7', batch(['A1', 'A2']))
    const first = start({}, async (delivery) => {
      if (delivery.message.controlId === 'A1') await delivery.accept()
      else await delivery.refuse(new RetryableError('later'))
    })
    await until(() => list('.hutong').length === 1)
    await first.stop()
    const [name] = list('.hutong')
    writeFileSync(join(folder, '.hutong', name!), '{"nextIndex": 2')
    const second = start()
    await until(() => second.receiver.stats().filesDone === 1)
    expect(ids(second.taken)).toEqual(['A1', 'A2'])
  })

  test('other bytes under a known name start from the beginning', async () => {
    drop('a.hl7', batch(['A1', 'A2']))
    const first = start({}, async (delivery) => {
      if (delivery.message.controlId === 'A1') await delivery.accept()
      else await delivery.refuse(new RetryableError('later'))
    })
    await until(() => list('.hutong').length === 1)
    await first.stop()
    drop('a.hl7', batch(['B1', 'B2']))
    const second = start()
    await until(() => second.receiver.stats().filesDone === 1)
    expect(ids(second.taken)).toEqual(['B1', 'B2'])
  })

  test('a stop does not wait longer than it may, and what was under way comes again', async () => {
    drop('a.hl7', batch(['A1', 'A2']))
    const first = start({ stopTimeoutMs: 50 }, () => undefined)
    await until(() => first.taken.length === 2)
    await first.stop()
    expect(existsSync(join(folder, 'a.hl7'))).toBe(true)
    const second = start()
    await until(() => second.receiver.stats().filesDone === 1)
    expect(ids(second.taken)).toEqual(['A1', 'A2'])
  })
})
