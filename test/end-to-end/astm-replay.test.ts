import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { analyserMessages } from '../../cli/demo/astm-messages.js'
import { contentOf, type SimulatedMessage } from '../../cli/demo/journal.js'
import { take } from '../../cli/demo/messages.js'
import { checkConfiguration } from '../../cli/config.js'
import { connectors } from '../../cli/connectors.js'
import { filesOf } from '../../cli/files.js'
import { replay } from '../../cli/replay.js'
import { framesOf } from '../../connectors/astm-lis2/sender-link.js'

const golden = resolve(import.meta.dirname, '..', 'golden', 'astm-lis2')
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hutong-astm-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

test('files of LIS2-A2 are told by their content and end in the repository', { timeout: 180_000 }, async () => {
  const messages = [...take<SimulatedMessage>(analyserMessages({ hospital: 'H001', seed: 5 }), 20)]
  const kinds = messages.map(({ kind }) => kind)
  const files = {
    // Records with a remark of whoever wrote the file, several messages in one.
    'records.txt': Buffer.concat([Buffer.from('# from the analyser of room 3\n'), ...messages.map(contentOf)]),
    // The bytes of a line, a damaged and a repeated frame among them.
    'line.bin': Buffer.concat(
      framesOf(await readFile(join(golden, 'blood-count', 'input.astm'))).flatMap((frame, at) =>
        at === 1 ? [frame.map((byte, place) => (place === 5 ? byte ^ 1 : byte)), frame, frame] : [frame],
      ),
    ),
    'barcode-only.astm': await readFile(join(golden, 'patient-missing', 'input.astm')),
    'note.txt': Buffer.from('nothing of the kind\n'),
  }
  for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content)
  const text = [
    'environment: test',
    `dataDir: ${JSON.stringify(join(dir, 'data'))}`,
    'logLevel: error',
    'feeds: [{ name: room-3, hospital: H001, connector: astm-lis2, port: 0 }]',
  ].join('\n')
  const { configuration, problems } = checkConfiguration(text, connectors, {})
  expect(problems).toEqual([])
  const paths = Object.keys(files).map((name) => join(dir, name))
  const run = () => replay(configuration!, filesOf(paths), { progress: () => undefined })
  const ignored = kinds.filter((kind) => kind === 'unused').length
  const stored = 21 - ignored
  expect(await run()).toMatchObject({ received: 22, stored, superseded: 0, deadLettered: 1, ignored, refused: 1 })
  expect(await run()).toMatchObject({ received: 22, stored: 0, inFlight: 0 })
})
