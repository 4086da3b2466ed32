import { compareVersions, type Version } from '../core/version.js'
import type { ImagingReport, LabReport } from '../schemas/types.js'
import { ColumnSet, type ColumnValue } from './array-column.js'
import { comparePlaces, type Draft, type LedgerBatch } from './ledger-batch.js'
import { monthDays, monthFromText, monthOf } from './months.js'
import {
  addsToPanels,
  headerValues,
  mergePanels,
  type ObservationRow,
  type Panels,
  type ResolvedReport,
} from './report-rows.js'
import * as shapes from './report-statements.js'
import type { ReportStatements } from './report-statements.js'
import { decideStandings, type Claim, type Standing } from './report-standing.js'
import type { Transaction } from './transaction.js'
import { isSameSource, isTie, versionOfRow, versionValues, type VersionRow } from './versions.js'

/** One report event ready to be written. */
export interface ReportItem {
  readonly report: LabReport | ImagingReport
  readonly kind: string
  readonly snapshot: boolean
  readonly resolved: ResolvedReport
  readonly patientId: number
  readonly draft: Draft
}

/** Another transaction was first with a key: the whole transaction starts over and sees it. */
export class RaceError extends Error {
  override readonly name = 'RaceError'
}

interface ReportRow extends VersionRow {
  readonly ord: number
  readonly id: number
  readonly owner: number
  readonly patient_id: number
  readonly authority: string | null
  readonly patient_no: string | null
  readonly standing: Standing
  readonly month: string
  readonly first_recorded_at: number
  readonly first_message_time: number
  readonly snapshot_recorded_at: number | null
  readonly snapshot_message_time: number | null
  readonly allow_move: boolean
  readonly panels: Panels | null
}

/** What the batch leaves behind for receipts and work items. */
export interface ReportEffects {
  /** Every report this batch touches: the standing it had before, null where it is new, and the one it has now. */
  readonly standings: Map<number, { readonly before: Standing | null; now: Standing }>
  /** Events that differ from what stood in the content hash alone. */
  readonly ties: Set<Draft>
}

interface Placed {
  readonly item: ReportItem
  readonly id: number
  readonly month: number
  /** The row as it stood before this round; undefined where the report is new. */
  readonly row: ReportRow | undefined
}

const keyOf = ({ report, resolved }: ReportItem): string =>
  [resolved.hospitalId, resolved.sourceSystemId, report.reportNumber, report.recycleScope].join('\x1f')

/**
 * Rounds of items with distinct report keys, each key's items in the order given, keys sorted: no statement touches a
 * key twice, and concurrent transactions lock keys in one order.
 */
export function roundsOf(items: readonly ReportItem[]): readonly (readonly ReportItem[])[] {
  const byKey = new Map<string, ReportItem[]>()
  for (const item of items) {
    const key = keyOf(item)
    const sameKey = byKey.get(key)
    if (sameKey === undefined) byKey.set(key, [item])
    else sameKey.push(item)
  }
  const keys = [...byKey.keys()].sort()
  const rounds: ReportItem[][] = []
  for (const key of keys) byKey.get(key)!.forEach((item, round) => (rounds[round] ??= []).push(item))
  return rounds
}

/** Applies one round. @throws RaceError */
export async function writeReportRound(
  tx: Transaction,
  statements: ReportStatements,
  items: readonly ReportItem[],
  newReportId: () => Promise<number>,
  ledger: LedgerBatch,
  effects: ReportEffects,
): Promise<void> {
  const rowsByOrd = await lockAndRead(tx, statements, items)
  const placed: Placed[] = []
  for (const [index, item] of items.entries()) {
    const row = rowsByOrd.get(index)?.find(({ patient_id }) => patient_id === item.patientId)
    const month = row === undefined ? monthOf(item.report.recordedAt) : monthFromText(row.month)
    const id = row?.id ?? (await newReportId())
    Object.assign(item.draft, { target: 'report', targetId: id, targetMonth: month })
    if (row !== undefined && !effects.standings.has(id))
      effects.standings.set(id, { before: row.standing, now: row.standing })
    placed.push({ item, id, month, row })
  }
  const fresh = placed.filter(({ row }) => row === undefined)
  const standing = placed.filter((place): place is Placed & { row: ReportRow } => place.row !== undefined)
  if (fresh.length > 0) await insertFresh(tx, statements, fresh, rowsByOrd, items, effects)
  if (standing.length > 0) await updateStanding(tx, statements, standing, ledger, effects)
  await settleStandings(tx, statements, placed, rowsByOrd, items, effects)
}

async function lockAndRead(
  tx: Transaction,
  statements: ReportStatements,
  items: readonly ReportItem[],
): Promise<ReadonlyMap<number, readonly ReportRow[]>> {
  const keys = new ColumnSet(shapes.reportKeyTypes, items.length)
  for (const { report, resolved } of items) {
    keys.push([resolved.hospitalId, resolved.sourceSystemId, report.reportNumber, report.recycleScope])
  }
  const values = keys.finish()
  const locked = new Set((await tx.query<{ ord: number }>(statements.lockReports, values)).map(({ ord }) => ord - 1))
  const byOrd = new Map<number, ReportRow[]>()
  if (locked.size === 0) return byOrd
  for (const row of await tx.query<ReportRow>(statements.readReports, values)) {
    const ord = row.ord - 1
    if (!locked.has(ord))
      throw new RaceError('a report appeared or changed its standing while its key was being locked')
    const rows = byOrd.get(ord)
    if (rows === undefined) byOrd.set(ord, [row])
    else rows.push(row)
  }
  return byOrd
}

async function insertFresh(
  tx: Transaction,
  statements: ReportStatements,
  fresh: readonly Placed[],
  rowsByOrd: ReadonlyMap<number, readonly ReportRow[]>,
  items: readonly ReportItem[],
  effects: ReportEffects,
): Promise<void> {
  const reports = new ColumnSet(shapes.freshReportTypes, fresh.length)
  const ordOf = new Map(items.map((item, index) => [item, index]))
  for (const { item, id, month } of fresh) {
    const { report, resolved } = item
    // A rival waits aside until the standings of its key are settled.
    const standing: Standing = rowsByOrd.has(ordOf.get(item)!) ? 'conflict' : 'current'
    effects.standings.set(id, { before: null, now: standing })
    const stamp = snapshotStamp(item)
    reports.push([
      id,
      item.draft.id,
      item.patientId,
      monthDays(month),
      item.kind,
      standing,
      resolved.hospitalId,
      resolved.sourceSystemId,
      report.reportNumber,
      report.recycleScope,
      ...versionValues(resolved.version),
      report.recordedAt,
      report.messageTime,
      stamp === null ? null : report.recordedAt,
      stamp === null ? null : report.messageTime,
      report.allowMove,
      resolved.panels === null ? null : JSON.stringify(resolved.panels),
      ...headerValues(report),
    ])
    item.draft.rows++
  }
  if ((await tx.execute(statements.insertReports, reports.finish())) < fresh.length) {
    throw new RaceError('another transaction inserted the same report')
  }
  await writeParts(tx, statements, fresh)
  const observations = new ColumnSet(shapes.observationTypes, fresh.length * 10)
  const repeated = new ColumnSet(shapes.observationTypes, 4)
  for (const place of fresh) {
    const { newest, older } = distinctObservations(place.item.resolved.observations)
    for (const row of newest) observations.push(observationValues(place, row))
    for (const row of older) repeated.push(observationValues(place, row))
    place.item.draft.rows += newest.length
  }
  if (observations.length > 0) await tx.execute(statements.insertObservations, observations.finish())
  if (repeated.length > 0) await tx.execute(statements.insertObservationHistory, repeated.finish())
}

async function updateStanding(
  tx: Transaction,
  statements: ReportStatements,
  standing: readonly (Placed & { readonly row: ReportRow })[],
  ledger: LedgerBatch,
  effects: ReportEffects,
): Promise<void> {
  await updateHeaders(tx, statements, standing, ledger, effects)
  await updateCommutative(tx, statements, standing)
  await updateObservations(tx, statements, standing, ledger, effects)
}

async function updateHeaders(
  tx: Transaction,
  statements: ReportStatements,
  standing: readonly (Placed & { readonly row: ReportRow })[],
  ledger: LedgerBatch,
  effects: ReportEffects,
): Promise<void> {
  const equal: (Placed & { readonly row: ReportRow })[] = []
  const different: (Placed & { readonly row: ReportRow })[] = []
  for (const place of standing) {
    const { draft, resolved } = place.item
    const stands = versionOfRow(place.row)
    ;(compareVersions(resolved.version, stands) === 0 ? equal : different).push(place)
    if (isSameSource(resolved.version, stands)) draft.isDuplicate = true
    if (isTie(resolved.version, stands)) effects.ties.add(draft)
  }
  if (different.length > 0) {
    const types = shapes.standingReportTypes
    const bind = (): Buffer[] => {
      const set = new ColumnSet(types, different.length)
      for (const { item, id } of different) {
        set.push([id, item.draft.id, ...versionValues(item.resolved.version), ...headerValues(item.report)])
      }
      return set.finish()
    }
    await tx.execute(statements.displaceReports, bind())
    const won = new Set((await tx.query<{ id: number }>(statements.updateReports, bind())).map(({ id }) => id))
    const winners = different.filter(({ id }) => won.has(id))
    for (const { item, id, row } of winners) {
      if (row.owner === item.draft.id) continue
      item.draft.rows++
      ledger.change(row.owner, id, -1)
    }
    await writeParts(tx, statements, winners, true)
    await keepLateHeaders(
      tx,
      statements,
      different.filter(({ id, item, row }) => !won.has(id) && !isSameSource(item.resolved.version, versionOfRow(row))),
    )
  }
  const transfers = await tiesTo(
    tx,
    equal.map((place) => ({ ...place, owner: place.row.owner })),
    ledger,
  )
  if (transfers.length === 0) return
  const set = new ColumnSet(shapes.ownerTypes, transfers.length)
  for (const { id, item, owner } of transfers) {
    set.push([id, item.draft.id])
    item.draft.rows++
    ledger.change(owner, id, -1)
  }
  await tx.execute(statements.transferReports, set.finish())
}

/** Of those that met their own version, the ones that stand earlier in the ledger than the owner: they take the row. */
async function tiesTo<T extends { readonly item: ReportItem; readonly id: number; readonly owner: number }>(
  tx: Transaction,
  equal: readonly T[],
  ledger: LedgerBatch,
): Promise<readonly T[]> {
  const others = equal.filter(({ item, owner }) => owner !== item.draft.id)
  if (others.length === 0) return []
  const places = await ledger.places(
    tx,
    others.map(({ owner, id }) => ({ owner, targetId: id })),
  )
  return others.filter(({ item, owner }) => {
    const place = places.get(owner)
    return place !== undefined && comparePlaces(item.draft.envelope, place) < 0
  })
}

async function keepLateHeaders(tx: Transaction, statements: ReportStatements, late: readonly Placed[]): Promise<void> {
  if (late.length === 0) return
  const set = new ColumnSet(shapes.historyReportTypes, late.length)
  for (const { id, item } of late) {
    const { draft, resolved, report } = item
    set.push([id, draft.id, ...versionValues(resolved.version), ...headerValues(report), resolved.imagingDetail])
  }
  await tx.execute(statements.insertReportHistory, set.finish())
}

/** Imaging parts and documents go with the header. */
async function writeParts(
  tx: Transaction,
  statements: ReportStatements,
  winners: readonly Placed[],
  isReplacement = false,
): Promise<void> {
  const imaging = new ColumnSet(shapes.imagingTypes, 8)
  const documents = new ColumnSet(shapes.documentTypes, 8)
  const ids = new ColumnSet({ id: 'int8' }, winners.length)
  for (const { id, item } of winners) {
    ids.push([id])
    if (item.resolved.imagingDetail !== null) imaging.push(imagingValues(id, item))
    item.report.documents.forEach((document, ordinal) =>
      documents.push([
        id,
        document.size,
        ordinal,
        document.repetition,
        Buffer.from(document.sha256, 'hex'),
        document.segment,
        document.field,
        document.mediaType,
        document.encoding,
        document.title,
        document.flags.length === 0 ? null : document.flags.join(','),
      ]),
    )
  }
  if (imaging.length > 0) await tx.execute(statements.upsertImaging, imaging.finish())
  if (isReplacement && ids.length > 0) await tx.execute(statements.deleteDocuments, ids.finish())
  if (documents.length > 0) await tx.execute(statements.insertDocuments, documents.finish())
}

export function imagingValues(
  id: number,
  { report, resolved }: Pick<ReportItem, 'report' | 'resolved'>,
): ColumnValue[] {
  const imaging = report as ImagingReport
  return [
    id,
    imaging.examinedAt,
    resolved.imagingItemId,
    imaging.modalityCode,
    imaging.accessionNumber,
    imaging.studyInstanceUid,
    resolved.imagingDetail,
  ]
}

/** What every event moves in one direction only, so that its order does not matter. */
async function updateCommutative(
  tx: Transaction,
  statements: ReportStatements,
  standing: readonly (Placed & { readonly row: ReportRow })[],
): Promise<void> {
  const set = new ColumnSet(shapes.changedReportTypes, 16)
  for (const { id, item, row } of standing) {
    const { report, resolved } = item
    const isFirst = isBefore(report.recordedAt, report.messageTime, row.first_recorded_at, row.first_message_time)
    const stamp = snapshotStamp(item)
    const isNewest =
      stamp !== null &&
      (row.snapshot_recorded_at === null ||
        isBefore(row.snapshot_recorded_at, row.snapshot_message_time!, stamp.recordedAt, stamp.messageTime))
    const moves = report.allowMove && !row.allow_move
    const panelsChange = addsToPanels(row.panels, resolved.panels)
    if (!isFirst && !isNewest && !moves && !panelsChange) continue
    const panels = panelsChange ? mergePanels(row.panels, resolved.panels) : row.panels
    set.push([
      id,
      isFirst ? report.recordedAt : row.first_recorded_at,
      isFirst ? report.messageTime : row.first_message_time,
      isNewest ? stamp.recordedAt : row.snapshot_recorded_at,
      isNewest ? stamp.messageTime : row.snapshot_message_time,
      moves || row.allow_move,
      panels === null ? null : JSON.stringify(panels),
    ])
  }
  if (set.length > 0) await tx.execute(statements.updateCommutative, set.finish())
}

const isBefore = (
  recordedAt: number,
  messageTime: number,
  otherRecordedAt: number,
  otherMessageTime: number,
): boolean => recordedAt < otherRecordedAt || (recordedAt === otherRecordedAt && messageTime < otherMessageTime)

/** Only a final message of a snapshot feed says what the whole report is. */
function snapshotStamp(item: ReportItem): { readonly recordedAt: number; readonly messageTime: number } | null {
  return item.snapshot && item.resolved.version.finality === 1 ? item.report : null
}

interface ObservationPlace {
  readonly item: ReportItem
  readonly id: number
  readonly place: Placed
  readonly row: ObservationRow
}

async function updateObservations(
  tx: Transaction,
  statements: ReportStatements,
  standing: readonly (Placed & { readonly row: ReportRow })[],
  ledger: LedgerBatch,
  effects: ReportEffects,
): Promise<void> {
  const incoming: ObservationPlace[] = []
  const late: ObservationPlace[] = []
  for (const place of standing) {
    const { newest, older } = distinctObservations(place.item.resolved.observations)
    for (const row of newest) incoming.push({ item: place.item, id: place.id, place, row })
    for (const row of older) late.push({ item: place.item, id: place.id, place, row })
  }
  if (incoming.length === 0) return
  const keys = new ColumnSet(shapes.observationKeyTypes, incoming.length)
  for (const { place, row } of incoming) keys.push(observationKey(place, row))
  const stands = new Map<number, VersionRow & { readonly owner: number }>()
  const read = await tx.query<VersionRow & { readonly ord: number; readonly owner: number }>(
    statements.readObservations,
    keys.finish(),
  )
  for (const row of read) stands.set(row.ord - 1, row)

  const different: ObservationPlace[] = []
  const displacing: ObservationPlace[] = []
  const equal: (ObservationPlace & { readonly owner: number })[] = []
  incoming.forEach((observation, index) => {
    const before = stands.get(index)
    if (before === undefined) return different.push(observation)
    const version = versionOfRow(before)
    if (isTie(observation.row.version, version)) effects.ties.add(observation.item.draft)
    // An equal version is not written: ON CONFLICT would lock and so dirty the row.
    if (compareVersions(observation.row.version, version) === 0)
      return equal.push({ ...observation, owner: before.owner })
    displacing.push(observation)
    return different.push(observation)
  })

  if (displacing.length > 0) {
    const set = new ColumnSet(shapes.versionedKeyTypes, displacing.length)
    for (const { place, row } of displacing) set.push([...observationKey(place, row), ...versionValues(row.version)])
    await tx.execute(statements.displaceObservations, set.finish())
  }
  const won = await upsertObservations(tx, statements, different)
  incoming.forEach((observation, index) => {
    const before = stands.get(index)
    if (!won.has(observationName(observation.id, observation.row))) {
      const isLate = before !== undefined && !isSameSource(observation.row.version, versionOfRow(before))
      if (isLate) late.push(observation)
      return
    }
    if (before?.owner === observation.item.draft.id) return
    observation.item.draft.rows++
    if (before !== undefined) ledger.change(before.owner, observation.id, -1)
  })
  if (late.length > 0) {
    const set = new ColumnSet(shapes.observationTypes, late.length)
    for (const { place, row } of distinctVersions(late)) set.push(observationValues(place, row))
    await tx.execute(statements.insertObservationHistory, set.finish())
  }
  await raiseSeen(tx, statements, incoming, won)
  const transfers = await tiesTo(tx, equal, ledger)
  if (transfers.length === 0) return
  const set = new ColumnSet(shapes.observationOwnerTypes, transfers.length)
  for (const { item, id, owner, place, row } of transfers) {
    set.push([...observationKey(place, row), item.draft.id])
    item.draft.rows++
    ledger.change(owner, id, -1)
  }
  await tx.execute(statements.transferObservations, set.finish())
}

async function upsertObservations(
  tx: Transaction,
  statements: ReportStatements,
  observations: readonly ObservationPlace[],
): Promise<ReadonlySet<string>> {
  if (observations.length === 0) return new Set()
  const set = new ColumnSet(shapes.observationTypes, observations.length)
  for (const { place, row } of observations) set.push(observationValues(place, row))
  const rows = await tx.query<{
    report_id: number
    panel_id: number
    local_code_id: number
    sub_id: string
    occurrence: number
  }>(statements.upsertObservations, set.finish())
  return new Set(rows.map((row) => nameOf(row.report_id, row.panel_id, row.local_code_id, row.sub_id, row.occurrence)))
}

/** A snapshot's items have been seen even where their values lost. */
async function raiseSeen(
  tx: Transaction,
  statements: ReportStatements,
  incoming: readonly ObservationPlace[],
  won: ReadonlySet<string>,
): Promise<void> {
  const set = new ColumnSet(shapes.seenTypes, 16)
  for (const { item, id, place, row } of incoming) {
    const stamp = snapshotStamp(item)
    if (stamp === null || won.has(observationName(id, row))) continue
    set.push([...observationKey(place, row), stamp.recordedAt, stamp.messageTime])
  }
  if (set.length > 0) await tx.execute(statements.raiseSeen, set.finish())
}

/** After every event of the round stands in its row: who of the patients that claim a key has it. */
async function settleStandings(
  tx: Transaction,
  statements: ReportStatements,
  placed: readonly Placed[],
  rowsByOrd: ReadonlyMap<number, readonly ReportRow[]>,
  items: readonly ReportItem[],
  effects: ReportEffects,
): Promise<void> {
  const demoted = new ColumnSet(shapes.standingTypes, 4)
  const promoted = new ColumnSet(shapes.standingTypes, 4)
  for (const [ord] of items.entries()) {
    const rows = rowsByOrd.get(ord)
    const place = placed[ord]!
    if (rows === undefined || (rows.length === 1 && place.row !== undefined)) continue
    const claims = claimsOf(rows, place)
    for (const [id, standing] of decideStandings(claims)) {
      const before = claims.find((claim) => claim.id === id)!.standing
      if (before === standing) continue
      ;(standing === 'current' ? promoted : demoted).push([id, standing])
      const known = effects.standings.get(id)
      if (known === undefined) effects.standings.set(id, { before, now: standing })
      else known.now = standing
    }
  }
  // Never two current rows of a key, not even between two statements.
  if (demoted.length > 0) await tx.execute(statements.setStanding, demoted.finish())
  if (promoted.length > 0) await tx.execute(statements.setStanding, promoted.finish())
}

function claimsOf(rows: readonly ReportRow[], { item, id, row }: Placed): readonly Claim[] {
  const { report, resolved } = item
  const own: Claim = {
    id,
    patient: report.patient,
    standing: row?.standing ?? 'conflict',
    version: row === undefined ? resolved.version : newestOf(resolved.version, versionOfRow(row)),
    first: { recordedAt: report.recordedAt, messageTime: report.messageTime },
    allowMove: report.allowMove,
  }
  const others = rows
    .filter((other) => other.id !== id)
    .map((other) => ({
      id: other.id,
      patient: { authority: other.authority ?? '', id: other.patient_no ?? '' },
      standing: other.standing,
      version: versionOfRow(other),
      first: { recordedAt: other.first_recorded_at, messageTime: other.first_message_time },
      allowMove: other.allow_move,
    }))
  if (row === undefined) return [...others, own]
  const firstIsOwn = isBefore(report.recordedAt, report.messageTime, row.first_recorded_at, row.first_message_time)
  return [
    ...others,
    {
      ...own,
      first: firstIsOwn ? own.first : { recordedAt: row.first_recorded_at, messageTime: row.first_message_time },
      allowMove: report.allowMove || row.allow_move,
    },
  ]
}

const newestOf = (a: Version, b: Version): Version => (compareVersions(a, b) > 0 ? a : b)

/** Of results equal in key within one event the newest, and the rest. */
export function distinctObservations(rows: readonly ObservationRow[]): {
  readonly newest: readonly ObservationRow[]
  readonly older: readonly ObservationRow[]
} {
  const newest = new Map<string, ObservationRow>()
  const older: ObservationRow[] = []
  for (const row of rows) {
    const name = observationName(0, row)
    const before = newest.get(name)
    if (before === undefined) newest.set(name, row)
    else if (compareVersions(row.version, before.version) > 0) {
      newest.set(name, row)
      older.push(before)
    } else if (!isSameSource(row.version, before.version)) older.push(row)
  }
  return older.length === 0 && newest.size === rows.length
    ? { newest: rows, older }
    : { newest: [...newest.values()], older }
}

function distinctVersions(observations: readonly ObservationPlace[]): readonly ObservationPlace[] {
  const name = ({ id, row }: ObservationPlace): string =>
    [observationName(id, row), ...versionValues(row.version).slice(0, -1)].join('\x1f')
  return [...new Map(observations.map((observation) => [name(observation), observation])).values()]
}

const observationName = (reportId: number, row: ObservationRow): string =>
  nameOf(reportId, row.panelId, row.localCodeId, row.observation.subId, row.observation.occurrence)

const nameOf = (reportId: number, panelId: number, localCodeId: number, subId: string, occurrence: number): string =>
  `${reportId} ${panelId} ${localCodeId} ${occurrence} ${subId}`

/** Values of `observationKeyTypes`. */
export function observationKey({ id, month }: Pick<Placed, 'id' | 'month'>, row: ObservationRow): ColumnValue[] {
  return [id, row.panelId, row.localCodeId, row.observation.subId, row.observation.occurrence, monthDays(month)]
}

/** Values of `observationTypes`. */
export function observationValues(place: Pick<Placed, 'id' | 'month' | 'item'>, row: ObservationRow): ColumnValue[] {
  const { observation, version } = row
  const { unified } = observation
  const stamp = snapshotStamp(place.item)
  return [
    place.id,
    row.panelId,
    row.localCodeId,
    observation.subId,
    observation.occurrence,
    monthDays(place.month),
    place.item.draft.id,
    version.finality,
    version.recordedAt,
    version.messageTime,
    version.statusRank,
    version.contentHash,
    version.derivation,
    row.resultFormId,
    row.unifiedItemId,
    unified?.number ?? null,
    unified?.numberHigh ?? null,
    unified?.comparator ?? null,
    unified?.qualitative ?? null,
    unified?.abnormal ?? null,
    unified === null || unified.flags.length === 0 ? null : unified.flags.join(','),
    observation.status,
    observation.value,
    observation.abnormalFlags,
    observation.valueRaw,
    observation.valueCode,
    row.extra,
    stamp?.recordedAt ?? null,
    stamp?.messageTime ?? null,
  ]
}
