import { isUtf8 } from 'node:buffer'
import { cutMessages, sniffUnicode, utf16Text } from '../hl7v2/framing.js'

/** What kind of traffic bytes are. */
export type Family =
  'hl7v2-mllp' | 'hl7v2-batch' | 'hl7v2' | 'hl7-xml' | 'astm' | 'dicom' | 'http' | 'text' | 'empty' | 'unknown'

/** Why bytes were taken for a family; codes and figures, never content. */
export interface Evidence {
  readonly code:
    | 'mllp-frame'
    | 'batch-header'
    | 'msh-line'
    | 'msh-later'
    | 'utf-16'
    | 'xml-root'
    | 'astm-frame'
    | 'astm-header'
    | 'astm-enquiry'
    | 'dicom-preamble'
    | 'dicom-dataset'
    | 'dicom-pdu'
    | 'http-request'
    | 'http-response'
    | 'json'
    | 'columns'
    | 'plain-text'
    | 'file-magic'
    | 'tls'
    | 'no-bytes'
    | 'nothing-known'
  /** A name from a closed list, a number, or an element's name. */
  readonly detail: string
}

export interface FamilyReading {
  readonly family: Family
  readonly evidence: readonly Evidence[]
}

/** How many bytes of the beginning are looked at. */
export const familyBytes = 64 * 1024

const magics: readonly (readonly [name: string, hex: string])[] = [
  ['ZIP (xlsx, docx)', '504b0304'],
  ['OLE (xls, doc)', 'd0cf11e0a1b11ae1'],
  ['PDF', '255044462d'],
  ['gzip', '1f8b'],
  ['PNG', '89504e47'],
  ['JPEG', 'ffd8ff'],
  ['RAR', '526172211a07'],
  ['7-Zip', '377abcaf271c'],
]

/** Says what the beginning of a file or a stream is, with the evidence. Never throws, whatever the bytes. */
export function readFamily(head: Buffer): FamilyReading {
  if (head.length === 0) return { family: 'empty', evidence: [{ code: 'no-bytes', detail: '' }] }
  const bytes = head.subarray(0, familyBytes)
  return (
    readDicom(bytes) ??
    readMagic(bytes) ??
    readHttp(bytes) ??
    readAstm(bytes) ??
    readHl7(bytes) ??
    readXml(bytes) ??
    readText(bytes) ?? { family: 'unknown', evidence: [{ code: 'nothing-known', detail: '' }] }
  )
}

const one = (family: Family, code: Evidence['code'], detail: string): FamilyReading => ({
  family,
  evidence: [{ code, detail }],
})

function readDicom(bytes: Buffer): FamilyReading | undefined {
  if (bytes.toString('latin1', 128, 132) === 'DICM') return one('dicom', 'dicom-preamble', 'DICM')
  // PS3.8 section 9.3: A-ASSOCIATE-RQ to A-ABORT, a zero byte, a length of four bytes, protocol version 1.
  if (bytes.length >= 10 && (bytes[0] === 1 || bytes[0] === 2) && bytes[1] === 0 && bytes.readUInt16BE(6) === 1) {
    if (bytes.readUInt32BE(2) < 1 << 20)
      return one('dicom', 'dicom-pdu', bytes[0] === 1 ? 'A-ASSOCIATE-RQ' : 'A-ASSOCIATE-AC')
  }
  if (bytes.length < 12) return undefined
  // A data set without preamble begins in group 0002 or 0008 (PS3.5 section 7.1), either byte order.
  const little = bytes.readUInt16LE(0)
  const group = little === 2 || little === 8 ? little : bytes.readUInt16BE(0)
  if (group !== 2 && group !== 8) return undefined
  const element = little === group ? bytes.readUInt16LE(2) : bytes.readUInt16BE(2)
  const representation = bytes.toString('latin1', 4, 6)
  const stated = /^(?:AE|AS|AT|CS|DA|DS|DT|IS|LO|LT|OB|OW|PN|SH|ST|TM|UI|UL|UN|US|UT)$/.test(representation)
  const implicit = element <= 0x60 && bytes.readUInt32LE(4) <= 256
  return stated || implicit ? one('dicom', 'dicom-dataset', `(${hex4(group)},${hex4(element)})`) : undefined
}

const hex4 = (value: number): string => value.toString(16).padStart(4, '0')

function readMagic(bytes: Buffer): FamilyReading | undefined {
  const start = bytes.toString('hex', 0, 8)
  const found = magics.find(([, magic]) => start.startsWith(magic))
  if (found !== undefined) return one('unknown', 'file-magic', found[0])
  if (bytes[0] === 0x16 && bytes[1] === 3 && bytes.length > 5) return one('unknown', 'tls', 'TLS handshake')
  return undefined
}

function readHttp(bytes: Buffer): FamilyReading | undefined {
  const line = bytes.toString('latin1', 0, 8192)
  const request = /^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) \S+ HTTP\/(1\.[01])\r?\n/.exec(line)
  const response = /^HTTP\/(1\.[01]|2) (\d{3})/.exec(line)
  if (request === null && response === null) return undefined
  const evidence: Evidence[] = [
    request !== null
      ? { code: 'http-request', detail: `${request[1]} HTTP/${request[2]}` }
      : { code: 'http-response', detail: `HTTP/${response?.[1]} ${response?.[2]}` },
  ]
  if (/\r?\n\r?\n[\x0b\s]*MSH[^A-Za-z0-9]/.test(line)) evidence.push({ code: 'msh-later', detail: 'body' })
  return { family: 'http', evidence }
}

/** LIS2-A2 section 6 and LIS1-A: ENQ, frames of STX, a number and text, records that begin with H and its delimiters. */
function readAstm(bytes: Buffer): FamilyReading | undefined {
  const text = bytes.toString('latin1').replace(/^\xef\xbb\xbf/, '')
  const evidence: Evidence[] = []
  if (/^\x05/.test(text)) evidence.push({ code: 'astm-enquiry', detail: 'ENQ' })
  const frames = text.match(/\x02[0-7][^\x02]*?[\x03\x17][0-9A-Fa-f]{2}/g)?.length ?? 0
  if (frames > 0) evidence.push({ code: 'astm-frame', detail: String(frames) })
  const header = /(?:^|[\r\n\x02\x05])[0-7]?H([|!@;,\t])([^A-Za-z0-9\s|"]{2,4})(?=\1|[\r\n\x03]|$)/.exec(text)
  if (header !== null && !/(?:^|[\r\n\x0b])MSH[^A-Za-z0-9]/.test(text.slice(0, header.index)))
    evidence.push({ code: 'astm-header', detail: `H${header[1]}${header[2]}` })
  const only = bytes.length <= 2 && evidence.length > 0
  return evidence.some(({ code }) => code !== 'astm-enquiry') || only ? { family: 'astm', evidence } : undefined
}

function readHl7(bytes: Buffer): FamilyReading | undefined {
  const { messages, batchLines, flags } = cutMessages(bytes)
  const evidence: Evidence[] = []
  if (flags.includes('utf-16')) evidence.push({ code: 'utf-16', detail: '' })
  const frames = bytes.toString('latin1').match(/\x0b[\s\0]*MSH/g)?.length ?? 0
  if (batchLines.length > 0) {
    evidence.push({ code: 'batch-header', detail: [...new Set(batchLines.map(({ name }) => name))].join(' ') })
  }
  if (messages.length > 0) {
    const later = flags.includes('text-before-msh')
    evidence.push({ code: later ? 'msh-later' : 'msh-line', detail: String(messages.length) })
  }
  if (frames > 0 && messages.length > 0) evidence.push({ code: 'mllp-frame', detail: String(frames) })
  if (messages.length === 0 && batchLines.length === 0) return undefined
  const family = batchLines.length > 0 ? 'hl7v2-batch' : frames > 0 ? 'hl7v2-mllp' : 'hl7v2'
  return { family, evidence }
}

function textOf(bytes: Buffer): string {
  const { utf16, bom } = sniffUnicode(bytes)
  return utf16 === undefined ? bytes.toString('latin1', bom) : utf16Text(bytes.subarray(bom), utf16)
}

function readXml(bytes: Buffer): FamilyReading | undefined {
  // A shorter beginning: hostile openings of comments are searched again and again.
  const text = textOf(bytes.subarray(0, 16 * 1024)).replace(/^[\s\x0b]+/, '')
  if (!text.startsWith('<')) return undefined
  const body = text.replace(/<\?[^]*?\?>|<!--[^]*?-->|<!DOCTYPE[^[>]*(?:\[[^\]]*\]\s*)?>/g, '').replace(/^\s+/, '')
  const root = /^<((?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*))/.exec(body)
  if (root === null) return undefined
  const name = (root[2] ?? '').slice(0, 60)
  const found: string[] = [name]
  if (body.includes('urn:hl7-org:v3')) found.push('urn:hl7-org:v3')
  if (body.includes('urn:hl7-org:v2xml')) found.push('urn:hl7-org:v2xml')
  if (name === 'Envelope') found.push('SOAP')
  const document = /<(?:[\w.-]+:)?(ClinicalDocument|(?:[A-Z]{4}_[A-Z]{2}\d{6}[A-Z]{2}\d{0,2}))[\s>]/.exec(body)?.[1]
  if (document !== undefined && document !== name) found.push(document)
  const isHl7 =
    found.length > (name === 'Envelope' ? 2 : 1) ||
    document !== undefined ||
    /^(?:ACK|ADT|ORU|ORM|OML|OMG|OUL|MDM|SIU|DFT|VXU|RSP|QBP)_[A-Z]\d\d$/.test(name)
  return one(isHl7 ? 'hl7-xml' : 'text', 'xml-root', found.join(' '))
}

/** A reading needs nearly no control characters; the last character may be cut. */
function readText(bytes: Buffer): FamilyReading | undefined {
  const text = textOf(bytes)
  let controls = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x20 && code !== 9 && code !== 10 && code !== 13 && code !== 12) controls++
  }
  if (controls * 200 > text.length) return undefined
  const high = bytes.filter((byte) => byte >= 0x80).length
  if (high * 10 > bytes.length * 9 && !isUtf8(bytes)) return undefined
  if (/^\s*[{[]/.test(text) && /"[\w-]+"\s*:/.test(text.slice(0, 4096))) {
    const fhir = /"resourceType"\s*:\s*"([A-Za-z]{1,40})"/.exec(text)?.[1]
    return one('text', 'json', fhir === undefined ? 'JSON' : `FHIR ${fhir}`)
  }
  const lines = text.split(/\r\n|\n|\r/).filter((line) => line.trim() !== '')
  for (const [name, separator] of [
    ['tab', '\t'],
    [';', ';'],
    [',', ','],
    ['|', '|'],
  ] as const) {
    const [first = 0, ...others] = lines.slice(0, 20).map((line) => line.split(separator).length)
    if (first > 2 && others.length > 0 && others.filter((columns) => columns === first).length * 2 >= others.length)
      return one('text', 'columns', `${first} × ${name}`)
  }
  return one('text', 'plain-text', String(lines.length))
}
