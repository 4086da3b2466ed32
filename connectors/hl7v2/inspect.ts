import { RecordError, type RecordErrorCode } from '../../core/errors.js'
import { cutMessages, type MessageFrame } from './framing.js'
import { readMessageBytes } from './message.js'

/** One line of `hutong inspect --json`. */
export type Inspection = InspectedMessage | InspectedError

export interface InspectedMessage {
  readonly file: string
  /** From 1, over the messages of the file. */
  readonly index: number
  /** MSH-10 as it stands. */
  readonly controlId: string
  /** MSH-9 as it stands. */
  readonly type: string
  readonly charset: string
  readonly flags: readonly string[]
  /** Every line that is not blank, in order; a line that is no segment is named by what stands before its first separator. */
  readonly segments: readonly { readonly name: string; readonly fields: readonly string[] }[]
}

export interface InspectedError {
  readonly file: string
  readonly index: number
  readonly error: {
    readonly code: RecordErrorCode
    readonly message: string
    readonly segment?: string
    readonly field?: string
  }
}

/**
 * What a file says, message by message, raw text as it stands. A file without any message and without a batch header
 * yields one error with index 1; an empty batch yields nothing.
 */
export function* inspect(file: string, bytes: Uint8Array, declaredCharset?: string): Generator<Inspection> {
  const { messages, batchLines, flags } = cutMessages(bytes)
  if (messages.length === 0 && batchLines.length === 0) {
    yield {
      file,
      index: 1,
      error: errorOf(new RecordError('hl7-no-msh', 'no line of the file starts with MSH and a separator')),
    }
  }
  for (const frame of messages) yield inspectFrame(file, frame, flags, declaredCharset)
}

function inspectFrame(
  file: string,
  frame: MessageFrame,
  fileFlags: readonly string[],
  declaredCharset: string | undefined,
): Inspection {
  const { index } = frame
  try {
    const message = readMessageBytes(frame.bytes, declaredCharset)
    const msh = message.segment(0)
    return {
      file,
      index,
      controlId: msh.field(10),
      type: msh.field(9),
      charset: message.charset,
      flags: [...new Set([...message.flags, ...fileFlags])],
      segments: Array.from(message.lines(), (line) => ({ name: line.name, fields: line.fields() })),
    }
  } catch (error) {
    if (error instanceof RecordError) return { file, index, error: errorOf(error) }
    throw error
  }
}

function errorOf(error: RecordError): InspectedError['error'] {
  return { code: error.code, message: error.message, ...error.place }
}
