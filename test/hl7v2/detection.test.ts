import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RecordError } from '../../core/errors.js'
import { decode } from '../../connectors/hl7v2/charset.js'
import { encode } from '../../connectors/hl7v2/encode.js'

// GB 2312 level 1, the 3,755 hanzi of everyday text
const gb2312 = new TextDecoder('gbk')
const everyday = Array.from({ length: 3755 }, (_, at) =>
  gb2312.decode(Uint8Array.of(0xb0 + Math.floor(at / 94), 0xa1 + (at % 94))),
)
const message = (name: string) =>
  `MSH|^~\\&|HIS|H1|||20240506||ADT^A08|M1|P|2.4\rPID|1||P1||${name}||19800101|M\rPV1|1|O`

/** The text, or undefined where detection says that it cannot tell. */
function detected(text: string, charset: string): string | undefined {
  try {
    return decode(encode(text, charset)).text
  } catch (error) {
    if (error instanceof RecordError && error.code === 'charset-ambiguous') return undefined
    throw error
  }
}

test.each(['gb18030', 'utf-8'])('four hanzi are enough to tell %s', (charset) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...everyday), { minLength: 4, maxLength: 6 }), (hanzi) => {
      expect(detected(message(hanzi.join('')), charset)).toBe(message(hanzi.join('')))
    }),
    { numRuns: 500, seed: 18030 },
  )
})

test.each(['gb18030', 'utf-8'])('a name of two in %s is read right or not at all', (charset) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...everyday), { minLength: 2, maxLength: 3 }), (hanzi) => {
      const text = message(hanzi.join(''))
      expect([text, undefined]).toContain(detected(text, charset))
    }),
    { numRuns: 1000, seed: 2312 },
  )
})

test.each([
  ...['François', 'Ñuñoa', 'ÄRZTE GMBH', 'MÜLLER', 'Größe 5 m²', '37 °C', '50 µg', 'À jeun', '¿Cómo está?', '«oui»'],
  ...['SØRENSEN', '± 5', '10³/µL', 'HÔPITAL DE BÉZIERS', 'PÄÄKKÖNEN', 'Ünal Öztürk', 'It\u0092s fine'],
])('Western text is told from Chinese in UTF-8 and Latin-1: %s', (text) => {
  for (const charset of ['utf-8', 'iso-8859-1']) expect(detected(message(text), charset)).toBe(message(text))
})
