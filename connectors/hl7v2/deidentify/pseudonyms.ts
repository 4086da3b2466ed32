import { foldIdNumber, idNumberCheck, readIdNumber } from '../../../catalogue/id-number.js'
import { alternatives, foldInPlace, isBlanked, isHan } from './characters.js'
import { dateOfDay, dayNumber } from './dates.js'
import type { Identifying } from './identifying.js'
import type { Keyed } from './keyed.js'

const attemptsMax = 64
const checkCharacters = '10X98765432'
const compoundFamilies = /^(?:欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯|长孙|宇文)/
/** A newborn is known by the mother's name and what it is to her: the oddity stays. */
const newborn = /(?:之[子女婴]|之[长次大小][子女]|[大小]?(?:婴儿?|毛毛|宝宝))[一二三]?$/
const knownRoots = /^(?:1\.2\.840\.10008|2\.16\.840\.1\.113883|2\.16\.156)(?:\.|$)/

/** Replacements for identifying values: a function of the key and the value, never a value of the set itself. */
export class Pseudonyms {
  readonly #numbers = new Map<string, string>()
  /** What each pseudonym number stands for, so that different numbers stay different. */
  readonly #taken = new Map<string, string>()

  constructor(
    private readonly keyed: Keyed,
    private readonly identifying: Identifying,
    /** Where a birth date goes, given the number it stands in. */
    private readonly shiftBirth: (idNumber: string, day: number) => number,
  ) {}

  /**
   * The parts of one name (family, given …), each as long as before and in its script. Hanzi are drawn for the whole
   * name, so that it comes out the same in one part or in two; Latin names word by word.
   */
  name(parts: readonly string[]): string[] {
    const whole = parts.join('')
    if (isBlanked(whole)) return [...parts]
    const spaces = whole.replace(/\s+/g, '')
    if (isHan(spaces)) {
      const family = [...(parts[0] ?? '')].length
      const replaced = Array.from(
        this.#hanName(spaces, parts.length > 1 && parts.slice(1).join('') !== '' ? family : 0),
      )
      return parts.map((part) => Array.from(part, (one) => (/\s/.test(one) ? one : (replaced.shift() ?? one))).join(''))
    }
    return parts.map((part) => part.replace(/[\p{L}\p{M}]+/gu, (word) => this.word(word)))
  }

  /** One word of a name, also where it stands in free text. */
  word(text: string): string {
    if (isHan(text)) return this.#hanName(text, 0)
    if (isBlanked(text)) return text
    const folded = foldInPlace(text)
    return this.#fresh(text, (attempt) => this.keyed.substitute(`word ${attempt}`, folded, text, alternativesOf))
  }

  #hanName(name: string, familyLength: number): string {
    const suffix = newborn.exec(name)?.[0] ?? ''
    const stem = name.slice(0, name.length - suffix.length)
    if (stem === '' || isBlanked(stem)) return name
    const family = familyLength > 0 ? familyLength : compoundFamilies.test(stem) ? 2 : 1
    const poolOf = (character: string, at: number): readonly string[] => alternatives(character, at < family)
    return this.#fresh(stem, (attempt) => this.keyed.substitute(`name ${attempt}`, stem, stem, poolOf)) + suffix
  }

  /** The first draw that is another text and holds no value of the set. */
  #fresh(text: string, draw: (attempt: number) => string): string {
    const own = foldInPlace(text)
    let drawn = text
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      drawn = draw(attempt)
      const folded = foldInPlace(drawn)
      if (folded !== own && this.identifying.find(folded).length === 0) return drawn
    }
    return drawn
  }

  /**
   * A number of the same shape: as many characters, letters, digits, capitals and leading zeros in the same places, what
   * is neither stays. Different numbers stay different. Citizen ID numbers become others that are as valid as they were.
   */
  number(text: string): string {
    const folded = foldInPlace(text)
    let replaced = this.#numbers.get(folded)
    if (replaced === undefined) {
      replaced = this.#idNumber(folded) ?? this.#shaped(folded)
      this.#numbers.set(folded, replaced)
    }
    return likeIn(text, replaced)
  }

  #shaped(folded: string): string {
    // 10 opens no mobile number.
    const mobile = /^1[3-9]\d{9}$/.test(folded)
    const prefix = mobile ? folded.slice(0, 2) : this.identifying.sharedPrefix(folded)
    const kept = mobile ? '10' : prefix
    // Where every number of this shape is taken (MSG00001 to MSG00009), first the zeros give way, then the prefix.
    const ways = [
      { prefix, kept, zeros: true },
      { prefix, kept, zeros: false },
      { prefix: '', kept: '', zeros: false },
    ]
    for (const way of ways) {
      const found = this.#freeNumber(folded, way.prefix, way.kept, way.zeros)
      if (found !== undefined) return found
    }
    return this.keyed.substitute('number', folded, folded, alternativesOf)
  }

  #freeNumber(folded: string, prefix: string, kept: string, zerosStay: boolean): string | undefined {
    const shape = folded.slice(prefix.length)
    const tried = new Set<string>()
    for (let at = shape; !tried.has(at) && tried.size < attemptsMax;) {
      tried.add(at)
      at = this.#permuted(at, shape, zerosStay)
      const number = kept + at
      if (number === folded || (this.#taken.get(number) ?? folded) !== folded) continue
      if (this.identifying.find(number).length > 0) continue
      this.#taken.set(number, folded)
      return number
    }
    return undefined
  }

  /** Mixed-radix digits of the places that may change, permuted together. */
  #permuted(text: string, shape: string, zerosStay: boolean): string {
    const places: { at: number; low: number; size: bigint }[] = []
    const leading = zerosStay ? /^0*/.exec(shape)![0].length : 0
    for (let at = leading; at < shape.length; at++) {
      const character = shape[at]!
      if (/[0-9]/.test(character)) {
        const first = at === leading || /[^0-9]/.test(shape[at - 1]!)
        places.push(first && character !== '0' ? { at, low: 49, size: 9n } : { at, low: 48, size: 10n })
      } else if (/[A-Z]/.test(character)) places.push({ at, low: 65, size: 26n })
    }
    const characters = [...text].length === text.length ? text.split('') : Array.from(text)
    if (characters.length !== text.length) return this.keyed.substitute('number', shape, text, alternativesOf)
    let size = 1n
    let value = 0n
    for (const place of places) {
      size *= place.size
      value = value * place.size + BigInt(text.charCodeAt(place.at) - place.low)
    }
    let permuted = this.keyed.permute(`number ${shape.replace(/[1-9]/g, '9').replace(/[A-Z]/g, 'A')}`, value, size)
    for (const place of places.reverse()) {
      characters[place.at] = String.fromCharCode(place.low + Number(permuted % place.size))
      permuted /= place.size
    }
    // Letters of other scripts are drawn; they do not keep numbers apart.
    const other = (character: string): readonly string[] => (/[\0-\x7f]/.test(character) ? [] : alternatives(character))
    return this.keyed.substitute('number letters', shape, characters.join(''), other)
  }

  /**
   * GB 11643-1999: province kept and a division that does not exist (99xx), birth date moved with the person's, sex digit
   * of the same parity, check character as right or wrong as before. 15-digit numbers likewise. Null for anything else.
   */
  #idNumber(folded: string): string | null {
    const plain = foldIdNumber(folded)
    const long = /^(\d{6})(\d{4})(\d\d)(\d\d)(\d{3})([\dX])$/.exec(plain)
    const short = /^(\d{6})(\d\d)(\d\d)(\d\d)(\d{3})$/.exec(plain)
    const match = long ?? (readIdNumber(plain).kind === 'citizen' ? short : null)
    if (match === null || plain !== folded) return null
    const [, area = '', year = '', month = '', dayText = '', sequence = ''] = match
    const century = long === null ? '19' : ''
    const day = dayNumber({ year: Number(century + year), month: Number(month), day: Number(dayText) })
    if (day === null || readIdNumber(plain).kind === 'placeholder') return null
    const to = dateOfDay(this.shiftBirth(plain, day))
    const birth = `${String(to.year).slice(long === null ? 2 : 0)}${String(to.month).padStart(2, '0')}${String(to.day).padStart(2, '0')}`
    for (let attempt = 0; ; attempt++) {
      const drawn = this.keyed.integer(`id number ${attempt}`, plain, 50_000)
      const order = String((drawn % 500) * 2 + (Number(sequence) % 2)).padStart(3, '0')
      const body = `${area.slice(0, 2)}99${String(Math.floor(drawn / 500)).padStart(2, '0')}${birth}${order}`
      const number = long === null ? body : body + wrongAsBefore(plain, body)
      const other = this.#taken.get(number)
      const taken = this.identifying.has(number) || (other !== undefined && other !== plain)
      if (taken && attempt < attemptsMax) continue
      this.#taken.set(number, plain)
      return number
    }
  }

  /** A UID of the same length; roots that standards publish are kept, they name no study. */
  uid(text: string): string {
    if (knownRoots.test(text)) return text
    const root = /^[0-2]\.\d+\./.exec(text)?.[0] ?? ''
    return this.#fresh(text, (attempt) => root + this.#shapedUid(text.slice(root.length), `uid ${attempt}`))
  }

  #shapedUid(tail: string, purpose: string): string {
    const digits = Array.from(tail, (character, at) => ({ character, first: at === 0 || tail[at - 1] === '.' }))
    return this.keyed.substitute(purpose, tail, tail, (character, at) => {
      if (character === '.') return []
      const alone = digits[at]!.first && (tail[at + 1] === '.' || at + 1 === tail.length)
      return digits[at]!.first && !alone ? [...'123456789'] : [...'0123456789']
    })
  }

  mail(text: string): string {
    return this.substitute('mail', text)
  }

  /** A place within the hospital or an amount: same shape, nothing to be told apart by. */
  substitute(purpose: string, text: string): string {
    const folded = foldInPlace(text)
    return this.#fresh(text, (attempt) => this.keyed.substitute(`${purpose} ${attempt}`, folded, text, alternativesOf))
  }
}

const alternativesOf = (character: string): readonly string[] => alternatives(character)

function wrongAsBefore(plain: string, body: string): string {
  const right = checkCharacters.indexOf(idNumberCheck(plain.slice(0, 17)))
  const stated = checkCharacters.indexOf(plain[17]!)
  return checkCharacters[(checkCharacters.indexOf(idNumberCheck(body)) + stated - right + 11) % 11]!
}

/** Letters and digits in the width and case of the original at the same place. */
function likeIn(original: string, folded: string): string {
  if (original.length !== folded.length) return folded
  let text = ''
  for (let at = 0; at < folded.length; at++) {
    const model = original.charCodeAt(at)
    const character = folded[at]!
    if (model >= 0xff01 && model <= 0xff5e && character > ' ' && character <= '~') {
      const lower = model >= 0xff41 && model <= 0xff5a
      text += String.fromCharCode((lower ? character.toLowerCase() : character).charCodeAt(0) + 0xfee0)
    } else text += model >= 0x61 && model <= 0x7a ? character.toLowerCase() : character
  }
  return text
}
