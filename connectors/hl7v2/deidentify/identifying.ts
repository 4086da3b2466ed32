import { foldInPlace, isBlanked, isHan } from './characters.js'

export type IdentifyingKind = 'name' | 'number' | 'address' | 'mail'

export interface Hit {
  readonly start: number
  readonly end: number
  readonly kind: IdentifyingKind
  /** Folded. */
  readonly value: string
}

interface Entry {
  readonly value: string
  readonly kind: IdentifyingKind
  /** What may not stand beside it, for it would be another value. */
  readonly bounded: 'letters' | 'digits' | 'both' | 'none'
}

/**
 * Every value of a set of messages by which somebody could be told, learnt from the fields that hold them. Values too
 * short to mean anything outside their field (a single hanzi, a staff number of four digits) are not searched for.
 */
export class Identifying {
  readonly #values = new Map<string, Entry>()
  readonly #byStart = new Map<string, Entry[]>()
  /** Letters and digits before which distinct numbers stand, to see which are shared. */
  readonly #prefixes = new Map<string, Set<string>>()

  get size(): number {
    return this.#values.size
  }

  has(folded: string): boolean {
    return this.#values.has(folded)
  }

  values(): IterableIterator<Entry> {
    return this.#values.values()
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
    for (let at = 0; at + 1 < folded.length; at++) {
      const candidates = this.#byStart.get(folded.slice(at, at + 2))
      if (candidates === undefined) continue
      const entry = candidates.find((one) => folded.startsWith(one.value, at) && stands(folded, at, one))
      if (entry === undefined) continue
      hits.push({ start: at, end: at + entry.value.length, kind: entry.kind, value: entry.value })
      at += entry.value.length - 1
    }
    return hits
  }

  #add(value: string, kind: IdentifyingKind, bounded: Entry['bounded']): void {
    if (value.length < 2 || this.#values.has(value)) return
    const entry = { value, kind, bounded }
    this.#values.set(value, entry)
    const key = value.slice(0, 2)
    const others = this.#byStart.get(key)
    if (others === undefined) this.#byStart.set(key, [entry])
    else {
      const at = others.findIndex((one) => one.value.length < value.length)
      others.splice(at < 0 ? others.length : at, 0, entry)
    }
  }
}

const sharedBy = 5

/** Words of letters, an apostrophe or hyphen within them apart. */
export const wordsOf = (text: string): string[] => text.match(/[\p{L}\p{M}]+/gu) ?? []

function stands(text: string, at: number, { value, bounded }: Entry): boolean {
  if (bounded === 'none') return true
  const beside = bounded === 'letters' ? /[\p{L}\p{M}]/u : bounded === 'digits' ? /[0-9]/ : /[A-Z0-9]/
  const after = text[at + value.length] ?? ''
  const isPart = (one: string): boolean => beside.test(one) && !/\p{Script=Han}/u.test(one)
  return !isPart(text[at - 1] ?? '') && !isPart(after)
}
