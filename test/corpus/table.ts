// What becomes of the HL7 v2 corpus, by source: `npx vite-node test/corpus/table.ts`.
import path from 'node:path'
import { corpusFolder, corpusMessages, corpusPresent, factsOf, readTable } from './facts.js'

interface Row {
  files: Set<string>
  messages: number
  agreeing: number
  compared: number
  refused: number
  flagged: number
}

/** One row for each source folder, sorted, with a closing row for all. */
export function corpusTable(): string {
  const expected = new Map(
    readTable(path.join(corpusFolder, 'expected.tsv')).map((row) => [`${row.file} #${row.message_index}`, row]),
  )
  const rows = new Map<string, Row>()
  const rowOf = (source: string): Row => {
    let row = rows.get(source)
    if (row === undefined) {
      row = { files: new Set(), messages: 0, agreeing: 0, compared: 0, refused: 0, flagged: 0 }
      rows.set(source, row)
    }
    return row
  }
  for (const { file, frame, message } of corpusMessages()) {
    const reference = expected.get(`${file} #${frame.index}`)
    for (const row of [rowOf(file.split('/').slice(0, 2).join('/')), rowOf('~ all')]) {
      row.files.add(file)
      row.messages++
      if (message === undefined) row.refused++
      else if (message.flags.length > 0) row.flagged++
      if (reference?.status !== 'ok' || message === undefined) continue
      row.compared++
      const facts = factsOf(message)
      const same =
        facts.obxSha256 === reference.obx_sha256 &&
        facts.msh10 === reference.msh10 &&
        facts.pid3 === reference.pid3_1_first &&
        facts.obr === Number(reference.n_obr) &&
        facts.obx === Number(reference.n_obx)
      if (same) row.agreeing++
    }
  }
  const head = ['source', 'files', 'messages', 'parsed', 'refused', 'flagged', 'as the reference', 'of']
  const lines = [...rows]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([source, row]) =>
      [
        source.replace('~ ', ''),
        row.files.size,
        row.messages,
        row.messages - row.refused,
        row.refused,
        row.flagged,
        row.agreeing,
        row.compared,
      ].map(String),
    )
  const widths = head.map((name, at) => Math.max(name.length, ...lines.map((line) => line[at]!.length)))
  return [head, ...lines]
    .map((line) =>
      line.map((text, at) => (at === 0 ? text.padEnd(widths[at]!) : text.padStart(widths[at]!))).join('  '),
    )
    .join('\n')
}

process.stdout.write(corpusPresent ? `${corpusTable()}\n` : `no corpus at ${corpusFolder}\n`)
