import type { ItemMatch } from '../../catalogue/catalogue.js'
import { isNormaliseFlag, type NormaliseFlag } from '../../catalogue/flags.js'
import type { Envelope } from '../../schemas/types.js'

/** The envelope with the release number it was normalised under. */
export function withDerivation(envelope: Envelope, derivation: number): Envelope {
  return { ...envelope, derivation }
}

/** What was noticed while reading, kept, and then what was noticed while normalising; each once. Earlier normalising leaves no trace. */
export function withFlags(existing: readonly string[], found: readonly NormaliseFlag[]): string[] {
  if (existing.length === 0 && found.length === 0) return []
  return [...new Set([...existing.filter((flag) => !isNormaliseFlag(flag)), ...found])]
}

/** What is wrong with a code that means no item; nothing where none was sent. */
export function codeFlags(code: string | null, match: ItemMatch): NormaliseFlag[] {
  if (match.item !== null || code === null || code === '') return []
  return match.textDiffers ? ['code-text-differs'] : ['unmapped-code']
}
