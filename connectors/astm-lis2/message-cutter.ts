import { cutRecords, letterOf } from './assembly.js'
import { enq, stx } from './control.js'
import { ReceiverLink, type LinkAction } from './receiver-link.js'

/**
 * The messages of a file: records as they stand, one to a line, or the bytes of a line with its frames. Lines before the
 * first H record and between L and the next H are remarks of whoever wrote the file and are passed over. Each message has
 * the bytes a receiver would have taken from a line, where the file has CR for an end of line.
 */
export function cutAstmMessages(content: Buffer): readonly Buffer[] {
  return content.includes(stx) ? cutFrames(content) : cutLines(content)
}

/** Whether bytes begin, after remarks, with an H record that declares delimiters or with ENQ or a frame of one. */
export function isAstm(content: Buffer): boolean {
  const head = content.subarray(0, 64 * 1024)
  if (head[0] === enq || head[0] === stx) return /\x02[0-7]?H[^A-Za-z0-9\s]/.test(head.toString('latin1'))
  const { whole, open } = cutRecords(head)
  return [...whole, open].some(isHeader)
}

/** Whether a message, as a receiver or a cutter hands it over, begins with an H record. */
export function isAstmMessage(content: Buffer): boolean {
  const { whole, open } = cutRecords(content.subarray(0, 512))
  return isHeader([...whole, open].find((line) => letterOf(line) !== '') ?? open)
}

function cutFrames(content: Buffer): readonly Buffer[] {
  const messages: Buffer[] = []
  const bounds = { maxFrameBytes: content.length + 256, maxMessageBytes: content.length + 256 }
  const times = { frameTimeoutMs: 1, answerTimeoutMs: 1, endGraceMs: 1 }
  const link = new ReceiverLink({ ...bounds, ...times, frameNumbers: 'ignore' })
  const take = (actions: readonly LinkAction[]): void => {
    for (const action of actions) {
      if (action.do === 'keep') messages.push(action.remainder)
      if (action.do !== 'offer') continue
      messages.push(...action.messages)
      take(link.settled(true))
    }
  }
  // A capture may begin in the middle of a session. Byte by byte: a settlement comes before the next byte is read.
  take(link.bytes(Buffer.of(enq)))
  for (const byte of content) take(link.bytes(Buffer.of(byte)))
  take(link.closed())
  return messages
}

function cutLines(content: Buffer): readonly Buffer[] {
  const messages: Buffer[] = []
  let records: Buffer[] = []
  const close = (): void => {
    if (records.length > 0) messages.push(Buffer.concat(records))
    records = []
  }
  const { whole, open } = cutRecords(content)
  for (const line of [...whole, open]) {
    if (isHeader(line)) {
      close()
      records.push(withoutMark(line))
    } else if (records.length > 0 && letterOf(line) !== '') {
      records.push(line)
      if (letterOf(line) === 'L') close()
    }
  }
  close()
  return messages
}

const mark = Buffer.of(0xef, 0xbb, 0xbf)

const withoutMark = (line: Buffer): Buffer => (line.subarray(0, 3).equals(mark) ? line.subarray(3) : line)

/** `H|\^&`: at least the repeat and the component delimiter stand before the next field. */
const isHeader = (line: Buffer): boolean =>
  /^\s*[Hh]([^\w\s])[^\w\s]{2,3}(?:\1|\s|$)/.test(withoutMark(line).toString('latin1', 0, 16))
