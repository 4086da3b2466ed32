import type { IncomingMessage } from 'node:http'
import { GatewayRefusal } from '../../core/gateway-refusals.js'
import type { Metrics } from '../../core/telemetry.js'
import type { RawOutlet } from '../../log/raw-outlet.js'
import { decodeBatch, uplinkPath } from '../../log/uplink-wire.js'
import { rawContentBytesMax, type ContentStores } from '../../pipelines/content.js'
import type { EventCodec } from '../../schemas/codec.js'
import type { RawMessage } from '../../schemas/types.js'
import { Admission } from './admission.js'
import { checkMessage, type Province } from './check-message.js'
import type { Edge } from './edge-certificate.js'
import { announcedOf, decodeBody, readBody } from './read-body.js'
import type { GatewayRoute } from './route.js'
import { TakenMessages } from './taken-messages.js'

export interface BatchOptions {
  readonly province: Omit<Province, 'contentBytesMax'>
  /** Of a batch, as sent and decoded, bytes. */
  readonly bodyBytesMax: number
  /** Of all batches under way, bytes; each counts as sent and decoded. */
  readonly inFlightBytesMax: number
  /** A body that has not arrived by then is refused, ms. */
  readonly requestTimeoutMs: number
  /** The event log: durable there when it resolves. */
  readonly outlet: RawOutlet
  /** Reads what edges write: the schemas of this installation and its releases. */
  readonly codec: EventCodec
  readonly stores: Pick<ContentStores, 'objects'>
  readonly metrics: Metrics
}

interface Taken {
  readonly outcome: 'taken' | 'already'
  readonly messages: number
  /** Highest number of each feed and epoch that the log now holds of this batch. */
  readonly highest: readonly { readonly feed: string; readonly epoch: number; readonly seq: number }[]
}

/** Takes batches of raw messages: answered when the event log holds them durably (docs/uplink.md). */
export function batchRoute(options: BatchOptions): GatewayRoute {
  const { metrics, codec, bodyBytesMax } = options
  const admission = new Admission({ bytesMax: options.inFlightBytesMax, batchesPerEdgeMax: 2 })
  const memory = new TakenMessages()
  const province = { ...options.province, contentBytesMax: bodyBytesMax }
  const take = async (request: IncomingMessage, edge: Edge, signal: AbortSignal): Promise<Taken> => {
    const announced = announcedOf(request, bodyBytesMax)
    const leave = admission.enter(keyOf(edge), announced.length + announced.decodedLength)
    metrics.gatewayInFlight.set(admission.bytesInFlight)
    try {
      const body = await decodeBody(await readBody(request, announced.length, options.requestTimeoutMs), announced)
      const { header, messages } = await decodeBatch(body, codec)
      if (header.environment !== province.environment) throw new GatewayRefusal('environment-mismatch')
      for (const message of messages) await checkMessage(message, edge, province)
      const taken = await append(messages, edge, options, memory, signal)
      metrics.gatewayBatches.inc({ hospital: edge.hospital, outcome: taken.outcome })
      metrics.gatewayBytes.inc({ hospital: edge.hospital }, announced.length)
      return taken
    } finally {
      leave()
      metrics.gatewayInFlight.set(admission.bytesInFlight)
    }
  }
  return {
    method: 'POST',
    path: uplinkPath,
    identity: 'edge',
    handle: async (request, edge, signal) => ({ json: await take(request, edge, signal) }),
  }
}

async function append(
  messages: readonly RawMessage[],
  edge: Edge,
  { outlet, stores, metrics }: BatchOptions,
  memory: TakenMessages,
  signal: AbortSignal,
): Promise<Taken> {
  const key = keyOf(edge)
  const fresh = messages.filter((message) => message.kind === 'watermark' || !memory.has(key, message))
  const stamped: RawMessage[] = []
  for (const message of fresh)
    stamped.push(await withLargeContentStored({ ...message, hospital: edge.hospital }, stores))
  if (stamped.length > 0) await outlet.send(stamped, signal)
  const appended = fresh.filter(({ kind }) => kind === 'message')
  memory.remember(key, appended)
  for (const { feed, lane } of appended) metrics.gatewayMessages.inc({ feed, lane })
  const wasAll = messages.length > 0 && fresh.length === 0
  return { outcome: wasAll ? 'already' : 'taken', messages: messages.length, highest: highestOf(messages) }
}

async function withLargeContentStored(message: RawMessage, { objects }: BatchOptions['stores']): Promise<RawMessage> {
  const { content } = message
  if (content === null || content.length <= rawContentBytesMax) return message
  return { ...message, content: null, contentRef: await objects.put(content) }
}

function highestOf(messages: readonly RawMessage[]): Taken['highest'] {
  const highest = new Map<string, Taken['highest'][number]>()
  for (const { kind, feed, epoch, seq } of messages) {
    const place = `${feed}/${epoch}`
    if (kind === 'message' && (highest.get(place)?.seq ?? 0) < seq) highest.set(place, { feed, epoch, seq })
  }
  return [...highest.values()]
}

const keyOf = ({ hospital, name }: Edge): string => `${hospital}:${name}`
