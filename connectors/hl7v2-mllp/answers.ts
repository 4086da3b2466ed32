import { RefusedError, type RefusalReason, type RetryableError } from '../../core/errors.js'
import {
  acknowledge,
  unreadableAcknowledgement,
  type AcknowledgementCode,
  type AcknowledgementStamp,
} from '../hl7v2/acknowledgement.js'
import type { MshFacts } from '../hl7v2/header.js'
import { endBlock, startBlock } from './frame-reader.js'

/** The part of the feed's configuration that decides what a sender is answered. */
export interface AcknowledgementPolicy {
  readonly acknowledgement: 'by-message' | 'original'
  readonly applicationAcknowledgement: 'none' | 'when-stored'
}

type Refusal = RefusedError | RetryableError

/**
 * The acknowledgement codes (MSA-1, HL7 table 0008) a message is answered with: none, one, or CA and AA.
 *
 * Original mode, where MSH-15 and MSH-16 are both empty (HL7 v2.5.1 section 2.9.2): AA; AR for every refusal, for none
 * of them lies in the content (AE would say it does, and that sending it again is useless), except AE for validation.
 *
 * Enhanced mode (section 2.9.3): CA or CE on the conditions of MSH-15 (table 0155: AL always, NE never, ER on refusal, SU
 * on success). CE and not CR: CR is for values of MSH-9, 11 and 12 the receiver does not take, which never happens here,
 * CE for any other reason. Where MSH-15 is empty or NE and MSH-16 is not, the sender waits for the application alone,
 * which is how enhanced mode spells the original one: AA or AR on the conditions of MSH-16.
 */
export function answerCodes(
  facts: Pick<MshFacts, 'acceptAcknowledgment' | 'applicationAcknowledgment'>,
  error: Refusal | undefined,
  policy: AcknowledgementPolicy,
): readonly AcknowledgementCode[] {
  const accept = facts.acceptAcknowledgment.trim().toUpperCase()
  const application = facts.applicationAcknowledgment.trim().toUpperCase()
  if (policy.acknowledgement === 'original' || (accept === '' && application === '')) return [originalCode(error)]
  if (accept === '' || accept === 'NE') return wanted(application, error) ? [originalCode(error)] : []
  const codes: AcknowledgementCode[] = wanted(accept, error) ? [error === undefined ? 'CA' : 'CE'] : []
  if (policy.applicationAcknowledgement === 'when-stored' && error === undefined && wanted(application, error)) {
    codes.push('AA')
  }
  return codes
}

/** The answers to a message as MLLP blocks, in the order they are sent; none where the sender asked for none. */
export function answersTo(
  facts: MshFacts,
  error: Refusal | undefined,
  policy: AcknowledgementPolicy,
  stamp: AcknowledgementStamp,
): readonly Buffer[] {
  const codes = answerCodes(facts, error, policy)
  if (error === undefined) return codes.map((code) => block(acknowledge(facts, code, stamp)))
  const said = refusalTexts[reasonOf(error)]
  return codes.map((code) => block(acknowledge(facts, code, stamp, said)))
}

/**
 * The answer to a block whose MSH cannot be read: AR with an empty MSA-2, under a header of our own. HL7 has no answer to
 * what has no MSH, and MLLP release 1 no negative one; silence would leave the sender waiting for ever.
 */
export function unreadableAnswer(error: RefusedError, stamp: AcknowledgementStamp): Buffer {
  return block(unreadableAcknowledgement('AR', stamp, refusalTexts[error.reason]))
}

/** What the sender is told: closed list, plain ASCII, says what to do, no separators of HL7. */
const refusalTexts: Readonly<
  Record<RefusalReason | 'retry-later', { readonly text: string; readonly errorCode: string }>
> = {
  'too-large': {
    text: 'Not stored: larger than this receiver takes. Raise maxMessageBytes there or send a smaller message',
    errorCode: '207',
  },
  'no-readable-msh': { text: 'Not stored: no readable MSH segment. Start each MLLP block with MSH', errorCode: '100' },
  stopping: { text: 'Not stored: the receiver is stopping. Send again later', errorCode: '207' },
  'disk-full': { text: 'Not stored: the disk of the receiver is full. Free it, then send again', errorCode: '207' },
  'not-allowed': { text: 'Not stored: this sender is not allowed here. Ask for access', errorCode: '207' },
  'bad-frame': { text: 'Not stored: the message has no end. End each MLLP block with 0x1C 0x0D', errorCode: '207' },
  validation: { text: 'Not stored: the message fails the validation of this receiver. Correct it', errorCode: '207' },
  'retry-later': { text: 'Not stored: the receiver is not ready. Send again later', errorCode: '207' },
}

function originalCode(error: Refusal | undefined): AcknowledgementCode {
  if (error === undefined) return 'AA'
  return reasonOf(error) === 'validation' ? 'AE' : 'AR'
}

/** HL7 table 0155. A value that is not in it counts as AL: an answer too many is safer than one too few. */
function wanted(condition: string, error: Refusal | undefined): boolean {
  if (condition === '' || condition === 'NE') return false
  if (condition === 'ER') return error !== undefined
  return condition === 'SU' ? error === undefined : true
}

const reasonOf = (error: Refusal): RefusalReason | 'retry-later' =>
  error instanceof RefusedError ? error.reason : 'retry-later'

function block(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(message.length + 3)
  framed[0] = startBlock
  message.copy(framed, 1)
  framed[message.length + 1] = endBlock
  framed[message.length + 2] = 0x0d
  return framed
}
