import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { convertTogether, parseConversion } from '../../catalogue/conversion.js'
import { canonicalDecimal, formatDecimal, parseDecimal, roundToScale, type Decimal } from '../../catalogue/decimal.js'
import { loadCatalogue } from '../../catalogue/catalogue.js'
import { chooseOption, convertBy, planUnit } from '../../catalogue/units.js'

const catalogue = loadCatalogue()
const number = fc
  .tuple(fc.bigInt({ min: 0n, max: 10n ** 9n }), fc.integer({ min: 0, max: 4 }))
  .map(([digits, scale]) => formatDecimal({ digits, scale }))
const factors = [...catalogue.items.values()].flatMap((item) => [...item.alternates.values()])
const factor = fc.constantFrom(...factors)

/** Exact fraction arithmetic of its own, to check against. */
const fraction = (text: string): [bigint, bigint] => {
  const [whole = '', part = ''] = text.replace('-', '').split('.')
  const size = BigInt(whole + part)
  return [text.startsWith('-') ? -size : size, 10n ** BigInt(part.length)]
}
const compare = (a: string, b: string): number => {
  const [an, ad] = fraction(a)
  const [bn, bd] = fraction(b)
  return Number(an * bd > bn * ad) - Number(an * bd < bn * ad)
}

describe('decimals', () => {
  test.each([
    ['3.50', '3.50'],
    ['.5', '0.5'],
    ['5.', '5'],
    ['+007.50', '7.50'],
    ['-0.0', '0.0'],
    ['1E3', '1000'],
    ['1.2e-3', '0.0012'],
    ['-3', '-3'],
    ['', null],
    ['.', null],
    ['1,5', null],
    ['0x10', null],
    ['1e999', null],
    ['9'.repeat(41), null],
  ])('%s is %s', (text, expected) => expect(canonicalDecimal(text)).toBe(expected))

  test('plain notation reads back as itself', () => {
    fc.assert(fc.property(number, (text) => canonicalDecimal(text) === text))
  })

  test.each([
    ['2.5', 0, '2'],
    ['3.5', 0, '4'],
    ['-2.5', 0, '-2'],
    ['-3.5', 0, '-4'],
    ['2.51', 0, '3'],
    ['-0.6', 0, '-1'],
    ['1.005', 2, '1.00'],
    ['1.2', 3, '1.200'],
  ])('%s at %i places is %s (half to even)', (text, scale, expected) =>
    expect(formatDecimal(roundToScale(parseDecimal(text) as Decimal, scale))).toBe(expected),
  )
})

describe('conversion', () => {
  test('is the exact product, rounded once: never further off than half of its last place', () => {
    fc.assert(
      fc.property(number, factor, (text, conversion) => {
        const [converted] = convertTogether(conversion, [text]) as [string]
        const [n, d] = fraction(text)
        const [fn, fd] = fraction(formatDecimal(conversion.factor))
        const [on, od] = conversion.offset === null ? [0n, 1n] : fraction(formatDecimal(conversion.offset))
        const exact: [bigint, bigint] = [n * fn * od + on * d * fd, d * fd * od]
        const [cn, cd] = fraction(converted)
        const off = cn * exact[1] - exact[0] * cd
        expect(2n * (off < 0n ? -off : off) * cd <= cd * exact[1]).toBe(true)
      }),
    )
  })

  test('keeps value and range in order, ends apart that were apart and together that were together', () => {
    fc.assert(
      fc.property(number, number, number, factor, (value, low, high, conversion) => {
        const before = [value, low, high]
        const after = convertTogether(conversion, before) as string[]
        for (const [i, a] of before.entries())
          for (const [j, b] of before.entries()) expect(compare(after[i] ?? '', after[j] ?? '')).toBe(compare(a, b))
      }),
    )
  })

  test('gives the number sent back when it is divided again and rounded to its own places', () => {
    fc.assert(
      fc.property(number, factor, (text, conversion) => {
        fc.pre(conversion.offset === null)
        const [converted] = convertTogether(conversion, [text]) as [string]
        const scale = text.split('.')[1]?.length ?? 0
        const [cn, cd] = fraction(converted)
        const [fn, fd] = fraction(formatDecimal(conversion.factor))
        // Back to a whole number of last places of the source, to the nearest.
        const back = (2n * cn * fd * 10n ** BigInt(scale) + cd * fn) / (2n * cd * fn)
        expect(back).toBe(BigInt(text.replace('.', '')))
      }),
    )
  })

  test('by a power of ten no digit is lost or gained', () => {
    fc.assert(
      fc.property(number, fc.integer({ min: -9, max: 9 }), (text, power) => {
        const there = { factor: { digits: 1n, scale: -power }, offset: null, powerOfTen: power }
        const back = { factor: { digits: 1n, scale: power }, offset: null, powerOfTen: -power }
        const [converted] = convertTogether(there, [text]) as [string]
        const [returned] = convertTogether(back, [converted]) as [string]
        expect(compare(returned, text)).toBe(0)
      }),
    )
  })

  test.each([
    ['18.016', 'x'],
    ['0', 'not positive'],
    ['-2', 'not positive'],
    ['', 'not a decimal'],
  ])('a factor %s is read or refused with the reason', (text, reason) => {
    if (reason === 'x') expect(parseConversion(text).powerOfTen).toBeNull()
    else expect(() => parseConversion(text)).toThrow(reason)
  })

  test('a factor that is a power of ten is known as one, however it is written', () => {
    expect([parseConversion('10'), parseConversion('0.010'), parseConversion('1.0')].map((c) => c.powerOfTen)).toEqual([
      1, -2, 0,
    ])
    expect(parseConversion('1;2').powerOfTen).toBeNull()
  })
})

describe('units of an item', () => {
  const plan = (id: string, spelling: string, override: string | null = null) =>
    planUnit(catalogue.units, spelling, { item: catalogue.items.get(id) ?? null, override, loincUnit: null })

  test('capitals are decided by the bounds, both ways', () => {
    const platelets = catalogue.items.get('LAB079') ?? null
    const haemoglobin = catalogue.items.get('LAB073') ?? null
    expect(chooseOption(plan('LAB079', 'G/L'), platelets, ['250'])?.source).toBe('10*9/L')
    expect(chooseOption(plan('LAB073', 'G/L'), haemoglobin, ['130'])?.source).toBe('g/L')
    const thyrotropin = catalogue.items.get('LAB051') ?? null
    expect(chooseOption(plan('LAB051', 'MIU/L'), thyrotropin, ['2.5'])?.source).toBe('m[IU]/L')
    expect(chooseOption(plan('LAB051', 'MIU/L'), thyrotropin, ['0.0000005'])).toBeNull()
    expect(chooseOption(plan('LAB051', 'MIU/L'), thyrotropin, ['5000'])).toBeNull()
    expect(chooseOption(plan('LAB073', 'G/L'), haemoglobin, ['3'])).toBeNull()
  })

  test('the triglyceride factor is not the cholesterol factor', () => {
    const convert = (id: string): string | null => {
      const option = plan(id, 'mg/dL').options[0]
      return option === undefined ? null : (convertBy(option, ['100'])[0] ?? null)
    }
    expect([convert('LAB019'), convert('LAB020')]).toEqual(['2.59', '1.13'])
  })

  test('a stated form decides between urea and BUN, FEU and DDU; without one nothing is guessed', () => {
    expect(plan('LAB015', 'mg/dL').flags).toEqual(['ambiguous-unit'])
    expect(plan('LAB015', 'mg/dL', 'mg/dL{BUN}').options[0]).toMatchObject({ source: 'mg/dL{BUN}', target: 'mmol/L' })
    expect(plan('LAB087', 'MG/L', 'mg/L{FEU}').options[0]).toMatchObject({ source: 'mg/L{FEU}', canonical: true })
    expect(plan('LAB087', 'mg/L', 'ug/mL{FEU}').options[0]).toMatchObject({ source: 'mg/L{FEU}', canonical: true })
    expect(plan('LAB087', 'mg/L').flags).toEqual(['ambiguous-unit'])
  })

  test('every canonical and alternate unit of the catalogue leads to its item, written as UCUM', () => {
    for (const item of catalogue.items.values())
      for (const unit of [...(item.ucum === null ? [] : [item.ucum]), ...item.alternates.keys()]) {
        const { options, flags } = plan(item.id, unit)
        expect([item.id, unit, options[0]?.target, flags.join()]).toEqual([item.id, unit, item.ucum, ''])
      }
  })
})
