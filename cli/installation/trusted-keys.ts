import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { UsageError } from '../../core/errors.js'
import { readVerifyingKey } from '../../core/signing.js'

const Identity = Type.Object({ releaseKeys: Type.Array(Type.String()) })

/**
 * Keys that releases must be signed by: the files named, else what enrolment left in `<dataDir>/identity/edge.json`.
 * Undefined where there are neither. @throws UsageError where one cannot be read
 */
export async function trustedKeys(dataDir: string, files: readonly string[] = []): Promise<KeyObject[] | undefined> {
  if (files.length > 0) return files.map((file) => readVerifyingKey('--key', file))
  const path = join(dataDir, 'identity', 'edge.json')
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new UsageError(`cannot read ${path}: ${error.code}`, { cause: error })
  })
  if (text === undefined) return undefined
  try {
    const identity = Value.Parse(Identity, JSON.parse(text))
    return identity.releaseKeys.map((pem) => createPublicKey(pem))
  } catch (cause) {
    throw new UsageError(`${path} names no readable releaseKeys: enrol again, or name the key with --key`, { cause })
  }
}
