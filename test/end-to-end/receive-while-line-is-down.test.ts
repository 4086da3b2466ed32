import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Configuration } from '../../cli/config.js'
import { connectors } from '../../cli/connectors.js'
import { Journal } from '../../cli/demo/journal.js'
import { hospitalMessages, take } from '../../cli/demo/messages.js'
import { sendOverMllp } from '../../cli/demo/mllp-simulator.js'
import { freePort } from '../../cli/demo/setting.js'
import { openRuntime } from '../../cli/runtime.js'
import { systemClock } from '../../core/clock.js'
import { openSpool } from '../../log/spool-store.js'

test('a receiver that starts while broker and registry are away acknowledges and holds', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hutong-test-'))
  const port = await freePort()
  const nobody = await freePort()
  const journal = new Journal()
  const stop = new AbortController()
  try {
    const runtime = await openRuntime({
      connectors,
      roles: ['receive'],
      configuration: {
        environment: 'test',
        dataDir,
        logLevel: 'silent',
        kafka: { brokers: [`127.0.0.1:${nobody}`] },
        schemaRegistry: { url: `http://127.0.0.1:${nobody}` },
        feeds: [{ name: 'lis', hospital: 'H001', connector: 'hl7v2-mllp', settings: { port } }],
      } as unknown as Configuration,
    })
    const running = runtime.run(stop.signal)
    try {
      const messages = take(hospitalMessages({ hospital: 'H001', seed: 3 }), 25)
      await sendOverMllp({ host: '127.0.0.1', port, messages, journal, unreachableMs: 20_000 }, stop.signal)
      expect(runtime.spool?.statistics().depth).toBe(25)
    } finally {
      stop.abort()
      await running.finally(() => runtime.close())
    }
    expect(journal.totals()).toMatchObject({ acknowledged: 25, refused: 0 })
    const retention = { maxAgeMs: 1e12, maxBytes: 1e12 }
    const spool = await openSpool({
      dir: join(dataDir, 'spool'),
      environment: 'test',
      clock: systemClock,
      retention,
      diskReserveBytes: 0,
    })
    try {
      expect(spool.statistics().depth, 'unforwarded after a restart').toBe(25)
    } finally {
      await spool.close()
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}, 90_000)
