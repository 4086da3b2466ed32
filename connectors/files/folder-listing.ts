import { createHash } from 'node:crypto'
import { lstat, readdir, stat } from 'node:fs/promises'
import { resolve, sep } from 'node:path'
import type { FilesSettings } from './config.js'

/** A file that may be read; paths are bytes, for not every name is UTF-8. */
export interface FoundFile {
  readonly path: Buffer
  /** Name below the folder, with `/`, decoded for people: UTF-8, else GB18030. */
  readonly name: string
  /** 12 hex digits that stand for the name in logs. */
  readonly id: string
  readonly mtimeMs: number
  /** Device, inode, size and time in ns: another value means another file, or another content. */
  readonly identity: string
  /** Its done-marker, where one is configured and there. */
  readonly marker?: Buffer
}

/** The files of the folder that are complete as far as their names and markers say, in the configured order. */
export async function listFolder(settings: FilesSettings): Promise<readonly FoundFile[]> {
  const matches = nameMatcher(settings)
  const own = [settings.archiveFolder, settings.errorFolder, settings.stateFolder].map((folder) => resolve(folder))
  const found: FoundFile[] = []
  const folders: { path: Buffer; prefix: Buffer }[] = [{ path: Buffer.from(settings.folder), prefix: Buffer.alloc(0) }]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const { path, prefix } = folder
    const entries = await readdir(path, { encoding: 'buffer', withFileTypes: true }).catch((error: unknown) => {
      if (prefix.length === 0) throw error
      return []
    })
    const names = new Map(entries.map((entry) => [entry.name.toString('latin1'), entry.name]))
    for (const entry of entries) {
      const full = joinPath(path, entry.name)
      if (entry.isDirectory()) {
        if (!settings.subfolders || own.includes(resolve(full.toString()))) continue
        folders.push({ path: full, prefix: Buffer.concat([prefix, entry.name, Buffer.from('/')]) })
      } else if (entry.isFile() && matches(displayName(entry.name))) {
        const file = await describe(
          full,
          Buffer.concat([prefix, entry.name]),
          markerOf(entry.name, path, names, settings),
        )
        if (file !== undefined) found.push(file)
      }
    }
  }
  return sortedFiles(found, settings.order)
}

/** What identifies a file and its content without reading it; undefined where there is no such file. */
export async function fileIdentity(path: Buffer): Promise<string | undefined> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  return facts && identityOf(facts)
}

/** The same of facts already at hand. */
export function identityOf(facts: {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
}): string {
  return `${facts.dev}:${facts.ino}:${facts.size}:${facts.mtimeNs}`
}

/** UTF-8 where the bytes are, else GB18030 (a Chinese Windows share mounted without a charset), else byte by byte. */
export function displayName(bytes: Buffer): string {
  for (const charset of ['utf-8', 'gb18030']) {
    try {
      return new TextDecoder(charset, { fatal: true }).decode(bytes)
    } catch {
      // the next charset
    }
  }
  return bytes.toString('latin1')
}

export function joinPath(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, Buffer.from(sep), name])
}

async function describe(path: Buffer, name: Buffer, marker: Buffer | null | undefined): Promise<FoundFile | undefined> {
  if (marker === null) return undefined
  const facts = await lstat(path, { bigint: true }).catch(() => undefined)
  if (facts === undefined || !facts.isFile()) return undefined
  if (marker !== undefined && !(await markerIsNewer(marker, Number(facts.mtimeMs)))) return undefined
  return {
    path,
    name: displayName(name),
    id: createHash('sha256').update(name).digest('hex').slice(0, 12),
    mtimeMs: Number(facts.mtimeMs),
    identity: identityOf(facts),
    ...(marker !== undefined && { marker }),
  }
}

/** undefined where no marker is asked for, null where it is missing. */
function markerOf(
  name: Buffer,
  folder: Buffer,
  names: ReadonlyMap<string, Buffer>,
  settings: FilesSettings,
): Buffer | null | undefined {
  if (settings.doneMarker === undefined) return undefined
  const text = name.toString('latin1')
  const suffix = Buffer.from(settings.doneMarker).toString('latin1')
  const dot = text.lastIndexOf('.')
  const marker = names.get(text + suffix) ?? (dot > 0 ? names.get(text.slice(0, dot) + suffix) : undefined)
  return marker === undefined ? null : joinPath(folder, marker)
}

/** A marker left over from an earlier file of the same name is older than the file; FAT keeps times to 2 s. */
async function markerIsNewer(marker: Buffer, mtimeMs: number): Promise<boolean> {
  const facts = await stat(marker).catch(() => undefined)
  return facts !== undefined && facts.mtimeMs >= mtimeMs - 2000
}

/** Whether a name is one that the feed reads. */
export function nameMatcher(settings: FilesSettings): (name: string) => boolean {
  const patterns = settings.patterns.map(
    (pattern) =>
      new RegExp(
        `^${pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.')}$`, // prettier-ignore
        'isu',
      ),
  )
  const ignored = [...settings.ignoreSuffixes, ...(settings.doneMarker === undefined ? [] : [settings.doneMarker])]
  const suffixes = ignored.map((suffix) => suffix.toLowerCase())
  return (name) => {
    const lower = name.toLowerCase()
    return patterns.some((pattern) => pattern.test(name)) && !suffixes.some((suffix) => lower.endsWith(suffix))
  }
}

export function sortedFiles(files: FoundFile[], order: FilesSettings['order']): readonly FoundFile[] {
  const byName = (a: FoundFile, b: FoundFile): number => Buffer.compare(a.path, b.path)
  return files.sort(order === 'name' ? byName : (a, b) => a.mtimeMs - b.mtimeMs || byName(a, b))
}
