import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import type { Client, FileEntryWithStats, SFTPWrapper, Stats } from 'ssh2'
import type { FilesSettings } from './config.js'
import type { FileStore, OpenFile } from './file-store.js'
import { nameMatcher, sortedFiles, type FoundFile } from './folder-listing.js'
import { safeName, uniqueNames } from './put-away.js'

type Sftp = NonNullable<FilesSettings['sftp']>

/** Something of the server or the line: `code` is a system code, or one of SSH's parts in words. */
class SftpError extends Error {
  override readonly name = 'SftpError'
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/**
 * A folder on an SFTP server (SSH File Transfer Protocol, version 3). One connection, made when it is needed and again after
 * it broke. The server must show the key the feed names. Times there are whole seconds: a file is told from another by its
 * size and second, so that a sender that changes files in place needs `stableForMs` of some seconds.
 */
export function sftpFiles(settings: FilesSettings, sftp: Sftp): FileStore {
  return new SftpFiles(settings, sftp)
}

/** SSH_FX_… of draft-ietf-secsh-filexfer-02 section 7. */
const statusCodes: Readonly<Record<number, string>> = { 2: 'ENOENT', 3: 'EACCES', 6: 'ECONNRESET', 7: 'ECONNRESET' }
const failure = 4
const connectTimeoutMs = 20_000
const chunkBytes = 32 * 1024

class SftpFiles implements FileStore {
  private connection: Promise<Connection> | undefined

  constructor(
    private readonly settings: FilesSettings,
    private readonly sftp: Sftp,
  ) {}

  async list(): Promise<readonly FoundFile[]> {
    const { settings } = this
    const matches = nameMatcher(settings)
    const own = [settings.archiveFolder, settings.errorFolder].map((folder) => posix.normalize(folder))
    const found: FoundFile[] = []
    const folders = [{ path: settings.folder, prefix: '' }]
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const { path, prefix } = folder
      const entries = await this.entriesOf(path, prefix !== '')
      const attributes = new Map(entries.map(({ filename, attrs }) => [filename, attrs]))
      for (const { filename, attrs } of entries) {
        const full = posix.join(path, filename)
        if (attrs.isDirectory()) {
          if (settings.subfolders && !own.includes(posix.normalize(full)))
            folders.push({ path: full, prefix: `${prefix}${filename}/` })
        } else if (attrs.isFile() && matches(filename)) {
          const marker = markerOf(filename, attributes, attrs, settings)
          if (marker === null) continue
          found.push(foundFile(full, `${prefix}${filename}`, attrs, marker && posix.join(path, marker)))
        }
      }
    }
    return sortedFiles(found, settings.order)
  }

  async open({ path }: FoundFile): Promise<OpenFile> {
    const handle = await this.ask<Buffer>((sftp, done) => sftp.open(path.toString(), 'r', done))
    const close = (): Promise<void> => this.ask<void>((sftp, done) => sftp.close(handle, done)).catch(() => undefined) // the connection may be gone
    try {
      const facts = await this.ask<Stats>((sftp, done) => sftp.fstat(handle, done))
      return {
        identity: identityOf(facts),
        size: facts.size,
        chunks: (size) => this.chunksOf(handle, size),
        close,
      }
    } catch (error) {
      await close()
      throw error
    }
  }

  async identity({ path }: FoundFile): Promise<string | undefined> {
    const facts = await this.stat(path.toString())
    return facts && identityOf(facts)
  }

  async moveAway(file: FoundFile, identity: string, folder: string, now: number): Promise<string | undefined> {
    if ((await this.identity(file)) !== identity) return undefined
    const wanted = posix.join(folder, safeName(file.name))
    await this.makeFolders(posix.dirname(wanted))
    for (const to of uniqueNames(wanted, now, posix)) {
      if ((await this.stat(to)) !== undefined) continue
      try {
        // Version 3 renames onto no file that is there.
        await this.ask<void>((sftp, done) => sftp.rename(file.path.toString(), to, done))
        return to
      } catch (error) {
        if ((await this.stat(to)) === undefined) throw error
      }
    }
    return undefined
  }

  async writeNote(moved: string, note: unknown): Promise<void> {
    const text = `${JSON.stringify(note, null, 2)}\n`
    await this.ask<void>((sftp, done) =>
      sftp.writeFile(`${moved}.error.json`, text, (error) => done(error ?? undefined)),
    )
  }

  remove(path: Buffer): Promise<void> {
    return this.ask<void>((sftp, done) => sftp.unlink(path.toString(), done))
  }

  hints(): undefined {
    return undefined
  }

  async close(): Promise<void> {
    const connection = await this.connection?.catch(() => undefined)
    this.connection = undefined
    connection?.client.end()
  }

  private async entriesOf(path: string, mayBeGone: boolean): Promise<readonly FileEntryWithStats[]> {
    try {
      return await this.ask<FileEntryWithStats[]>((sftp, done) => sftp.readdir(path, done))
    } catch (error) {
      if (mayBeGone && error instanceof SftpError && error.code === 'ENOENT') return []
      throw error
    }
  }

  private async *chunksOf(handle: Buffer, size: number): AsyncGenerator<Buffer> {
    for (let at = 0; at < size;) {
      const wanted = Math.min(chunkBytes, size - at)
      const buffer = Buffer.allocUnsafeSlow(wanted)
      const bytesRead = await this.ask<number>((sftp, done) =>
        sftp.read(handle, buffer, 0, wanted, at, (error, count) => {
          // 1: SSH_FX_EOF
          if ((error as { readonly code?: unknown } | undefined)?.code === 1) done(undefined, 0)
          else done(error, count)
        }),
      )
      if (bytesRead === 0) return
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }

  private async stat(path: string): Promise<Stats | undefined> {
    try {
      return await this.ask<Stats>((sftp, done) => sftp.stat(path, done))
    } catch (error) {
      if (error instanceof SftpError && error.code === 'ENOENT') return undefined
      throw error
    }
  }

  private async makeFolders(folder: string): Promise<void> {
    if ((await this.stat(folder)) !== undefined) return
    const parent = posix.dirname(folder)
    if (parent !== folder) await this.makeFolders(parent)
    await this.ask<void>((sftp, done) => sftp.mkdir(folder, done)).catch(async (error: unknown) => {
      if ((await this.stat(folder)) === undefined) throw error // another has not made it meanwhile
    })
  }

  /** One request. @throws SftpError */
  private async ask<T>(
    request: (sftp: SFTPWrapper, done: (error?: Error | null, value?: T) => void) => void,
  ): Promise<T> {
    this.connection ??= connect(this.sftp)
    const asked = this.connection
    let connection: Connection
    try {
      connection = await asked
    } catch (error) {
      if (this.connection === asked) this.connection = undefined
      throw error
    }
    try {
      return await new Promise<T>((resolve, reject) => {
        const settled = connection.untilEnded(reject)
        request(connection.sftp, (error, value) => {
          settled()
          if (error === undefined || error === null) resolve(value as T)
          else reject(error)
        })
      })
    } catch (error) {
      if (connection.isEnded() && this.connection === asked) this.connection = undefined
      throw asSftpError(error)
    }
  }
}

interface Connection {
  readonly client: Client
  readonly sftp: SFTPWrapper
  /** Calls back with why nothing more can be asked, once that is so, unless what it returns was called before. */
  untilEnded(told: (error: SftpError) => void): () => void
  isEnded(): boolean
}

async function connect(options: Sftp): Promise<Connection> {
  const { Client } = (await import('ssh2')).default
  const client = new Client()
  const { host, port = 22, user, password, privateKeyFile, passphrase } = options
  const privateKey = privateKeyFile === undefined ? undefined : await readFile(privateKeyFile)
  let shown: string | undefined
  let failed: SftpError | undefined
  let end: SftpError | undefined
  const waiting = new Set<(error: SftpError) => void>()
  client.on('error', (error) => (failed ??= asSftpError(error)))
  client.on('close', () => {
    end = failed ?? new SftpError('ECONNRESET', 'the SFTP server closed the connection')
    for (const told of waiting) told(end)
    waiting.clear()
  })
  const untilEnded = (told: (error: SftpError) => void): (() => void) => {
    if (end !== undefined) told(end)
    else waiting.add(told)
    return () => void waiting.delete(told)
  }
  const ready = new Promise<SftpError | undefined>((resolve) => {
    untilEnded(resolve)
    client.once('ready', () => resolve(undefined))
  })
  client.connect({
    host,
    port,
    username: user,
    ...(password !== undefined && { password }),
    ...(privateKey !== undefined && { privateKey }),
    ...(passphrase !== undefined && { passphrase }),
    readyTimeout: connectTimeoutMs,
    keepaliveInterval: 15_000,
    keepaliveCountMax: 3,
    hostVerifier: (key: Buffer) => {
      shown = fingerprint(key)
      return shown === options.hostKey.replace(/=$/, '')
    },
  })
  const early = await ready
  if (early !== undefined) {
    if (shown !== undefined && shown !== options.hostKey.replace(/=$/, ''))
      throw new SftpError('host-key-differs', `${host}:${port} shows the key ${shown}, the feed names another`)
    throw early
  }
  const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
    const settled = untilEnded(reject)
    client.sftp((error, wrapper) => {
      settled()
      if (error === undefined) resolve(wrapper)
      else reject(asSftpError(error))
    })
  })
  return { client, sftp, untilEnded, isEnded: () => end !== undefined }
}

/** As `ssh-keygen -lf` prints it. */
const fingerprint = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`

function asSftpError(error: unknown): SftpError {
  if (error instanceof SftpError) return error
  const { code, level, message } = error as { code?: unknown; level?: unknown; message?: string }
  const name =
    typeof code === 'number'
      ? (statusCodes[code] ?? (code === failure ? 'sftp-failure' : `sftp-${code}`))
      : typeof code === 'string'
        ? code
        : level === 'client-authentication'
          ? 'login-refused'
          : level === 'client-timeout'
            ? 'ETIMEDOUT'
            : 'ECONNRESET'
  return new SftpError(name, message ?? name, { cause: error })
}

const identityOf = ({ size, mtime }: Pick<Stats, 'size' | 'mtime'>): string => `sftp:${size}:${mtime}`

function foundFile(path: string, name: string, attrs: Stats, marker: string | undefined): FoundFile {
  return {
    path: Buffer.from(path),
    name,
    id: createHash('sha256').update(name).digest('hex').slice(0, 12),
    mtimeMs: attrs.mtime * 1000,
    identity: identityOf(attrs),
    ...(marker !== undefined && { marker: Buffer.from(marker) }),
  }
}

/** undefined where no marker is asked for, null where it is missing or older than the file. */
function markerOf(
  name: string,
  entries: ReadonlyMap<string, Stats>,
  facts: Stats,
  { doneMarker }: FilesSettings,
): string | null | undefined {
  if (doneMarker === undefined) return undefined
  const dot = name.lastIndexOf('.')
  const names = [name + doneMarker, ...(dot > 0 ? [name.slice(0, dot) + doneMarker] : [])]
  return names.find((one) => (entries.get(one)?.mtime ?? -Infinity) >= facts.mtime - 2) ?? null
}
