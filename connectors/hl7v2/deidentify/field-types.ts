/**
 * What a field of HL7 v2.5.1 (chapters 2 to 4, 6 to 8 and 10; older fields where they stood before) holds, as far as
 * de-identification cares. Whatever stands in no table is free text.
 *
 * - `CX` an identifier, `XPN` a person, `XCN` staff, `NDL` staff with times, `XAD` an address, `XTN` telephone and mail
 * - `EI` order, specimen and document numbers; `EIP` placer and filler number as subcomponents
 * - `TS` times, `DR` ranges and codes with times, `TQ` quantity and timing, `BIRTH` a birth date
 * - `PL` a place in the hospital, `CODE` codes, units and values that stay, `TABLE` values of HL7 tables that steer the reading
 * - `OBX5` by OBX-2; `TEXT` free text
 */
export type FieldType =
  | 'CX'
  | 'XPN'
  | 'XCN'
  | 'NDL'
  | 'XAD'
  | 'XTN'
  | 'EI'
  | 'EIP'
  | 'TS'
  | 'DR'
  | 'TQ'
  | 'BIRTH'
  | 'PL'
  | 'CODE'
  | 'TABLE'
  | 'OBX5'
  | 'TEXT'

const tables: Readonly<Record<string, string>> = {
  MSH: 'CODE:3-6 TS:7 TABLE:9,11,12,15-18,20 EI:10 CODE:13,19,21',
  SFT: 'CODE:1-4 TS:6',
  EVN: 'TABLE:1,4 TS:2,3,6 XCN:5 CODE:7',
  PID: 'TABLE:1 CX:2-4,18-21 XPN:5,6,9 BIRTH:7 TABLE:8 CODE:10,15-17,22,24-28,30-32,34-38 XAD:11,12,23 XTN:13,14 TS:29,33',
  PD1: 'CODE:1,2,5-7,10-13,15-20 XCN:4 TS:13,17-19',
  NK1: 'TABLE:1 XPN:2,26,30 CODE:3,7,14,15,17-25,27-29,34-38 XAD:4,32 XTN:5,6,31 TS:8,9 EI:11 CX:12,33 BIRTH:16 TABLE:39',
  PV1:
    'TABLE:1,2 PL:3,6,11,42,43 CODE:4,10,12-16,18,21-24,26-28,31-33,36,38-41,46-49,51 CX:5,19,50 XCN:7-9,17,52 ' +
    'DR:20,37 TS:25,29,30,34,35,44,45',
  PV2: 'PL:1 CODE:2,4,6,7,10,11,15,16,18-22,24-27,30-32,34-45,48-50 TS:8,9,14,17,26,28,29,33,46,47 XCN:13',
  GT1: 'TABLE:1 CX:2,19,29 XPN:3,4,16,42,45 XAD:5,17 XTN:6,7,18,44,46 BIRTH:8 CODE:9-11,15,20,27,28,30-36,38-41 EI:12 TS:13,14',
  IN1:
    'TABLE:1 CODE:2,15,17,20-23,25,27,31,32,34,35,37-43,45-48 CX:3,10,49 XAD:5,19,44 XPN:6,16 XTN:7 EI:8,36 TS:12,13,24,26,29 ' +
    'BIRTH:18 XCN:30',
  IN2: 'CX:1,26,61 EI:2,6,8 XCN:3 XPN:7,9,40,49,52 XTN:50,53,58,63,64 CODE:4,5,11,14-24,27-39,41-48,62',
  MRG: 'CX:1-6 XPN:7',
  ROL: 'EI:1 CODE:2,3,7,9,10 XCN:4 TS:5,6 XAD:11 XTN:12',
  ORC: 'TABLE:1,5,6 EI:2-4 TQ:7 EIP:8 TS:9,15,27 XCN:10-12,19 PL:13 XTN:14,23 CODE:16-18,20,21,25,26,28-30 XAD:22,24',
  OBR:
    'TABLE:1,5,24,25 EI:2,3,18-21 CODE:4,9,11,12,15,23,26,30,37,38,40-44,46-50 TS:6-8,14,22,36 XCN:10,16,28 XTN:17 ' +
    'TQ:27 EIP:29 NDL:32-35',
  OBX: 'TABLE:1,2,11 CODE:3,4,6-10,15,17,18,20,22 OBX5:5 TS:12,14,19 XCN:16,25 XAD:24',
  SPM: 'TABLE:1,11 EIP:2,3 CODE:4-10,12,13,15,16,20-29 DR:17 TS:18,19 CX:30,31',
  SAC: 'EI:2-4 CODE:5,6,8-45 TS:7',
  NTE: 'TABLE:1 CODE:2,4 XCN:5 TS:6-8',
  DG1: 'TABLE:1 CODE:2,3,6-15,17,18,21 TS:5,19 XCN:16 EI:20,22',
  AL1: 'TABLE:1 CODE:2-4 TS:6',
  IAM: 'TABLE:1 CODE:2-4,6,9,10,12,17 TS:11,13,20 XCN:14,18 EI:7',
  TQ1: 'TABLE:1 CODE:2-6,9,12-14 TS:7,8',
  IPC: 'EI:1-4 CODE:5-9',
  TXA: 'TABLE:1 CODE:2,3,17-21 TS:4,6-8,22 XCN:5,9-11,22,23 EI:12-15',
  RXA: 'CODE:1,2,5-9,11-14,17-21 TS:3,4,16,22 XCN:10 EI:15',
  RXR: 'CODE:1-6',
  RXO: 'CODE:1-6,8-13,15-25 XCN:14',
  RXE: 'TQ:1 CODE:2-6,9-13,16-31 XCN:13,14 EI:15 TS:18,32',
  DSC: 'EI:1 TABLE:2',
  MSA: 'TABLE:1 EI:2 CODE:4-6',
  QRD: 'TS:1,6 TABLE:2,3,5,7 EI:4 XCN:8 CODE:9,10,12',
  SCH: 'EI:1,2,4,23,24,26,27 CODE:3,5-10,25 TQ:11 XCN:12,16,20 XTN:13,17,21 XAD:14,18 PL:15,19,22',
  AIS: 'TABLE:1,2 CODE:3,5-10 TS:4',
  AIL: 'TABLE:1,2 PL:3 CODE:4,5,7-12 TS:6',
  AIP: 'TABLE:1,2 XCN:3 CODE:4,5,7-12 TS:6',
  AIG: 'TABLE:1,2 CODE:4-7,9-14 TS:8',
  PR1: 'TABLE:1 CODE:2,3,6,7,9,10,13-20 TS:5 XCN:8,11,12',
  ACC: 'TS:1 CODE:2,4-6 XCN:7',
  FT1: 'TABLE:1 EI:2,3,23 DR:4 TS:5 CODE:6,7,10-15,17-19,22,24-31 PL:16 XCN:20,21',
  RGS: 'TABLE:1,2',
}

const types = new Map<string, FieldType>()
for (const [segment, text] of Object.entries(tables)) {
  for (const entry of text.split(' ')) {
    const [type = '', fields = ''] = entry.split(':')
    for (const range of fields.split(',')) {
      const [from = 0, to = from] = range.split('-').map(Number)
      for (let field = from; field <= to; field++) types.set(`${segment}-${field}`, type as FieldType)
    }
  }
}

/** What this field holds; free text where no table says so, as in every Z segment. */
export function fieldType(segment: string, field: number): FieldType {
  return types.get(`${segment}-${field}`) ?? 'TEXT'
}

/** OBX-5 by OBX-2 (HL7 v2.5.1 table 0125). */
export function valueType(obx2: string): FieldType | 'ED' | 'NUMBER' {
  switch (obx2.toUpperCase()) {
    case 'NM':
    case 'SN':
    case 'MO':
    case 'CP':
      return 'NUMBER'
    case 'CE':
    case 'CWE':
    case 'CNE':
    case 'CF':
    case 'ID':
    case 'IS':
    case 'CD':
    case 'MA':
    case 'NA':
      return 'CODE'
    case 'TS':
    case 'DT':
    case 'TM':
    case 'DTM':
      return 'TS'
    case 'XPN':
    case 'PN':
      return 'XPN'
    case 'XCN':
    case 'CN':
      return 'XCN'
    case 'XAD':
    case 'AD':
      return 'XAD'
    case 'XTN':
    case 'TN':
      return 'XTN'
    case 'CX':
    case 'CK':
      return 'CX'
    case 'EI':
      return 'EI'
    case 'DR':
      return 'DR'
    case 'ED':
      return 'ED'
    default:
      return 'TEXT'
  }
}
