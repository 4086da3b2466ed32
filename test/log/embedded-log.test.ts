import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openEmbeddedLog } from '../../log/embedded-log.js'
import { eventLogContract } from './event-log-contract.js'

for (const segmentBytes of [undefined, 32 * 1024]) {
  eventLogContract(
    segmentBytes === undefined ? 'embedded' : `embedded, segments of ${segmentBytes} bytes, no cache`,
    async () => {
      const dir = await mkdtemp(join(tmpdir(), 'hutong-log-'))
      const open = () =>
        openEmbeddedLog({
          dir,
          ...(segmentBytes !== undefined && { segmentBytes, cacheBytes: 0 }),
          diskReserveBytes: 0,
        })
      let log = await open()
      return {
        get log() {
          return log
        },
        async reopen() {
          await log.close()
          log = await open()
        },
        topic: (label) => label,
        group: (label) => label,
        async dispose() {
          await log.close()
          await rm(dir, { recursive: true, force: true })
        },
        patienceMs: 15_000,
        quietMs: 120,
      }
    },
  )
}
