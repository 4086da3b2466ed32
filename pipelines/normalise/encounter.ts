import type { Catalogue } from '../../catalogue/catalogue.js'
import type { EncounterEvent } from '../../schemas/types.js'
import { withDerivation } from './event.js'
import { normalisePatientFacts } from './patient.js'

/** Pure. A visit stays as the hospital states it; its patient is read like any other. */
export function normaliseEncounter(event: EncounterEvent, _catalogue: Catalogue, derivation: number): EncounterEvent {
  return {
    ...event,
    envelope: withDerivation(event.envelope, derivation),
    patient: normalisePatientFacts(event.patient),
  }
}
