import type { Catalogue } from '../../catalogue/catalogue.js'
import type { NormaliseFlag } from '../../catalogue/flags.js'
import { readModality, sameModality } from '../../catalogue/modality.js'
import type { ImagingReport } from '../../schemas/types.js'
import { codeFlags, withDerivation, withFlags } from './event.js'
import { normalisePatientFacts } from './patient.js'

/** Pure. The examination as a unified item, the modality as DICOM names it (never DR); the text stays as sent. */
export function normaliseImagingReport(event: ImagingReport, catalogue: Catalogue, derivation: number): ImagingReport {
  const code = { code: event.examCode, text: event.examText, system: event.examSystem }
  const match = catalogue.scope(event.envelope.hospital, event.sourceSystem).match(code)
  const { item } = match
  const flags = codeFlags(event.examCode, match)
  return {
    ...event,
    envelope: withDerivation(event.envelope, derivation),
    patient: normalisePatientFacts(event.patient),
    itemId: item?.id ?? null,
    modalityCode: modalityCode(event.modality, item?.modality ?? null, flags),
    flags: withFlags(event.flags, flags),
  }
}

/** What the sender says outranks the catalogue, for the device is known there; where it says nothing the item speaks. */
function modalityCode(sent: string | null, ofItem: string | null, flags: NormaliseFlag[]): string | null {
  if (sent === null || sent.trim() === '' || sent === '""') return ofItem
  const read = readModality(sent, ofItem)
  if (read === null) {
    flags.push('unmapped-modality')
    return ofItem
  }
  if (ofItem !== null && !sameModality(read, ofItem)) flags.push('modality-conflict')
  return read
}
