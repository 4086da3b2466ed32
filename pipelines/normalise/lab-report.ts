import type { Catalogue, CodeScope } from '../../catalogue/catalogue.js'
import type { LabReport, ReportPanel } from '../../schemas/types.js'
import { withDerivation } from './event.js'
import { cultureParts } from './microbiology.js'
import { normaliseObservation } from './observation.js'
import { normalisePatientFacts } from './patient.js'

/**
 * Pure. Each result gets its unified reading beside the verbatim one: item, kind, number in the item's unit with its
 * reference range, ordinal reading, abnormal flag, and what was noticed. Nothing verbatim is altered or left out.
 */
export function normaliseLabReport(event: LabReport, catalogue: Catalogue, derivation: number): LabReport {
  const scope = catalogue.scope(event.envelope.hospital, event.sourceSystem)
  const patient = normalisePatientFacts(event.patient)
  const parts = cultureParts(event)
  return {
    ...event,
    envelope: withDerivation(event.envelope, derivation),
    patient,
    panels: event.panels.map((panel) => normalisePanel(panel, scope)),
    observations: event.observations.map((observation, index) => ({
      ...observation,
      unified: normaliseObservation(observation, scope, patient.sexCode, parts[index] ?? null),
    })),
  }
}

/** A panel that no mapping knows is no work item: its results are what counts. */
function normalisePanel(panel: ReportPanel, scope: CodeScope): ReportPanel {
  const { item } = scope.match({ code: panel.code, text: panel.text, system: panel.system })
  return { ...panel, itemId: item?.id ?? null }
}
