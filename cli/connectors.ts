import type { TSchema } from '@sinclair/typebox'
import type { Connector } from '../connectors/connector.js'
import { astmLis2 } from '../connectors/astm-lis2/astm-lis2.js'
import { hl7v2Files } from '../connectors/hl7v2-files/hl7v2-files.js'
import { hl7v2Mllp } from '../connectors/hl7v2-mllp/hl7v2-mllp.js'

/** Every source protocol this build knows, by name. */
export const connectors: ReadonlyMap<string, Connector<TSchema>> = new Map<string, Connector<TSchema>>(
  [hl7v2Mllp, hl7v2Files, astmLis2].map((connector) => [connector.name, connector as unknown as Connector<TSchema>]),
)
