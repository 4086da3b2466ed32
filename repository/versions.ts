import { statusOrder, type Version } from '../core/version.js'
import type { ColumnType } from './array-column.js'

/** The columns that make a version, in the order of `core/version.ts`; `derivation` is last and not of the source. */
export const versionTypes = {
  finality: 'int2',
  recorded_at: 'timestamptz',
  message_time: 'timestamptz',
  status_rank: 'int2',
  content_hash: 'int8',
  derivation: 'int8',
} as const satisfies Record<string, ColumnType>

const versionColumns = ['finality', 'recorded_at', 'message_time', 'status_rank', 'content_hash', 'derivation']
const sourceColumns = versionColumns.slice(0, -1)

/** SQL condition: the row `incoming` is a newer version than the row `standing`. */
export type Guard = (incoming: string, standing: string) => string

const row = (alias: string, columns: readonly string[]): string =>
  `(${columns.map((column) => `${alias}.${column}`).join(', ')})`

/** The one row comparison that decides what is newer (section 5 of the design); agrees with `compareVersions`. */
export const newer: Guard = (incoming, standing) =>
  `${row(incoming, versionColumns)} > ${row(standing, versionColumns)}`

/** SQL condition: the same source version, whatever the derivation. */
export const sameSource: Guard = (a, b) => `${row(a, sourceColumns)} = ${row(b, sourceColumns)}`

/** SQL: the version columns of a row read back, times as ms. */
export const versionSelection = (alias: string): string =>
  `${alias}.finality, epoch_ms(${alias}.recorded_at) AS recorded_at, epoch_ms(${alias}.message_time) AS message_time, ` +
  `${alias}.status_rank, ${alias}.content_hash, ${alias}.derivation`

/** A version as `versionSelection` reads it. */
export interface VersionRow {
  readonly finality: number
  readonly recorded_at: number
  readonly message_time: number
  readonly status_rank: number
  readonly content_hash: number
  readonly derivation: number
}

export const versionOfRow = (read: VersionRow): Version => ({
  finality: read.finality,
  recordedAt: read.recorded_at,
  messageTime: read.message_time,
  statusRank: read.status_rank,
  contentHash: read.content_hash,
  derivation: read.derivation,
})

/** Values in the order of `versionTypes`. */
export const versionValues = (version: Version): readonly number[] => [
  version.finality,
  version.recordedAt,
  version.messageTime,
  version.statusRank,
  version.contentHash,
  version.derivation,
]

/** The same source version: only the derivation may differ. */
export function isSameSource(a: Version, b: Version): boolean {
  return a.contentHash === b.contentHash && isSameMoment(a, b)
}

/** Equal in all but the content hash: the hash alone decides, which a person should know. */
export function isTie(a: Version, b: Version): boolean {
  return a.contentHash !== b.contentHash && isSameMoment(a, b)
}

function isSameMoment(a: Version, b: Version): boolean {
  return (
    a.finality === b.finality &&
    a.recordedAt === b.recordedAt &&
    a.messageTime === b.messageTime &&
    a.statusRank === b.statusRank
  )
}

/** Version of something whose status decides class and rank. */
export function versionOf(
  status: string | null,
  stated: { readonly recordedAt: number; readonly messageTime: number; readonly contentHash: number },
  derivation: number,
): Version {
  const { finality, statusRank } = statusOrder(status)
  return {
    finality,
    recordedAt: stated.recordedAt,
    messageTime: stated.messageTime,
    statusRank,
    contentHash: stated.contentHash,
    derivation,
  }
}
