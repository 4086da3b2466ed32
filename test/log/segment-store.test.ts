import { describe, expect, test } from 'vitest'
import {
  SegmentStore,
  StoreFullError,
  StoreUnavailableError,
  type SegmentStoreOptions,
} from '../../log/segment-store.js'
import { FaultyFileSystem, PowerCut, seeded } from './faulty-file-system.js'

const clock = { now: () => Date.now() }
const open = (fileSystem: FaultyFileSystem, options: Partial<SegmentStoreOptions> = {}): Promise<SegmentStore> =>
  SegmentStore.open({
    dir: '/store',
    fileSystem,
    clock,
    segmentBytes: 64 * 1024,
    preallocateBytes: 16 * 1024,
    ...options,
  })
const payloads = async (store: SegmentStore, stream: string): Promise<(string | null)[]> => {
  const all: (string | null)[] = []
  let from = store.extent(stream).start
  const { next } = store.extent(stream)
  while (from < next) {
    const records = await store.read(stream, from, { recordsMax: 100, bytesMax: 1e6, fromDisk: true })
    for (const { number, payload } of records) {
      expect(number).toBe(from++)
      all.push(payload === null ? null : payload.toString())
    }
    expect(records.length).toBeGreaterThan(0)
  }
  return all
}
const put = (store: SegmentStore, stream: string, ...texts: string[]): Promise<readonly number[]> =>
  store.append(texts.map((text) => ({ stream, payload: Buffer.from(text) })))

const seedOfRun = Number(process.env['HUTONG_TEST_SEED'] ?? Date.now() % 1_000_000)
process.stdout.write(`segment store: seed ${seedOfRun} (HUTONG_TEST_SEED=${seedOfRun} repeats it)\n`)

test('numbers are dense per stream, and everything is there again after close and open', async () => {
  const disk = new FaultyFileSystem(seeded(1))
  const store = await open(disk)
  expect(await put(store, 'a', 'a0', 'a1')).toEqual([0, 1])
  expect(await put(store, 'b', 'b0')).toEqual([0])
  const many: (readonly number[])[] = []
  for (let at = 2; at < 502; at += 50) {
    const texts = Array.from({ length: 50 }, (_, more) => `a${at + more}:${'x'.repeat(300)}`)
    many.push(...(await Promise.all(texts.map((one) => put(store, 'a', one)))))
  }
  expect(many.flat()).toEqual(Array.from({ length: 500 }, (_, at) => at + 2))
  await store.set(new Map([['cursor', Buffer.from('17')]]))
  await expect(open(disk)).rejects.toThrow(/in use/)
  await store.close()
  await expect(put(store, 'a', 'late')).rejects.toThrow(StoreUnavailableError)
  const again = await open(disk)
  expect((await payloads(again, 'a')).length).toBe(502)
  expect(await payloads(again, 'b')).toEqual(['b0'])
  expect(again.cells.get('cursor')?.toString()).toBe('17')
  expect(again.lostAtEnd).toBe(0)
  expect(await put(again, 'a', 'next')).toEqual([502])
  expect(disk.paths().filter((path) => path.endsWith('.segment')).length).toBeGreaterThan(2)
  await again.close()
})

interface Run {
  readonly acknowledged: Map<string, string[]>
  readonly offered: Map<string, string[]>
}

/** Writers append until the power goes; what resolved is acknowledged. */
async function writeUntilCut(store: SegmentStore, run: Run, random: () => number, life: number): Promise<void> {
  const writer = async (stream: string): Promise<void> => {
    for (let at = 0; ; at++) {
      const texts = Array.from({ length: 1 + Math.floor(random() * 3) }, (_, part) => {
        return `${stream}/${life}/${at}/${part}:${'.'.repeat(Math.floor(random() ** 4 * 20_000))}`
      })
      run.offered.get(stream)?.push(...texts)
      try {
        const numbers = await put(store, stream, ...texts)
        for (const [part, number] of numbers.entries()) {
          const list = run.acknowledged.get(stream) as string[]
          expect(list[number], `number ${number} of ${stream} was given twice`).toBeUndefined()
          list[number] = texts[part] as string
        }
        if (random() < 0.1) await store.set(new Map([[`cell-${stream}`, Buffer.from(`${numbers.at(-1)}`)]]))
      } catch (error) {
        if (error instanceof StoreUnavailableError) return
        throw error
      }
    }
  }
  await Promise.all([...run.offered.keys()].map((stream) => writer(stream)))
}

describe('power cuts', () => {
  const rounds = 60
  const livesPerRound = 5
  test(
    `${rounds * livesPerRound} cuts: nothing acknowledged is lost, no number is given twice, nothing is invented`,
    { timeout: 300_000 },
    async () => {
      for (let round = 0; round < rounds; round++) {
        const seed = seedOfRun + round
        const random = seeded(seed)
        const disk = new FaultyFileSystem(random)
        const streams = ['a', 'b', 'c'].slice(0, 1 + Math.floor(random() * 3))
        const run: Run = {
          acknowledged: new Map(streams.map((name) => [name, []])),
          offered: new Map(streams.map((name) => [name, []])),
        }
        try {
          for (let life = 0; life < livesPerRound; life++) {
            disk.shortWrites = random() < 0.3
            disk.failSync = random() < 0.3 ? () => random() < 0.05 : () => false
            disk.cutAtOperation = disk.operations + 5 + Math.floor(random() ** 2 * 400)
            try {
              const store = await open(disk)
              expect(store.lostAtEnd, 'a power cut is not damage').toBe(0)
              await writeUntilCut(store, run, random, life)
            } catch (error) {
              if (!(error instanceof PowerCut)) throw error
            }
            disk.cut()
            await new Promise((resolve) => setTimeout(resolve, 1))
            disk.restart()
            disk.failSync = () => false
            const store = await open(disk)
            expect(store.lostAtEnd).toBe(0)
            for (const stream of streams) {
              const found = await payloads(store, stream)
              const acknowledged = run.acknowledged.get(stream) as string[]
              const offered = new Set(run.offered.get(stream))
              for (const [number, text] of acknowledged.entries()) {
                if (text === undefined) continue
                const where = `${stream} ${number} of ${found.length}, life ${life}`
                expect(found[number]?.slice(0, 20), where).toBe(text.slice(0, 20))
                expect(found[number] === text, `${where} is altered`).toBe(true)
              }
              expect(new Set(found).size, 'no record is there twice').toBe(found.length)
              for (const text of found)
                expect(text !== null && offered.has(text), 'a record that nobody wrote').toBe(true)
              found.forEach((text, number) => (acknowledged[number] = text as string))
              const cell = store.cells.get(`cell-${stream}`)
              if (cell !== undefined) expect(Number(cell.toString())).toBeLessThan(found.length)
            }
            if (random() < 0.5) await store.close()
            else {
              disk.cut()
              disk.restart()
            }
          }
        } catch (error) {
          throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
        }
      }
    },
  )
})

describe('damage', () => {
  async function filled(disk: FaultyFileSystem): Promise<void> {
    const store = await open(disk)
    for (let at = 0; at < 40; at++) await put(store, at % 2 === 0 ? 'even' : 'odd', `${at}:${'y'.repeat(200)}`)
    await store.close()
  }
  const text = (at: number): string => `${at}:${'y'.repeat(200)}`

  test('of any single record is named, and the others are still there', async () => {
    for (const sealed of [false, true]) {
      for (let hit = 0; hit < 40; hit++) {
        const disk = new FaultyFileSystem(seeded(hit))
        await filled(disk)
        if (sealed) {
          const next = await open(disk)
          await put(next, 'even', 'later')
          await next.close()
        }
        const path = disk.paths().find((name) => name.endsWith('.segment')) as string
        disk.alter(path, (bytes) => {
          const at = bytes.indexOf(text(hit))
          bytes[at + 7] = 0x5a
        })
        const store = await open(disk)
        expect(store.lostAtEnd).toBe(0)
        const odd = await payloads(store, 'odd')
        const even = (await payloads(store, 'even')).slice(0, 20)
        for (let at = 0; at < 40; at++) {
          expect((at % 2 === 0 ? even : odd)[at >> 1]).toBe(at === hit ? null : text(at))
        }
        expect(await put(store, 'odd', 'goes on')).toEqual([20])
        await store.close()
      }
    }
  })

  test('is found where the process was killed: a torn tail is cut, a hole before a later group is not', async () => {
    const disk = new FaultyFileSystem(seeded(3))
    const store = await open(disk)
    for (let at = 0; at < 10; at++) await put(store, 's', text(at))
    disk.cut()
    await expect(put(store, 's', 'x')).rejects.toThrow(StoreUnavailableError)
    disk.restart()
    const path = disk.paths().find((name) => name.endsWith('.segment')) as string
    disk.alter(path, (bytes) => {
      bytes[bytes.indexOf(text(4)) + 5] = 0
    })
    const again = await open(disk)
    expect(await payloads(again, 's')).toEqual(Array.from({ length: 10 }, (_, at) => (at === 4 ? null : text(at))))
    await again.close()
  })

  test('behind which nothing names the streams is reported as uncertain', async () => {
    const disk = new FaultyFileSystem(seeded(4))
    const store = await open(disk)
    await put(store, 'a', 'a0')
    await put(store, 'b', 'b0')
    await put(store, 'a', 'a1')
    disk.cut()
    disk.restart()
    const path = disk.paths().find((name) => name.endsWith('.segment')) as string
    disk.alter(path, (bytes) => {
      bytes[bytes.indexOf('b0')] = 0
    })
    const again = await open(disk)
    expect(again.lostAtEnd).toBeGreaterThan(0)
    await again.close()
  })

  test('a newest segment that vanished, or lost its header, is missed', async () => {
    for (const harm of ['vanish', 'header'] as const) {
      const disk = new FaultyFileSystem(seeded(5))
      await filled(disk)
      const second = await open(disk)
      await put(second, 'even', 'in the second segment')
      await second.close()
      const path = disk
        .paths()
        .filter((name) => name.endsWith('.segment'))
        .at(-1) as string
      if (harm === 'vanish') await disk.remove(path)
      else disk.alter(path, (bytes) => bytes.fill(0xff, 0, 8192))
      const store = await open(disk)
      expect(store.lostAtEnd).toBeGreaterThan(0)
      expect((await payloads(store, 'odd')).length).toBe(20)
      await store.close()
    }
  })

  test('a damaged index is made again from the records', async () => {
    const disk = new FaultyFileSystem(seeded(6))
    await filled(disk)
    const second = await open(disk)
    await put(second, 'even', 'more')
    await second.close()
    for (const path of disk.paths().filter((name) => name.endsWith('.index')))
      disk.alter(path, (bytes) => bytes.fill(7, 20, 40))
    const store = await open(disk)
    expect((await payloads(store, 'even')).length).toBe(21)
    await store.close()
  })
})

describe('a full disk', () => {
  test('refuses, loses nothing that was acknowledged, and goes on by itself when there is room', async () => {
    const disk = new FaultyFileSystem(seeded(7))
    let now = 1_000
    const store = await open(disk, { clock: { now: () => now }, preallocateBytes: 0 })
    disk.capacityBytes = 100_000
    const stored: string[] = []
    let refused = 0
    for (let at = 0; at < 100; at++) {
      now += 10
      const one = `${at}:${'z'.repeat(3000)}`
      try {
        await put(store, 's', one)
        stored.push(one)
      } catch (error) {
        expect(error).toBeInstanceOf(StoreFullError)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(0)
    expect(stored.length).toBeGreaterThan(10)
    expect(await payloads(store, 's')).toEqual(stored)
    disk.capacityBytes = 1_000_000
    now += 5_000
    void store.hasRoom
    await new Promise((resolve) => setTimeout(resolve, 20))
    now += 1_000
    expect(await put(store, 's', 'room again')).toEqual([stored.length])
    disk.cut()
    disk.restart()
    const again = await open(disk)
    expect(await payloads(again, 's')).toEqual([...stored, 'room again'])
    await again.close()
  })
})
