/**
 * The closed list of what normalising may notice. A flag never alters a value: the verbatim form stands beside the
 * normalised one, and a flag with `workItem` is counted until somebody mends a mapping, a unit or the sender.
 */
export interface FlagText {
  /** On a result (unified.flags), on the patient (patient.flags) or on the whole event (flags). */
  readonly on: readonly ('observation' | 'patient' | 'event')[]
  readonly workItem: boolean
  readonly en: string
  readonly zh: string
}

export const normaliseFlags = {
  'unmapped-code': {
    on: ['observation', 'event'],
    workItem: true,
    en: 'The local code is in no mapping of this hospital; what was sent is kept verbatim',
    zh: '本院映射表中没有该代码；内容原样保留',
  },
  'code-text-differs': {
    on: ['observation', 'event'],
    workItem: true,
    en: 'The code is mapped, but for another name than the one sent: it may have been reused',
    zh: '代码已有映射，但名称与映射登记的不同，可能被重用',
  },
  'unmapped-unit': {
    on: ['observation'],
    workItem: true,
    en: 'The spelling of the unit is unknown; no number is given',
    zh: '无法识别的单位写法；不给出数值',
  },
  'ambiguous-unit': {
    on: ['observation'],
    workItem: true,
    en: 'The unit can be read in more than one way and neither the item nor its bounds decide',
    zh: '单位有多种读法，项目及其合理范围无法裁定',
  },
  'unit-missing': {
    on: ['observation'],
    workItem: true,
    en: 'A numeric result without a unit, and the mapping gives none',
    zh: '数值结果没有单位，映射也未给出',
  },
  'unit-not-convertible': {
    on: ['observation'],
    workItem: true,
    en: 'The unit measures another property than the item; the number stays in the unit as sent',
    zh: '单位与项目的量不同，不可换算；数值保留原单位',
  },
  'loinc-unit-conflict': {
    on: ['observation'],
    workItem: true,
    en: 'The LOINC code states another property (mass, substance …) than the unit',
    zh: 'LOINC 代码所述的量（质量、物质的量等）与单位不符',
  },
  implausible: {
    on: ['observation'],
    workItem: true,
    en: 'Outside the limits of a living human for this item; kept as sent',
    zh: '超出该项目对活体的合理界限；按原值保留',
  },
  'not-numeric': {
    on: ['observation'],
    workItem: true,
    en: 'Declared or expected numeric, and not readable as a number',
    zh: '声明或应为数值，但无法读作数值',
  },
  'range-unreadable': {
    on: ['observation'],
    workItem: true,
    en: 'The lower end of the reference range lies above the upper end',
    zh: '参考范围下限大于上限',
  },
  'range-unit-differs': {
    on: ['observation'],
    workItem: true,
    en: 'The reference range names another unit than the value',
    zh: '参考范围的单位与结果单位不同',
  },
  'abnormal-flag-unmapped': {
    on: ['observation'],
    workItem: true,
    en: 'The abnormal flag is neither of HL7 table 0078 nor a known Chinese mark',
    zh: '异常标志既不属于 HL7 0078 表，也不是已知的中文标记',
  },
  'organism-unlinked': {
    on: ['observation'],
    workItem: true,
    en: 'A susceptibility whose organism is not in the report (OBR-26, OBX-4)',
    zh: '药敏结果找不到所属的细菌（OBR-26、OBX-4）',
  },
  'unmapped-modality': {
    on: ['event'],
    workItem: true,
    en: 'The modality cannot be read as a DICOM modality',
    zh: '无法读作 DICOM 模态',
  },
  'modality-conflict': {
    on: ['event'],
    workItem: true,
    en: 'The modality sent differs from that of the mapped item',
    zh: '所报模态与映射项目的模态不一致',
  },
  'sex-unreadable': {
    on: ['patient'],
    workItem: true,
    en: 'The sex is neither GB/T 2261.1, HL7 table 0001 nor a known word',
    zh: '性别既不属于 GB/T 2261.1、HL7 0001 表，也不是已知文字',
  },
  'birth-date-unreadable': {
    on: ['patient'],
    workItem: true,
    en: 'The birth date is no date, or its day depends on a time zone',
    zh: '出生日期不是有效日期，或其日期取决于时区',
  },
  'birth-date-placeholder': {
    on: ['patient'],
    workItem: false,
    en: 'The birth date is a value that systems fill in when they know none',
    zh: '出生日期是系统默认填充值',
  },
  'birth-date-conflict': {
    on: ['patient'],
    workItem: true,
    en: 'The birth date differs from the one in the ID number',
    zh: '出生日期与身份证号中的不一致',
  },
  'sex-conflict': {
    on: ['patient'],
    workItem: true,
    en: 'The sex differs from the one in the ID number',
    zh: '性别与身份证号中的不一致',
  },
  'id-number-invalid': {
    on: ['patient'],
    workItem: true,
    en: 'What is sent as a citizen ID number fails GB 11643-1999 (length, date or check digit)',
    zh: '身份证号不符合 GB 11643-1999（长度、日期或校验位）',
  },
  'id-number-placeholder': {
    on: ['patient'],
    workItem: false,
    en: 'The ID number is a filler such as 111111111111111111',
    zh: '身份证号是占位填充值',
  },
  'id-number-upgraded': {
    on: ['patient'],
    workItem: false,
    en: 'A 15-digit ID number was brought to 18 digits',
    zh: '15 位身份证号已升为 18 位',
  },
  'id-number-conflict': {
    on: ['patient'],
    workItem: true,
    en: 'Two different valid citizen ID numbers are stated for one patient; none is taken',
    zh: '同一患者给出两个不同的有效身份证号；均不采用',
  },
  'id-number-foreign-resident': {
    on: ['patient'],
    workItem: false,
    en: 'The number is that of a foreign permanent resident, not a citizen ID number',
    zh: '该号码为外国人永久居留证号码，不是公民身份号码',
  },
  'name-placeholder': {
    on: ['patient'],
    workItem: false,
    en: 'The name stands for an unknown person',
    zh: '姓名为无名或占位',
  },
  'name-garbled': {
    on: ['patient'],
    workItem: true,
    en: 'The name holds a question mark or a replacement character in place of a rare one',
    zh: '姓名中的生僻字已变为问号或替换字符',
  },
  'name-of-newborn': {
    on: ['patient'],
    workItem: false,
    en: "The name is a mother's name with 之子, 之女 or the like",
    zh: '姓名为“某某之子/之女”形式的新生儿临时名',
  },
} as const satisfies Record<string, FlagText>

export type NormaliseFlag = keyof typeof normaliseFlags

/** Whether `flag` is one of this list, as against one that was noticed while reading the message. */
export function isNormaliseFlag(flag: string): flag is NormaliseFlag {
  return Object.hasOwn(normaliseFlags, flag)
}
