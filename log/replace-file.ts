import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pause } from '../core/pause.js'
import { realFileSystem } from './file-system.js'

/** Puts `content` in the place of a file: a reader, or a power cut, finds the old or the new, whole and durable. */
export async function replaceFile(path: string, content: string, mode = 0o644): Promise<void> {
  const beside = `${path}.new`
  // A new file: what was left there might have other rights.
  await rm(beside, { force: true })
  try {
    const file = await open(beside, 'wx', mode)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await renamePatiently(beside, path)
  } catch (error) {
    // Half a file on a disk that is full would keep it full.
    await rm(beside, { force: true })
    throw error
  }
  await realFileSystem.syncFolder(dirname(path))
}

/** On Windows a virus scanner may hold a fresh file or folder for a moment; asks again for some seconds. */
export async function renamePatiently(from: string, to: string, attempts = 20): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await rename(from, to)
    } catch (error) {
      const held = ['EPERM', 'EBUSY', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')
      if (!held || process.platform !== 'win32' || attempt >= attempts) throw error
      await pause(50 * attempt)
    }
  }
}
