import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { MllpReceiveConfig } from '../../connectors/hl7v2-mllp/config.js'
import { receiveMllp } from '../../connectors/hl7v2-mllp/receiver.js'
import { UsageError } from '../../core/errors.js'
import { createAuthority, type Authority, type Certificate } from './certificates.js'
import { MllpClient, msa, oru, until } from './mllp-client.js'

let ours: Authority
let foreign: Authority
let server: Certificate
const closing: (() => void)[] = []
const running: (() => Promise<void>)[] = []

beforeAll(() => {
  for (const name of ['Hutong test authority', 'Some other authority']) {
    const made = createAuthority(name)
    closing.push(made.close)
    if (ours === undefined) ours = made.authority
    else foreign = made.authority
  }
  server = ours.sign('front-end')
})
afterAll(() => closing.forEach((close) => close()))
afterEach(async () => {
  for (const stop of running.splice(0)) await stop()
})

async function start(tls: Partial<NonNullable<MllpReceiveConfig['tls']>>) {
  const abort = new AbortController()
  const receiver = receiveMllp(
    { port: 0, stopTimeoutMs: 200, tls: { certificate: server.certificate, key: server.key, ...tls } },
    abort.signal,
  )
  const loop = (async () => {
    for await (const delivery of receiver) await delivery.accept()
  })()
  running.push(async () => {
    abort.abort()
    await loop
  })
  return { receiver, port: (await receiver.listening).port }
}

describe('TLS', () => {
  test('messages pass and are acknowledged', async () => {
    const { port } = await start({})
    const sender = await MllpClient.open(port, { tls: { ca: ours.certificate } })
    sender.send(oru('T1'))
    expect(msa((await sender.take(1))[0])).toBe('AA T1')
    sender.close()
  })

  test('a sender without TLS is refused and counted', async () => {
    const { receiver, port } = await start({})
    const sender = await MllpClient.open(port)
    sender.send(oru('T1'))
    await until(() => sender.closed)
    expect(sender.answers).toEqual([])
    expect(receiver.stats()).toMatchObject({ received: 0, connectionsRefused: { tls: 1 } })
  })

  test('a handshake that never ends does not keep a stop waiting', async () => {
    const { port } = await start({})
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.once('connect', resolve))
    for (const stop of running.splice(0)) await stop()
    await until(() => socket.closed)
  })

  test('certificates may be files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hutong-tls-'))
    try {
      writeFileSync(join(folder, 'a.pem'), server.certificate)
      writeFileSync(join(folder, 'a.key'), server.key)
      const { port } = await start({ certificate: join(folder, 'a.pem'), key: join(folder, 'a.key') })
      const sender = await MllpClient.open(port, { tls: { ca: ours.certificate } })
      sender.send(oru('T1'))
      expect(msa((await sender.take(1))[0])).toBe('AA T1')
      sender.close()
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('what cannot work says so before it listens', async () => {
    const signal = new AbortController().signal
    const tls = { certificate: server.certificate, key: server.key }
    expect(() => receiveMllp({ tls: { ...tls, key: '/no/such.key' } }, signal)).toThrow(UsageError)
    expect(() => receiveMllp({ tls: { ...tls, key: foreign.key } }, signal)).toThrow(UsageError)
    expect(() => receiveMllp({ tls: { ...tls, clientCommonNames: ['a'] } }, signal)).toThrow(/requireClientCertificate/)
  })
})

describe('mTLS', () => {
  const client = (certificate: Certificate | undefined) => ({
    ca: ours.certificate,
    ...(certificate && { cert: certificate.certificate, key: certificate.key }),
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('only certificates of the authorities, %s', async (version) => {
    const { receiver, port } = await start({ clientAuthorities: ours.certificate, requireClientCertificate: true })
    const options = { minVersion: version, maxVersion: version }
    for (const certificate of [undefined, foreign.sign('lis-1')]) {
      const sender = await MllpClient.open(port, { tls: { ...client(certificate), ...options } })
      sender.send(oru('T1'))
      await until(() => sender.closed)
      expect(sender.answers).toEqual([])
    }
    const sender = await MllpClient.open(port, { tls: { ...client(ours.sign('lis-1')), ...options } })
    sender.send(oru('T2'))
    expect(msa((await sender.take(1))[0])).toBe('AA T2')
    sender.close()
    expect(receiver.stats()).toMatchObject({ received: 1, connectionsRefused: { tls: 2 } })
  })

  test('only the common names of the list', async () => {
    const { receiver, port } = await start({
      clientAuthorities: ours.certificate,
      requireClientCertificate: true,
      clientCommonNames: ['lis-1'],
    })
    const other = await MllpClient.open(port, { tls: client(ours.sign('lis-10')) })
    other.send(oru('T1'))
    await until(() => other.closed)
    expect(receiver.stats()).toMatchObject({ received: 0, connectionsRefused: { tls: 1 } })
    const sender = await MllpClient.open(port, { tls: client(ours.sign('lis-1')) })
    sender.send(oru('T2'))
    expect(msa((await sender.take(1))[0])).toBe('AA T2')
    sender.close()
  })
})
