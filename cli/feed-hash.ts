import { hl7v2ParseOptions } from '../connectors/hl7v2/parse-options.js'
import { configurationHash } from '../services/acceptance/report.js'
import type { FeedConfig } from './config.js'

/** `configurationHash` of what decides how a feed's messages are read; where it listens is left out. */
export const readingHash = ({ connector, settings }: FeedConfig): string =>
  configurationHash(
    connector,
    Object.fromEntries(Object.entries(settings).filter(([key]) => Object.hasOwn(hl7v2ParseOptions, key))),
  )
