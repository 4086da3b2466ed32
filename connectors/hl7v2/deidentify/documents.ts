/**
 * Data of an ED value (HL7 table 0299) as long as before and in the same lines and encoding, with nothing of the document
 * in it: its signature, so that it is taken for what it is called, and blanks. `raw` is ED.5 as it stands.
 */
export function syntheticData(raw: string, encoding: string, escape: string): string {
  const hexadecimal = encoding.toLowerCase() === 'hex'
  const alphabet = hexadecimal ? /[0-9A-Fa-f]/ : /[A-Za-z0-9+/=]/
  // Line breaks inside the data may be escape sequences.
  const places: number[] = []
  let inside = false
  for (let at = 0; at < raw.length; at++) {
    if (escape !== '' && raw[at] === escape) inside = !inside
    else if (!inside && alphabet.test(raw[at]!)) places.push(at)
  }
  const packed = places.map((at) => raw[at]).join('')
  const bytes = Buffer.from(packed, hexadecimal ? 'hex' : 'base64')
  const replaced = blankDocument(bytes).toString(hexadecimal ? 'hex' : 'base64')
  const fits = replaced.length === packed.length
  const characters = raw.split('')
  places.forEach((at, index) => {
    if (fits) characters[at] = replaced[index]!
    else if (raw[at] !== '=') characters[at] = hexadecimal ? '0' : 'A'
  })
  return characters.join('')
}

const signatures: readonly (readonly [string, string])[] = [
  ['%PDF-', '%PDF-1.4\n%%EOF\n'],
  ['\xff\xd8\xff', '\xff\xd8\xff\xe0'],
  ['\x89PNG', '\x89PNG\r\n\x1a\n'],
  ['GIF8', 'GIF89a'],
  ['II*\0', 'II*\0'],
  ['{\\rtf', '{\\rtf1}'],
  ['<?xml', '<?xml version="1.0"?>'],
]

function blankDocument(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1')
  const signature = signatures.find(([start]) => text.startsWith(start))?.[1] ?? ''
  const blank = Buffer.alloc(bytes.length, signature === '' || /^[%{<]/.test(signature) ? 0x20 : 0)
  blank.write(signature.slice(0, bytes.length), 'latin1')
  return blank
}
