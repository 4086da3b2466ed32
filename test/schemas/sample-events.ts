import type { Envelope, LabReport, Observation, PatientFacts } from '../../schemas/types.js'

/** A blood count as normalised, invented: `items` results with Chinese texts, units, ranges and unified parts. */
export function bloodCount(items = 24, seq = 1): LabReport {
  return {
    envelope: envelope(seq),
    sourceSystem: 'LIS',
    reportNumber: `20260301${String(seq).padStart(6, '0')}`,
    recycleScope: '',
    placerOrderNumber: `P${seq}`,
    kind: 'lab',
    snapshot: false,
    status: 'F',
    recordedAt: 1_772_330_400_000,
    messageTime: 1_772_330_460_000,
    contentHash: 4_503_599_627_370_495,
    patient: patient(seq),
    encounter: { visitNumber: `ZY${seq}`, patientClass: 'I', department: '呼吸内科' },
    orderingInstitution: 'H001',
    collectingInstitution: null,
    performingInstitution: 'H001',
    reportingInstitution: null,
    orderingPhysician: '李医生',
    reporter: '王检验师',
    verifier: '赵审核',
    panels: [
      {
        key: 'CBC',
        code: 'CBC',
        text: '血常规(五分类)',
        system: 'L',
        specimenCode: 'BLD',
        specimenText: '全血',
        specimenId: `B${seq}`,
        collectedAt: 1_772_326_800_000,
        specimenReceivedAt: 1_772_328_000_000,
        status: 'F',
        recordedAt: 1_772_330_400_000,
        parentObservation: null,
        parentOrder: null,
        notes: null,
        itemId: 'HT-P0001',
      },
    ],
    observations: Array.from({ length: items }, (_, index) => observation(index)),
    documents: [],
    allowMove: false,
    flags: ['charset-header-lies'],
  }
}

function envelope(seq: number): Envelope {
  return {
    environment: 'test',
    hospital: 'H001',
    feed: 'h001-lis',
    epoch: 1,
    seq,
    receivedAt: 1_772_330_465_123,
    messageId: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    eventIndex: 0,
    eventCount: 1,
    controlId: `MSG${seq}`,
    messageType: 'ORU^R01',
    lane: 'live',
    purpose: 'ledger',
    keyId: null,
    derivation: 7,
  }
}

function patient(seq: number): PatientFacts {
  const id = `00${seq}`
  return {
    id,
    authority: 'H001',
    identifiers: [{ assigner: 'H001', type: 'MR', value: id }],
    name: '测试甲',
    sex: 'M',
    birthDate: '19800101',
    phone: null,
    address: '示例路 1 号',
    sexCode: '1',
    birthDateIso: '1980-01-01',
    idNumber: null,
    nameFolded: '测试甲',
    flags: [],
  }
}

const names = ['白细胞', '红细胞', '血红蛋白', '血小板', '中性粒细胞百分比', '淋巴细胞绝对值']
const codes = ['WBC', 'RBC', 'HGB', 'PLT', 'NEUT%', 'LYMPH#']
const units = ['10^9/L', '10^12/L', 'g/L', '10^9/L', '%', '10^9/L']

function observation(index: number): Observation {
  const kind = index % names.length
  return {
    panel: 0,
    code: codes[kind]!,
    text: names[kind]!,
    system: 'L',
    altCode: null,
    altText: null,
    altSystem: null,
    subId: '',
    occurrence: Math.floor(index / names.length),
    valueType: 'NM',
    value: `${index}.25`,
    valueRaw: null,
    valueCode: null,
    valueSystem: null,
    unit: units[kind]!,
    range: '3.5-9.5',
    abnormalFlags: index % 5 === 0 ? 'H' : 'N',
    status: 'F',
    observedAt: 1_772_330_300_000 + index,
    method: null,
    equipment: 'XN-1000',
    performer: null,
    notes: null,
    document: null,
    contentHash: 3_141_592_653_589 + index,
    unified: {
      itemId: `HT-${1000 + kind}`,
      kind: 'numeric',
      number: `${index}.25`,
      numberHigh: null,
      comparator: null,
      unit: '10*9/L',
      rangeLow: '3.5',
      rangeHigh: '9.5',
      rangeText: null,
      qualitative: null,
      abnormal: 'N',
      flags: [],
    },
  }
}
