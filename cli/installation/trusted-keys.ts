import { createPublicKey, type KeyObject } from 'node:crypto'
import { UsageError } from '../../core/errors.js'
import { readVerifyingKey } from '../../core/signing.js'
import { identityFiles, readIdentity } from '../../log/identity.js'

/**
 * Keys that releases must be signed by: the files named, else what enrolment left in `<dataDir>/identity/edge.json`.
 * Undefined where there are neither. @throws UsageError where one cannot be read
 */
export async function trustedKeys(dataDir: string, files: readonly string[] = []): Promise<KeyObject[] | undefined> {
  if (files.length > 0) return files.map((file) => readVerifyingKey('--key', file))
  const identityAt = identityFiles(dataDir)
  const identity = await readIdentity(identityAt)
  if (identity === undefined) return undefined
  try {
    return identity.releaseKeys.map((pem) => createPublicKey(pem))
  } catch (cause) {
    throw new UsageError(
      `${identityAt.edgeFile} names no readable releaseKeys: enrol again, or name the key with --key`,
      { cause },
    )
  }
}
