import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readBirthDate } from '../../catalogue/birth-date.js'
import { idNumberCheck, readIdNumber } from '../../catalogue/id-number.js'
import { readPersonName } from '../../catalogue/person-name.js'
import { readSex } from '../../catalogue/sex.js'

describe('ID numbers (GB 11643-1999)', () => {
  test.each([
    ['11010519491231002X', 'citizen', '11010519491231002X', '1949-12-31', '2'],
    ['11010519491231002x', 'citizen', '11010519491231002X', '1949-12-31', '2'],
    ['１１０１０５１９４９１２３１００２Ｘ', 'citizen', '11010519491231002X', '1949-12-31', '2'],
    ['110105 19491231 002X', 'citizen', '11010519491231002X', '1949-12-31', '2'],
    ['110105-19491231-002x', 'citizen', '11010519491231002X', '1949-12-31', '2'],
    ['110105491231002', 'citizen', '11010519491231002X', '1949-12-31', '2'],
    ['110105194912310021', 'invalid', null, null, null],
    ['110105194902300025', 'invalid', null, null, null],
    ['1101051949123100', 'invalid', null, null, null],
    ['111111111111111111', 'placeholder', null, null, null],
    ['000000000000000000', 'placeholder', null, null, null],
    ['123456789012345678', 'placeholder', null, null, null],
    ['无', 'placeholder', null, null, null],
    ['', 'placeholder', null, null, null],
    ['USA110019850101', 'foreign-resident-old', 'USA110019850101', null, null],
  ])('%s is %s', (text, kind, number, birthDate, sexCode) =>
    expect(readIdNumber(text)).toMatchObject({ kind, number, birthDate, sexCode }),
  )

  const number18 = (prefix: string, birth: string, sequence: string): string => {
    const digits = prefix + birth + sequence
    return digits + idNumberCheck(digits)
  }

  test('residence permits of Hong Kong, Macau and Taiwan hold citizen numbers of their own', () => {
    for (const area of ['810000', '820000', '830000'])
      expect(readIdNumber(number18(area, '19900307', '001'))).toMatchObject({
        kind: 'residence-permit',
        birthDate: '1990-03-07',
        sexCode: '1',
      })
  })

  test('the new card of foreign permanent residents is told apart, though its check digit is right', () => {
    const read = readIdNumber(number18('911840', '19850101', '001'))
    expect(read).toMatchObject({ kind: 'foreign-resident', birthDate: '1985-01-01', sexCode: null })
  })

  test('an area that no longer exists is no fault, a province that never did is one', () => {
    expect(readIdNumber(number18('510299', '19620405', '112')).kind).toBe('citizen')
    expect(readIdNumber(number18('990101', '19620405', '112')).kind).not.toBe('citizen')
    expect(readIdNumber(number18('160101', '19620405', '112')).kind).toBe('invalid')
  })

  test('one wrong digit is always found (ISO 7064 MOD 11-2), and so are two neighbours swapped', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 28 }),
        fc.integer({ min: 0, max: 999 }),
        fc.integer({ min: 0, max: 17 }),
        fc.integer({ min: 1, max: 9 }),
        (day, sequence, place, change) => {
          const right = number18(
            '110105',
            `199002${String(Math.max(day, 1)).padStart(2, '0')}`,
            String(sequence).padStart(3, '0'),
          )
          expect(readIdNumber(right).number).toBe(right)
          const digit = right[place] === 'X' ? 10 : Number(right[place])
          const wrong = right.slice(0, place) + String((digit + change) % 10) + right.slice(place + 1)
          if (wrong !== right) expect(readIdNumber(wrong).number).toBeNull()
          const swapped =
            right.slice(0, place) + (right[place + 1] ?? '') + (right[place] ?? '') + right.slice(place + 2)
          if (swapped !== right && place < 17) expect(readIdNumber(swapped).number).toBeNull()
        },
      ),
    )
  })

  test('15 digits and their 18-digit form are the same person', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 28 }), fc.integer({ min: 0, max: 999 }), (day, sequence) => {
        const tail = `${String(day).padStart(2, '0')}${String(sequence).padStart(3, '0')}`
        const old = readIdNumber(`3301065307${tail}`)
        expect(old).toEqual({
          ...readIdNumber(number18('330106', `195307${tail.slice(0, 2)}`, tail.slice(2))),
          upgraded: true,
        })
      }),
    )
  })
})

describe('birth dates', () => {
  test.each([
    ['19850312', '1985-03-12', null],
    ['1985-03-12', '1985-03-12', null],
    ['1985-3-2', '1985-03-02', null],
    ['1985/03/12', '1985-03-12', null],
    ['1985.03.12', '1985-03-12', null],
    ['1985年3月12日', '1985-03-12', null],
    ['１９８５年３月１２日', '1985-03-12', null],
    ['198503', '1985-03', null],
    ['1985-03', '1985-03', null],
    ['1985年3月', '1985-03', null],
    ['1985', '1985', null],
    ['19850312000000', '1985-03-12', null],
    ['198503120830', '1985-03-12', null],
    ['19850312083000.000+0800', '1985-03-12', null],
    ['1985-03-12 00:00:00.0', '1985-03-12', null],
    ['1985-03-12T00:00:00', '1985-03-12', null],
    ['1985-03-12T00:00:00Z', '1985-03-12', null],
    ['1985-03-11T16:00:00Z', null, 'unreadable'],
    ['19880610230000-0500', null, 'unreadable'],
    ['20000229', '2000-02-29', null],
    ['19000229', null, 'unreadable'],
    ['19850431', null, 'unreadable'],
    ['19851301', null, 'unreadable'],
    ['35岁', null, 'unreadable'],
    ['03/12/1985', null, 'unreadable'],
    ['1985-03/12', null, 'unreadable'],
    ['19000101', null, 'placeholder'],
    ['00000000', null, 'placeholder'],
    ['0001-01-01', null, 'placeholder'],
  ])('%s is %s', (text, iso, problem) => expect(readBirthDate(text)).toEqual({ iso, problem }))
})

describe('sex', () => {
  test.each([
    ['1', '1'],
    ['M', '1'],
    ['男', '1'],
    ['男性', '1'],
    ['1-男', '1'],
    ['M^Male^HL70001', '1'],
    ['2', '2'],
    ['f', '2'],
    ['女', '2'],
    ['２', '2'],
    ['0', '0'],
    ['U', '0'],
    ['未知', '0'],
    ['9', '9'],
    ['O', '9'],
    ['未说明的性别', '9'],
    ['3', null],
    ['男女', null],
    ['?', null],
  ])('%s is %s', (text, code) => expect(readSex(text)).toBe(code))
})

describe('names', () => {
  test.each([
    ['张 三', '张三'],
    ['张　三', '张三'],
    ['ZHANG  San', 'ZHANG SAN'],
    ['Ｚｈａｎｇ Ｓａｎ', 'ZHANG SAN'],
    ['买买提·艾力', '买买提·艾力'],
    ['买买提•艾力', '买买提·艾力'],
    ['买买提・艾力', '买买提·艾力'],
    ['买买提･艾力', '买买提·艾力'],
    ['买买提.艾力', '买买提·艾力'],
    ['买买提 · 艾力', '买买提·艾力'],
    ['买买提．艾力', '买买提·艾力'],
    ['张^三', '张三'],
    ['Smith^John', 'SMITH JOHN'],
    ['  ', null],
    ['䶮㛃', '䶮㛃'],
    ['𠮷野', '𠮷野'],
  ])('%s is compared as %s', (name, folded) => expect(readPersonName(name)).toEqual({ folded, problem: null }))

  test.each([
    ['无名氏', 'placeholder'],
    ['未知', 'placeholder'],
    ['无名氏3', 'placeholder'],
    ['测试患者', 'placeholder'],
    ['张?', 'garbled'],
    ['张？', 'garbled'],
    ['张\ufffd', 'garbled'],
    ['李梅之子', 'newborn'],
    ['李梅之女', 'newborn'],
    ['李梅之长女', 'newborn'],
    ['王婴', 'newborn'],
  ])('%s is a %s name', (name, problem) => expect(readPersonName(name).problem).toBe(problem))
})
