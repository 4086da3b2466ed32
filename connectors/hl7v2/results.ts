import type { ReceivedEvent } from '../connector.js'
import { imagingReport } from './imaging.js'
import { labReport } from './lab.js'
import type { PatientGroup } from './order-groups.js'
import type { Reading } from './reading.js'
import { reportGroups } from './report-groups.js'

/**
 * Result messages (ORU, OUL) to one event for each patient and report number.
 * @throws RecordError segment-missing, patient-id-missing, report-number-missing
 */
export function resultEvents(reading: Reading, patients: readonly PatientGroup[]): ReceivedEvent[] {
  return patients.flatMap((patient) =>
    reportGroups(reading, patient).map((report) =>
      report.kind === 'imaging' ? imagingReport(reading, report) : labReport(reading, report),
    ),
  )
}
