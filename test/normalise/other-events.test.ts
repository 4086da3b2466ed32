import { describe, expect, test } from 'vitest'
import { demoMappingFiles, loadCatalogue } from '../../catalogue/catalogue.js'
import { normaliserFor } from '../../pipelines/normalise/normaliser.js'
import { normalisePatientFacts } from '../../pipelines/normalise/patient.js'
import type { EncounterEvent, Identifier, ImagingReport, OrderEvent, PatientEvent } from '../../schemas/types.js'
import { envelope, labReport, patient } from './events.js'

const catalogue = loadCatalogue({ mappingFiles: demoMappingFiles })
const id = (type: string | null, value: string, assigner: string | null = null): Identifier => ({
  assigner,
  type,
  value,
})
const withIds = (...identifiers: Identifier[]) => normalisePatientFacts({ ...patient, sex: 'F', identifiers })

describe('a patient', () => {
  test('the declared ID number is taken after folding; birth date and sex agree with it', () => {
    expect(withIds(id('PI', 'P1'), id('NNCHN', '１１０１０５１９４９１２３１００２ｘ'))).toMatchObject({
      idNumber: '11010519491231002X',
      birthDateIso: '1949-12-31',
      sexCode: '2',
      flags: [],
    })
  })

  test('15 digits are brought to 18 and said so', () => {
    expect(withIds(id('01', '110105491231002'))).toMatchObject({
      idNumber: '11010519491231002X',
      flags: ['id-number-upgraded'],
    })
  })

  test.each([
    ['a wrong check digit', id('NI', '110105194912310021'), 'id-number-invalid'],
    ['a filler', id('身份证', '111111111111111111'), 'id-number-placeholder'],
    ['an old card of a foreign permanent resident', id('NI', 'USA110019850101'), 'id-number-foreign-resident'],
  ])('%s gives no ID number and a flag', (_, identifier, flag) =>
    expect(withIds(identifier)).toMatchObject({ idNumber: null, flags: [flag] }),
  )

  test('a patient number that is a right ID number counts as one; a wrong one is only a patient number', () => {
    expect(withIds(id('PI', '11010519491231002X')).idNumber).toBe('11010519491231002X')
    expect(withIds(id(null, '11010519491231002X')).idNumber).toBe('11010519491231002X')
    expect(withIds(id('PI', '110105194912310021'))).toMatchObject({ idNumber: null, flags: [] })
    expect(withIds(id('PI', '110105491231002'))).toMatchObject({ idNumber: null, flags: [] })
    expect(withIds(id('PPN', '11010519491231002X'))).toMatchObject({ idNumber: null, flags: [] })
  })

  test('the assigning authority may say what the type does not', () => {
    expect(withIds(id(null, '110105194912310021', '身份证'))).toMatchObject({ flags: ['id-number-invalid'] })
  })

  test('two different ID numbers leave none', () => {
    const both = withIds(
      id('NI', '11010519491231002X'),
      id('NI', '33010619530712001' + '5'),
      id('NI', '53010219200508011X'),
    )
    expect(both.idNumber).toBeNull()
    expect(both.flags).toContain('id-number-conflict')
  })

  test('conflicts with the ID number are flagged and alter nothing; a month agrees with its day', () => {
    const facts = { ...patient, identifiers: [id('NI', '11010519491231002X')] }
    expect(normalisePatientFacts({ ...facts, sex: '男', birthDate: '19491230' })).toMatchObject({
      birthDateIso: '1949-12-30',
      sexCode: '1',
      idNumber: '11010519491231002X',
      flags: ['birth-date-conflict', 'sex-conflict'],
    })
    expect(normalisePatientFacts({ ...facts, sex: '9', birthDate: '194912' }).flags).toEqual([])
  })

  test('what is not stated is not made up', () => {
    const blank = normalisePatientFacts({
      ...patient,
      sex: null,
      birthDate: '""',
      name: '',
      identifiers: [id('NI', '11010519491231002X')],
    })
    expect(blank).toMatchObject({ sexCode: null, birthDateIso: null, nameFolded: null, flags: [] })
  })

  test('earlier flags of the parser stay, those of an earlier normalising go', () => {
    const facts = normalisePatientFacts({ ...patient, sex: 'X?', flags: ['name-from-pid-9', 'sex-conflict'] })
    expect(facts.flags).toEqual(['name-from-pid-9', 'sex-unreadable'])
  })
})

describe('other events', () => {
  const event: PatientEvent = {
    envelope,
    action: 'state',
    patient,
    priorId: null,
    priorAuthority: null,
    recordedAt: 1,
    messageTime: 1,
    contentHash: 1,
    flags: ['seen'],
  }

  test('patients and encounters get their patient read and the release stamped', () => {
    const encounter: EncounterEvent = {
      envelope,
      visitNumber: 'V1',
      status: 'admitted',
      patient,
      patientClass: 'I',
      department: null,
      ward: null,
      bed: null,
      attendingPhysician: null,
      admittedAt: null,
      dischargedAt: null,
      diagnosisCode: null,
      diagnosisText: null,
      recordedAt: 1,
      messageTime: 1,
      contentHash: 1,
      flags: [],
    }
    const expected = { envelope: { ...envelope, derivation: 5 }, patient: { sexCode: '1', birthDateIso: '1949-12-31' } }
    expect(normaliserFor('patient')(event, catalogue, 5)).toMatchObject({ ...expected, flags: ['seen'] })
    expect(normaliserFor('encounter')(encounter, catalogue, 5)).toMatchObject({ ...expected, visitNumber: 'V1' })
  })

  const order: OrderEvent = {
    envelope,
    sourceSystem: 'HIS',
    orderNumber: 'O1',
    fillerOrderNumber: null,
    groupNumber: null,
    kind: 'lab',
    control: 'NW',
    status: null,
    patient,
    encounter: null,
    itemCode: 'P01',
    itemText: '血常规',
    itemSystem: 'L',
    itemId: null,
    priority: null,
    orderedAt: null,
    orderingPhysician: null,
    orderingDepartment: null,
    specimenCode: null,
    clinicalInformation: null,
    recordedAt: 1,
    messageTime: 1,
    contentHash: 1,
    flags: [],
  }

  test('an order names its panel, or says that the code is unmapped', () => {
    const normalise = normaliserFor('order')
    expect(normalise(order, catalogue, 5)).toMatchObject({ itemId: 'PNL001', flags: [] })
    expect(normalise({ ...order, itemCode: 'ZZ' }, catalogue, 5)).toMatchObject({
      itemId: null,
      flags: ['unmapped-code'],
    })
    expect(normalise({ ...order, itemCode: null }, catalogue, 5)).toMatchObject({ itemId: null, flags: [] })
  })

  const imaging: ImagingReport = {
    ...labReport([]),
    accessionNumber: 'A1',
    studyInstanceUid: null,
    examCode: 'DR001',
    examText: '胸部正位',
    examSystem: 'L',
    modality: 'DR',
    bodyPart: null,
    examinedAt: null,
    sections: [],
    abnormalFlags: null,
    itemId: null,
    modalityCode: null,
  }
  const read = (facts: Partial<ImagingReport>) =>
    normaliserFor('imaging-report')({ ...imaging, ...facts }, catalogue, 5)

  test.each([
    ['DR', 'DR001', 'DX', []],
    ['CR', 'DR001', 'CR', []],
    ['DX', 'DR001', 'DX', []],
    [null, 'DR001', 'DX', []],
    ['数字化摄影', 'DR001', 'DX', []],
    ['CT', 'DR001', 'CT', ['modality-conflict']],
    ['磁共振', 'MR001', 'MR', []],
    ['MRI', 'MR001', 'MR', []],
    ['彩超', 'US001', 'US', []],
    ['CT^计算机断层^L', 'CT001', 'CT', []],
    ['奇怪', 'CT001', 'CT', ['unmapped-modality']],
    ['DR', 'ZZZ', 'DX', ['unmapped-code']],
    ['PET-CT', 'ZZZ', 'PT', ['unmapped-code']],
    [null, 'ZZZ', null, ['unmapped-code']],
  ])('modality %s of examination %s is %s', (modality, examCode, modalityCode, flags) =>
    expect(read({ modality, examCode })).toMatchObject({ modalityCode, flags, modality }),
  )

  test('no word for radiography ever becomes DR', () => {
    for (const modality of ['DR', 'ＤＲ', 'dr', 'D R', 'DR摄影', 'X线', 'DR\\CR'])
      expect(read({ modality }).modalityCode).toBe('DX')
  })
})
