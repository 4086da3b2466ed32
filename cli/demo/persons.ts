import type { Random } from './random.js'

/** A person who does not exist: the area code of the ID number belongs to no place, the phone number to no network. */
export interface Person {
  /** Patient number within the hospital. */
  readonly patientNumber: string
  readonly name: string
  readonly sex: 'M' | 'F'
  /** YYYYMMDD */
  readonly birthDate: string
  /** 18 characters with a right check character (GB 11643-1999). */
  readonly idNumber: string
  readonly phone: string
  readonly address: string
}

const familyNames = [
  ...'王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎',
]
const givenNames = [
  ...'伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂英华文玉兰志建国春秀红云龙飞鹏宇晨欣怡梓涵浩然子轩雨桐',
]
const roads = ['示范路', '演示大道', '虚构街', '样例巷', '测试路', '仿真街']

/**
 * Characters whose GBK trail byte is a delimiter of HL7 v2: 珅 0x7C, 玘 0x5E, 玕 0x5C, 珇 0x7E; a reader that splits
 * before it decodes breaks on them.
 */
export const delimiterTrailNames = ['珅', '玘', '玕', '珇'] as const
/** Characters in use in names that GBK lacks: GB18030 writes them with four bytes; the last is beyond the basic plane. */
export const fourByteNames = ['㛃', '䶮', '𬭎', '𠮷'] as const

export interface PersonsOptions {
  /** Begins every patient number, so that hospitals and runs do not share any. */
  readonly numberPrefix: string
  /** Share of persons with a difficult name (default 0). */
  readonly difficultNames?: number
}

/** Makes the `index`-th person of a hospital; the number alone decides who it is, in whatever order persons are asked for. */
export function person(random: Random, index: number, options: PersonsOptions): Person {
  const chance = random.fork(`person/${index}`)
  const sex = chance.chance(0.5) ? 'M' : 'F'
  const birthDate = birthDateOf(chance)
  return {
    patientNumber: `${options.numberPrefix}${String(index).padStart(6, '0')}`,
    name: nameOf(chance, options.difficultNames ?? 0),
    sex,
    birthDate,
    idNumber: idNumber(chance, birthDate, sex),
    phone: `000${chance.digits(8)}`,
    address: `互通省示范市${chance.pick(roads)}${chance.integer(1, 299)}号`,
  }
}

function nameOf(chance: Random, difficult: number): string {
  const family = chance.pick(familyNames)
  const given = chance.pick(givenNames)
  if (chance.chance(difficult)) {
    const rare = chance.chance(0.5) ? chance.pick(delimiterTrailNames) : chance.pick(fourByteNames)
    return chance.chance(0.5) ? family + rare : family + given + rare
  }
  return chance.chance(0.25) ? family + given : family + given + chance.pick(givenNames)
}

function birthDateOf(chance: Random): string {
  const days = chance.integer(0, 90 * 365)
  return new Date(Date.UTC(1934, 0, 1) + days * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '')
}

/** Area 999999 is assigned to no division (GB/T 2260); an odd sequence number is a man's. */
function idNumber(chance: Random, birthDate: string, sex: 'M' | 'F'): string {
  const sequence = chance.integer(0, 499) * 2 + (sex === 'M' ? 1 : 0)
  const body = `999999${birthDate}${String(sequence).padStart(3, '0')}`
  return body + idCheckCharacter(body)
}

const weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]

/** ISO 7064 MOD 11-2 over the first 17 digits (GB 11643-1999). */
export function idCheckCharacter(body: string): string {
  const sum = weights.reduce((total, weight, index) => total + weight * Number(body[index]), 0)
  return '10X98765432'.charAt(sum % 11)
}
