import { createHash } from 'node:crypto'
import type { ReceivedEvent } from '../connectors/connector.js'
import { reportKey } from '../core/ids.js'

/**
 * Kafka key of an event: result events by report key, orders by order number, patient and encounter events by a digest
 * of the hospital patient, for a key is seen by everybody who may list a topic.
 */
export function keyOf(hospital: string, event: ReceivedEvent): string {
  switch (event.domain) {
    case 'lab-report':
    case 'imaging-report': {
      const { sourceSystem, reportNumber, recycleScope } = event.body
      return reportKey(hospital, sourceSystem, reportNumber, recycleScope)
    }
    case 'order':
      return reportKey(hospital, event.body.sourceSystem, event.body.orderNumber, '')
    case 'patient':
    case 'encounter': {
      const { authority, id } = event.body.patient
      return createHash('sha256').update([hospital, authority, id].join('\x1f')).digest('base64url').slice(0, 22)
    }
  }
}
