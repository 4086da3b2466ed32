import { RecordError } from '../core/errors.js'
import { GatewayRefusal } from '../core/gateway-refusals.js'
import type { EventCodec } from '../schemas/codec.js'
import type { RawMessage } from '../schemas/types.js'

/** docs/uplink.md describes this format. */
export const uplinkPath = '/v1/raw'
export const helloPath = '/v1/hello'
export const batchContentType = 'application/vnd.hutong.raw-batch'
export const decodedLengthHeader = 'hutong-decoded-length'
const wireVersion = 1
const headerBytesMax = 4096
const recordsMax = 10_000

/** What the gateway says to an edge that asks who it is. */
export interface Hello {
  readonly environment: string
  /** Hospital and edge of the client certificate. */
  readonly hospital: string
  readonly edge: string
  /** Of the gateway, ms since 1970-01-01T00:00:00Z. */
  readonly now: number
  /** The feeds of this hospital that the gateway takes. */
  readonly feeds: readonly string[]
}

/** First line of a batch. */
export interface BatchHeader {
  readonly version: number
  readonly environment: string
  /** Messages and watermarks that follow. */
  readonly records: number
}

/** A header line in JSON, then each message as its length (4 bytes, big-endian) and its frame. */
export function encodeBatch(environment: string, frames: readonly Buffer[]): Buffer {
  const header: BatchHeader = { version: wireVersion, environment, records: frames.length }
  const parts: Buffer[] = [Buffer.from(`${JSON.stringify(header)}\n`)]
  for (const frame of frames) {
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32BE(frame.length)
    parts.push(length, frame)
  }
  return Buffer.concat(parts)
}

/** Header and messages of a batch, read with the schema each was written with. @throws GatewayRefusal */
export async function decodeBatch(
  body: Buffer,
  codec: EventCodec,
): Promise<{ readonly header: BatchHeader; readonly messages: readonly RawMessage[] }> {
  const end = body.subarray(0, headerBytesMax).indexOf(0x0a)
  if (end < 0) throw new GatewayRefusal('batch-unreadable', 'no header line')
  const header = readHeader(body.toString('utf8', 0, end))
  const messages: RawMessage[] = []
  let at = end + 1
  for (let index = 0; index < header.records; index++) {
    if (at + 4 > body.length) throw new GatewayRefusal('batch-unreadable', `it ends before message ${index + 1}`)
    const next = at + 4 + body.readUInt32BE(at)
    if (next > body.length) throw new GatewayRefusal('batch-unreadable', `it ends within message ${index + 1}`)
    messages.push(await readMessage(body.subarray(at + 4, next), index, codec))
    at = next
  }
  if (at !== body.length) throw new GatewayRefusal('batch-unreadable', `${body.length - at} bytes follow its end`)
  return { header, messages }
}

function readHeader(line: string): BatchHeader {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw new GatewayRefusal('batch-unreadable', 'the header line is not JSON', undefined, { cause })
  }
  const { version, environment, records } = (value ?? {}) as Partial<Record<keyof BatchHeader, unknown>>
  if (version !== wireVersion) throw new GatewayRefusal('batch-unreadable', `it is not of version ${wireVersion}`)
  if (typeof environment !== 'string' || typeof records !== 'number' || !Number.isInteger(records)) {
    throw new GatewayRefusal('batch-unreadable', 'the header names no environment or number of records')
  }
  if (records < 0 || records > recordsMax) {
    throw new GatewayRefusal('batch-unreadable', `${records} records; at most ${recordsMax} go in a batch`)
  }
  return { version, environment, records }
}

async function readMessage(frame: Buffer, index: number, codec: EventCodec): Promise<RawMessage> {
  try {
    return await codec.decode('raw', frame)
  } catch (error) {
    if (!(error instanceof RecordError)) throw error
    const code = error.code === 'frame-unknown-schema' ? 'schema-unknown' : 'batch-unreadable'
    throw new GatewayRefusal(code, `message ${index + 1} (${error.code})`, undefined, { cause: error, record: index })
  }
}
