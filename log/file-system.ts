import { close, constants, fdatasync, fstat, fsync, ftruncate, open, read, writev, type Stats } from 'node:fs'
import { mkdir, open as openHandle, readdir, readFile, rename, statfs, unlink, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { lockFolder, type FolderLock } from './folder-lock.js'

/** An open file. Positions are bytes from its start. */
export interface StoreFile {
  /** Writes the buffers one after the other from `position` on; may write less than asked, as the system call may. */
  write(buffers: readonly Buffer[], position: number): Promise<number>
  /** Reads into `target`; fewer bytes than asked only at the end of the file. */
  read(target: Buffer, position: number): Promise<number>
  /** What was written to bytes that the file already had is on the disk when it resolves. */
  datasync(): Promise<void>
  /** The same for the file's size as well. */
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/** The file operations that the segment store uses, so that tests can stand in for a disk that fails. */
export interface FileSystem {
  makeFolder(path: string): Promise<void>
  /** File names in a folder. */
  list(path: string): Promise<readonly string[]>
  /** `create` fails where the file exists; `write` opens it for reading and writing. */
  open(path: string, mode: 'create' | 'write' | 'read'): Promise<StoreFile>
  readWhole(path: string): Promise<Buffer>
  /** Replaces the file; not durable by itself. */
  writeWhole(path: string, content: Buffer): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Names made, changed or removed in the folder are on the disk when it resolves. */
  syncFolder(path: string): Promise<void>
  /** Bytes that this process may still write. */
  freeBytes(path: string): Promise<number>
  /** @throws UsageError where another process that lives holds the folder */
  lock(path: string): Promise<FolderLock>
}

const callOpen = promisify(open)
const callClose = promisify(close)
const callFstat: (fd: number) => Promise<Stats> = promisify(fstat)
const callDatasync = promisify(fdatasync)
const callSync = promisify(fsync)
const callTruncate = promisify(ftruncate)

const flags = {
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  write: constants.O_RDWR,
  read: constants.O_RDONLY,
} as const

/** The file system of the operating system. */
export const realFileSystem: FileSystem = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true })
  },
  list: (path) => readdir(path),
  async open(path, mode) {
    return openFile(await callOpen(path, flags[mode]))
  },
  readWhole: (path) => readFile(path),
  writeWhole: (path, content) => writeFile(path, content),
  rename: (from, to) => rename(from, to),
  remove: (path) => unlink(path),
  syncFolder,
  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
  lock: lockFolder,
}

function openFile(fd: number): StoreFile {
  return {
    write: (buffers, position) =>
      new Promise((resolve, reject) => {
        writev(fd, buffers, position, (error, written) => (error === null ? resolve(written) : reject(error)))
      }),
    async read(target, position) {
      let done = 0
      while (done < target.length) {
        const got = await readOnce(fd, target, done, position + done)
        if (got === 0) break
        done += got
      }
      return done
    },
    datasync: () => callDatasync(fd),
    sync: () => callSync(fd),
    truncate: (size) => callTruncate(fd, size),
    async size() {
      return (await callFstat(fd)).size
    },
    close: () => callClose(fd),
  }
}

function readOnce(fd: number, target: Buffer, offset: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, target, offset, target.length - offset, position, (error, got) =>
      error === null ? resolve(got) : reject(error),
    )
  })
}

/** Windows cannot open or flush a folder (EPERM, EISDIR, EACCES); NTFS journals names by itself. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await openHandle(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (process.platform === 'win32' && ['EPERM', 'EISDIR', 'EACCES', 'EINVAL'].includes(code)) return
    throw error
  }
}

/** Writes everything, however short the single writes are. */
export async function writeFully(file: StoreFile, bytes: Buffer, position: number): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const written = await file.write([bytes.subarray(done)], position + done)
    if (written === 0) throw new Error('the file took no more bytes')
    done += written
  }
}
