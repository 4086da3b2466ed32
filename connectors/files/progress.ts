import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const schema = Type.Object({
  /** Bytes of the file that `sha256` covers, all of what was there when it was read. */
  size: Type.Integer({ minimum: 0 }),
  sha256: Type.String(),
  /** As `FoundFile.identity` at that time. */
  identity: Type.String(),
  /** Every message before this one is accepted or refused for good. From 1. */
  nextIndex: Type.Integer({ minimum: 1 }),
  /** Nothing is left to read of these bytes. */
  complete: Type.Boolean(),
  refusals: Type.Array(
    Type.Object({ index: Type.Integer(), reason: Type.String(), controlId: Type.Optional(Type.String()) }),
  ),
  savedAt: Type.Integer(),
})

/** How far a file has been read. */
export type Progress = Static<typeof schema>

const forgetAfterMs = 7 * 24 * 3600 * 1000

/**
 * Remembers how far each file has been read, one small file each. It is never ahead of what was accepted: losing it, or
 * finding an old state, only makes messages come a second time, which the messageId takes care of.
 */
export class ProgressStore {
  private readonly known = new Map<string, Progress>()

  constructor(private readonly folder: string) {}

  /** Reads what an earlier run left; damaged entries count as absent. */
  async load(): Promise<void> {
    await mkdir(this.folder, { recursive: true })
    for (const name of await readdir(this.folder)) {
      const id = /^([0-9a-f]{12})\.json$/.exec(name)?.[1]
      if (id === undefined) continue
      const entry: unknown = await readFile(join(this.folder, name), 'utf8')
        .then(JSON.parse)
        .catch(() => undefined)
      if (Value.Check(schema, entry)) this.known.set(id, entry)
    }
  }

  get(id: string): Progress | undefined {
    return this.known.get(id)
  }

  async save(id: string, progress: Progress): Promise<void> {
    this.known.set(id, progress)
    const path = join(this.folder, `${id}.json`)
    await writeFile(`${path}.new`, JSON.stringify(progress))
    await rename(`${path}.new`, path)
  }

  async forget(id: string): Promise<void> {
    if (this.known.delete(id)) await rm(join(this.folder, `${id}.json`), { force: true })
  }

  /** Forgets files that have not been there for a week; a share may be away for a while. */
  async prune(present: ReadonlySet<string>, now: number): Promise<void> {
    for (const [id, progress] of this.known) {
      if (!present.has(id) && now - progress.savedAt > forgetAfterMs) await this.forget(id)
    }
  }
}
