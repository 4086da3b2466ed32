import { copyFile, mkdir, open, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import path, { join, type PlatformPath } from 'node:path'
import { fileIdentity } from './folder-listing.js'

/**
 * Moves a file to `folder` under its own name below the feed's folder, or under a unique one where that is taken: nothing
 * is ever overwritten. `identity` is that of the file that was read: where another one has come under its name since,
 * nothing is moved. A folder on another disk is copied to, flushed, then the original removed.
 * @returns the new path, undefined where the file is not the one that was read
 */
export async function moveAway(
  from: Buffer,
  identity: string,
  folder: string,
  name: string,
  now: number,
): Promise<string | undefined> {
  if ((await fileIdentity(from)) !== identity) return undefined
  const to = await reserve(join(folder, safeName(name)), now)
  try {
    await rename(from, to).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EXDEV') throw error
      await copyDurably(from, to)
      await unlink(from)
    })
  } catch (error) {
    await removeEmpty(to)
    throw error
  }
  return to
}

/** Writes a note for people beside a file that was moved. */
export async function writeNote(path: string, note: unknown): Promise<void> {
  await writeFile(`${path}.error.json`, `${JSON.stringify(note, null, 2)}\n`)
}

/** Takes the name by creating an empty file, which the move then replaces. */
async function reserve(wanted: string, now: number): Promise<string> {
  await mkdir(path.dirname(wanted), { recursive: true })
  for (const name of uniqueNames(wanted, now, path)) {
    try {
      await (await open(name, 'wx')).close()
      return name
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
  throw new Error('names never end')
}

/** The name wanted, then others of its like without end. */
export function* uniqueNames(
  wanted: string,
  now: number,
  { basename, dirname, extname, join }: PlatformPath,
): Generator<string> {
  yield wanted
  const stamp = new Date(now).toISOString().replace(/[-:]/g, '').replace('.', '')
  const extension = extname(wanted)
  const stem = join(dirname(wanted), basename(wanted, extension))
  yield `${stem}.${stamp}${extension}`
  for (let attempt = 2; ; attempt++) yield `${stem}.${stamp}-${attempt}${extension}`
}

async function copyDurably(from: Buffer, to: string): Promise<void> {
  await copyFile(from, to)
  const copy = await open(to, 'r+')
  try {
    await copy.sync()
  } finally {
    await copy.close()
  }
}

async function removeEmpty(path: string): Promise<void> {
  const facts = await stat(path).catch(() => undefined)
  if (facts?.size === 0) await rm(path, { force: true })
}

/** No name leads out of the folder, and none is too long for a stamp. */
export const safeName = (name: string): string =>
  name
    .split('/')
    .filter((part) => part !== '..' && part !== '.' && part !== '')
    .map((part) => part.replace(/[\\:*?"<>|\p{Cc}]/gu, '_').slice(0, 200))
    .join('/')
