import { createHash } from 'node:crypto'

/** How a sender numbers its messages (MSH-10). */
export interface ControlIdReading {
  readonly blank: number
  readonly numeric: number
  /** `dense`: numeric, and hardly a number left out between the lowest and the highest. */
  readonly numbering: 'none' | 'dense' | 'sparse' | 'not-numeric'
  /** Came again with the very same bytes: a repetition. */
  readonly repeated: number
  /** Came again with other bytes: not unique to a message. */
  readonly reused: number
  readonly lengthMin: number
  readonly lengthMax: number
}

/** Ids that are remembered to tell repetitions; later ones are only counted. */
const rememberedMax = 200_000

export class ControlIds {
  readonly #seen = new Map<string, string>()
  #blank = 0
  #numeric = 0
  #filled = 0
  #repeated = 0
  #reused = 0
  #lowest = Infinity
  #highest = -Infinity
  #lengthMin = Infinity
  #lengthMax = 0

  add(id: string, content: Buffer): void {
    if (id === '') {
      this.#blank++
      return
    }
    this.#filled++
    this.#lengthMin = Math.min(this.#lengthMin, id.length)
    this.#lengthMax = Math.max(this.#lengthMax, id.length)
    const key = digest(id)
    const hash = digest(content)
    const before = this.#seen.get(key)
    if (before !== undefined) {
      if (before === hash) this.#repeated++
      else this.#reused++
      return
    }
    if (this.#seen.size < rememberedMax) this.#seen.set(key, hash)
    if (/^\d{1,15}$/.test(id)) {
      this.#numeric++
      this.#lowest = Math.min(this.#lowest, Number(id))
      this.#highest = Math.max(this.#highest, Number(id))
    }
  }

  read(): ControlIdReading {
    const distinct = this.#filled - this.#repeated - this.#reused
    const numeric = this.#numeric > 0 && this.#numeric >= distinct * 0.95
    const span = this.#highest - this.#lowest + 1
    return {
      blank: this.#blank,
      numeric: this.#numeric,
      numbering:
        this.#filled === 0
          ? 'none'
          : !numeric
            ? 'not-numeric'
            : this.#numeric > 1 && span <= this.#numeric * 1.2
              ? 'dense'
              : 'sparse',
      repeated: this.#repeated,
      reused: this.#reused,
      lengthMin: this.#filled === 0 ? 0 : this.#lengthMin,
      lengthMax: this.#lengthMax,
    }
  }
}

/** Twelve bytes are enough to tell one sample's messages apart. */
export const digest = (content: string | Buffer): string =>
  createHash('sha256').update(content).digest('base64').slice(0, 16)
