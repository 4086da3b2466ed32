import { spawn, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { aes256GcmCipher, sm4CbcHmacSm3Cipher } from '../../core/crypto.js'
import { RecordError, RefusedError, RetryableError, UsageError } from '../../core/errors.js'
import { messageId, type LedgerPosition } from '../../core/ids.js'
import { realFileSystem } from '../../log/file-system.js'
import { openSpool, type SpoolOptions } from '../../log/spool-store.js'
import type { Spool, SpooledMessage } from '../../log/spool.js'
import { FaultyFileSystem, PowerCut, seeded } from './faulty-file-system.js'

const seedOfRun = Number(process.env['HUTONG_TEST_SEED'] ?? Date.now() % 1_000_000)
process.stdout.write(`spool: seed ${seedOfRun} (HUTONG_TEST_SEED=${seedOfRun} repeats it)\n`)

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'hutong-spool-'))
  cleanups.push(() => rm(dir, { recursive: true, force: true }))
  return dir
}

class SetClock {
  constructor(public at = Date.UTC(2026, 10, 22)) {}
  now(): number {
    return this.at
  }
}

async function opened(options: Partial<SpoolOptions> & { dir: string }): Promise<Spool> {
  const spool = await openSpool({
    environment: 'test',
    clock: new SetClock(),
    retention: { maxBytes: 1e9, maxAgeMs: 1e9 },
    diskReserveBytes: 0,
    segmentBytes: 64 * 1024,
    ...options,
  })
  cleanups.push(() => spool.close().catch(() => undefined))
  return spool
}

const accept = (spool: Spool, feed: string, text: string): Promise<LedgerPosition> =>
  spool.accept({ feed, content: Buffer.from(text), receivedAt: 1_790_000_000_000, controlId: `C-${text.slice(0, 10)}` })

/** Everything not forwarded now, without forwarding it unless told so. */
async function drain(
  spool: Spool,
  forward: boolean,
): Promise<{ messages: SpooledMessage[]; damaged: LedgerPosition[] }> {
  const messages: SpooledMessage[] = []
  const damaged: LedgerPosition[] = []
  const { depth } = spool.statistics()
  const stop = new AbortController()
  if (depth === 0) return { messages, damaged }
  for await (const batch of spool.unforwarded(stop.signal, { recordsMax: 7 })) {
    messages.push(...batch.messages)
    damaged.push(...(batch.damaged ?? []))
    if (forward) await batch.forwarded()
    if (messages.length + damaged.length >= depth) stop.abort()
  }
  return { messages, damaged }
}

async function problems(spool: Spool): Promise<string[]> {
  const found: string[] = []
  for await (const { position, problem } of spool.verify()) found.push(`${position.feed}/${position.seq} ${problem}`)
  return found
}

describe('numbering', () => {
  test('is dense from 1 per feed, goes on after a restart, and keeps everything that was given', async () => {
    const dir = await folder()
    const spool = await opened({ dir })
    const content = Buffer.from([0x4d, 0x53, 0x48, 0x7c, 0x81, 0x7c, 0x0d, 0x00])
    const first = await spool.accept({
      feed: '一院-lis',
      content,
      receivedAt: 1_790_000_000_123,
      controlId: 'M1',
      sourceName: 'a.hl7',
      sourceIndex: 3,
    })
    expect(first).toEqual({ feed: '一院-lis', epoch: first.epoch, seq: 1 })
    const many = await Promise.all(
      Array.from({ length: 300 }, (_, at) => accept(spool, at % 2 === 0 ? 'a' : 'b', `m${at}`)),
    )
    expect(many.filter(({ feed }) => feed === 'a').map(({ seq }) => seq)).toEqual(
      Array.from({ length: 150 }, (_, at) => at + 1),
    )
    await spool.close()
    await expect(accept(spool, 'a', 'late')).rejects.toThrow(RefusedError)
    const again = await opened({ dir })
    expect(await again.read(first)).toEqual({
      ...first,
      content,
      receivedAt: 1_790_000_000_123,
      controlId: 'M1',
      sourceName: 'a.hl7',
      sourceIndex: 3,
      messageId: messageId('一院-lis', content),
      keyId: null,
    })
    expect(await accept(again, 'a', 'next')).toEqual({ feed: 'a', epoch: first.epoch, seq: 151 })
    expect(again.watermarks()).toContainEqual({ feed: 'b', epoch: first.epoch, seq: 150 })
    expect(await again.read({ ...first, seq: 2 })).toBeUndefined()
    expect(await problems(again)).toEqual([])
  })

  test('a folder of another environment, or one in use, is refused', async () => {
    const dir = await folder()
    const spool = await opened({ dir })
    await expect(opened({ dir })).rejects.toThrow(UsageError)
    await spool.close()
    await expect(opened({ dir, environment: 'production' })).rejects.toThrow(/environment test/)
  })

  test('a lost folder begins a later epoch', async () => {
    const dir = await folder()
    const clock = new SetClock()
    const spool = await opened({ dir, clock })
    const before = await accept(spool, 'a', 'x')
    await spool.close()
    await rm(dir, { recursive: true })
    clock.at += 5_000
    const again = await opened({ dir, clock })
    const after = await accept(again, 'a', 'x')
    expect(after.epoch).toBeGreaterThan(before.epoch)
    expect(after.seq).toBe(1)
  })
})

describe('forwarding', () => {
  test('is in order per feed, from the durable cursor, and waits for new messages', async () => {
    const dir = await folder()
    const spool = await opened({ dir })
    for (let at = 0; at < 40; at++) await accept(spool, ['a', 'b', 'c'][at % 3] as string, `${at}`)
    const { messages } = await drain(spool, false)
    for (const feed of ['a', 'b', 'c']) {
      const seqs = messages.filter((message) => message.feed === feed).map(({ seq }) => seq)
      expect(seqs).toEqual(seqs.map((_, at) => at + 1))
    }
    expect(messages.length).toBe(40)
    expect(spool.statistics()).toMatchObject({ depth: 40, accepting: true })
    expect(spool.statistics().oldestUnforwardedAt).not.toBeNull()
    await drain(spool, true)
    expect(spool.statistics()).toMatchObject({ depth: 0, depthBytes: 0, oldestUnforwardedAt: null })
    await spool.close()
    const again = await opened({ dir })
    expect(again.statistics().depth).toBe(0)
    const stop = new AbortController()
    const waiting = (async () => {
      for await (const batch of again.unforwarded(stop.signal)) return batch.messages
      return []
    })()
    await accept(again, 'b', 'later')
    expect((await waiting).map(({ content }) => content.toString())).toEqual(['later'])
    const idle = (async () => {
      for await (const batch of again.unforwarded(stop.signal)) await batch.forwarded()
    })()
    stop.abort()
    await idle
  })

  test('batches forwarded out of order leave no gap behind', async () => {
    const dir = await folder()
    const spool = await opened({ dir })
    for (let at = 0; at < 9; at++) await accept(spool, 'a', `${at}`)
    const iterator = spool.unforwarded(new AbortController().signal, { recordsMax: 3 })[Symbol.asyncIterator]()
    const batches = [await iterator.next(), await iterator.next(), await iterator.next()].map(({ value }) => value)
    await batches[2].forwarded()
    await batches[1].forwarded()
    expect(spool.statistics().depth).toBe(9)
    await spool.close()
    const again = await opened({ dir })
    expect((await drain(again, false)).messages.length).toBe(9)
    await again.close()
    const third = await opened({ dir })
    const more = third.unforwarded(new AbortController().signal, { recordsMax: 3 })[Symbol.asyncIterator]()
    const [one, two] = [(await more.next()).value, (await more.next()).value]
    await two.forwarded()
    await one.forwarded()
    expect(third.statistics().depth).toBe(3)
  })
})

describe('retention', () => {
  test('removes what was forwarded by size and age, never what was not', async () => {
    const dir = await folder()
    const clock = new SetClock()
    const options = { dir, clock, retention: { maxBytes: 300_000, maxAgeMs: 86_400_000 } }
    const spool = await opened(options)
    let refused: unknown
    let accepted = 0
    while (refused === undefined) {
      await accept(spool, 'a', `${accepted}${'.'.repeat(3000)}`).then(
        () => accepted++,
        (error: unknown) => (refused = error),
      )
    }
    expect(refused).toBeInstanceOf(RefusedError)
    expect((refused as RefusedError).reason).toBe('disk-full')
    expect(spool.statistics()).toMatchObject({ depth: accepted, accepting: false })
    expect((await drain(spool, true)).messages.length).toBe(accepted)
    for (let attempt = 0; attempt < 200 && !spool.statistics().accepting; attempt++) {
      await accept(spool, 'a', 'pressed').catch(() => undefined) // the refusal itself starts the clearing
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const next = await accept(spool, 'a', 'room again')
    expect(next.seq).toBeGreaterThan(accepted)
    expect(await spool.read({ ...next, seq: 1 })).toBeUndefined()
    expect(await spool.read(next)).toBeDefined()
    await spool.close()
    const again = await opened(options)
    expect((await accept(again, 'a', 'and on')).seq).toBe(next.seq + 1)
    expect(await problems(again)).toEqual([])
  })
})

describe('encryption', () => {
  test('leaves nothing readable on the disk, names the key, and opens old messages after a change of keys', async () => {
    const dir = await folder()
    const old = aes256GcmCipher('2025', Buffer.alloc(32, 1))
    const current = sm4CbcHmacSm3Cipher('2026-gm', Buffer.alloc(48, 2))
    const first = await opened({ dir, payloadCipher: old })
    const secret = 'PID|1||110101199003070000^^^^张三'
    const position = await first.accept({
      feed: 'a',
      content: Buffer.from(secret),
      receivedAt: 1,
      sourceName: '张三.hl7',
    })
    await first.close()
    const ciphers = (keyId: string) => (keyId === '2025' ? old : undefined)
    const second = await opened({ dir, payloadCipher: current, ciphers })
    const next = await accept(second, 'a', secret)
    expect(await second.read(position)).toMatchObject({
      keyId: '2025',
      sourceName: '张三.hl7',
      content: Buffer.from(secret),
    })
    expect(await second.read(next)).toMatchObject({ keyId: '2026-gm', content: Buffer.from(secret) })
    expect(await problems(second)).toEqual([])
    await second.close()
    for (const name of await readdir(dir)) {
      const bytes = await readFile(join(dir, name)).catch(() => Buffer.alloc(0))
      expect(bytes.includes('张三') || bytes.includes('11010119900307')).toBe(false)
    }
    const without = await opened({ dir })
    await expect(without.read(position)).rejects.toThrow(RecordError)
    await expect(drain(without, true)).rejects.toMatchObject({ code: 'decrypt-failed' })
  })
})

describe('damage', () => {
  test('in the middle is named by verify, by read and by unforwarded, which goes on', async () => {
    const disk = new FaultyFileSystem(seeded(11))
    const options = { dir: '/spool', fileSystem: disk }
    const spool = await opened(options)
    for (let at = 0; at < 30; at++) await accept(spool, at % 3 === 0 ? 'a' : 'b', `text-${at}-`)
    await spool.close()
    const path = disk.paths().find((name) => name.endsWith('.segment')) as string
    disk.alter(path, (bytes) => {
      bytes[bytes.indexOf('text-10-')] = 0
    })
    const again = await opened(options)
    expect(await problems(again)).toEqual(['b/7 damaged'])
    const { messages, damaged } = await drain(again, true)
    expect(messages.length).toBe(29)
    expect(damaged).toMatchObject([{ feed: 'b', seq: 7 }])
    expect(again.statistics().depth).toBe(0)
    const position = damaged[0] as LedgerPosition
    await expect(again.read(position)).rejects.toThrow(RecordError)
    expect(await accept(again, 'b', 'on')).toMatchObject({ epoch: position.epoch, seq: 21 })
  })

  test('at the end, where numbers cannot be known, begins a new epoch and leaves the lost ones in the old one', async () => {
    const disk = new FaultyFileSystem(seeded(12))
    const clock = new SetClock()
    const options = { dir: '/spool', fileSystem: disk, clock }
    const spool = await opened(options)
    const first = await accept(spool, 'a', 'one')
    await spool.close()
    const second = await opened(options)
    await accept(second, 'a', 'two')
    await second.close()
    const newest = disk
      .paths()
      .filter((name) => name.endsWith('.segment'))
      .at(-1) as string
    await disk.remove(newest)
    const third = await opened(options)
    const after = await accept(third, 'a', 'three')
    expect(after.epoch).toBeGreaterThan(first.epoch)
    expect(third.watermarks().find(({ epoch }) => epoch === first.epoch)?.seq).toBeGreaterThan(1)
    expect(await problems(third)).toContain('a/2 missing')
  })
})

describe('a full disk', () => {
  test('refuses and says so, loses nothing, and accepts again by itself', async () => {
    const disk = new FaultyFileSystem(seeded(13))
    const clock = new SetClock()
    disk.capacityBytes = 400_000
    const spool = await opened({ dir: '/spool', fileSystem: disk, clock, diskReserveBytes: 100_000 })
    const accepted: LedgerPosition[] = []
    let refusals = 0
    for (let at = 0; at < 200; at++) {
      clock.at += 50
      try {
        accepted.push(await accept(spool, 'a', `${at}${'.'.repeat(3000)}`))
      } catch (error) {
        expect((error as RefusedError).reason).toBe('disk-full')
        refusals++
      }
    }
    expect(refusals).toBeGreaterThan(0)
    expect(accepted.length).toBeGreaterThan(20)
    expect(spool.statistics().accepting).toBe(false)
    expect((await drain(spool, true)).messages.length).toBe(accepted.length)
    disk.capacityBytes = 4_000_000
    for (let attempt = 0; attempt < 20 && !spool.statistics().accepting; attempt++) {
      clock.at += 500
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(spool.statistics().accepting).toBe(true)
    expect((await accept(spool, 'a', 'again')).seq).toBe(accepted.length + 1)
    expect(await problems(spool)).toEqual([])
  })

  test('on a real file system that is full', { timeout: 60_000 }, async ({ skip }) => {
    if (process.platform !== 'linux') skip('needs tmpfs')
    const dir = await folder()
    const mount = join(dir, 'small')
    await mkdir(mount)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', mount])
    if (mounted.status !== 0) skip('may not mount a tmpfs here')
    cleanups.push(async () => void spawnSync('umount', [mount]))
    const clock = new SetClock()
    for (const diskReserveBytes of [0, 512 * 1024]) {
      const spool = await opened({
        dir: join(mount, `${diskReserveBytes}`),
        clock,
        diskReserveBytes,
        segmentBytes: 256 * 1024,
      })
      const filler = join(mount, 'filler')
      await writeFile(filler, Buffer.alloc(1024 * 1024))
      const accepted: number[] = []
      let refusals = 0
      for (let at = 0; at < 1200; at++) {
        clock.at += 20
        await accept(spool, 'a', `${at}${'.'.repeat(3000)}`).then(
          ({ seq }) => accepted.push(seq),
          (error: unknown) => {
            expect(error).toBeInstanceOf(RefusedError)
            refusals++
          },
        )
      }
      expect(refusals).toBeGreaterThan(0)
      expect(accepted).toEqual(Array.from({ length: accepted.length }, (_, at) => at + 1))
      await rm(filler)
      for (let attempt = 0; attempt < 50 && !spool.statistics().accepting; attempt++) {
        clock.at += 500
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      expect((await accept(spool, 'a', 'again')).seq).toBe(accepted.length + 1)
      expect((await drain(spool, true)).messages.length).toBe(accepted.length + 1)
      await spool.close()
      await rm(join(mount, `${diskReserveBytes}`), { recursive: true })
    }
  })
})

describe('power cuts', () => {
  const cuts = 100
  test(
    `${cuts} of them: acknowledged messages are there under their numbers, and are forwarded at least once`,
    { timeout: 300_000 },
    async () => {
      for (let round = 0; round < cuts / 5; round++) {
        const seed = seedOfRun + round
        const random = seeded(seed)
        const disk = new FaultyFileSystem(random)
        const clock = new SetClock()
        const acknowledged = new Map<string, string>()
        const delivered = new Set<string>()
        const key = ({ feed, epoch, seq }: LedgerPosition): string => `${feed}/${epoch}/${seq}`
        try {
          for (let life = 0; life < 5; life++) {
            clock.at += 1_000
            disk.cutAtOperation = disk.operations + 20 + Math.floor(random() * 300)
            const options = { dir: '/spool', fileSystem: disk, clock, segmentBytes: 20_000 }
            try {
              const spool = await opened(options)
              const writer = async (feed: string): Promise<void> => {
                for (let at = 0; ; at++) {
                  const text = `${feed}.${life}.${at}${'.'.repeat(Math.floor(random() ** 3 * 9_000))}`
                  try {
                    const position = await accept(spool, feed, text)
                    expect(acknowledged.has(key(position)), `${key(position)} was given twice`).toBe(false)
                    acknowledged.set(key(position), text)
                  } catch (error) {
                    if (error instanceof RetryableError) return
                    throw error
                  }
                }
              }
              const stop = new AbortController()
              const forwarder = async (): Promise<void> => {
                for await (const batch of spool.unforwarded(stop.signal, { recordsMax: 5 })) {
                  for (const message of batch.messages) delivered.add(key(message))
                  await batch.forwarded()
                }
              }
              const forwarding = forwarder().catch((error: unknown) => {
                if (!(error instanceof RetryableError) && !(error instanceof PowerCut)) throw error
              })
              await Promise.all([writer('a'), writer('b')])
              stop.abort()
              await forwarding
            } catch (error) {
              if (!(error instanceof PowerCut) && !((error as Error).cause instanceof PowerCut)) throw error
            }
            disk.cut()
            await new Promise((resolve) => setTimeout(resolve, 1))
            disk.restart()
            const spool = await opened(options)
            const found = new Map<string, string>()
            for (const { feed, epoch, seq: last } of spool.watermarks()) {
              for (let seq = 1; seq <= last; seq++) {
                const message = await spool.read({ feed, epoch, seq })
                expect(message, `${feed}/${epoch}/${seq} of ${last}`).toBeDefined()
                found.set(`${feed}/${epoch}/${seq}`, message?.content.toString() ?? '')
              }
            }
            for (const [position, text] of acknowledged)
              expect(found.get(position) === text, `${position} is lost`).toBe(true)
            for (const [position, text] of found) acknowledged.set(position, text)
            expect(await problems(spool)).toEqual([])
            const left = await drain(spool, false)
            const leftover = new Set(left.messages.map(key))
            for (const position of acknowledged.keys())
              expect(delivered.has(position) || leftover.has(position), `${position} is never forwarded`).toBe(true)
            await spool.close()
          }
        } catch (error) {
          throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
        }
      }
    },
  )
})

describe('kill -9', () => {
  const rounds = 6
  test(
    `of a writing process, ${rounds} times: everything it acknowledged is there, and its lock is taken over`,
    { timeout: 300_000 },
    async () => {
      const dir = await folder()
      const random = seeded(seedOfRun)
      const require = createRequire(import.meta.url)
      const runner = join(dirname(require.resolve('vite-node/package.json')), 'vite-node.mjs')
      const script = fileURLToPath(new URL('./spool-writer.ts', import.meta.url))
      const acknowledged = new Map<string, string>()
      const forwarded = new Set<string>()
      for (let life = 0; life < rounds; life++) {
        const killAfter = 200 + Math.floor(random() * 3_000)
        const child = spawn(process.execPath, [runner, script, dir, String(life)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        let lines = 0
        for await (const line of createInterface({ input: child.stdout })) {
          const [first, second, third, fourth] = line.split(' ') as [string, string, string, string]
          if (first === 'forwarded') forwarded.add(`${second}/${third}/${fourth}`)
          else if (first !== 'open') {
            const position = `${first}/${second}/${third}`
            expect(acknowledged.has(position), `${position} was given twice`).toBe(false)
            acknowledged.set(position, fourth)
          }
          if (++lines === killAfter) child.kill('SIGKILL')
        }
        expect(
          child.signalCode ?? (await new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)))),
        ).toBe('SIGKILL')
      }
      const spool = await opened({ dir, fileSystem: realFileSystem })
      expect(acknowledged.size).toBeGreaterThan(rounds * 50)
      const left = new Set(
        (await drain(spool, false)).messages.map(({ feed, epoch, seq }) => `${feed}/${epoch}/${seq}`),
      )
      for (const [position, content] of acknowledged) {
        const [feed, epoch, seq] = position.split('/') as [string, string, string]
        const message = await spool.read({ feed, epoch: Number(epoch), seq: Number(seq) })
        expect(message?.content.toString().split('|')[0], position).toBe(content)
        expect(forwarded.has(position) || left.has(position), `${position} is never forwarded`).toBe(true)
      }
      for (const { seq } of spool.watermarks()) expect(seq).toBeGreaterThan(0)
      expect(new Set(spool.watermarks().map(({ epoch }) => epoch)).size, 'numbering went on').toBe(1)
      expect(await problems(spool)).toEqual([])
    },
  )
})
