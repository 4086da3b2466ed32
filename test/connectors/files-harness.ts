import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Delivery, IncomingMessage } from '../../connectors/connector.js'
import type { FilesReceiveConfig } from '../../connectors/files/config.js'
import type { ReceiveHarness } from './receive-contract.js'

const inFlightMax = 8

/** A sender of a file for each message: what is in the archive, it may forget. */
export function filesHarness(source: {
  /** The folder the sender writes to; it and what is in it go with `close`. */
  readonly folder: string
  /** Of the files, with its dot. */
  readonly ending: string
  receive(config: FilesReceiveConfig, signal: AbortSignal): AsyncIterable<Delivery>
  /** Beside those of the harness. */
  readonly config?: Partial<FilesReceiveConfig>
  message(controlId: string, text: string): Buffer
  readonly poison: Buffer
  close(): Promise<void>
}): ReceiveHarness {
  const { folder, ending } = source
  const archive = join(folder, 'archive')
  const aborts: AbortController[] = []
  let unnamed = 0
  const put = (name: string, content: Buffer): void => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `${name}.tmp`), content)
    renameSync(join(folder, `${name}.tmp`), join(folder, `${name}${ending}`))
  }
  const archived = (): readonly string[] =>
    existsSync(archive) ? readdirSync(archive).map((name) => name.replace(/\..*$/, '')) : []
  return {
    inFlightMax,
    poison: source.poison,
    start() {
      const abort = new AbortController()
      aborts.push(abort)
      const config = {
        ...{ folder, pollIntervalMs: 10, stableForMs: 0, maxInFlightMessages: inFlightMax, stopTimeoutMs: 500 },
        ...source.config,
      }
      return Promise.resolve({ deliveries: source.receive(config, abort.signal), stop: () => abort.abort() })
    },
    send(ids) {
      for (const id of ids) put(id, source.message(id, '钾'))
      return Promise.resolve()
    },
    sendBytes(messages) {
      for (const message of messages) put(`bytes${++unnamed}`, message)
      return Promise.resolve()
    },
    sendAgain: () => Promise.resolve(),
    acknowledged: archived,
    answered: () => archived().length,
    message: (controlId, text) => source.message(controlId, text),
    idOf: ({ controlId, sourceName = '' }: IncomingMessage) => controlId ?? basename(sourceName, ending),
    crash() {
      aborts.at(-1)?.abort()
      return Promise.resolve()
    },
    async close() {
      for (const abort of aborts) abort.abort()
      await new Promise((resolve) => setTimeout(resolve, 30))
      await source.close()
    },
  }
}
