import { createHash } from 'node:crypto'
import { loadEventSchemas } from './catalogue.js'
import { loadReleases } from './releases.js'

/** Numbers for schemas: what a frame carries in its header, and the way back from there. */
export interface SchemaRegistry {
  /**
   * The id under which exactly this schema stands under this subject; nothing is registered.
   * @throws UnknownSubject where it does not, RetryableError while the registry cannot be asked
   */
  idFor(subject: string, schemaText: string): Promise<number>
  /** JSON text of the schema; undefined where the registry knows no such id. @throws RetryableError as above */
  schemaOf(id: number): Promise<string | undefined>
}

/** The subject or this version of it is not registered. */
export class UnknownSubject extends Error {
  override readonly name = 'UnknownSubject'
}

/**
 * The registry of the one-process default: the schemas of today and of every release, from the files beside this one.
 * An id is the first 31 bits of SHA-256 over the text, so it never changes and needs no store.
 */
export function embeddedRegistry(): SchemaRegistry {
  const byId = new Map<number, string>()
  for (const { text } of [...loadReleases().flatMap((release) => release.schemas), ...loadEventSchemas()]) {
    byId.set(embeddedId(text), text)
  }
  return {
    async idFor(subject, schemaText) {
      const id = embeddedId(schemaText)
      if (byId.get(id) !== schemaText) throw new UnknownSubject(`${subject}: not a schema of this installation`)
      return id
    },
    schemaOf: async (id) => byId.get(id),
  }
}

/** First 31 bits of SHA-256 over the text: positive in the four bytes of a frame's header. */
export function embeddedId(schemaText: string): number {
  return createHash('sha256').update(schemaText, 'utf8').digest().readUInt32BE(0) >>> 1
}
