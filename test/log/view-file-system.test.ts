import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../core/clock.js'
import { realFileSystem, type FileSystem } from '../../log/file-system.js'
import { openSpool } from '../../log/spool-store.js'
import { viewOf } from '../../log/view-file-system.js'

test('a spool opened to be looked at changes nothing on the disk, whatever the store writes', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'hutong-view-'))
  try {
    const open = (fileSystem: FileSystem) =>
      openSpool({
        dir,
        environment: 'test',
        clock: systemClock,
        retention: { maxAgeMs: 86_400_000, maxBytes: 1024 * 1024 * 1024 },
        diskReserveBytes: 0,
        fileSystem,
      })
    const message = (text: string) => ({ feed: 'lis', content: Buffer.from(text), receivedAt: 1_714_959_000_000 })
    const spool = await open(realFileSystem)
    for (const text of ['one', 'two', 'three']) await spool.accept(message(text))
    await spool.close()
    const files = async () =>
      Promise.all(
        (await readdir(dir)).sort().map(async (name) => [name, (await readFile(join(dir, name))).toString('hex')]),
      )
    const before = await files()

    const view = await open(viewOf(realFileSystem))
    const [mark] = view.watermarks()
    expect(mark?.seq).toBe(3)
    expect((await view.read({ ...mark!, seq: 2 }))?.content.toString()).toBe('two')
    const added = await view.accept(message('four'))
    expect((await view.read(added))?.content.toString()).toBe('four')
    await view.close()

    expect(await files()).toEqual(before)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
