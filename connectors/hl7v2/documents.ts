import { createHash } from 'node:crypto'
import type { EmbeddedDocument } from '../../schemas/types.js'
import type { FieldText } from './field-text.js'
import type { ResultLine } from './order-groups.js'

/**
 * The documents of one OBX of type ED (source^type^subtype^encoding^data, HL7 v2.5.1 section 2.A.24), one for each
 * repetition of OBX-5. Their bytes stay in the archived message; data that is not what its encoding says is digested as
 * it stands and flagged. Empty for every other type.
 */
export function documentsOf(text: FieldText, line: ResultLine): EmbeddedDocument[] {
  const { obx } = line
  if (text.read(text.raw(obx, 2)) !== 'ED') return []
  const field = text.raw(obx, 5)
  if (field === '' || field === '""') return []
  const title = text.coded(obx, 3)
  return text.repetitions(field).map((ed, index) => {
    const encoding = text.read(text.component(ed, 4))
    const { bytes, flags } = decodeData(text.plain(dataOf(text, ed)), encoding)
    return {
      segment: `OBX[${obx.ordinal}]`,
      field: 'OBX-5',
      repetition: index + 1,
      mediaType: mediaType(text.read(text.component(ed, 2)), text.read(text.component(ed, 3)), bytes),
      encoding,
      size: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      title,
      flags,
    }
  })
}

/** ED.5 to the end: an unescaped separator in the data belongs to it. */
function dataOf(text: FieldText, ed: string): string {
  let start = 0
  for (let at = 1; at < 5; at++) {
    const next = ed.indexOf(text.separators.component, start)
    if (next < 0) return ''
    start = next + 1
  }
  return ed.slice(start)
}

/** Decodes by HL7 table 0299 (Base64, Hex, A); line breaks and blanks inside Base64 and Hex are let pass. */
function decodeData(data: string, encoding: string | null): { readonly bytes: Buffer; readonly flags: string[] } {
  if (data === '') return { bytes: Buffer.alloc(0), flags: ['document-empty'] }
  const asSent = (flag: string) => ({ bytes: Buffer.from(data, 'utf8'), flags: [flag] })
  switch (encoding?.toLowerCase()) {
    case 'base64': {
      const packed = data.replace(/[\r\n\t ]+/g, '')
      return isBase64(packed) ? { bytes: Buffer.from(packed, 'base64'), flags: [] } : asSent('base64-invalid')
    }
    case 'hex': {
      const packed = data.replace(/[\r\n\t ]+/g, '')
      const valid = packed.length % 2 === 0 && /^[0-9A-Fa-f]*$/.test(packed)
      return valid ? { bytes: Buffer.from(packed, 'hex'), flags: [] } : asSent('hex-invalid')
    }
    case 'a':
    case 'ascii':
      return { bytes: Buffer.from(data, 'utf8'), flags: [] }
    default:
      return asSent('encoding-unknown')
  }
}

/** RFC 4648 section 4, strictly: alphabet, length and padding. */
function isBase64(packed: string): boolean {
  if (packed.length === 0 || packed.length % 4 !== 0) return false
  const padding = packed.endsWith('==') ? 2 : packed.endsWith('=') ? 1 : 0
  for (let at = 0; at < packed.length - padding; at++) {
    const code = packed.charCodeAt(at)
    const valid =
      (code >= 65 && code <= 90) ||
      (code >= 97 && code <= 122) ||
      (code >= 47 && code <= 57) || // "/" and digits
      code === 43
    if (!valid) return false
  }
  return true
}

/** HL7 tables 0191 and 0291 to MIME. */
const mainTypes: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ap: 'application',
    application: 'application',
    au: 'audio',
    audio: 'audio',
    im: 'image',
    image: 'image',
    ns: 'application',
    tx: 'text',
    text: 'text',
    ft: 'text',
    multipart: 'multipart',
  }),
)
const subtypes: ReadonlyMap<string, string> = new Map(
  Object.entries({
    pdf: 'application/pdf',
    jpeg: 'image/jpeg',
    jpg: 'image/jpeg',
    jot: 'image/jpeg',
    gif: 'image/gif',
    png: 'image/png',
    tiff: 'image/tiff',
    bmp: 'image/bmp',
    html: 'text/html',
    xml: 'text/xml',
    rtf: 'application/rtf',
    dicom: 'application/dicom',
    'x-hl7-cda-level-one': 'application/x-hl7-cda-level-one',
    'octet-stream': 'application/octet-stream',
    'octet stream': 'application/octet-stream',
  }),
)

function mediaType(type: string | null, subtype: string | null, bytes: Buffer): string | null {
  for (const stated of [type, subtype]) if (stated?.includes('/')) return stated.toLowerCase()
  const sub = subtype?.toLowerCase() ?? ''
  const known = subtypes.get(sub)
  if (known !== undefined) return known
  const main = mainTypes.get(type?.toLowerCase() ?? '')
  if (main !== undefined && sub !== '' && /^[a-z0-9.+-]+$/.test(sub)) return `${main}/${sub}`
  return subtypes.get(type?.toLowerCase() ?? '') ?? sniffed(bytes)
}

function sniffed(bytes: Buffer): string | null {
  if (bytes.subarray(0, 5).toString('latin1') === '%PDF-') return 'application/pdf'
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'image/jpeg'
  if (bytes.subarray(0, 4).toString('latin1') === '\x89PNG') return 'image/png'
  return null
}
