// The two archives of a package, byte for byte the same for the same files: names sorted, one date, two modes.
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { create } from 'tar'
import { ZipFile } from 'yazl'

const tarDate = new Date(Date.UTC(2020, 0, 1))
// The date of a ZIP entry is local time: this one reads the same in every time zone.
const zipDate = new Date(2020, 0, 1)

/** `paths` are relative to `folder`, `/` between folders, sorted; `executable` says which are programs. */
export async function writeTar(file, folder, paths, executable) {
  await create(
    {
      file,
      cwd: folder,
      portable: true,
      mtime: tarDate,
      gzip: { level: 9 },
      onWriteEntry: (entry) => {
        entry.stat.mode = (entry.stat.mode & ~0o777) | modeOf(entry.path, executable)
      },
    },
    paths,
  )
}

export async function writeZip(file, folder, paths, executable) {
  const zip = new ZipFile()
  for (const path of paths)
    zip.addFile(join(folder, ...path.split('/')), path, {
      mtime: zipDate,
      forceDosTimestamp: true,
      mode: 0o100000 | modeOf(path, executable),
    })
  zip.end()
  await pipeline(zip.outputStream, createWriteStream(file))
}

const modeOf = (path, executable) => (executable.has(path) ? 0o755 : 0o644)
