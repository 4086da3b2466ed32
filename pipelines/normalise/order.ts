import type { Catalogue } from '../../catalogue/catalogue.js'
import type { OrderEvent } from '../../schemas/types.js'
import { codeFlags, withDerivation, withFlags } from './event.js'
import { normalisePatientFacts } from './patient.js'

/** Pure. An order names its unified item or panel where the hospital's mapping knows the code. */
export function normaliseOrder(event: OrderEvent, catalogue: Catalogue, derivation: number): OrderEvent {
  const code = { code: event.itemCode, text: event.itemText, system: event.itemSystem }
  const match = catalogue.scope(event.envelope.hospital, event.sourceSystem).match(code)
  return {
    ...event,
    envelope: withDerivation(event.envelope, derivation),
    patient: normalisePatientFacts(event.patient),
    itemId: match.item?.id ?? null,
    flags: withFlags(event.flags, codeFlags(event.itemCode, match)),
  }
}
