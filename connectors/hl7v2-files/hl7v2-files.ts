import { Type, type Static } from '@sinclair/typebox'
import type { Connector } from '../connector.js'
import { filesProblems, filesReceiveOptions } from '../files/config.js'
import { receiveFiles, type FilesReceiveOptions, type FilesReceiver } from '../files/receiver.js'
import { hl7v2ParseOptions } from '../hl7v2/parse-options.js'
import { hl7v2Parser } from '../hl7v2/to-events.js'
import { hl7v2FileFormat } from '../hl7v2/file-format.js'

const config = Type.Object(
  { ...filesReceiveOptions(hl7v2FileFormat.patterns), ...hl7v2ParseOptions },
  { additionalProperties: false },
)
type Config = Static<typeof config>

/** HL7 v2 in files of a folder, one message or a batch each: a file is put away when all of it is durable. */
export const hl7v2Files = {
  name: 'hl7v2-files',
  config,
  files: hl7v2FileFormat,
  receive: (settings: Config, signal: AbortSignal, options?: FilesReceiveOptions): FilesReceiver =>
    receiveFiles(settings, hl7v2FileFormat, signal, options),
  problems: filesProblems,
  parser: (settings: Config) => hl7v2Parser(settings),
} satisfies Connector<typeof config>
