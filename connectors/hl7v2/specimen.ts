import { isChinese } from './names.js'
import type { OrderGroup } from './order-groups.js'
import { timeOf, type Reading } from './reading.js'

export interface Specimen {
  readonly code: string | null
  readonly text: string | null
  readonly id: string | null
  readonly collectedAt: number | null
  readonly receivedAt: number | null
}

/**
 * The specimen of an order group: SPM-4 and SPM-2 (container SAC-3), before v2.5 OBR-15. Of OBR-15 (SPS) component 1 is a
 * coded element in subcomponents; a Chinese text in component 2, which is for additives, is the name of the specimen; free text (SPS.3) and body site (SPS.4) count where none is named.
 */
export function specimenOf(reading: Reading, group: OrderGroup): Specimen {
  const { text } = reading
  const spm = group.specimens.find((segment) => segment.name === 'SPM') ?? null
  const sac = group.specimens.find((segment) => segment.name === 'SAC') ?? null
  const id = text.raw(spm, 2)
  const source = text.first(text.raw(group.obr, 15))
  const sourceCode = text.component(source, 1)
  const site = text.component(source, 4)
  const additive = text.read(text.component(source, 2))
  return {
    code: text.stated(spm, 4, 1) ?? (text.read(text.subcomponent(sourceCode, 1)) || null),
    text:
      text.stated(spm, 4, 2) ??
      (text.read(text.subcomponent(sourceCode, 2)) ||
        (additive !== null && isChinese(additive) ? additive : null) ||
        text.read(text.component(source, 3)) ||
        text.read(text.subcomponent(site, 2)) ||
        text.read(text.subcomponent(site, 1)) ||
        null),
    id:
      text.read(text.subcomponent(text.component(id, 1), 1)) ||
      text.read(text.subcomponent(text.component(id, 2), 1)) ||
      text.stated(sac, 3),
    collectedAt: timeOf(reading, text.stated(spm, 17)),
    receivedAt: timeOf(reading, text.stated(spm, 18)),
  }
}
