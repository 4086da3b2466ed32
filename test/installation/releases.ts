import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { create } from 'tar'
import { filesUnder, releaseFile, sha256OfFile, signatureFile } from '../../cli/installation/release.js'
import { createSigningKeys, signBytes } from '../../core/signing.js'

export interface Signer {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export function signer(): Signer {
  const pair = createSigningKeys()
  return { privateKey: createPrivateKey(pair.privateKey), publicKey: createPublicKey(pair.publicKey) }
}

/** Writes files and describes them in RELEASE.json, signed where a signer is given. */
export async function writeRelease(
  folder: string,
  version: string,
  {
    by,
    spoolFormat = 1,
    text = 'main',
  }: { readonly by?: Signer; readonly spoolFormat?: number; readonly text?: string },
): Promise<void> {
  const contents = { 'dist/cli/main.js': text, 'package.json': JSON.stringify({ version }) }
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  const files: Record<string, string> = {}
  for (const path of await filesUnder(folder)) files[path] = await sha256OfFile(join(folder, path))
  const bytes = Buffer.from(JSON.stringify({ version, spoolFormat, files }))
  await writeFile(join(folder, releaseFile), bytes)
  if (by !== undefined) await writeFile(join(folder, signatureFile), JSON.stringify(signBytes(bytes, by.privateKey)))
}

/** Packs `<from>/hutong`. */
export const pack = (from: string, archive: string): Promise<void> =>
  create({ file: archive, cwd: from, gzip: true, portable: true }, ['hutong'])
