import { createHash, type KeyObject } from 'node:crypto'
import { isSignedBy, signBytes, type Signature } from '../../core/signing.js'
import { checklist } from './checklist.js'
import type { Evidence } from './evidence.js'
import type { Judgement, Text, Verdict } from './judge.js'

/** Somebody takes it on that an item was not passed. */
export interface Waiver {
  readonly by: string
  readonly reason: string
}

export type ItemResult = Verdict | 'waived'

export interface ReportItem extends Judgement {
  readonly id: string
  readonly title: Text
  readonly requirement: Text
  readonly source: string
  readonly isOptional: boolean
  readonly result: ItemResult
  readonly waiver: Waiver | null
}

/** The acceptance report: its JSON is what is signed (docs/operations/acceptance.md). */
export interface AcceptanceReport {
  readonly format: 'hutong-acceptance/1'
  readonly checklist: number
  readonly product: string
  readonly environment: string
  readonly hospital: string
  readonly hospitalName: string | null
  readonly platformName: string | null
  readonly feed: string
  readonly connector: string
  /** `configurationHash` of the feed. */
  readonly configurationSha256: string
  /** Days of +08:00, both included. */
  readonly period: { readonly from: string; readonly to: string }
  /** ms since 1970-01-01T00:00:00Z */
  readonly generatedAt: number
  readonly generatedBy: string
  readonly conclusion: 'passed' | 'not-passed'
  readonly items: readonly ReportItem[]
  readonly evidence: Evidence
  /** The same report for people; null where none was made. */
  readonly pdf: { readonly file: string; readonly sha256: string } | null
}

export type ReportFacts = Omit<AcceptanceReport, 'format' | 'checklist' | 'conclusion' | 'items' | 'evidence' | 'pdf'>

/**
 * Judges the evidence by the checklist in force. Pure. A waiver counts where the item was not passed and may be waived;
 * `unusable` names those that were of no use.
 */
export function judgeReport(
  facts: ReportFacts,
  evidence: Evidence,
  waivers: ReadonlyMap<string, Waiver>,
): { readonly report: AcceptanceReport; readonly unusable: readonly string[] } {
  const items = checklist.items.map((item): ReportItem => {
    const { id, title, requirement, source, isOptional = false, isUnwaivable = false } = item
    const judgement = item.judge(evidence)
    const waiver = judgement.verdict === 'passed' || isUnwaivable ? null : (waivers.get(id) ?? null)
    const result = waiver === null ? judgement.verdict : 'waived'
    return { id, title, requirement, source, isOptional, ...judgement, result, waiver }
  })
  const used = new Set(items.filter(({ waiver }) => waiver !== null).map(({ id }) => id))
  const stands = ({ result, isOptional }: ReportItem): boolean =>
    result === 'passed' || result === 'waived' || (isOptional && result === 'not-shown')
  const report: AcceptanceReport = {
    format: 'hutong-acceptance/1',
    checklist: checklist.version,
    ...facts,
    conclusion: items.every(stands) ? 'passed' : 'not-passed',
    items,
    evidence,
    pdf: null,
  }
  return { report, unusable: [...waivers.keys()].filter((id) => !used.has(id)) }
}

/**
 * What a feed's configuration says of how its messages are read: SHA-256 over these settings in the order of their names.
 * Where it listens is left out, for that differs between test and production.
 */
export function configurationHash(connector: string, readingSettings: Readonly<Record<string, unknown>>): string {
  return sha256(canonical({ connector, settings: readingSettings }))
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, one]) => one !== undefined)
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => `${JSON.stringify(key)}:${canonical(one)}`)
    .join(',')}}`
}

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export const reportBytes = (report: AcceptanceReport): Buffer => Buffer.from(`${JSON.stringify(report, null, 2)}\n`)

/** The report's JSON as it is kept, with its detached signature. */
export function signReport(
  report: AcceptanceReport,
  key: KeyObject,
): { readonly json: Buffer; readonly signature: Signature } {
  const json = reportBytes(report)
  return { json, signature: signBytes(json, key) }
}

/** Why a report cannot be relied on. */
export type ReportFault =
  | 'unreadable'
  | 'signature-invalid'
  | 'pdf-differs'
  | 'checklist-outdated'
  | 'not-passed'
  | 'other-feed'
  | 'other-hospital'
  | 'not-of-test'
  | 'configuration-changed'
  | 'too-old'

/** Reads a report whose signature is one of the keys'; the fault where it cannot be believed. */
export function readReport(
  json: Uint8Array,
  signature: Signature | undefined,
  keys: readonly KeyObject[],
): AcceptanceReport | ReportFault {
  if (signature === undefined || !isSignedBy(json, signature, keys)) return 'signature-invalid'
  try {
    const report = JSON.parse(Buffer.from(json).toString('utf8')) as AcceptanceReport
    return report.format === 'hutong-acceptance/1' && Array.isArray(report.items) ? report : 'unreadable'
  } catch {
    return 'unreadable'
  }
}

/** What stands against activating a feed on this report; empty where nothing does. Pure. */
export function activationFaults(
  report: AcceptanceReport,
  feed: { readonly name: string; readonly hospital: string; readonly configurationSha256: string },
  limits: { readonly now: number; readonly ageMaxMs: number },
): readonly ReportFault[] {
  const faults: ReportFault[] = []
  if (report.checklist !== checklist.version) faults.push('checklist-outdated')
  if (report.conclusion !== 'passed') faults.push('not-passed')
  if (report.feed !== feed.name) faults.push('other-feed')
  if (report.hospital !== feed.hospital) faults.push('other-hospital')
  if (report.environment !== 'test') faults.push('not-of-test')
  if (report.configurationSha256 !== feed.configurationSha256) faults.push('configuration-changed')
  const age = limits.now - report.generatedAt
  if (!(age >= -86_400_000 && age <= limits.ageMaxMs)) faults.push('too-old')
  return faults
}

export const faultTexts: Readonly<Record<ReportFault, string>> = {
  unreadable: 'the file is no acceptance report of this format',
  'signature-invalid': 'its signature is missing, or none of the trusted keys made it, or the file was changed',
  'pdf-differs': 'the PDF beside it is not the one it was signed with',
  'checklist-outdated': 'it was judged by another version of the checklist than this release has',
  'not-passed': 'its conclusion is not passed',
  'other-feed': 'it is about another feed',
  'other-hospital': 'it is about another hospital',
  'not-of-test': 'it was not made in a test environment',
  'configuration-changed': 'the feed is read by other settings now than when it was accepted',
  'too-old': 'it is older than acceptance.reportDaysMax (or dated in the future)',
}
