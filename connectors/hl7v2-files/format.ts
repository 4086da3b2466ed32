import type { FileFormat } from '../files/format.js'
import { readHeader } from '../hl7v2/header.js'
import { MessageCutter } from './message-cutter.js'

/** HL7 v2 messages one after the other, or in batches (HL7 v2.5.1 section 2.10.3). */
export const hl7v2FileFormat: FileFormat = {
  patterns: ['*.hl7'],
  cutter: (maxMessageBytes) => new MessageCutter(maxMessageBytes),
  facts(content) {
    const { controlId } = readHeader(content)
    return controlId === '' ? {} : { controlId }
  },
  refusedForGood: ['no-readable-msh'],
}
