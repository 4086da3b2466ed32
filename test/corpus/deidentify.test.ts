import { setImmediate } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { Deidentifier } from '../../connectors/hl7v2/deidentify/deidentify.js'
import { LeakCheck } from '../../connectors/hl7v2/deidentify/leak-check.js'
import { Vocabulary } from '../../connectors/hl7v2/deidentify/vocabulary.js'
import { readMessageBytes, type Hl7Message } from '../../connectors/hl7v2/message.js'
import { flat, linesIn, statedIn, textIn, type Stated } from '../hl7v2/persons-in-bytes.js'
import { corpusMessages, corpusPresent, type CorpusMessage } from './facts.js'

vi.setConfig({ testTimeout: 300_000 })

const key = Buffer.from('a key for tests, of no other use')
const vocabulary = new Vocabulary()

/** Charset, flags and every separator where it was; types, item codes, units, flags and statuses as they were. */
const shapeOf = (message: Hl7Message): string =>
  JSON.stringify([
    message.charset,
    [...message.flags].sort(),
    Array.from(message.lines(), (line) => [
      line.isSegment ? line.name : '',
      line
        .fields()
        .map((field) => Object.values(message.delimiters).map((one) => (one === '' ? 0 : field.split(one).length))),
      ...(line.name === 'OBX' ? [line.field(2), line.field(11)] : []),
    ]),
  ])

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')

/** Where a value still stands in the message, never the value. */
function stillThere(stated: readonly Stated[], bytes: Buffer, charset: string): string[] {
  const found: string[] = []
  const whole = textIn(bytes, charset)
  const { msh, lines } = linesIn(whole)
  const everything = flat(whole, msh)
  const squeezed = everything.replaceAll(' ', '')
  const present = stated.filter(({ kind, value }) => (kind === 'han' ? squeezed : everything).includes(value))
  for (const line of present.length === 0 ? [] : lines) {
    for (const [index, raw] of line.fields.entries()) {
      if (raw.length < 2 || (line.name === 'MSH' && index < 2)) continue
      const text = flat(raw, msh)
      const joined = text.replaceAll(' ', '')
      const isTime = /^[\d ]*(?:18|19|20)\d{6}(?:\d{2,6})?(?:[.+-]\d+)*$/.test(text)
      const isCount = line.name === 'OBX' && index === 4 && /^(?:NM|SN)$/.test(line.fields[1]!) && line.fields[5] !== ''
      for (const { kind, value, at } of present) {
        if (!(kind === 'han' ? joined : text).includes(value)) continue
        if (kind === 'number') {
          if (isTime || isCount || !new RegExp(`(?<![0-9A-Z])${escaped(value)}(?![0-9A-Z])`).test(text)) continue
        }
        if (kind === 'word') {
          const isPart = !new RegExp(`(?<![\\p{L}\\p{M}])${value}(?![\\p{L}\\p{M}])`, 'u').test(text)
          if (isPart || vocabulary.hasWord(value)) continue
        }
        found.push(`${at} (${kind}) in ${line.name}-${index + 1}`)
      }
    }
  }
  return found
}

describe.runIf(corpusPresent)('every HL7 v2 message of the corpus, de-identified', () => {
  test('has its structure, and nobody in it', async () => {
    const wrong: string[] = []
    let read = 0
    // A set as somebody would record one: a file, a large one in parts.
    const sets = new Map<string, CorpusMessage[]>()
    for (const one of corpusMessages()) {
      const name = `${one.file} ${Math.floor(one.frame.index / 100)}`
      sets.set(name, [...(sets.get(name) ?? []), one])
    }
    for (const messages of sets.values()) {
      const deidentifier = new Deidentifier({ key })
      const readable = messages.flatMap(({ message, frame, file }) =>
        message === undefined ? [] : [{ message, frame, file }],
      )
      const check = new LeakCheck(deidentifier.vocabulary)
      for (const { message } of readable) {
        deidentifier.learn(message)
        check.learn(message)
      }
      const stated = readable.map(({ message, frame }) => statedIn(frame.bytes, message.charset))
      const all = [...new Map(stated.flat().map((one) => [`${one.kind} ${one.value}`, one])).values()]
      for (const [at, { message, frame, file }] of readable.entries()) {
        read++
        await setImmediate() // the runner asks in between whether this one lives
        const name = `${file} #${frame.index}`
        const bytes = deidentifier.replace(message, frame.bytes)
        const after = readMessageBytes(bytes)
        if (shapeOf(message) !== shapeOf(after)) wrong.push(`${name}: shape`)
        for (const { segment, field, kind } of check.message(after, bytes, message))
          wrong.push(`${name}: check ${segment} ${field} ${kind}`)
        const others = all.filter(({ kind }) => kind !== 'birth')
        const births = stated[at]!.filter(({ kind }) => kind === 'birth')
        for (const place of stillThere([...others, ...births], bytes, message.charset)) wrong.push(`${name}: ${place}`)
      }
    }
    expect(read).toBeGreaterThan(900)
    expect(wrong).toEqual([])
  })
})
