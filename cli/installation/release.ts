import { createHash, type KeyObject } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isSignedBy } from '../../core/signing.js'
import { ReleaseError } from './release-error.js'

export const releaseFile = 'RELEASE.json'
export const signatureFile = 'RELEASE.sig'

/** A version is also the name of a folder: digits, letters, dots and hyphens (Semantic Versioning 2.0.0, no build part). */
export const versionPattern = '^\\d{1,9}\\.\\d{1,9}\\.\\d{1,9}(-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*)?$'

/** Relative, `/` between folders: no `..`, no drive, no character that Windows does not take in a name. */
const pathPattern = '^(?!.*(^|/)\\.{1,2}(/|$))[^/\\\\:*?"<>|\\u0000-\\u001f]+(/[^/\\\\:*?"<>|\\u0000-\\u001f]+)*$'

const Release = Type.Object({
  version: Type.String({ pattern: versionPattern, maxLength: 64 }),
  /** `spoolFormat` of log/spool-frame.ts in this version. */
  spoolFormat: Type.Integer({ minimum: 1 }),
  /** All files of the version's folder but RELEASE.json and RELEASE.sig: path → SHA-256, hex. */
  files: Type.Record(Type.String({ pattern: pathPattern }), Type.String({ pattern: '^[0-9a-f]{64}$' }), {
    additionalProperties: false,
  }),
})
/** What RELEASE.json says: the version and every file that belongs to it. */
export type Release = Static<typeof Release>

const SignatureOfRelease = Type.Object({ keyId: Type.String(), signature: Type.String() })

/** @throws ReleaseError `not-a-release` */
export async function readRelease(versionFolder: string): Promise<Release> {
  return releaseOf(await releaseBytes(versionFolder), versionFolder)
}

/**
 * Proves that a version's folder holds the files of its RELEASE.json, byte for byte and no others, and that one of
 * `keys` signed it. Without `keys` the files alone are compared, which proves against accident, not against intent.
 * @throws ReleaseError naming the first fault
 */
export async function verifyRelease(versionFolder: string, keys: readonly KeyObject[] | undefined): Promise<Release> {
  const bytes = await releaseBytes(versionFolder)
  if (keys !== undefined) await verifySignature(versionFolder, bytes, keys)
  const release = releaseOf(bytes, versionFolder)
  const listed = new Map(Object.entries(release.files))
  for (const path of await filesUnder(versionFolder)) {
    if (path === releaseFile || path === signatureFile) continue
    const expected = listed.get(path)
    if (expected === undefined)
      throw new ReleaseError('file-not-listed', `${versionFolder}: ${path} does not belong to this release`)
    listed.delete(path)
    if ((await sha256OfFile(join(versionFolder, ...path.split('/')))) !== expected)
      throw new ReleaseError('file-changed', `${versionFolder}: ${path} is not the file that was released`)
  }
  for (const path of listed.keys())
    throw new ReleaseError('file-missing', `${versionFolder}: ${path} of this release is missing`)
  return release
}

async function releaseBytes(versionFolder: string): Promise<Buffer> {
  return await readFile(join(versionFolder, releaseFile)).catch((cause: unknown) => {
    throw new ReleaseError('not-a-release', `${versionFolder}: no readable ${releaseFile}`, { cause })
  })
}

function releaseOf(bytes: Buffer, versionFolder: string): Release {
  const value = jsonOf(bytes)
  if (Value.Check(Release, value)) return value
  throw new ReleaseError('not-a-release', `${versionFolder}: ${releaseFile} does not describe a release`)
}

async function verifySignature(versionFolder: string, bytes: Buffer, keys: readonly KeyObject[]): Promise<void> {
  const text = await readFile(join(versionFolder, signatureFile)).catch((cause: unknown) => {
    throw new ReleaseError('unsigned', `${versionFolder}: the release is not signed (no ${signatureFile})`, { cause })
  })
  const signature = jsonOf(text)
  if (!Value.Check(SignatureOfRelease, signature) || !isSignedBy(bytes, signature, keys))
    throw new ReleaseError(
      'signature-refused',
      `${versionFolder}: ${signatureFile} is not a signature of this release by a key that is trusted here`,
    )
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

/** Files below a folder, `/` between folders, in code unit order. @throws ReleaseError for a link or a device */
export async function filesUnder(folder: string): Promise<string[]> {
  const found: string[] = []
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(folder, ...below.split('/')), { withFileTypes: true })) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`
      if (entry.isDirectory()) await walk(path)
      else if (entry.isFile()) found.push(path)
      else throw new ReleaseError('file-not-listed', `${folder}: ${path} is a link or a device, not a file`)
    }
  }
  await walk('')
  return found.sort()
}

/** Hex. */
export async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) hash.update(chunk)
  return hash.digest('hex')
}
