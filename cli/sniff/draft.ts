import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { foldText } from '../../catalogue/fold.js'
import { UsageError } from '../../core/errors.js'
import type { CodeReading } from '../../connectors/survey/local-codes.js'
import type { SniffReport } from './report.js'

export interface DraftFiles {
  readonly configuration: string
  readonly mapping: string
}

/** Institution codes that can be part of a file name and of a mapping row. */
export const hospitalPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** Writes the first configuration and mapping file. @throws UsageError where one is there and `force` is not given */
export async function writeDraft(report: SniffReport, dir: string, force: boolean): Promise<DraftFiles> {
  const files = {
    configuration: join(resolve(dir), 'hutong.yaml'),
    mapping: join(resolve(dir), `mapping-${report.hospital}.tsv`),
  }
  await mkdir(dir, { recursive: true })
  await writeOne(files.mapping, mappingText(report), force)
  await writeOne(files.configuration, configurationText(report, files.mapping), force)
  return files
}

async function writeOne(path: string, text: string, force: boolean): Promise<void> {
  try {
    await writeFile(path, text, { flag: force ? 'w' : 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new UsageError(`${path} is there already; --force overwrites it`)
    throw new UsageError(`cannot write ${path}: ${(error as Error).message}`, { cause: error })
  }
}

/** The configuration as YAML that `hutong check` accepts; what a person must decide stands in comments. */
export function configurationText(report: SniffReport, mappingFile: string): string {
  const { hl7, hospital } = report
  const mostly = report.families.find(({ family }) => family.startsWith('hl7v2'))
  const overMllp = report.line !== null || mostly?.family === 'hl7v2-mllp'
  const transport = overMllp
    ? { connector: 'hl7v2-mllp', host: '127.0.0.1', port: 2575 }
    : { connector: 'hl7v2-files', folder: './incoming', patterns: ['*.hl7', '*.txt', '*.dat'] }
  const feed = {
    name: `${hospital.toLowerCase()}-${overMllp ? 'mllp' : 'files'}`,
    hospital,
    ...transport,
    ...hl7?.draft.settings,
  }
  const suggestions = Object.entries(hl7?.draft.suggestions ?? {})
  const head = [
    `# First configuration drafted by "hutong sniff" from ${hl7?.messages ?? 0} HL7 v2 message(s). Read it, correct it, then`,
    '# run: hutong check hutong.yaml',
    '# 由 hutong sniff 根据样本起草:请逐项核对,再运行 hutong check hutong.yaml',
    '#',
    '# environment: production once the feed is accepted (environment 正式启用时改为 production)',
    ...(hospital === 'HOSPITAL' ? ['# hospital: replace HOSPITAL by the institution code 请改为机构代码'] : []),
    ...(overMllp
      ? ['# host: 0.0.0.0 (best with allow: [address of the sender]) where the sender is another machine']
      : ['# folder: where the sender drops its files; files that were read are moved to its subfolder archive']),
  ]
  const body = stringify(
    { environment: 'test', dataDir: '.hutong', catalogue: { mappings: [mappingFile] }, feeds: [feed] },
    { lineWidth: 0 },
  )
  const tail =
    suggestions.length === 0
      ? []
      : [
          '    # Spoken for by the sample, to be decided by a person 样本中有迹象,请人工决定:',
          ...suggestions.map(([key, value]) => `    # ${key}: ${JSON.stringify(value)}`),
        ]
  return `${head.join('\n')}\n${body}${tail.length === 0 ? '' : `${tail.join('\n')}\n`}`
}

/**
 * The mapping file (docs/mappings.md). Rows stand for codes that are certain; a proposal is a comment that becomes a row
 * when its `#? ` is taken away.
 */
export function mappingText(report: SniffReport): string {
  const { hospital } = report
  const codes = (report.hl7?.codes ?? []).filter(({ code }) => !code.startsWith('‹') && isCell(code))
  const certain = uniqueRows(
    codes.filter(({ matched, proposal }) => matched?.via === 'mapping' || proposal?.confidence === 'certain'),
  )
  const proposed = uniqueRows(codes.filter(({ proposal }) => proposal !== null && proposal.confidence !== 'certain'))
  const unknown = uniqueRows(codes.filter(({ matched, proposal }) => matched === null && proposal === null))
  const itself = uniqueRows(codes.filter(({ matched }) => matched !== null && matched.via !== 'mapping'))
  const row = (seen: CodeReading, itemId: string, note: string): string =>
    [hospital, cell(seen.sourceSystem) || '*', seen.code, cell(seen.name), itemId, '', note].join('\t')
  const lines = [
    `# Local codes of ${hospital}, drafted by "hutong sniff". Format: docs/mappings.md`,
    '# Rows are certain (code, name and unit agree on one item, or the row was mapped before). Please confirm them.',
    '# A line that begins with "#?" is a proposal: take "#? " away to accept it. 行首 "#?" 为建议,核对后去掉 "#? " 即生效。',
    ['hospital', 'source_system', 'local_code', 'local_text', 'item_id', 'unit', 'note'].join('\t'),
    ...certain.map((seen) => {
      const { matched, proposal } = seen
      const itemId = matched?.itemId ?? proposal?.itemId ?? ''
      const why = matched !== null ? 'mapped before' : `certain: ${proposal?.reasons.join(', ') ?? ''}`
      return row(seen, itemId, `${matched?.nameZh ?? proposal?.nameZh ?? ''}; ${why}; seen ${seen.count}`)
    }),
  ]
  if (proposed.length > 0) lines.push('#', '# Proposals 建议')
  for (const seen of proposed) {
    const { itemId = '', nameZh = '', confidence = '', reasons = [] } = seen.proposal ?? {}
    lines.push(`#? ${row(seen, itemId, `${nameZh}; ${confidence}: ${reasons.join(', ')}; seen ${seen.count}`)}`)
  }
  if (unknown.length > 0) lines.push('#', '# Nothing in the catalogue comes near 目录中无相近项目')
  for (const seen of unknown) lines.push(`#  ${row(seen, '', `${seen.place}; seen ${seen.count}`)}`)
  if (itself.length > 0) lines.push('#', '# Read without a row, by their LOINC code or our item id 无需映射')
  for (const seen of itself)
    lines.push(`#  ${row(seen, seen.matched?.itemId ?? '', `${seen.matched?.via ?? ''}; seen ${seen.count}`)}`)
  return `${lines.join('\n')}\n`
}

/** One row for one system, code and name; the file refuses a second. */
function uniqueRows(codes: readonly CodeReading[]): CodeReading[] {
  const seen = new Set<string>()
  return codes.filter(({ sourceSystem, code, name }) => {
    const key = [sourceSystem, code, foldText(cell(name))].join('\x1f')
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

/** Whether a text survives in a cell as it is. */
const isCell = (text: string): boolean => text !== '' && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text) && text.trim() === text

/** Names may be left out of a row, so that one that cannot stand in a cell is. */
const cell = (text: string): string => (isCell(text) && !text.includes('‹') && !text.endsWith('…') ? text : '')
