import type { Catalogue } from '../../catalogue/catalogue.js'
import type { ItemKind } from '../../catalogue/items.js'
import { ItemProposals, type Proposal } from '../../catalogue/proposals.js'
import type { CodeSeen } from './hl7-survey.js'
import { hiddenText } from './privacy.js'
import type { Count } from './tally.js'

/** A local code beside what the catalogue says of it. */
export interface CodeReading extends CodeSeen {
  /** The item it is read as today, by a mapping, or because its system is LN or HUTONG; null where it is unmapped. */
  readonly matched: { readonly itemId: string; readonly nameZh: string; readonly via: string } | null
  /** The likeliest item of an unmapped code. */
  readonly proposal: {
    readonly itemId: string
    readonly nameZh: string
    readonly confidence: Proposal['confidence']
    readonly reasons: Proposal['reasons']
  } | null
}

export interface UnitSeen extends Count {
  /** UCUM it is read as; null where the catalogue does not know it. */
  readonly ucum: string | null
  /** Capitals have blurred it: read only beside an item. */
  readonly ambiguous: boolean
}

/** Looks every code up as normalising would, and proposes items for those that are unmapped. */
export function readCodes(codes: readonly CodeSeen[], catalogue: Catalogue, hospital: string): CodeReading[] {
  const proposals = new ItemProposals(catalogue)
  return codes.map((seen) => {
    const { item, via } = catalogue
      .scope(hospital, seen.sourceSystem)
      .match({ code: seen.code, text: seen.name, system: seen.system || null }, alternateOf(seen))
    if (item !== null) return { ...seen, matched: { itemId: item.id, nameZh: item.nameZh, via }, proposal: null }
    if (seen.code === hiddenText || seen.code.startsWith('‹')) return { ...seen, matched: null, proposal: null }
    const { code, name, context } = seen
    const units = seen.units.map(({ value }) => value)
    const found = proposals.propose({ code, name, units, context }, kindsOf(seen))
    if (found === undefined) return { ...seen, matched: null, proposal: null }
    const { item: proposed, confidence, reasons } = found
    return {
      ...seen,
      matched: null,
      proposal: { itemId: proposed.id, nameZh: proposed.nameZh, confidence, reasons },
    }
  })
}

function alternateOf({ alternate }: CodeSeen): { code: string; text: null; system: string } | undefined {
  const [system = '', code = ''] = alternate.split(':')
  return alternate === '' ? undefined : { code, text: null, system }
}

const kindsOf = ({ place }: CodeSeen): readonly ItemKind[] =>
  place === 'OBX-3' ? ['lab'] : ['panel', 'imaging', 'lab']

/** How the catalogue reads each spelling of a unit. */
export function readUnits(units: readonly Count[], catalogue: Catalogue): UnitSeen[] {
  return units.map(({ value, count }) => {
    const { candidates, ambiguous } = catalogue.units.read(value)
    return { value, count, ucum: candidates[0] ?? null, ambiguous }
  })
}
