import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createKeyPair, issueEdgeCertificate } from '../../core/authority.js'
import { Metrics, type Logger } from '../../core/telemetry.js'
import { identityFiles, pendingKey, writeIdentity, currentCertificate } from '../../log/identity.js'
import { keepCertificate, renewalDueAt, retryMs } from '../../log/renewal.js'
import { ownAuthority, type OwnAuthority } from '../gateway/authorities.js'

const dayMs = 86_400_000
let own: OwnAuthority
let folder: string

beforeEach(async () => {
  own = ownAuthority('Test province')
  folder = await mkdtemp(join(tmpdir(), 'hutong-renewal-test-'))
})
afterEach(async () => {
  own.close()
  await rm(folder, { recursive: true, force: true })
})

async function enrolled(): Promise<ReturnType<typeof identityFiles>> {
  const files = identityFiles(folder)
  const key = await pendingKey(files, 'token-1', undefined)
  const order = { hospital: 'H001', edge: 'front-1', publicKey: key.publicKey, lifetimeMs: 90 * dayMs, now: Date.now() }
  const answer = { hospital: 'H001', edge: 'front-1', authorities: own.authority.chain, releaseKeys: [] }
  const certificate = issueEdgeCertificate(own.authority, order)
  await writeIdentity(files, 'https://localhost:1', { ...answer, certificate }, key.privateKey)
  return files
}

/** What was said, and how often renewal was tried, when the edge wakes `aheadMs` from now. */
async function wakes(aheadMs: number): Promise<{ readonly said: readonly string[]; readonly metrics: string }> {
  const identity = await enrolled()
  const said: string[] = []
  const stop = new AbortController()
  const metrics = new Metrics()
  const say = (_: unknown, text: string): void => void said.push(text)
  const keeping = keepCertificate(
    {
      ...{ url: 'https://localhost:1', certFile: identity.certFile, identity, metrics },
      renewed: () => Promise.resolve(),
      now: () => Date.now() + aheadMs,
      logger: { warn: say, error: say, info: say } as unknown as Logger,
    },
    stop.signal,
  )
  // Nothing listens on port 1: an attempt ends at once, with a sentence.
  for (let turn = 0; turn < 200 && said.length === 0; turn++) await new Promise((resolve) => setTimeout(resolve, 10))
  stop.abort()
  await keeping
  return { said, metrics: await metrics.registry.metrics() }
}

test('renewal comes at two thirds, and is tried often enough in what is left', () => {
  const dates = { validFrom: 0, validTo: 90 * dayMs }
  expect(renewalDueAt(dates, 0) / dayMs).toBeCloseTo(60)
  expect(renewalDueAt(dates, 1) / dayMs).toBeCloseTo(55.5)
  expect(retryMs(30 * dayMs, 0.5)).toBe(3_600_000)
  expect(retryMs(3_600_000, 0.5)).toBe(180_000)
  expect(retryMs(0, 0.5)).toBe(1000)
})

test('before two thirds nothing is said and nothing asked', async () => {
  const { said, metrics } = await wakes(50 * dayMs)
  expect(said).toEqual([])
  expect(metrics).not.toContain('hutong_uplink_renewals_total{')
})

test('a renewal that fails is counted, and warned of within 14 days of the end', async () => {
  const early = await wakes(62 * dayMs)
  expect(early.said[0]).toMatch(/could not be renewed/)
  expect(early.metrics).toContain('hutong_uplink_renewals_total{outcome="unreachable"} 1')
  expect((await wakes(80 * dayMs)).said[0]).toMatch(/ends soon and was not renewed yet/)
})

test('past the end it is said that a new token is needed, and the gateway is not asked', async () => {
  const { said, metrics } = await wakes(91 * dayMs)
  expect(said).toEqual([expect.stringMatching(/has ended: ask the province for a new token/) as string])
  expect(metrics).not.toContain('hutong_uplink_renewals_total{')
  expect(metrics).toMatch(/hutong_uplink_certificate_seconds -\d/)
})

test('a key is kept until its exchange is over, and never that of the certificate in use', async () => {
  const files = await enrolled()
  const current = await currentCertificate(files.certFile)
  const first = await pendingKey(files, 'next', current)
  const again = await pendingKey(files, 'next', current)
  expect(again.privateKey.equals(first.privateKey)).toBe(true)
  const order = { hospital: 'H001', edge: 'front-1', publicKey: first.publicKey, lifetimeMs: dayMs, now: Date.now() }
  const certificate = issueEdgeCertificate(own.authority, order)
  const answer = { hospital: 'H001', edge: 'front-1', authorities: own.authority.chain, releaseKeys: [], certificate }
  await expect(writeIdentity(files, 'https://x', answer, createKeyPair().privateKey)).rejects.toThrow(/another key/)
  await writeIdentity(files, 'https://x', answer, first.privateKey)
  // The process ended before it could forget the key.
  const next = await pendingKey(files, 'next', await currentCertificate(files.certFile))
  expect(next.privateKey.equals(first.privateKey)).toBe(false)
})
