import { readHeader } from '../../connectors/hl7v2/header.js'
import { readTime } from '../../connectors/times.js'
import { RecordError, RefusedError } from '../../core/errors.js'
import { unpackContent, type ContentStores } from '../../pipelines/content.js'
import type { ArchivedContent } from '../../repository/feed-hours.js'

/** By this the province tells time; a sender's constant other zone moves no clock. */
const zoneMinutes = 480

/** MSH-7 of archived HL7 v2 messages, ms; null for other connectors and for what cannot be read. */
export function headerTime(stores: ContentStores): (content: ArchivedContent) => Promise<number | null> {
  return async (content) => {
    if (!content.connector.startsWith('hl7v2')) return null
    try {
      const { dateTime } = readHeader(await unpackContent(content, stores))
      // a time without its minutes says nothing of a clock
      return /^\d{12}/.test(dateTime) ? readTime(dateTime, zoneMinutes) : null
    } catch (error) {
      if (error instanceof RecordError || error instanceof RefusedError) return null
      throw error
    }
  }
}
