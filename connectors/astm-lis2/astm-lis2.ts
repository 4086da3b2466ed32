import { Type, type Static } from '@sinclair/typebox'
import type { Connector } from '../connector.js'
import { astmReceiveOptions } from './config.js'
import { astmFileFormat } from './file-format.js'
import { isAstm } from './message-cutter.js'
import { astmParseOptions } from './parse-options.js'
import { receiveAstm, type AstmReceiveOptions, type AstmReceiver } from './receiver.js'
import { astmParser } from './to-events.js'

const config = Type.Object({ ...astmReceiveOptions, ...astmParseOptions }, { additionalProperties: false })
type Config = Static<typeof config>

/** Analysers over LIS1-A and LIS2-A2 (ASTM E1381, E1394): the frame that ends a message is answered ACK when it is durable. */
export const astmLis2 = {
  name: 'astm-lis2',
  config,
  files: astmFileFormat,
  recognises: isAstm,
  receive: (settings: Config, signal: AbortSignal, options?: AstmReceiveOptions): AstmReceiver =>
    receiveAstm(settings, signal, options),
  parser: (settings: Config) => astmParser(settings),
} satisfies Connector<typeof config>
