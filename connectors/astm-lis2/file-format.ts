import { wholeFileCutter, type FileFormat } from '../files/format.js'
import { controlIdOf, senderOf } from './header.js'
import { cutAstmMessages } from './message-cutter.js'

/** Records as they stand, one to a line, or a capture of a line with its frames. */
export const astmFileFormat: FileFormat = {
  patterns: ['*.astm', '*.lis'],
  cutter: (maxMessageBytes) => wholeFileCutter(maxMessageBytes, cutAstmMessages),
  facts(content) {
    const controlId = controlIdOf(content)
    return controlId === undefined ? {} : { controlId }
  },
  sender: (content) =>
    senderOf(content)[0]
      ?.replace(/[^A-Za-z0-9._-]+/g, '_')
      .replace(/^_+|_+$/g, '') || undefined,
  refusedForGood: [],
}
