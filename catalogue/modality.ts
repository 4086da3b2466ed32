import { foldText } from './fold.js'

// DICOM PS3.3 C.7.3.1.1.1.1, current terms a reporting system may name.
const defined = new Set(
  (
    'AR AU BDUS BI BMD CR CT CTPROTOCOL DG DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO LEN LS MG MR ' +
    'NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PT PX REG RF RG RTIMAGE SM SMR SR TG US VA XA XC'
  ).split(' '),
)

/** Other ways to say it: Chinese words, vendors' habits, HL7 v2.5.1 table 0074 (OBR-24). `X` is plain radiography. */
const spellings: Readonly<Record<string, string>> = {
  DR: 'X',
  'X-RAY': 'X',
  XRAY: 'X',
  X线: 'X',
  X光: 'X',
  X线摄影: 'X',
  放射: 'X',
  普放: 'X',
  RX: 'X',
  CRX: 'CR',
  DR摄影: 'X',
  数字化摄影: 'X',
  MRI: 'MR',
  NMR: 'MR',
  磁共振: 'MR',
  核磁: 'MR',
  核磁共振: 'MR',
  CTA: 'CT',
  CTH: 'CT',
  螺旋CT: 'CT',
  PET: 'PT',
  'PET-CT': 'PT',
  'PET/CT': 'PT',
  PETCT: 'PT',
  'PET-MR': 'PT',
  'PET/MR': 'PT',
  SPECT: 'NM',
  'SPECT/CT': 'NM',
  ECT: 'NM',
  NMS: 'NM',
  核医学: 'NM',
  超声: 'US',
  彩超: 'US',
  B超: 'US',
  USG: 'US',
  RUS: 'US',
  CUS: 'US',
  OUS: 'US',
  VUS: 'US',
  心脏彩超: 'US',
  DSA: 'XA',
  血管造影: 'XA',
  介入: 'XA',
  透视: 'RF',
  造影: 'RF',
  胃肠造影: 'RF',
  钼靶: 'MG',
  乳腺摄影: 'MG',
  DEXA: 'BMD',
  DXA: 'BMD',
  骨密度: 'BMD',
  EKG: 'ECG',
  EC: 'ECG',
  心电: 'ECG',
  心电图: 'ECG',
  脑电图: 'EEG',
  肌电图: 'EMG',
  内镜: 'ES',
  胃镜: 'ES',
  肠镜: 'ES',
  内窥镜: 'ES',
  病理: 'SM',
  CBCT: 'CT',
}

/**
 * The DICOM modality that a reporting system's word means, or null. "DR" is none: digital radiography is DX, unless
 * the catalogue's item says otherwise (`itemModality`); computed radiography that says CR stays CR.
 */
export function readModality(text: string, itemModality: string | null): string | null {
  const word = foldText(text.split('^')[0] ?? '')
    .replace(/\s+/g, '')
    .toUpperCase()
  const first = word.split(/[\\,;]/)[0] ?? ''
  const read = spellings[word] ?? spellings[first] ?? (defined.has(first) ? first : null)
  if (read !== 'X') return read
  return itemModality === 'CR' || itemModality === 'MG' ? itemModality : 'DX'
}

/** Radiography is told apart as DX or CR by the device, not by the examination. */
export function sameModality(a: string, b: string): boolean {
  const group = (modality: string): string => (modality === 'CR' || modality === 'RG' ? 'DX' : modality)
  return group(a) === group(b)
}
