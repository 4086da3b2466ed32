import { compareVersions, type Version } from '../core/version.js'
import { ColumnSet, unnest, unnestOrdered, type ColumnType, type ColumnValue } from './array-column.js'
import { comparePlaces, type Draft, type LedgerBatch, type Target } from './ledger-batch.js'
import type { Transaction } from './transaction.js'
import {
  isSameSource,
  versionOfRow,
  versionSelection,
  versionTypes,
  versionValues,
  type Guard,
  type VersionRow,
} from './versions.js'

/** A table whose rows are registers: the newest version by natural key stays, `owner` says whose it is. */
export interface RegisterSpec {
  readonly table: 'patient' | 'patient_merge' | 'encounter' | 'medical_order'
  /** What the receipt's target is when such a row is won; null where another row of the event is its target. */
  readonly target: Target | null
  readonly key: Readonly<Record<string, ColumnType>>
  readonly content: Readonly<Record<string, ColumnType>>
  /** Column that equals the target id of the owner's receipt. */
  readonly targetColumn: 'id' | 'survivor_id'
  /** Name of the first version column. */
  readonly finality: 'finality' | 'source_class'
  /** The row keeps the content hash of the statement it replaced in `replaced_hash`, and the upsert returns it. */
  readonly remembersReplaced?: boolean
  /** Columns that differ between derivations of one source version. */
  readonly derived: readonly string[]
}

export interface Candidate {
  readonly key: readonly ColumnValue[]
  readonly version: Version
  readonly content: readonly ColumnValue[]
  /** Null for a statement that owns nothing. */
  readonly draft: Draft | null
}

/** The statements of a register, as they ship. */
export interface RegisterStatements {
  readonly lock: string
  readonly upsert: string
  readonly transfer: string
  readonly heal: string
}

const identityTypes = { id: 'int8', owner: 'int8' } as const

/** `flags` is bound as comma-separated text. */
const bound = (column: string): string => (column === 'flags' ? `string_to_array(i.flags, ',')` : `i."${column}"`)

export function registerStatements(spec: RegisterSpec, guard: Guard): RegisterStatements {
  const { table, key, content, finality } = spec
  const on = (a: string, b: string): string =>
    Object.keys(key)
      .map((column) => `${a}.${column} = ${b}.${column}`)
      .join(' AND ')
  const versions = Object.keys(versionTypes).map((column) => (column === 'finality' ? finality : column))
  const types: Record<string, ColumnType> = { owner: 'int8', ...key, ...named(spec), ...content }
  const columns = Object.keys(types)
  const written = columns.filter((column) => !(column in key))
  // The guard speaks of `finality`; a patient's is called source_class.
  const named_ = (sql: string): string => (finality === 'finality' ? sql : sql.replaceAll('.finality', `.${finality}`))
  const sourceEqual = versions
    .slice(0, -1)
    .map((column) => `t.${column} = i.${column}`)
    .join(' AND ')
  return {
    lock: `SELECT i.ord, t.id, t.owner, t.${spec.targetColumn} AS target_id, ${named_(versionSelection('t')).replace(`t.${finality}`, `t.${finality} AS finality`)}
FROM ${unnestOrdered(key, 'i')} JOIN ${table} t ON ${on('t', 'i')} ORDER BY i.ord FOR UPDATE OF t`,
    upsert: `INSERT INTO ${table} AS t (${columns.join(', ')})
SELECT ${columns.map(bound).join(', ')} FROM ${unnest(types, 'i')}
ON CONFLICT (${Object.keys(key).join(', ')}) DO UPDATE SET ${written.map((column) => `${column} = excluded.${column}`).join(', ')}${spec.remembersReplaced === true ? ', replaced_hash = t.content_hash' : ''}
WHERE ${named_(guard('excluded', 't'))}
RETURNING t.id${spec.remembersReplaced === true ? ', t.replaced_hash' : ''}, ${Object.keys(key)
      .map((column) => `t.${column}`)
      .join(', ')}`,
    transfer: `UPDATE ${table} t SET owner = i.owner FROM ${unnest(identityTypes, 'i')} WHERE t.id = i.id`,
    heal: `UPDATE ${table} t SET derivation = i.derivation${spec.derived.map((column) => `, ${column} = ${bound(column)}`).join('')}
FROM ${unnest(types, 'i')} WHERE ${on('t', 'i')} AND ${sourceEqual} AND t.derivation < i.derivation`,
  }
}

const named = (spec: RegisterSpec): Record<string, ColumnType> =>
  Object.fromEntries(
    Object.entries(versionTypes).map(([column, type]) => [column === 'finality' ? spec.finality : column, type]),
  )

const nameOf = (key: readonly ColumnValue[]): string => key.join('\x1f')

/** The newest candidate of each key, keys sorted so that concurrent transactions lock them in one order. */
export function newestByKey<C extends Candidate>(candidates: readonly C[]): readonly C[] {
  const newest = new Map<string, C>()
  for (const candidate of candidates) {
    const name = nameOf(candidate.key)
    const standing = newest.get(name)
    if (standing === undefined || isBefore(standing, candidate)) newest.set(name, candidate)
  }
  return [...newest].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, candidate]) => candidate)
}

function isBefore(standing: Candidate, candidate: Candidate): boolean {
  const order = compareVersions(candidate.version, standing.version)
  if (order !== 0) return order > 0
  if (candidate.draft === null || standing.draft === null) return standing.draft === null
  return comparePlaces(candidate.draft.envelope, standing.draft.envelope) < 0
}

export function columnsOf(spec: RegisterSpec, candidates: readonly Candidate[]): Buffer[] {
  const set = new ColumnSet<string>({ owner: 'int8', ...spec.key, ...named(spec), ...spec.content }, candidates.length)
  for (const { key, version, content, draft } of candidates) {
    set.push([draft?.id ?? null, ...key, ...versionValues(version), ...content])
  }
  return set.finish()
}

interface Standing extends VersionRow {
  readonly id: number
  readonly owner: number | null
  readonly target_id: number
}

export interface RegisterWinner<C extends Candidate> {
  readonly candidate: C
  readonly id: number
}

/**
 * Writes the newest candidate of each key where it is newer than the row that stands, and settles who owns what.
 * Resolves with the id of every key and the candidates that won.
 */
export async function writeRegister<C extends Candidate>(
  tx: Transaction,
  spec: RegisterSpec,
  statements: RegisterStatements,
  candidates: readonly C[],
  ledger: LedgerBatch,
): Promise<{ readonly ids: ReadonlyMap<string, number>; readonly winners: readonly RegisterWinner<C>[] }> {
  const ids = new Map<string, number>()
  const winners: RegisterWinner<C>[] = []
  if (candidates.length === 0) return { ids, winners }
  const best = newestByKey(candidates)
  const keys = new ColumnSet(spec.key, best.length)
  for (const { key } of best) keys.push(key)
  const standing = new Map<string, Standing>()
  const locked = await tx.query<Standing & { readonly ord: number }>(statements.lock, keys.finish())
  for (const row of locked) {
    const name = nameOf(best[row.ord - 1]!.key)
    standing.set(name, row)
    ids.set(name, row.id)
  }
  // An equal version is no candidate: ON CONFLICT would lock and so dirty the row.
  const different = best.filter(({ key, version }) => {
    const row = standing.get(nameOf(key))
    return row === undefined || compareVersions(version, versionOfRow(row)) !== 0
  })
  const byName = new Map(different.map((candidate) => [nameOf(candidate.key), candidate]))
  const won =
    different.length === 0
      ? []
      : await tx.query<Record<string, number | string>>(statements.upsert, columnsOf(spec, different))
  for (const row of won) {
    const name = nameOf(Object.keys(spec.key).map((column) => row[column]!))
    const candidate = byName.get(name)!
    const id = Number(row['id'])
    ids.set(name, id)
    winners.push({ candidate, id })
    byName.delete(name)
    if (candidate.draft !== null) candidate.draft.rows++
    const before = standing.get(name)
    if (before?.owner !== undefined && before.owner !== null) ledger.change(before.owner, before.target_id, -1)
  }
  await settleTies(tx, statements, best, standing, ledger)
  for (const { key, draft, version } of candidates) {
    if (draft === null) continue
    const id = ids.get(nameOf(key)) ?? null
    if (spec.target !== null) Object.assign(draft, { target: spec.target, targetId: id })
    const row = standing.get(nameOf(key))
    if (row !== undefined && isSameSource(version, versionOfRow(row))) draft.isDuplicate = true
  }
  return { ids, winners }
}

/** Of events with the very same version the first in the ledger owns the row, in whatever order they come. */
async function settleTies(
  tx: Transaction,
  statements: RegisterStatements,
  best: readonly Candidate[],
  standing: ReadonlyMap<string, Standing>,
  ledger: LedgerBatch,
): Promise<void> {
  const ties = best.flatMap(({ key, version, draft }) => {
    const row = standing.get(nameOf(key))
    if (row === undefined || draft === null || row.owner === null || row.owner === draft.id) return []
    return compareVersions(version, versionOfRow(row)) === 0 ? [{ ...row, owner: row.owner, draft }] : []
  })
  if (ties.length === 0) return
  const places = await ledger.places(
    tx,
    ties.map((tie) => ({ owner: tie.owner, targetId: tie.target_id })),
  )
  const transfers = new ColumnSet(identityTypes, ties.length)
  for (const { id, owner, draft, target_id } of ties) {
    const place = places.get(owner)
    if (place === undefined || comparePlaces(draft.envelope, place) >= 0) continue
    transfers.push([id, draft.id])
    draft.rows++
    ledger.change(owner, target_id, -1)
  }
  if (transfers.length > 0) await tx.execute(statements.transfer, transfers.finish())
}
