import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkConfiguration } from '../../cli/config.js'
import { connectors } from '../../cli/connectors.js'
import type { Delivery } from '../../connectors/connector.js'
import type { FilesReceiveConfig } from '../../connectors/files/config.js'
import { receiveFiles } from '../../connectors/files/receiver.js'
import type { FilesEvent } from '../../connectors/files/statistics.js'
import { hl7v2FileFormat } from '../../connectors/hl7v2/file-format.js'
import { hl7v2Files } from '../../connectors/hl7v2-files/hl7v2-files.js'
import { filesHarness } from './files-harness.js'
import { hl7Message, hl7Poison, oru, until } from './mllp-client.js'
import { receiveContract } from './receive-contract.js'
import { hasSshd, SftpServer } from './sftp-server.js'

describe.skipIf(!hasSshd)('a folder on an SFTP server', { timeout: 60_000 }, () => {
  let server: SftpServer
  let base: string
  let far: string
  const aborts: AbortController[] = []

  beforeAll(async () => {
    server = await SftpServer.open()
  })
  afterAll(async () => {
    await server.close()
  })
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'hutong-sftp-'))
    far = join(base, '出 报告')
    mkdirSync(far)
    return async () => {
      for (const abort of aborts.splice(0)) abort.abort()
      await new Promise((resolve) => setTimeout(resolve, 100))
      rmSync(base, { recursive: true, force: true })
    }
  })

  const settings = async (more: Partial<FilesReceiveConfig> = {}): Promise<FilesReceiveConfig> => ({
    ...{ folder: far, sftp: await server.settings(), stateFolder: join(base, 'state') },
    ...{ pollIntervalMs: 20, stableForMs: 0, stopTimeoutMs: 500 },
    ...more,
  })
  const put = (name: string, content: Buffer): void => {
    writeFileSync(join(far, `${name}.tmp`), content)
    renameSync(join(far, `${name}.tmp`), join(far, name))
  }
  const receive = async (
    more: Partial<FilesReceiveConfig> = {},
  ): Promise<{ taken: Delivery[]; events: FilesEvent[]; ended: Promise<void>; stop(): void }> => {
    const abort = new AbortController()
    aborts.push(abort)
    const events: FilesEvent[] = []
    const receiver = receiveFiles(await settings(more), hl7v2FileFormat, abort.signal, {
      onEvent: (event) => events.push(event),
    })
    const taken: Delivery[] = []
    const ended = (async () => {
      for await (const delivery of receiver) taken.push(delivery)
    })()
    ended.catch(() => undefined)
    return { taken, events, ended, stop: () => abort.abort() }
  }

  receiveContract('hl7v2-files over SFTP', async () => {
    const { sftp, stateFolder } = await settings()
    return filesHarness({
      ...{
        folder: far,
        ending: '.hl7',
        config: { sftp, stateFolder, pollIntervalMs: 20 } as Partial<FilesReceiveConfig>,
      },
      receive: hl7v2Files.receive,
      message: hl7Message,
      poison: hl7Poison,
      close: () => Promise.resolve(),
    })
  })

  test('files are read whole, archived there under their own name, and nothing there is overwritten', async () => {
    mkdirSync(join(far, 'archive'))
    writeFileSync(join(far, 'archive', '报告.hl7'), 'an earlier one')
    const batch = Buffer.concat([oru('C1'), oru('C2', { text: '弱阳性'.repeat(40_000) })])
    put('报告.hl7', batch)
    const { taken } = await receive()
    await until(() => taken.length === 2)
    for (const delivery of taken) await delivery.accept()
    await until(() => !existsSync(join(far, '报告.hl7')))
    const content = taken.map(({ message }) => message.content.toString('utf8'))
    expect(content.map((one) => one + '\r').join('')).toBe(batch.toString('utf8'))
    expect(taken.map(({ message }) => message.sourceName)).toEqual(['报告.hl7', '报告.hl7'])
    const names = readdirSync(join(far, 'archive')).sort()
    expect(names).toHaveLength(2)
    expect(readFileSync(join(far, 'archive', '报告.hl7'), 'utf8')).toBe('an earlier one')
    const other = names.find((name) => name !== '报告.hl7')!
    expect(readFileSync(join(far, 'archive', other))).toEqual(batch)
  })

  test('what can never be stored goes to the error folder there, with a note', async () => {
    put('a.hl7', Buffer.from('no HL7 at all'))
    await receive()
    const note = join(far, 'error', 'a.hl7.error.json')
    await until(() => existsSync(note) && readFileSync(note).length > 0)
    expect(JSON.parse(readFileSync(note, 'utf8'))).toMatchObject({ file: 'a.hl7' })
  })

  test('a server that goes away in the middle and comes back: nothing is missing, it is told', async () => {
    const ids = Array.from({ length: 12 }, (_, index) => `C${index + 10}`)
    for (const id of ids) put(`${id}.hl7`, oru(id))
    const { taken, events } = await receive({ maxInFlightMessages: 4 })
    await until(() => taken.length === 4)
    await server.stop()
    const settled = new Set<Delivery>()
    const settle = (): void => {
      for (const delivery of taken.filter((one) => !settled.has(one))) {
        settled.add(delivery)
        void delivery.accept()
      }
    }
    settle()
    await until(() => events.some(({ event }) => event === 'folder-unavailable' || event === 'file-retry'))
    await server.start()
    await until(() => {
      settle()
      return existsSync(join(far, 'archive')) && readdirSync(join(far, 'archive')).length === ids.length
    }, 40_000)
    const came = new Set(taken.map(({ message }) => message.controlId))
    expect(ids.filter((id) => !came.has(id))).toEqual([])
  })

  test('a server with another key is refused, and so is a login it does not know', async () => {
    put('a.hl7', oru('C1'))
    const { hostKey, ...rest } = await server.settings()
    const other = `SHA256:${hostKey.slice(7, 49) === 'A'.repeat(42) ? 'B' : 'A'.repeat(43)}`.slice(0, 50)
    const stranger = await receive({ sftp: { ...rest, hostKey: other } })
    await until(() => stranger.events.some((event) => event.event === 'folder-unavailable'))
    expect(stranger.events).toContainEqual({ event: 'folder-unavailable', code: 'host-key-differs' })
    const unknown = await receive({ sftp: { ...(await server.settings()), user: 'nobody-here' } })
    await until(() => unknown.events.some((event) => event.event === 'folder-unavailable'))
    expect(unknown.events).toContainEqual({ event: 'folder-unavailable', code: 'login-refused' })
    expect([...stranger.taken, ...unknown.taken]).toEqual([])
  })

  test('with a done-marker the file waits for it, and both go', async () => {
    put('a.hl7', oru('C1'))
    const { taken } = await receive({ doneMarker: '.ok' })
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(taken).toEqual([])
    writeFileSync(join(far, 'a.hl7.ok'), '')
    await until(() => taken.length === 1)
    await taken[0]!.accept()
    await until(() => !existsSync(join(far, 'a.hl7.ok')))
  })
})

test('a feed on an SFTP server says where it remembers and how it logs in', () => {
  const problems = (sftp: string, more = ''): readonly string[] => {
    const server = `{ host: h, user: u, hostKey: "SHA256:${'A'.repeat(43)}"${sftp} }`
    const feed = `{ name: a, hospital: H001, connector: hl7v2-files, folder: /out, sftp: ${server}${more} }`
    const checked = checkConfiguration(`environment: test\nfeeds:\n  - ${feed}\n`, connectors, {})
    return checked.problems.map(({ path }) => path)
  }
  expect(problems('')).toEqual(['feeds[0].stateFolder', 'feeds[0].sftp'])
  expect(problems(', password: x', ', stateFolder: state')).toEqual([])
})
