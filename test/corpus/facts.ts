import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { RecordError } from '../../core/errors.js'
import { cutMessages, type MessageFrame } from '../../connectors/hl7v2/framing.js'
import { readMessageBytes, type Hl7Message } from '../../connectors/hl7v2/message.js'

/** The shared corpus lies beside the checkout; tests that need it skip where it is missing, except under CI=true. */
export const corpusFolder = path.resolve(import.meta.dirname, '../../../shared/corpus')
export const corpusPresent = existsSync(path.join(corpusFolder, 'expected.tsv'))

export const families = ['hl7v2', 'hl7v2-extracted'] as const

/** Files of the HL7 v2 families, named as in MANIFEST.tsv, sorted. */
export function corpusFiles(): string[] {
  return families
    .flatMap((family) =>
      readdirSync(path.join(corpusFolder, family), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(corpusFolder, path.join(entry.parentPath, entry.name))),
    )
    .sort()
}

/** Facts of one message, formed as EXPECTED_FORMAT.txt says. */
export interface Facts {
  readonly msh10: string
  readonly pid3: string
  readonly obr: number
  readonly obx: number
  readonly obxSha256: string
}

export function factsOf(message: Hl7Message): Facts {
  const results = message
    .segments('OBX')
    .map((obx) => [obx.raw(3, 1, 1) ?? '', obx.field(2), obx.field(5), obx.raw(6, 1, 1) ?? '', obx.field(11)].join('|'))
  return {
    msh10: message.segment(0).field(10),
    pid3: message.first('PID')?.raw(3, 1, 1) ?? '',
    obr: message.segments('OBR').length,
    obx: results.length,
    obxSha256: createHash('sha256').update(results.join('\n'), 'utf8').digest('hex'),
  }
}

export interface CorpusMessage {
  readonly file: string
  readonly frame: MessageFrame
  readonly message?: Hl7Message
  readonly refusal?: RecordError
}

export function* corpusMessages(): Generator<CorpusMessage> {
  for (const file of corpusFiles()) {
    for (const frame of cutMessages(readFileSync(path.join(corpusFolder, file))).messages) {
      try {
        yield { file, frame, message: readMessageBytes(frame.bytes) }
      } catch (error) {
        if (!(error instanceof RecordError)) throw error
        yield { file, frame, refusal: error }
      }
    }
  }
}

/** Rows of a tab-separated file by column name. */
export function readTable(file: string): Record<string, string>[] {
  const [head = '', ...rows] = readFileSync(file, 'utf8').trimEnd().split('\n')
  const names = head.split('\t')
  return rows.map((row) => Object.fromEntries(row.split('\t').map((value, index) => [names[index]!, value])))
}
