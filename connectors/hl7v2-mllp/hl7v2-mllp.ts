import { Type, type Static } from '@sinclair/typebox'
import type { Connector } from '../connector.js'
import { hl7v2FileFormat } from '../hl7v2/file-format.js'
import { hl7v2ParseOptions } from '../hl7v2/parse-options.js'
import { hl7v2Parser } from '../hl7v2/to-events.js'
import { mllpReceiveOptions } from './config.js'
import { receiveMllp, type MllpReceiveOptions, type MllpReceiver } from './receiver.js'

const config = Type.Object({ ...mllpReceiveOptions, ...hl7v2ParseOptions }, { additionalProperties: false })
type Config = Static<typeof config>

/** HL7 v2 over MLLP: listens, answers AA or CA when the message is durable, AR or CE when it is not stored. */
export const hl7v2Mllp = {
  name: 'hl7v2-mllp',
  config,
  files: hl7v2FileFormat,
  receive: (settings: Config, signal: AbortSignal, options?: MllpReceiveOptions): MllpReceiver =>
    receiveMllp(settings, signal, options),
  parser: (settings: Config) => hl7v2Parser(settings),
} satisfies Connector<typeof config>
