import type { Catalogue } from '../../catalogue/catalogue.js'
import type { Domain } from '../../log/topics.js'
import type { EventTypes } from '../../schemas/catalogue.js'
import { normaliseEncounter } from './encounter.js'
import { normaliseImagingReport } from './imaging-report.js'
import { normaliseLabReport } from './lab-report.js'
import { normaliseOrder } from './order.js'
import { normalisePatient } from './patient.js'

/**
 * Pure: no clock, I/O or randomness; the same event, catalogue and derivation give the same event. Verbatim parts are
 * carried over untouched, and an event that was normalised before is normalised anew from them.
 */
export type Normaliser<D extends Domain> = (
  event: EventTypes[D],
  catalogue: Catalogue,
  derivation: number,
) => EventTypes[D]

const normalisers: { readonly [D in Domain]: Normaliser<D> } = {
  'lab-report': normaliseLabReport,
  'imaging-report': normaliseImagingReport,
  patient: normalisePatient,
  encounter: normaliseEncounter,
  order: normaliseOrder,
}

export function normaliserFor<D extends Domain>(domain: D): Normaliser<D> {
  return normalisers[domain]
}
