import type { Catalogue } from './catalogue.js'
import { foldText } from './fold.js'
import type { CatalogueItem, ItemKind } from './items.js'
import { planUnit } from './units.js'

/** A local code as a sample shows it. */
export interface SeenCode {
  readonly code: string
  readonly name: string
  /** Spellings of its unit, the most frequent first; '' where none was sent. */
  readonly units: readonly string[]
  /** What its orders and specimens are called: tells urine from blood. */
  readonly context: readonly string[]
}

export type ProposalReason =
  | 'code-is-alias'
  | 'code-like-alias'
  | 'name-is-item'
  | 'name-like-item'
  | 'unit-fits'
  | 'unit-differs'
  | 'unit-missing'
  | 'other-specimen'
  | 'several-items'

/**
 * An item a local code may mean. `certain`: code, name and unit each lead to this item and to no other; everything else
 * is for a person to decide, and no proposal is ever taken for a mapping by the product itself.
 */
export interface Proposal {
  readonly item: CatalogueItem
  readonly confidence: 'certain' | 'high' | 'medium' | 'low'
  readonly reasons: readonly ProposalReason[]
}

interface Names {
  readonly item: CatalogueItem
  /** Names and aliases, folded. */
  readonly exact: ReadonlySet<string>
  /** The same without capitals, blanks and punctuation. */
  readonly loose: readonly string[]
}

/** Words of specimens other than blood; an item whose own specimen shares none of them is not meant. */
const otherSpecimens = [
  ['尿', 'urine', 'uri'],
  ['脑脊液', 'csf'],
  ['胸水', '胸腔', '腹水', '腹腔', '积液', '穿刺液', '引流', 'fluid'],
  ['粪', '便常规', 'stool', 'feces'],
  ['透析', 'dialys'],
  ['精液', '唾液', '痰', '胃液', '羊水', 'sputum', 'saliva'],
]

/** Looks for the items that local codes resemble. Pure look-ups over one catalogue. */
export class ItemProposals {
  readonly #names: readonly Names[]
  readonly #catalogue: Catalogue

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue
    this.#names = Array.from(catalogue.items.values(), (item) => {
      const all = [item.nameZh, item.nameEn, ...item.aliases].filter((name) => name !== '')
      return { item, exact: new Set(all.map(foldText)), loose: [...new Set(all.map(loosely))].filter((n) => n !== '') }
    })
  }

  /** The likeliest item among these kinds; undefined where none comes near. */
  propose(seen: SeenCode, kinds: readonly ItemKind[]): Proposal | undefined {
    const graded = this.#names
      .filter(({ item }) => kinds.includes(item.kind))
      .map((names) => this.#grade(names, seen))
      .filter((grade) => grade !== undefined)
      .sort((a, b) => b.points - a.points || (a.item.id < b.item.id ? -1 : 1))
    const [best, second] = graded
    if (best === undefined) return undefined
    // Another item that the code or the name names as exactly makes both a guess.
    const contested = second !== undefined && second.points >= best.points
    const rival = graded.some((other) => other !== best && (other.codeIsAlias || other.nameIsItem) && !other.elsewhere)
    const { item, codeIsAlias, nameIsItem, sameWord, unit, elsewhere } = best
    const reasons: ProposalReason[] = [...best.reasons]
    if (contested || rival) reasons.push('several-items')
    const confidence = elsewhere
      ? 'low'
      : codeIsAlias && nameIsItem && !sameWord && unit === 'unit-fits' && item.ucum !== null && !rival
        ? 'certain'
        : contested || unit === 'unit-differs'
          ? 'low'
          : nameIsItem
            ? unit === 'unit-fits' || item.kind !== 'lab'
              ? 'high'
              : 'medium'
            : codeIsAlias && unit === 'unit-fits' && !rival
              ? 'medium'
              : 'low'
    return { item, confidence, reasons }
  }

  #grade({ item, exact, loose }: Names, seen: SeenCode) {
    const codeFolded = foldText(seen.code)
    const nameFolded = foldText(seen.name)
    const codeLoose = loosely(seen.code)
    const nameLoose = loosely(seen.name)
    const codeIsAlias = exact.has(codeFolded)
    const nameIsItem = nameLoose !== '' && (exact.has(nameFolded) || loose.includes(nameLoose))
    const codeLike = !codeIsAlias && codeLoose.length >= 2 && loose.includes(codeLoose)
    const nameLike = nameIsItem ? 1 : Math.max(0, ...loose.map((name) => likeness(nameLoose, name)))
    if (!codeIsAlias && !codeLike && nameLike < 0.6) return undefined
    const unit = this.#unitFit(item, seen.units)
    const elsewhere = isOtherSpecimen(item, [seen.name, ...seen.context])
    const reasons: ProposalReason[] = []
    if (codeIsAlias) reasons.push('code-is-alias')
    else if (codeLike) reasons.push('code-like-alias')
    if (nameIsItem) reasons.push('name-is-item')
    else if (nameLike >= 0.6) reasons.push('name-like-item')
    if (unit !== undefined) reasons.push(unit)
    if (elsewhere) reasons.push('other-specimen')
    const points =
      (nameIsItem ? 8 : nameLike >= 0.6 ? 4 * nameLike : 0) +
      (codeIsAlias ? 3 : codeLike ? 2 : 0) +
      (unit === 'unit-fits' ? 2 : unit === 'unit-differs' ? -3 : 0) -
      (elsewhere ? 5 : 0)
    return { item, points, codeIsAlias, nameIsItem, sameWord: codeLoose === nameLoose, unit, elsewhere, reasons }
  }

  /** Whether every spelling seen leads to the item's unit. */
  #unitFit(item: CatalogueItem, units: readonly string[]): ProposalReason | undefined {
    if (item.kind !== 'lab') return undefined
    const stated = units.filter((unit) => unit !== '')
    if (stated.length === 0) return item.ucum === null || item.valueType !== 'NM' ? undefined : 'unit-missing'
    if (item.ucum === null) return item.valueType === 'NM' ? undefined : 'unit-differs'
    const fits = stated.every((unit) => {
      const plan = planUnit(this.#catalogue.units, unit, { item, override: null, loincUnit: null })
      return plan.options.some(({ canonical }) => canonical)
    })
    return fits ? 'unit-fits' : 'unit-differs'
  }
}

/** Whether what stands around the code names a specimen that is not the item's own. */
function isOtherSpecimen(item: CatalogueItem, context: readonly string[]): boolean {
  if (item.kind !== 'lab') return false
  const own = withoutUrea(`${item.specimenOrBodyPart} ${item.category} ${item.nameZh} ${item.nameEn}`)
  const around = withoutUrea(context.join(' '))
  const names = (text: string, group: readonly string[]): boolean => group.some((word) => text.includes(word))
  if (otherSpecimens.some((group) => names(around, group) && !names(own, group))) return true
  const stated = names(around, ['血', 'serum', 'plasma', 'blood'])
  return stated && otherSpecimens.some((group) => names(own, group) && !names(around, group))
}

/** Urea and urate are measured in blood, whatever their names say. */
const withoutUrea = (text: string): string => text.toLowerCase().replace(/尿素氮?|尿酸|urea|uric/g, '')

function loosely(text: string): string {
  return foldText(text)
    .toLowerCase()
    .replace(/[\s\p{P}\p{S}]+/gu, (run) => (/[%#+]/.test(run) ? run.replace(/[^%#+]/g, '') : ''))
}

/** Dice's coefficient over pairs of characters; 0 for texts too short to compare. */
function likeness(a: string, b: string): number {
  if (a.length < 3 || b.length < 3 || Math.abs(a.length - b.length) > Math.max(a.length, b.length) / 2) return 0
  const pairs = new Map<string, number>()
  for (let at = 0; at + 1 < a.length; at++) pairs.set(a.slice(at, at + 2), (pairs.get(a.slice(at, at + 2)) ?? 0) + 1)
  let shared = 0
  for (let at = 0; at + 1 < b.length; at++) {
    const left = pairs.get(b.slice(at, at + 2)) ?? 0
    if (left > 0) {
      shared++
      pairs.set(b.slice(at, at + 2), left - 1)
    }
  }
  return (2 * shared) / (a.length + b.length - 2)
}
