import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { cutMessages } from '../../connectors/hl7v2/framing.js'
import { inspect } from '../../connectors/hl7v2/inspect.js'
import { MessageEdit } from '../../connectors/hl7v2/writer.js'
import { encode } from '../../connectors/hl7v2/encode.js'
import { corpusFiles, corpusFolder, corpusMessages, corpusPresent, factsOf, readTable } from './facts.js'

const required = process.env.CI === 'true'

test.runIf(required)('the corpus is there', () => expect(corpusPresent).toBe(true))

describe.runIf(corpusPresent)('every HL7 v2 message of the corpus', () => {
  const messages = corpusPresent ? [...corpusMessages()] : []
  const expected = corpusPresent ? readTable(path.join(corpusFolder, 'expected.tsv')) : []
  const key = (file: string, index: number | string): string => `${file} #${index}`
  const byKey = new Map(messages.map((one) => [key(one.file, one.frame.index), one]))

  test('is there as often as the manifest says', () => {
    const counts = new Map<string, number>()
    for (const { file } of messages) counts.set(file, (counts.get(file) ?? 0) + 1)
    const manifest = readTable(path.join(corpusFolder, 'MANIFEST.tsv')).filter(({ family }) =>
      family!.startsWith('hl7v2'),
    )
    const wrong = manifest.filter(({ file, messages }) => Number(messages) !== (counts.get(file!) ?? 0))
    expect(wrong).toEqual([])
    expect(manifest.length).toBe(corpusFiles().length)
  })

  test('has the facts of the reference parser, or is refused', () => {
    expect(expected.length).toBeGreaterThan(900)
    const wrong = expected.flatMap((row) => {
      const one = byKey.get(key(row.file!, row.message_index!))
      if (one === undefined) return [`${key(row.file!, row.message_index!)} is missing`]
      if (one.message === undefined) return []
      const facts = factsOf(one.message)
      const reference = {
        msh10: row.msh10,
        pid3: row.pid3_1_first,
        obr: Number(row.n_obr),
        obx: Number(row.n_obx),
        obxSha256: row.obx_sha256,
      }
      return JSON.stringify(facts) === JSON.stringify(reference) ? [] : [JSON.stringify({ row, facts })]
    })
    expect(wrong).toEqual([])
  })

  test('is refused exactly where the reviewed list says so, with that code', () => {
    const listed = readTable(path.join(import.meta.dirname, 'refusals.tsv')).map(
      ({ file, message_index, code }) => `${key(file!, message_index!)} ${code}`,
    )
    const refused = messages.flatMap(({ file, frame, refusal }) =>
      refusal === undefined ? [] : [`${key(file, frame.index)} ${refusal.code}`],
    )
    expect(refused).toEqual(listed)
  })

  test('writes back byte for byte', () => {
    for (const { file, frame, message } of messages) {
      if (message === undefined) continue
      const written = new MessageEdit(message, frame.bytes).bytes()
      if (!written.equals(frame.bytes)) throw new Error(`${key(file, frame.index)} differs`)
      // without its source bytes too: these texts have one spelling in their charset
      const encoded = new MessageEdit(message).bytes()
      if (!encoded.equals(frame.bytes)) throw new Error(`${key(file, frame.index)} differs when encoded`)
    }
  })

  test('keeps every other byte when one field is changed', () => {
    for (const { file, frame, message } of messages) {
      const obx = message?.segments('OBX').at(-1)
      const range = obx?.fieldRange(5)
      if (message === undefined || obx === undefined || range === undefined) continue
      const before = encode(message.text.slice(0, range.start), message.charset)
      const after = encode(message.text.slice(range.end), message.charset)
      const written = new MessageEdit(message, frame.bytes).setRaw(obx, 5, 'X').bytes()
      if (!written.equals(Buffer.concat([before, Buffer.from('X'), after]))) {
        throw new Error(`${key(file, frame.index)} differs`)
      }
    }
  })

  test('is inspected as raw text that joins to the message again', () => {
    for (const file of corpusFiles()) {
      const bytes = readFileSync(path.join(corpusFolder, file))
      const frames = cutMessages(bytes).messages
      const lines = [...inspect(file, bytes)]
      expect(lines.map(({ index }) => index)).toEqual(
        frames.length > 0 ? frames.map(({ index }) => index) : lines.map(() => 1),
      )
      for (const [at, line] of lines.entries()) {
        if ('error' in line) continue
        const one = byKey.get(key(file, frames[at]!.index))!.message!
        const separator = one.delimiters.field
        const joined = line.segments.map(({ name, fields }, index) =>
          [name, ...(index === 0 ? fields.slice(1) : fields)].join(separator),
        )
        const text = one.text.split(/[\r\n]+/).filter((piece) => piece.trim() !== '')
        if (joined.join('\r') !== text.join('\r')) throw new Error(`${key(file, line.index)} differs`)
      }
    }
  })
})
