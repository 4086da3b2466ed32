import { basename, dirname } from 'node:path'
import type { FileSystem, StoreFile } from './file-system.js'

/**
 * A folder as it is now, to be looked at while another process holds it: what a store writes on opening (an index, the cut
 * of zeros, a new segment) stays in memory, nothing on the disk is changed or locked.
 */
export function viewOf(disk: FileSystem): FileSystem {
  /** Files that were written here; null where one was removed. */
  const written = new Map<string, Buffer | null>()
  const missing = (path: string): NodeJS.ErrnoException =>
    Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' })
  const readWhole = async (path: string): Promise<Buffer> => {
    const own = written.get(path)
    if (own === null) throw missing(path)
    return own ?? disk.readWhole(path)
  }
  const memoryFile = (path: string): StoreFile => {
    const content = (): Buffer => written.get(path) ?? Buffer.alloc(0)
    return {
      write(buffers, position) {
        const bytes = Buffer.concat(buffers)
        const grown = Buffer.alloc(Math.max(content().length, position + bytes.length))
        content().copy(grown)
        bytes.copy(grown, position)
        written.set(path, grown)
        return Promise.resolve(bytes.length)
      },
      read: (target, position) => Promise.resolve(content().copy(target, 0, position)),
      datasync: () => Promise.resolve(),
      sync: () => Promise.resolve(),
      truncate(size) {
        const cut = Buffer.alloc(size)
        content().copy(cut)
        written.set(path, cut)
        return Promise.resolve()
      },
      size: () => Promise.resolve(content().length),
      close: () => Promise.resolve(),
    }
  }
  return {
    makeFolder: () => Promise.resolve(),
    async list(path) {
      const names = new Set(await disk.list(path))
      for (const [file, content] of written) {
        if (dirname(file) !== path) continue
        if (content === null) names.delete(basename(file))
        else names.add(basename(file))
      }
      return [...names]
    },
    async open(path, mode) {
      if (mode === 'read' && !written.has(path)) return disk.open(path, 'read')
      if (mode === 'create') written.set(path, Buffer.alloc(0))
      else written.set(path, await readWhole(path))
      return memoryFile(path)
    },
    readWhole,
    writeWhole(path, content) {
      written.set(path, Buffer.from(content))
      return Promise.resolve()
    },
    async rename(from, to) {
      written.set(to, await readWhole(from))
      written.set(from, null)
    },
    remove(path) {
      written.set(path, null)
      return Promise.resolve()
    },
    syncFolder: () => Promise.resolve(),
    freeBytes: () => Promise.resolve(Number.POSITIVE_INFINITY),
    lock: () => Promise.resolve({ lost: new AbortController().signal, release: () => Promise.resolve() }),
  }
}
