import type { Clock } from '../../core/clock.js'
import type { MshFacts } from './header.js'

/** HL7 table 0008. */
export type AcknowledgementCode = 'AA' | 'AE' | 'AR' | 'CA' | 'CE' | 'CR'

/** What goes with a negative acknowledgement. */
export interface AcknowledgementError {
  /** Plain ASCII; separators of the sender in it are replaced by blanks. */
  readonly text: string
  /** HL7 table 0357. */
  readonly errorCode: string
}

const errorNames: Readonly<Record<string, string>> = {
  '100': 'Segment sequence error',
  '101': 'Required field missing',
  '207': 'Application internal error',
}

/**
 * The general acknowledgement ACK (HL7 v2.5.1 section 2.13.1) to the message these facts were read from: its separators,
 * version, processing id and MSH-18, its MSH-3 to 6 turned round, MSA-2 its MSH-10. What is echoed is echoed byte for
 * byte, so that the answer is in the sender's charset whatever that is. ERR from version 2.5 on, MSA-3 always.
 */
export function acknowledge(
  facts: MshFacts,
  code: AcknowledgementCode,
  stamp: AcknowledgementStamp,
  error?: AcknowledgementError,
): Buffer {
  const raw = facts.rawFields
  const f = facts.fieldSeparator
  const c = facts.componentSeparator
  const field = (n: number): string => raw[n - 1] ?? ''
  const type = c === '' || facts.triggerEvent === '' ? 'ACK' : `ACK${c}${facts.triggerEvent}${c}ACK`
  const charset = field(18)
  const header =
    `MSH${f}${field(2)}${f}${field(5)}${f}${field(6)}${f}${field(3)}${f}${field(4)}${f}${stamp.time()}${f}${f}` +
    `${type}${f}${stamp.controlId()}${f}${field(11)}${f}${field(12)}${charset === '' ? '' : f.repeat(6) + charset}\r`
  const text = header + acknowledgementSegments(f, c, field(2), code, field(10), hasErr(facts.versionId), error)
  if (!facts.reading.startsWith('utf-16')) return Buffer.from(text, 'latin1')
  const encoded = Buffer.from(text, 'utf16le')
  return facts.reading === 'utf-16be' ? encoded.swap16() : encoded
}

/** The same where nothing of the message could be read: a header of our own, MSA-2 empty. */
export function unreadableAcknowledgement(
  code: AcknowledgementCode,
  stamp: AcknowledgementStamp,
  error: AcknowledgementError,
): Buffer {
  const header = `MSH|^~\\&|||||${stamp.time()}||ACK|${stamp.controlId()}|P|2.5.1\r`
  return Buffer.from(header + acknowledgementSegments('|', '^', '^~\\&', code, '', true, error), 'latin1')
}

function acknowledgementSegments(
  f: string,
  c: string,
  encodingCharacters: string,
  code: AcknowledgementCode,
  controlId: string,
  withErr: boolean,
  error: AcknowledgementError | undefined,
): string {
  const msa = `MSA${f}${code}${f}${controlId}`
  if (error === undefined) return `${msa}\r`
  const plain = (text: string): string =>
    [...text].map((character) => (character === f || encodingCharacters.includes(character) ? ' ' : character)).join('')
  const text = plain(error.text)
  if (!withErr || c === '') return `${msa}${f}${text}\r`
  const coded = [error.errorCode, plain(errorNames[error.errorCode] ?? ''), 'HL70357'].join(c)
  return `${msa}${f}${text}\rERR${f}${f}${f}${coded}${f}E${f}${f}${f}${f}${text}\r`
}

/** ERR took its present form with version 2.5 (section 2.15.5); before it, ERR-1 alone is not worth the risk. */
const hasErr = (versionId: string): boolean => Number.parseFloat(versionId.slice(0, 3)) >= 2.5

/** What an acknowledgement carries of its own: MSH-7 and MSH-10. One per receiver. */
export class AcknowledgementStamp {
  private second = 0
  private text = ''
  private count = 0
  private readonly life: string

  constructor(private readonly clock: Clock) {
    this.life = clock.now().toString(36)
  }

  /** Now in the zone of China, `YYYYMMDDHHMMSS+0800`. */
  time(): string {
    const second = Math.floor(this.clock.now() / 1000)
    if (second !== this.second) {
      this.second = second
      const digits = new Date((second + 8 * 3600) * 1000).toISOString().replace(/\D/g, '')
      this.text = `${digits.slice(0, 14)}+0800`
    }
    return this.text
  }

  /** At most 20 characters (MSH-10 before version 2.7), another one each time. */
  controlId(): string {
    return `${this.life}${(++this.count).toString(36)}`
  }
}
