import type { FileFormat } from '../files/format.js'
import { readHeader } from './header.js'
import { MessageCutter } from './message-cutter.js'

/** HL7 v2 messages one after the other, or in batches (HL7 v2.5.1 section 2.10.3). */
export const hl7v2FileFormat: FileFormat = {
  patterns: ['*.hl7'],
  cutter: (maxMessageBytes) => new MessageCutter(maxMessageBytes),
  facts(content) {
    const { controlId } = readHeader(content)
    return controlId === '' ? {} : { controlId }
  },
  sender(content) {
    const { sendingApplication, sendingFacility } = readHeader(content)
    const part = (text: string): string => text.replace(/[^A-Za-z0-9._-]+/g, '_').replace(/^_+|_+$/g, '')
    return [part(sendingApplication) || 'unknown', part(sendingFacility)].filter((name) => name !== '').join('@')
  },
  refusedForGood: ['no-readable-msh'],
}
