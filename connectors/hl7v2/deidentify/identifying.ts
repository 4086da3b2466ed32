import { foldInPlace, isBlanked, isHan } from './characters.js'
import { ValueIndex } from './value-index.js'

export type IdentifyingKind = 'name' | 'number' | 'address' | 'mail'

export interface Hit {
  readonly start: number
  readonly end: number
  readonly kind: IdentifyingKind
  /** Folded. */
  readonly value: string
}

interface Entry {
  readonly kind: IdentifyingKind
  /** What may not stand beside it, for it would be another value. */
  readonly bounded: 'letters' | 'digits' | 'both' | 'none'
}

/**
 * Every value of a set of messages by which somebody could be told, learnt from the fields that hold them. Values too
 * short to mean anything outside their field (a single hanzi, a staff number of four digits) are not searched for.
 */
export class Identifying {
  readonly #values = new ValueIndex<Entry>()
  /** Letters and digits before which distinct numbers stand, to see which are shared. */
  readonly #prefixes = new Map<string, Set<string>>()

  has(folded: string): boolean {
    return this.#values.has(folded)
  }

  addName(text: string): void {
    const folded = foldInPlace(text).trim()
    if (isBlanked(folded)) return
    if (isHan(folded) || !/[A-Z]/.test(folded)) {
      const joined = folded.replace(/\s+/g, '')
      if ([...joined].length >= 2) this.#add(joined, 'name', 'none')
      return
    }
    for (const token of wordsOf(folded)) if (token.length >= 3) this.#add(token, 'name', 'letters')
  }

  addNumber(text: string): void {
    const folded = foldInPlace(text).trim()
    const prefix = /^[A-Z]+/.exec(folded)?.[0]
    if (prefix !== undefined && prefix.length < folded.length) {
      const seen = this.#prefixes.get(prefix)
      if (seen === undefined) this.#prefixes.set(prefix, new Set([folded]))
      else if (seen.size < sharedBy) seen.add(folded)
    }
    if (/^(.)\1*$/.test(folded) || isBlanked(folded)) return
    if (/^\d+$/.test(folded)) {
      if (folded.length >= 6) this.#add(folded, 'number', 'digits')
    } else if (/\d/.test(folded) && folded.replace(/[^\p{L}\p{N}]/gu, '').length >= 5) {
      this.#add(folded, 'number', folded.length >= 8 ? 'none' : 'both')
    } else if (/^[A-Z]{8,}$/.test(folded)) this.#add(folded, 'number', 'both')
  }

  addAddress(text: string): void {
    const folded = foldInPlace(text).trim()
    if (isBlanked(folded)) return
    const hanzi = [...folded].filter((character) => /\p{Script=Han}/u.test(character)).length
    if (hanzi >= 4 || (folded.length >= 8 && /\d/.test(folded) && /\p{L}/u.test(folded)))
      this.#add(folded, 'address', 'none')
  }

  addMail(text: string): void {
    this.#add(foldInPlace(text).trim(), 'mail', 'none')
  }

  /** Letters before a number that at least five different numbers of the set share: no secret of one of them. */
  sharedPrefix(folded: string): string {
    const prefix = /^[A-Z]+/.exec(folded)?.[0] ?? ''
    return (this.#prefixes.get(prefix)?.size ?? 0) >= sharedBy ? prefix : ''
  }

  /** Where a text holds such values, the longest first at each place, none overlapping another. */
  find(text: string): Hit[] {
    const folded = foldInPlace(text)
    const hits: Hit[] = []
    let after = 0
    for (const { start, value, entry } of this.#values.in(folded)) {
      if (start < after || !stands(folded, start, value, entry.bounded)) continue
      after = start + value.length
      hits.push({ start, end: after, kind: entry.kind, value })
    }
    return hits
  }

  #add(value: string, kind: IdentifyingKind, bounded: Entry['bounded']): void {
    if (value.length >= 2) this.#values.add(value, { kind, bounded })
  }
}

const sharedBy = 5

/** Words of letters, an apostrophe or hyphen within them apart. */
export const wordsOf = (text: string): string[] => text.match(/[\p{L}\p{M}]+/gu) ?? []

function stands(text: string, at: number, value: string, bounded: Entry['bounded']): boolean {
  if (bounded === 'none') return true
  const beside = bounded === 'letters' ? /[\p{L}\p{M}]/u : bounded === 'digits' ? /[0-9]/ : /[A-Z0-9]/
  const after = text[at + value.length] ?? ''
  const isPart = (one: string): boolean => beside.test(one) && !/\p{Script=Han}/u.test(one)
  return !isPart(text[at - 1] ?? '') && !isPart(after)
}
