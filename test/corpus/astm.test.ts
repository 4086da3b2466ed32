import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { cutAstmMessages, isAstm } from '../../connectors/astm-lis2/message-cutter.js'
import { astmParser } from '../../connectors/astm-lis2/to-events.js'
import { RecordError } from '../../core/errors.js'
import { messageId } from '../../core/ids.js'
import { corpusFolder, corpusPresent, readTable } from './facts.js'

const receivedAt = Date.parse('2026-06-01T00:00:00+08:00')
const parser = astmParser({})

/** What becomes of each message of a file, in order: how many events, a reason, or an error's code. */
function outcomes(file: string): string[] {
  return cutAstmMessages(readFileSync(path.join(corpusFolder, file))).map((content) => {
    const input = { content, feed: 'corpus', hospital: 'TEST', environment: 'test', receivedAt }
    try {
      const { events, ignored } = parser({ ...input, messageId: messageId('corpus', content) })
      return ignored?.reason ?? `${events.length} events`
    } catch (error) {
      if (!(error instanceof RecordError)) throw new Error(file, { cause: error })
      return error.code
    }
  })
}

/** Files of analysers that are texts: tables and workbooks belong to other connectors. */
const files = (): string[] =>
  readTable(path.join(corpusFolder, 'MANIFEST.tsv'))
    .filter(({ family, file }) => family === 'analyser' && !/\.(csv|xlsx?)$/.test(file!))
    .map(({ file }) => file!)

describe.runIf(corpusPresent)('every text of analysers in the corpus', () => {
  test('becomes what the reviewed list says', () => {
    const listed = readTable(path.join(import.meta.dirname, 'astm-outcomes.tsv')).map(
      ({ file, outcomes: expected }) => `${file}\t${expected}`,
    )
    const found = files().map((file) => `${file}\t${outcomes(file).join(', ') || 'no message'}`)
    expect(found).toEqual(listed)
  })

  test('is told apart by its content', () => {
    for (const file of files()) {
      const content = readFileSync(path.join(corpusFolder, file))
      expect(isAstm(content), file).toBe(cutAstmMessages(content).length > 0)
    }
  })
})
