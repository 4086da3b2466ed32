import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createKeyPair, issueEdgeCertificate, keyPem } from '../../core/authority.js'
import { RetryableError } from '../../core/errors.js'
import { Metrics } from '../../core/telemetry.js'
import { openFleetLink, type FleetLinkOptions } from '../../log/fleet-link.js'
import { placeOf } from '../../log/release-download.js'
import { bandwidthCap, openUplink } from '../../log/uplink.js'
import { openCodec } from '../../schemas/codec.js'
import type { RawMessage } from '../../schemas/types.js'
import { ownAuthority, type OwnAuthority } from '../gateway/authorities.js'

const content = randomBytes(200_000)
const release = { sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length }
type Answer = (request: IncomingMessage, response: ServerResponse) => void

let own: OwnAuthority
let server: Server
let options: FleetLinkOptions
let folder: string
let file: string
/** What the next requests are answered with; the last goes on. */
let answers: Answer[]
let ranges: (string | undefined)[]

beforeAll(async () => {
  own = ownAuthority('Test province')
  const pair = createKeyPair()
  const certFile = join(own.folder, 'edge.pem')
  const order = { hospital: 'H001', edge: 'front-1', publicKey: pair.publicKey, lifetimeMs: 3_600_000, now: Date.now() }
  await writeFile(certFile, issueEdgeCertificate(own.authority, order) + keyPem(pair.privateKey))
  const pem = { cert: readFileSync(own.server.certFile), key: readFileSync(own.server.keyFile) }
  server = createServer(pem, (request, response) => {
    ranges.push(request.headers.range)
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `https://localhost:${(server.address() as AddressInfo).port}`
  options = { url, caFile: own.files.certFile, certFile, keyFile: certFile }
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  own.close()
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hutong-download-test-'))
  file = join(folder, 'downloads', 'release')
  ranges = []
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function fetched(more: Partial<FleetLinkOptions> = {}): Promise<boolean> {
  const link = openFleetLink({ ...options, ...more })
  try {
    return await link.fetch(release, file, AbortSignal.timeout(60_000))
  } finally {
    link.close()
  }
}

const startOf = (request: IncomingMessage): number =>
  Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
/** As the gateway does it; the connection ends after `most` bytes. */
const serving =
  (bytes = content, most = Infinity): Answer =>
  (request, response) => {
    const from = startOf(request)
    const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': bytes.length - from,
      ...(from > 0 && { 'content-range': range }),
    })
    if (from + most >= bytes.length) response.end(bytes.subarray(from))
    else response.write(bytes.subarray(from, from + most), () => setTimeout(() => response.destroy(), 20))
  }
const whole: Answer = (_, response) => response.writeHead(200, { 'content-length': content.length }).end(content)

async function breakOff(at: number): Promise<void> {
  await rm(file, { force: true })
  answers = [serving(content, at)]
  await expect(fetched()).rejects.toBeInstanceOf(RetryableError)
  ranges = []
}

test('is continued after a cut at any byte', { timeout: 120_000 }, async () => {
  const cuts = fc.array(fc.integer({ min: 1, max: content.length - 1 }), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(cuts, async (lengths) => {
      await rm(file, { force: true })
      for (const length of lengths) {
        const had = existsSync(file) ? statSync(file).size : 0
        answers = [serving(content, length)]
        ranges = []
        const isWhole = await fetched().catch((error: unknown) => {
          expect(error).toBeInstanceOf(RetryableError)
          return false
        })
        expect(ranges).toEqual([had === 0 ? undefined : `bytes=${had}-`])
        if (isWhole) break
      }
      answers = [serving()]
      expect(await fetched()).toBe(true)
      expect(readFileSync(file).equals(content)).toBe(true)
    }),
    { numRuns: 15, examples: [[[1]], [[content.length - 1]], [[16_384, 1]]] },
  )
})

test.each<[string, Answer]>([
  ['ignores Range and answers 200', whole],
  [
    'answers 416',
    (request, response) => (startOf(request) > 0 ? response.writeHead(416).end() : whole(request, response)),
  ],
  [
    'answers another range',
    (request, response) => {
      if (startOf(request) === 0) return whole(request, response)
      const at = startOf(request) - 10
      const range = `bytes ${at}-${content.length - 1}/${content.length}`
      response.writeHead(206, { 'content-range': range }).end(content.subarray(at))
    },
  ],
  [
    'has something of another size there',
    (request, response) => {
      if (startOf(request) === 0) return whole(request, response)
      const rest = content.length - startOf(request)
      const range = `bytes ${startOf(request)}-${content.length + 4}/${content.length + 5}`
      response.writeHead(206, { 'content-range': range }).end(Buffer.alloc(rest + 5))
    },
  ],
])('is whole from a server that %s', { timeout: 60_000 }, async (_, answer) => {
  await breakOff(70_000)
  answers = [answer]
  expect(await fetched()).toBe(true)
  expect(readFileSync(file).equals(content)).toBe(true)
  expect(ranges.length).toBeLessThanOrEqual(2)
})

test.each<[number, number, string | undefined, string]>([
  [200, 0, undefined, 'start'],
  [200, 70, undefined, 'start'],
  [206, 70, 'bytes 70-99/100', 'behind'],
  [206, 70, 'bytes 70-99/*', 'behind'],
  [206, 70, 'bytes 60-99/100', 'elsewhere'],
  [206, 70, 'bytes 70-109/110', 'elsewhere'],
  [206, 70, undefined, 'elsewhere'],
  [206, 0, 'bytes 0-99/100', 'refused'],
  [416, 70, 'bytes */60', 'elsewhere'],
  [416, 0, undefined, 'refused'],
  [503, 70, undefined, 'refused'],
])('%i to one who has %i of 100 bytes, with %s, belongs: %s', (statusCode, had, range, place) => {
  const headers = range === undefined ? {} : { 'content-range': range }
  expect(placeOf({ statusCode, headers }, had, 100)).toBe(place)
})

test('what was spoilt before the break is thrown away and fetched anew', { timeout: 60_000 }, async () => {
  await breakOff(70_000)
  const part = readFileSync(file)
  part[5]! ^= 1
  await writeFile(file, part)
  answers = [serving()]
  expect(await fetched()).toBe(true)
  expect(ranges).toEqual([`bytes=${part.length}-`, undefined])
  expect(readFileSync(file).equals(content)).toBe(true)
})

test('what never is what was signed is given up, not asked for again and again', { timeout: 60_000 }, async () => {
  const other = Buffer.from(content)
  other[199_999]! ^= 1
  answers = [serving(other)]
  expect(await fetched()).toBe(false)
  expect(ranges).toHaveLength(1)
  expect(existsSync(file)).toBe(false)
  await breakOff(70_000)
  answers = [serving(other)]
  expect(await fetched()).toBe(false)
  expect(ranges).toHaveLength(2)
  expect(existsSync(file)).toBe(false)
})

test('more than was signed never reaches the disk', { timeout: 60_000 }, async () => {
  let written = 0
  answers = [(_, response) => response.writeHead(200).end(Buffer.alloc(content.length * 20))]
  const createFile = (): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        written += chunk.length
        done()
      },
    })
  expect(await fetched({ createFile })).toBe(false)
  expect(written).toBeLessThanOrEqual(content.length)
  expect(existsSync(file)).toBe(false)
})

test('less than was signed is continued the next time', { timeout: 60_000 }, async () => {
  answers = [(_, response) => response.writeHead(200).end(content.subarray(0, 50_000))]
  await expect(fetched()).rejects.toThrow('50000 of 200000 bytes came')
  answers = [serving()]
  ranges = []
  expect(await fetched()).toBe(true)
  expect(ranges).toEqual(['bytes=50000-'])
})

test('a disk that is full is no fault of the gateway', { timeout: 60_000 }, async () => {
  answers = [serving()]
  const createFile = (): Writable =>
    new Writable({ write: (_, __, done) => done(Object.assign(new Error('no space left'), { code: 'ENOSPC' })) })
  const error = await fetched({ createFile }).catch((cause: unknown) => cause)
  expect(error).not.toBeInstanceOf(RetryableError)
  expect(error).toMatchObject({ code: 'ENOSPC' })
})

test('nor is a real file system that is full', { timeout: 60_000 }, async ({ skip }) => {
  if (process.platform !== 'linux') skip('needs tmpfs')
  const mount = join(folder, 'small')
  await mkdir(mount)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=100k', 'tmpfs', mount]).status !== 0)
    skip('may not mount a tmpfs here')
  try {
    file = join(mount, 'release')
    answers = [serving()]
    expect(await fetched().catch((cause: unknown) => cause)).toMatchObject({ code: 'ENOSPC' })
    // Room again: what got through before is what it was.
    const had = statSync(file).size
    expect(spawnSync('mount', ['-o', 'remount,size=1m', mount]).status).toBe(0)
    ranges = []
    expect(await fetched()).toBe(true)
    expect(ranges).toEqual([`bytes=${had}-`])
    expect(readFileSync(file).equals(content)).toBe(true)
  } finally {
    spawnSync('umount', [mount])
  }
})

test('the cap holds for any sizes and pauses: never more than its rate and one piece', async () => {
  const piece = fc.record({ bytes: fc.integer({ min: 1, max: 65_536 }), idleMs: fc.integer({ min: 0, max: 3000 }) })
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1000, max: 1e6 }), fc.array(piece, { minLength: 1 }), async (rate, pieces) => {
      const clock = { ms: 0 }
      const sleep = async (ms: number): Promise<void> => void (clock.ms += ms)
      const pace = bandwidthCap(rate, { now: () => clock.ms, sleep })
      const passed: { readonly at: number; readonly bytes: number }[] = []
      for (const { bytes, idleMs } of pieces) {
        clock.ms += idleMs
        await pace(bytes, AbortSignal.timeout(1000))
        passed.push({ at: clock.ms, bytes })
        for (let from = 0; from < passed.length; from++) {
          const window = passed.slice(from)
          const sum = window.slice(0, -1).reduce((all, one) => all + one.bytes, 0)
          expect(sum).toBeLessThanOrEqual(((clock.ms - window[0]!.at) / 1000) * rate + 1)
        }
      }
    }),
    { numRuns: 50 },
  )
})

// What is slow elsewhere only takes longer: the bound is one of the rate from above.
test('a release comes no faster than the cap', { timeout: 60_000 }, async () => {
  answers = [serving()]
  const begun = performance.now()
  expect(await fetched({ bytesPerSecond: 100_000 })).toBe(true)
  const seconds = (performance.now() - begun) / 1000
  expect((content.length - 65_536) / seconds).toBeLessThan(101_000)
})

test('batches arrive no faster than the cap', { timeout: 60_000 }, async () => {
  let bytes = 0
  let seconds = Infinity
  let begun = 0
  answers = [
    (request, response) => {
      request.on('data', (chunk: Buffer) => (bytes += chunk.length))
      request.once('end', () => {
        seconds = (performance.now() - begun) / 1000
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"outcome":"taken"}')
      })
    },
  ]
  const link = { ...options, environment: 'test', metrics: new Metrics(), codec: await openCodec() }
  const uplink = openUplink({ ...link, bytesPerSecond: 50_000 })
  begun = performance.now()
  try {
    await uplink.send([rawMessage(randomBytes(120_000))], AbortSignal.timeout(50_000))
  } finally {
    await uplink.close()
  }
  expect(bytes).toBeGreaterThan(120_000)
  expect((bytes - 16_384) / seconds).toBeLessThan(50_500)
})

const rawMessage = (content: Buffer): RawMessage => ({
  ...{ kind: 'message', feed: 'lis', hospital: 'H001', connector: 'hl7v2-mllp', environment: 'test', epoch: 1, seq: 1 },
  ...{ messageId: 'a'.repeat(64), receivedAt: Date.now(), controlId: '1', lane: 'live', purpose: 'ledger' },
  ...{ sourceName: null, sourceIndex: 0, keyId: null, compression: 'none', content, contentRef: null },
  contentSize: content.length,
})
