import { encode } from '../encode.js'
import type { Hl7Message } from '../message.js'
import { foldInPlace } from './characters.js'
import { findDates } from './dates.js'
import { fieldType, valueType } from './field-types.js'
import type { Identifying } from './identifying.js'
import { leafText } from './leaf.js'
import type { Vocabulary } from './vocabulary.js'

/** Where an identifying value was found, never the value. */
export interface Leak {
  /** `OBX[2]`, or `bytes` for what stands in another charset, in Base64 or in hexadecimal. */
  readonly segment: string
  readonly field: string
  readonly kind: string
}

/**
 * Searches what was written for what was learnt, without using anything of how it was replaced: every field as it reads,
 * the bytes in the charsets of the field, and what Base64 and hexadecimal runs decode to.
 */
export class LeakCheck {
  readonly #patterns = new Map<string, { readonly bytes: string; readonly kind: string; readonly charset: string }[]>()

  constructor(
    private readonly identifying: Identifying,
    private readonly vocabulary: Vocabulary,
  ) {
    for (const { value, kind } of identifying.values()) {
      const isAscii = /^[\0-\x7f]*$/.test(value)
      if (isAscii && (kind === 'name' || value.length < 8)) continue
      for (const charset of isAscii ? ['us-ascii', 'utf-16le'] : ['utf-8', 'gb18030', 'utf-16le']) {
        const bytes = capitals(encode(value, charset).toString('latin1'))
        if (bytes.length < 6) continue
        const key = bytes.slice(0, 3)
        const others = this.#patterns.get(key)
        if (others === undefined) this.#patterns.set(key, [{ bytes, kind, charset }])
        else others.push({ bytes, kind, charset })
      }
    }
  }

  /** Leaks of one message; `births` are days its own dates of birth may not state any more. */
  message(message: Hl7Message, bytes: Buffer, births: ReadonlySet<number>): Leak[] {
    const leaks: Leak[] = []
    for (const segment of message.lines()) {
      for (const [at, raw] of segment.fields().entries()) {
        const field = at + 1
        if (raw === '' || (segment.name === 'MSH' && field < 3)) continue
        const type = fieldType(segment.name, field)
        if (type === 'TABLE') continue
        const place = { segment: segment.place().segment ?? segment.name, field: `${segment.name}-${field}` }
        const isTime =
          type === 'TS' || type === 'BIRTH' || (type === 'OBX5' && valueType(segment.text(2) ?? '') === 'TS')
        for (const leaf of leavesOf(message, raw)) {
          for (const { start, end, kind } of this.identifying.find(leaf)) {
            if (isTime && kind === 'number') continue
            if (type !== 'TEXT' && type !== 'XPN' && type !== 'OBX5' && this.vocabulary.covers(leaf, start, end))
              continue
            leaks.push({ ...place, kind })
          }
          if (findDates(leaf).some(({ day }) => births.has(day))) leaks.push({ ...place, kind: 'birth date' })
        }
      }
    }
    return [...leaks, ...this.#bytes(bytes, message.charset)]
  }

  /** Leaks of a text written beside the messages (manifest, expected events). */
  text(text: string, name: string): Leak[] {
    return this.identifying
      .find(text)
      .filter(({ start, end, kind }) => kind !== 'number' && !this.vocabulary.covers(text, start, end))
      .map(({ kind }) => ({ segment: name, field: name, kind }))
  }

  #bytes(bytes: Buffer, charset: string): Leak[] {
    const text = bytes.toString('latin1')
    // In the message's own charset every field was read above.
    const leaks = this.#search(text, (one) => one !== charset && one !== 'us-ascii')
    for (const [run] of text.matchAll(/[A-Za-z0-9+/]{16,}={0,2}/g)) {
      for (let skip = 0; skip < 4; skip++) {
        leaks.push(...this.#search(Buffer.from(run.slice(skip), 'base64').toString('latin1'), () => true))
      }
    }
    for (const [run] of text.matchAll(/(?:[0-9A-Fa-f]{2}){8,}/g)) {
      leaks.push(...this.#search(Buffer.from(run, 'hex').toString('latin1'), (one) => one !== 'us-ascii'))
    }
    return leaks
  }

  #search(text: string, counts: (charset: string) => boolean): Leak[] {
    const folded = capitals(text)
    const leaks: Leak[] = []
    for (let at = 0; at + 6 <= folded.length; at++) {
      for (const { bytes, kind, charset } of this.#patterns.get(folded.slice(at, at + 3)) ?? []) {
        if (counts(charset) && folded.startsWith(bytes, at)) leaks.push({ segment: 'bytes', field: charset, kind })
      }
    }
    return leaks
  }
}

const capitals = (text: string): string => text.replace(/[a-z]+/g, (letters) => letters.toUpperCase())

function leavesOf(message: Hl7Message, raw: string): string[] {
  const { repetition, component, subcomponent } = message.delimiters
  let leaves = [raw]
  for (const separator of [repetition, component, subcomponent]) {
    if (separator !== '') leaves = leaves.flatMap((one) => one.split(separator))
  }
  return leaves.map((leaf) => foldInPlace(leafText(message, leaf)))
}
