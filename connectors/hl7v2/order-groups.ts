import type { Segment } from './message.js'

/** One OBX with the notes under it. */
export interface ResultLine {
  readonly obx: Segment
  readonly notes: Segment[]
}

/** One OBR with everything under it. */
export interface OrderGroup {
  orc: Segment | null
  obr: Segment | null
  readonly notes: Segment[]
  readonly results: ResultLine[]
  readonly specimens: Segment[]
  /** TQ1, IPC, RXO, Z segments and the like. */
  readonly others: Segment[]
}

/** One patient of a message with his orders. */
export interface PatientGroup {
  pid: Segment | null
  pv1: Segment | null
  readonly others: Segment[]
  readonly orders: OrderGroup[]
  /** OBX that stand under no order group: before the first one, or under a specimen. */
  readonly unordered: ResultLine[]
}

/** Where a message structure departs from ORC, OBR, OBX, SPM. */
export interface MessageStructure {
  /** OUL^R22, R23, R24 (v2.5.1 sections 7.3.7 to 7.3.9): ORC follows its OBR. */
  readonly orcFollows: boolean
  /** OUL^R22, R23: SPM and SAC open what follows. */
  readonly specimenFirst: boolean
}

/**
 * Sorts the segments after MSH into patients and order groups by their order alone, so that left-out optional segments
 * and other versions' structures do no harm. An ORC holds for the OBRs up to the next ORC.
 */
export function groupSegments(segments: Iterable<Segment>, structure: MessageStructure): PatientGroup[] {
  const { orcFollows, specimenFirst } = structure
  const patients: PatientGroup[] = []
  let patient = newPatient()
  let order: OrderGroup | null = null
  let notes: Segment[] | null = null
  let specimens: Segment[] = []
  let specimensOpen = false

  const openOrder = (orc: Segment | null): OrderGroup => {
    const opened: OrderGroup = { orc, obr: null, notes: [], results: [], specimens: [], others: [] }
    patient.orders.push(opened)
    return opened
  }

  for (const segment of segments) {
    switch (segment.name) {
      case 'MSH':
        break
      case 'PID':
        if (patients.length === 0 || patient.pid !== null || patient.orders.length > 0) {
          patient = newPatient()
          patients.push(patient)
        }
        patient.pid = segment
        order = null
        notes = null
        specimens = []
        break
      case 'PV1':
        patient.pv1 ??= segment
        notes = null
        break
      case 'ORC':
        if (orcFollows && order !== null && order.obr !== null && order.orc === null) order.orc = segment
        else order = openOrder(segment)
        notes = order.notes
        break
      case 'OBR':
        if (order === null || order.obr !== null) order = openOrder(orcFollows ? null : (order?.orc ?? null))
        order.obr = segment
        if (specimenFirst) order.specimens.push(...specimens)
        specimensOpen = false
        notes = order.notes
        break
      case 'OBX': {
        const line: ResultLine = { obx: segment, notes: [] }
        const ofSpecimen = specimenFirst && specimensOpen
        ;(order === null || ofSpecimen ? patient.unordered : order.results).push(line)
        notes = line.notes
        break
      }
      case 'NTE':
        notes?.push(segment)
        break
      case 'SPM':
      case 'SAC':
        if (specimenFirst) {
          if (!specimensOpen) specimens = []
          specimensOpen = true
          specimens.push(segment)
          notes = null
        } else if (order !== null) {
          order.specimens.push(segment)
          notes = order.notes
        } else patient.others.push(segment)
        break
      default:
        ;(order?.others ?? patient.others).push(segment)
        if (order === null) notes = null
    }
    if (patients.length === 0) patients.push(patient)
  }
  return patients
}

function newPatient(): PatientGroup {
  return { pid: null, pv1: null, others: [], orders: [], unordered: [] }
}
