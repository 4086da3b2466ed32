import type { KeyObject } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isSignedBy, signBytes } from './signing.js'

const closed = { additionalProperties: false }
export const sha256Pattern = '^[0-9a-f]{64}$'
const orNull = <T extends ReturnType<typeof Type.String>>(schema: T) => Type.Union([schema, Type.Null()])

/** What a release is and whom it is for: the text that is signed. */
export const releaseManifest = Type.Object(
  {
    format: Type.Literal(1),
    kind: Type.Union([Type.Literal('package'), Type.Literal('configuration')]),
    /** Of the bytes, hex. */
    sha256: Type.String({ pattern: sha256Pattern }),
    bytes: Type.Integer({ minimum: 1 }),
    /** Rises with every release of a province: an older one cannot be handed out again as news. */
    number: Type.Integer({ minimum: 1 }),
    /** Of a package: Semantic Versioning. Of a configuration: a name for people. */
    version: Type.String({ minLength: 1, maxLength: 64 }),
    environment: Type.Union([Type.Literal('production'), Type.Literal('test')]),
    /** Whose edges it is for; null for all (packages). */
    hospital: orNull(Type.String({ minLength: 1, maxLength: 64 })),
    /** The one edge of the hospital that it is for; null for all of them. */
    edge: orNull(Type.String({ minLength: 1, maxLength: 64 })),
  },
  closed,
)
export type ReleaseManifest = Static<typeof releaseManifest>
export type ReleaseKind = ReleaseManifest['kind']

/** A manifest as the very text that was signed. */
export const signedRelease = Type.Object(
  {
    manifest: Type.String({ maxLength: 4096 }),
    signature: Type.Object({ keyId: Type.String(), signature: Type.String() }, closed),
  },
  closed,
)
export type SignedRelease = Static<typeof signedRelease>

export function signRelease(manifest: ReleaseManifest, key: KeyObject): SignedRelease {
  const text = JSON.stringify(manifest)
  return { manifest: text, signature: signBytes(Buffer.from(text), key) }
}

/** Whom an edge takes releases for. */
export interface ReleaseScope {
  readonly environment: string
  readonly hospital: string
  readonly edge: string
}

/** The manifest, where one of the keys signed it and it is for this edge; else the code of the refusal. */
export function openSignedRelease(
  { manifest: text, signature }: SignedRelease,
  keys: readonly KeyObject[],
  scope: ReleaseScope,
): ReleaseManifest | 'signature-refused' | 'manifest-unreadable' | 'not-for-this-edge' {
  if (!isSignedBy(Buffer.from(text), signature, keys)) return 'signature-refused'
  const manifest = readManifest(text)
  if (manifest === undefined) return 'manifest-unreadable'
  return isForEdge(manifest, scope) ? manifest : 'not-for-this-edge'
}

/** Undefined where the text is no manifest. Says nothing of who signed it. */
export function readManifest(text: string): ReleaseManifest | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Value.Check(releaseManifest, value) ? value : undefined
  } catch {
    return undefined
  }
}

/** A configuration always names its hospital. */
export const isForEdge = (
  {
    kind,
    environment,
    hospital,
    edge,
  }: Pick<ReleaseManifest, 'kind' | 'hospital' | 'edge'> & { readonly environment: string },
  scope: ReleaseScope,
): boolean =>
  environment === scope.environment &&
  (hospital === scope.hospital || (hospital === null && kind === 'package')) &&
  (edge === null || (hospital !== null && edge === scope.edge))

/**
 * Whether a version comes after another (Semantic Versioning 2.0.0 section 11); false where one of them is none. Between
 * two pre-releases of the same version nothing is decided: neither is newer.
 */
export function isNewerVersion(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => /^(\d+)\.(\d+)\.(\d+)(-)?/.exec(text))
  if (a === null || b === null || a === undefined || b === undefined) return false
  for (const place of [1, 2, 3]) {
    if (Number(a[place]) !== Number(b[place])) return Number(a[place]) > Number(b[place])
  }
  return a[4] === undefined && b[4] !== undefined
}
