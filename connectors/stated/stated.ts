// What a source states of reports, as texts of the source itself, whatever its format: the one way from there to events is
// to-events.ts. Undefined and null are the same: not stated. '' says that the source states emptiness and deletes.

export type Stated = string | null | undefined

/** A time as the source writes it; read in the zone of the feed where it states none (connectors/times.ts). */
export type StatedTime = Stated

export interface StatedIdentifier {
  readonly value: string
  /** Identifier type (HL7 table 0203): MR, PI, SS (citizen ID number), HC (insurance) … */
  readonly type?: Stated
  readonly assigner?: Stated
}

export interface StatedPatient {
  /** Hospital patient number. */
  readonly id: Stated
  /** Assigning authority of the number. */
  readonly authority?: Stated
  /** Beyond the patient number. */
  readonly identifiers?: readonly StatedIdentifier[]
  readonly name?: Stated
  readonly sex?: Stated
  readonly birthDate?: Stated
  readonly phone?: Stated
  readonly address?: Stated
}

export interface StatedVisit {
  readonly visitNumber?: Stated
  /** HL7 table 0004: I, O, E, P. */
  readonly patientClass?: Stated
  readonly department?: Stated
}

/** A code with its text and its system, as a source names an item, a specimen or an examination. */
export interface StatedCode {
  readonly code?: Stated
  readonly text?: Stated
  readonly system?: Stated
}

export interface StatedResult {
  readonly item: StatedCode & { readonly altCode?: Stated; readonly altText?: Stated; readonly altSystem?: Stated }
  /** Tells apart results of one item (OBX-4). */
  readonly subId?: Stated
  /** HL7 table 0125; decided from the value where it is left out: NM for a number, else ST. */
  readonly valueType?: Stated
  readonly value?: Stated
  readonly valueCode?: Stated
  readonly valueSystem?: Stated
  readonly unit?: Stated
  readonly range?: Stated
  /** HL7 table 0078. */
  readonly abnormalFlags?: Stated
  /** HL7 table 0085; the report's where it is left out. */
  readonly status?: Stated
  readonly observedAt?: StatedTime
  readonly method?: Stated
  readonly equipment?: Stated
  readonly performer?: Stated
  readonly notes?: Stated
  /** Index into the report's documents. */
  readonly document?: number | null
}

/** Results of one order or one specimen. */
export interface StatedPanel {
  readonly item?: StatedCode
  readonly specimen?: StatedCode & { readonly id?: Stated }
  readonly collectedAt?: StatedTime
  readonly specimenReceivedAt?: StatedTime
  /** HL7 table 0123. */
  readonly status?: Stated
  /** When what is stated here was recorded (OBR-22); the report's where it is left out. */
  readonly recordedAt?: StatedTime
  readonly notes?: Stated
  /** Key of the result these belong to (susceptibilities of an organism): its code and sub-id. */
  readonly parent?: { readonly code: string; readonly subId: string }
  readonly results: readonly StatedResult[]
}

/** A document inside the message: its bytes are digested, and stay in the archived message. */
export interface StatedDocument {
  /** Where it stands in the message, for a reader: an element, a column. */
  readonly place: string
  readonly mediaType?: Stated
  /** Base64, Hex, A or null where the bytes stand as they are. */
  readonly encoding?: Stated
  readonly bytes: Uint8Array
  readonly title?: Stated
  readonly flags?: readonly string[]
}

interface StatedReport {
  /** The system within the hospital; the feed's `sourceSystem` outranks it, the feed's name stands in for it. */
  readonly sourceSystem?: Stated
  readonly reportNumber: Stated
  /** For `reportNumberRecycles`, first stated counts. */
  readonly recycleTimes?: readonly StatedTime[]
  readonly placerOrderNumber?: Stated
  /** HL7 table 0123: F, C, P, X … */
  readonly status?: Stated
  /** When what is stated was recorded or released (审核时间): the second part of what is newer (docs/newer.md). */
  readonly recordedAt?: StatedTime
  readonly patient: StatedPatient
  readonly visit?: StatedVisit
  readonly orderingInstitution?: Stated
  readonly collectingInstitution?: Stated
  readonly performingInstitution?: Stated
  readonly reportingInstitution?: Stated
  readonly orderingPhysician?: Stated
  readonly reporter?: Stated
  readonly verifier?: Stated
  readonly documents?: readonly StatedDocument[]
  readonly flags?: readonly string[]
}

export interface StatedLabReport extends StatedReport {
  readonly kind?: 'lab' | 'microbiology' | 'pathology'
  readonly panels: readonly StatedPanel[]
}

export interface StatedImagingReport extends StatedReport {
  readonly accessionNumber?: Stated
  readonly studyInstanceUid?: Stated
  readonly exam?: StatedCode
  readonly modality?: Stated
  readonly bodyPart?: Stated
  readonly examinedAt?: StatedTime
  readonly abnormalFlags?: Stated
  readonly sections: readonly {
    /** findings, impression, recommendation, technique, history or other */
    readonly kind: string
    readonly code?: Stated
    readonly title?: Stated
    readonly text?: Stated
    readonly status?: Stated
  }[]
}

export interface StatedOrder {
  readonly sourceSystem?: Stated
  readonly orderNumber: Stated
  readonly fillerOrderNumber?: Stated
  readonly groupNumber?: Stated
  readonly kind: 'lab' | 'imaging' | 'other'
  /** HL7 table 0119: NW, CA, XO … */
  readonly control: string
  readonly status?: Stated
  readonly recordedAt?: StatedTime
  readonly patient: StatedPatient
  readonly visit?: StatedVisit
  readonly item?: StatedCode
  readonly priority?: Stated
  readonly orderedAt?: StatedTime
  readonly orderingPhysician?: Stated
  readonly orderingDepartment?: Stated
  readonly specimenCode?: Stated
  readonly clinicalInformation?: Stated
  readonly flags?: readonly string[]
}

/** One person as one hospital knows him, from a master table. */
export interface StatedPerson {
  readonly recordedAt?: StatedTime
  readonly patient: StatedPatient
  readonly flags?: readonly string[]
}

export interface StatedEncounter {
  readonly visitNumber: Stated
  readonly status: 'registered' | 'admitted' | 'discharged' | 'cancelled' | 'discharge-cancelled'
  readonly recordedAt?: StatedTime
  readonly patient: StatedPatient
  readonly patientClass?: Stated
  readonly department?: Stated
  readonly ward?: Stated
  readonly bed?: Stated
  readonly attendingPhysician?: Stated
  readonly admittedAt?: StatedTime
  readonly dischargedAt?: StatedTime
  readonly diagnosis?: StatedCode
  readonly flags?: readonly string[]
}
