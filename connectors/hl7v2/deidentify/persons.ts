import { readIdNumber } from '../../../catalogue/id-number.js'
import type { Keyed } from './keyed.js'

interface Node {
  parent: string
  /** The member by which the person's shift is drawn: an ID number before any other, then the lowest. */
  rank: string
}

interface Dated {
  readonly days: Set<number>
  readonly births: Set<number>
}

/**
 * Which numbers belong to one person, as far as the messages of a set say, and by how many days the dates of each are
 * moved: whole weeks, so that weekdays stay, 4 to 155 weeks back.
 */
export class Persons {
  readonly #nodes = new Map<string, Node>()
  readonly #days = new Map<string, Set<number>>()
  readonly #births = new Map<string, Set<number>>()
  readonly #shifts = new Map<string, number>()
  #byRoot: Map<string, Dated> | undefined
  /** The latest message date of the set: ages are counted to there. */
  #latest = -Infinity

  /** Joins the numbers of one patient; the key of the person, for the other methods. */
  join(keys: readonly string[]): string {
    const [first = '(no patient)', ...others] = keys
    this.#node(first)
    for (const other of others) {
      this.#node(other)
      const [a, b] = [this.#root(first), this.#root(other)]
      if (a === b) continue
      const [one, two] = [this.#nodes.get(a)!, this.#nodes.get(b)!]
      two.parent = a
      if (two.rank < one.rank) one.rank = two.rank
    }
    return first
  }

  has(key: string): boolean {
    return this.#nodes.has(key)
  }

  addDay(person: string, day: number): void {
    getOr(this.#days, person, () => new Set()).add(day)
    this.#byRoot = undefined
  }

  addBirth(person: string, day: number): void {
    getOr(this.#births, person, () => new Set()).add(day)
    this.#byRoot = undefined
  }

  addMessageDay(day: number): void {
    if (day > this.#latest) this.#latest = day
  }

  /** Days to add, negative. No date of the person is moved onto a birth date of hers. */
  shiftDays(person: string, keyed: Keyed): number {
    this.#node(person)
    const root = this.#root(person)
    const known = this.#shifts.get(root)
    if (known !== undefined) return known
    const rank = this.#nodes.get(root)!.rank
    const { days, births } = this.#dated(root)
    let shift = 0
    for (let attempt = 0; attempt < 16; attempt++) {
      shift = -7 * (4 + keyed.integer(`shift ${attempt}`, rank, 152))
      if (![...births].some((birth) => days.has(birth - shift))) break
    }
    this.#shifts.set(root, shift)
    return shift
  }

  /** A birth date moved with the person's other dates; above 89 years the year is that of a person of 90. */
  shiftBirth(person: string, day: number, keyed: Keyed): number {
    const shifted = day + this.shiftDays(person, keyed)
    if (this.#latest === -Infinity || this.#latest - day < 90 * 365.25) return shifted
    const over = Math.floor((this.#latest - day) / 365.25) - 90
    return shifted + Math.floor(over * 365.25)
  }

  /** Days and birth days of a person under whichever of her numbers; gathered once, when all has been learnt. */
  #dated(root: string): Dated {
    if (this.#byRoot === undefined) {
      this.#byRoot = new Map()
      for (const key of new Set([...this.#days.keys(), ...this.#births.keys()])) {
        const dated = getOr(this.#byRoot, this.#root(key), () => ({ days: new Set(), births: new Set() }))
        for (const day of this.#days.get(key) ?? []) dated.days.add(day)
        for (const day of this.#births.get(key) ?? []) dated.births.add(day)
      }
    }
    return this.#byRoot.get(root) ?? { days: new Set(), births: new Set() }
  }

  #node(key: string): void {
    if (!this.#nodes.has(key)) {
      const isId = /^\d{15}(?:\d\d[\dX])?$/.test(key) && readIdNumber(key).number !== null
      this.#nodes.set(key, { parent: key, rank: `${isId ? 0 : 1}${key}` })
    }
  }

  #root(key: string): string {
    let at = key
    for (;;) {
      const parent = this.#nodes.get(at)?.parent
      if (parent === undefined || parent === at) return at
      at = parent
    }
  }
}

function getOr<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let found = map.get(key)
  if (found === undefined) map.set(key, (found = make()))
  return found
}
