import type { IgnoreReason } from '../../core/errors.js'

/** What is done with a message: read as results, orders or patient administration, or kept and ignored for a reason. */
export type Treatment =
  | { readonly read: 'results' | 'orders' }
  | { readonly read: 'administration'; readonly administration: Administration }
  | { readonly ignore: IgnoreReason; readonly why: string }

/**
 * What an ADT trigger says. `encounter` is the status the visit takes; `stated` reads it from PV1-45, PV1-44 and PV1-2;
 * `none` leaves visits alone.
 */
export type Administration =
  | { readonly action: 'merge' }
  | {
      readonly action: 'state'
      readonly encounter:
        'registered' | 'admitted' | 'discharged' | 'cancelled' | 'discharge-cancelled' | 'stated' | 'none'
    }

const results: Treatment = { read: 'results' }
const orders: Treatment = { read: 'orders' }
const state = (encounter: Extract<Administration, { action: 'state' }>['encounter']): Treatment => ({
  read: 'administration',
  administration: { action: 'state', encounter },
})
const merge: Treatment = { read: 'administration', administration: { action: 'merge' } }
const answer = (why: string): Treatment => ({ ignore: 'query-or-acknowledgement', why })
const unused = (why: string): Treatment => ({ ignore: 'message-type-not-used', why })

/** HL7 v2.8.2 table 0003 triggers of ADT that are read, or left for a reason of their own; `docs/messages.md` lists them. */
export const admissionTriggers: Readonly<Record<string, Treatment>> = {
  A01: state('admitted'),
  A02: state('admitted'),
  A03: state('discharged'),
  A04: state('registered'),
  A05: state('registered'),
  A06: state('admitted'),
  A07: state('registered'),
  A08: state('stated'),
  A09: state('none'),
  A10: state('none'),
  A11: state('cancelled'),
  A12: state('admitted'),
  A13: state('discharge-cancelled'),
  A14: state('none'),
  A15: state('none'),
  A16: state('none'),
  A17: unused('a bed swap names two patients and changes neither'),
  A18: merge,
  A19: answer('a patient query'),
  A20: unused('the state of a bed'),
  A21: state('none'),
  A22: state('none'),
  A23: state('cancelled'),
  A24: unused('a link of two patients; links are decided by identity matching'),
  A25: state('none'),
  A26: state('none'),
  A27: state('none'),
  A28: state('none'),
  A29: unused('a person is never deleted by message'),
  A30: merge,
  A31: state('none'),
  A32: state('none'),
  A33: state('none'),
  A34: merge,
  A35: unused('a merge of accounts; patients stay as they are'),
  A36: merge,
  A37: unused('a link of two patients taken back; links are decided by identity matching'),
  A38: state('cancelled'),
  A39: merge,
  A40: merge,
  A41: unused('a merge of accounts; patients stay as they are'),
  A42: unused('a merge of visits; patients stay as they are'),
  A43: unused('identifiers move between patients; not used yet'),
  A44: unused('an account moves between patients; not used yet'),
  A45: unused('a visit moves between patients; not used yet'),
  A46: merge,
  A47: merge,
  A48: unused('a changed alternate patient number'),
  A49: unused('a changed account number'),
  A50: unused('a changed visit number'),
  A51: unused('a changed alternate visit number'),
  A52: state('none'),
  A53: state('none'),
  A54: state('none'),
  A55: state('none'),
  A60: unused('allergies'),
  A61: state('none'),
  A62: state('none'),
}

/** Message codes that are read. */
export const readTypes: Readonly<Record<string, Treatment>> = {
  ORU: results,
  OUL: results,
  ORM: orders,
  OML: orders,
  OMG: orders,
  OMI: orders,
}

/** Every other message code of HL7 v2.8.2 table 0076, and what it would carry. */
export const ignoredTypes: Readonly<Record<string, Treatment>> = {
  ...listed(answer('an acknowledgement'), 'ACK BRT BRP EAR MCF MFK MFR NMR ORA ORD ORG ORI ORL ORN ORP ORR ORS'),
  ...listed(answer('the answer to an order'), 'OPR OPU ORB OSR RRA RRD RRE RRG'),
  ...listed(answer('a query'), 'EQQ MFQ NMQ OSQ QBP QCN QRY QSB QSX QVR RQA RQC RQP RQQ SPQ SQM VQQ VXQ'),
  ...listed(answer('a request for patient information or a referral'), 'REF RQI RRI RPA RPI RPL RPR RCI RCL'),
  ...listed(
    answer('the answer to a query'),
    'ADR DSR EDR ERP ESR ORF RAR RDR RDY RER RGR ROR RSP RTB SQR TBR VXR VXX QCK DOC',
  ),
  ...listed(unused('appointments'), 'SIU SRM SRR'),
  ...listed(unused('a document notification; reports come as ORU'), 'MDM'),
  ...listed(unused('immunisations'), 'VXU'),
  ...listed(unused('accounts and charges'), 'BAR DFT EHC'),
  ...listed(unused('pharmacy, blood, diet and supply orders'), 'BPS BTS OMB OMD OMN OMP OMS RAS RDE RDS RGV'),
  ...listed(unused('master files'), 'MFN MFD'),
  ...listed(unused('staff'), 'PMU'),
  ...listed(unused('problems, goals and pathways'), 'PGL PPR PPP PPG PPT PPV PRR PTR'),
  ...listed(unused('clinical studies and product experience'), 'CRM CSU PEX SUR'),
  ...listed(unused('devices and automation'), 'EAC EAN ESU INR INU LSR LSU SSR SSU STC STI TCR TCU'),
  ...listed(unused('network and application management'), 'NMD UDM'),
  ...listed(unused('population and location orders'), 'OPL'),
  ...listed(unused('collaborative care'), 'CCF CCI CCM CCQ CCU CQU'),
  ...listed(unused('sterilisation'), 'SCN SDN SDR SLN SLR SMD'),
  ...listed(unused('result settings of devices'), 'OSM'),
}

function listed(treatment: Treatment, codes: string): Record<string, Treatment> {
  return Object.fromEntries(codes.split(' ').map((code) => [code, treatment]))
}

/**
 * What is done with a message of this code and trigger event (MSH-9.1, MSH-9.2). Undefined for a code that HL7 does not
 * know: a misspelling, which somebody must look at, not a kind of message to leave aside.
 */
export function treatmentOf(code: string, trigger: string): Treatment | undefined {
  if (code === 'ADT') return own(admissionTriggers, trigger) ?? unused('a trigger event that carries nothing used here')
  if (code.startsWith('Z') && code.length === 3) return unused('a message of the sender’s own')
  return own(readTypes, code) ?? own(ignoredTypes, code)
}

function own(table: Readonly<Record<string, Treatment>>, key: string): Treatment | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined
}
