import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip } from 'node:zlib'
import { GatewayRefusal } from '../../core/gateway-refusals.js'
import { batchContentType, decodedLengthHeader } from '../../log/uplink-wire.js'

/** What a request says of its body before a byte of it is read. */
export interface Announced {
  /** As sent, bytes. */
  readonly length: number
  readonly decodedLength: number
  readonly encoding: 'identity' | 'gzip' | 'br'
}

/** @throws GatewayRefusal encoding-unknown, length-missing, body-too-large */
export function announcedOf({ headers }: IncomingMessage, bytesMax: number): Announced {
  const encoding = headers['content-encoding'] ?? 'identity'
  if (headers['content-type'] !== batchContentType) throw new GatewayRefusal('encoding-unknown', 'the content type')
  if (encoding !== 'identity' && encoding !== 'gzip' && encoding !== 'br') throw new GatewayRefusal('encoding-unknown')
  const length = lengthOf(headers['content-length'])
  const decodedLength = lengthOf(headers[decodedLengthHeader])
  if (length > bytesMax || decodedLength > bytesMax) {
    throw new GatewayRefusal('body-too-large', `${length} bytes, ${decodedLength} decoded; at most ${bytesMax}`)
  }
  return { length, decodedLength, encoding }
}

function lengthOf(header: string | string[] | undefined): number {
  if (typeof header !== 'string' || !/^\d{1,12}$/.test(header)) throw new GatewayRefusal('length-missing')
  return Number(header)
}

/** The body as sent. @throws GatewayRefusal too-slow, body-unreadable (cut off) */
export async function readBody(request: IncomingMessage, length: number, timeoutMs: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new GatewayRefusal('too-slow', `${bytes} of ${length} bytes`, 5)), timeoutMs)
    const settle = (end: () => void): void => {
      clearTimeout(timer)
      end()
    }
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      chunks.push(chunk)
    })
    request.once('end', () => settle(resolve))
    request.once('close', () => settle(() => reject(new GatewayRefusal('body-unreadable', 'it was cut off'))))
    request.once('error', (cause) =>
      settle(() => reject(new GatewayRefusal('body-unreadable', 'it was cut off', undefined, { cause }))),
    )
  })
  return Buffer.concat(chunks)
}

/** The body of a small request in JSON. @throws GatewayRefusal length-missing, body-too-large, too-slow, body-unreadable */
export async function readJson(request: IncomingMessage, bytesMax: number, timeoutMs: number): Promise<unknown> {
  const length = lengthOf(request.headers['content-length'])
  if (length > bytesMax) throw new GatewayRefusal('body-too-large', `${length} bytes; at most ${bytesMax}`)
  const text = (await readBody(request, length, timeoutMs)).toString('utf8')
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new GatewayRefusal('body-unreadable', 'it is not JSON', undefined, { cause })
  }
}

const decoders = { gzip: promisify(gunzip), br: promisify(brotliDecompress) }

/** Never makes more than the length stated, whatever the body expands to. @throws GatewayRefusal body-unreadable */
export async function decodeBody(body: Buffer, { decodedLength, encoding }: Announced): Promise<Buffer> {
  let decoded = body
  if (encoding !== 'identity') {
    try {
      decoded = await decoders[encoding](body, { maxOutputLength: Math.max(1, decodedLength) })
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      throw new GatewayRefusal('body-unreadable', `${encoding}: ${code}`, undefined, { cause })
    }
  }
  if (decoded.length === decodedLength) return decoded
  throw new GatewayRefusal('body-unreadable', `${decoded.length} bytes instead of ${decodedLength}`)
}
