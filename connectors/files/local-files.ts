import { watch } from 'node:fs'
import { open, unlink, type FileHandle } from 'node:fs/promises'
import type { FilesSettings } from './config.js'
import type { FileStore, OpenFile } from './file-store.js'
import { fileIdentity, identityOf, listFolder, type FoundFile } from './folder-listing.js'
import { moveAway, writeNote } from './put-away.js'

/** A folder of this machine, or of a share that it has mounted. */
export function localFiles(settings: FilesSettings): FileStore {
  return {
    list: () => listFolder(settings),
    open: openLocal,
    identity: ({ path }) => fileIdentity(path),
    moveAway: ({ path, name }, identity, folder, now) => moveAway(path, identity, folder, name, now),
    writeNote,
    remove: unlink,
    hints(changed) {
      try {
        const watcher = watch(settings.folder, { persistent: false }, changed)
        watcher.on('error', () => watcher.close())
        return watcher
      } catch {
        return undefined
      }
    },
    close: () => Promise.resolve(),
  }
}

async function openLocal({ path }: FoundFile): Promise<OpenFile> {
  const handle = await open(path, 'r')
  try {
    const facts = await handle.stat({ bigint: true })
    return {
      identity: identityOf(facts),
      size: Number(facts.size),
      chunks: (size) => chunksOf(handle, size),
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

const chunkBytes = 256 * 1024

async function* chunksOf(handle: FileHandle, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size;) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, size - at))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
