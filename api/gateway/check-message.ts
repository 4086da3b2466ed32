import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { GatewayRefusal } from '../../core/gateway-refusals.js'
import { messageId } from '../../core/ids.js'
import type { RawMessage } from '../../schemas/types.js'
import type { Edge } from './edge-certificate.js'

export interface Province {
  readonly environment: string
  /** Of a feed of the configuration; undefined for any other. */
  readonly hospitalOf: (feed: string) => string | undefined
  /** Of one message as it arrived at the edge, bytes. */
  readonly contentBytesMax: number
}

const unzip = promisify(gunzip)

/** A message or watermark that this edge may put into the topic `raw`. @throws GatewayRefusal */
export async function checkMessage(message: RawMessage, edge: Edge, province: Province): Promise<void> {
  const { feed, epoch, seq } = message
  const invalid = (what: string): GatewayRefusal =>
    new GatewayRefusal('message-invalid', `${what} (number ${epoch}.${seq})`)
  if (message.environment !== province.environment) throw new GatewayRefusal('environment-mismatch')
  if (message.hospital !== edge.hospital) {
    throw new GatewayRefusal('hospital-forged', `the certificate is of ${edge.hospital}`)
  }
  const owner = province.hospitalOf(feed)
  if (owner === undefined) throw new GatewayRefusal('feed-unknown', feed.slice(0, 100))
  if (owner !== edge.hospital) throw new GatewayRefusal('feed-of-another-hospital', feed)
  if (epoch < 1 || seq < 0) throw invalid('epoch or seq is no number of a spool')
  if (message.lane !== 'live' && message.lane !== 'bulk') throw invalid('the lane is neither live nor bulk')
  if (message.purpose !== 'ledger') throw invalid('the purpose is not ledger')
  // The object store is shared by all hospitals: a reference could be to anybody's.
  if (message.contentRef !== null) throw invalid('the content is a reference')
  if (message.kind === 'message') await checkContent(message, province.contentBytesMax, invalid)
  else if (message.kind !== 'watermark' || message.content !== null)
    throw invalid('the kind is neither message nor watermark')
}

async function checkContent(
  { feed, content, contentSize, compression, keyId, messageId: stated }: RawMessage,
  bytesMax: number,
  invalid: (what: string) => GatewayRefusal,
): Promise<void> {
  if (content === null) throw invalid('there is no content')
  // Every later stage unpacks up to the size stated.
  if (contentSize < 0 || contentSize > bytesMax)
    throw new GatewayRefusal('body-too-large', `a message of ${contentSize} bytes`)
  if (compression !== 'none' && compression !== 'gzip') throw invalid('the compression is neither none nor gzip')
  if (!/^[0-9a-f]{64}$/.test(stated)) throw invalid('the messageId is no SHA-256')
  if (keyId !== null) return
  const bytes =
    compression === 'none'
      ? content
      : await unzip(content, { maxOutputLength: contentSize || 1 }).catch(() => undefined)
  if (bytes === undefined || bytes.length !== contentSize) throw invalid('the content is not of the size stated')
  if (messageId(feed, bytes) !== stated) throw invalid('the messageId is not of these bytes')
}
