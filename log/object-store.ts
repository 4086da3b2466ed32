import { createHash, randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Content-addressed bytes that are too large for a topic. All roles of a deployment share one. */
export interface ObjectStore {
  /** Durable when it resolves; the same bytes have the same reference, `sha256:<hex>`. */
  put(content: Buffer): Promise<string>
  /** Undefined where there is no such object. */
  get(reference: string): Promise<Buffer | undefined>
}

/** Where a folder object store keeps the object of this hash (hex). */
export const objectFile = (dir: string, hex: string): string => join(dir, hex.slice(0, 2), hex)

/** A folder as object store: `<dir>/<first two hex digits>/<hex>`, written beside, flushed and renamed into place. */
export function folderObjectStore(dir: string): ObjectStore {
  return {
    async put(content) {
      const hex = createHash('sha256').update(content).digest('hex')
      const target = objectFile(dir, hex)
      const folder = dirname(target)
      if ((await stat(target).catch(() => undefined))?.size === content.length) return `sha256:${hex}`
      await mkdir(folder, { recursive: true })
      const beside = `${target}.${randomBytes(6).toString('hex')}.tmp`
      const file = await open(beside, 'wx')
      try {
        await file.writeFile(content)
        await file.datasync()
      } finally {
        await file.close()
      }
      await rename(beside, target)
      await flushFolder(folder)
      return `sha256:${hex}`
    },
    async get(reference) {
      const hex = /^sha256:([0-9a-f]{64})$/.exec(reference)?.[1]
      if (hex === undefined) return undefined
      try {
        return await readFile(objectFile(dir, hex))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      }
    },
  }
}

/** Makes a rename durable; Windows cannot open a folder and does without. */
async function flushFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
