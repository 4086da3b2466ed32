import type { LogRecord } from './event-log.js'

/**
 * Record of the embedded log: version (1 byte), length of the key (2 bytes), length of the headers (4 bytes), key in
 * UTF-8, headers as JSON (nothing where there are none), value.
 */
const version = 1
const headBytes = 7

export function encodeLogRecord({ key, value, headers }: LogRecord): Buffer {
  const keyLength = Buffer.byteLength(key)
  if (keyLength > 0xffff) throw new RangeError(`a key of ${keyLength} bytes`)
  const headerText = headers === undefined || Object.keys(headers).length === 0 ? '' : JSON.stringify(headers)
  const headerLength = Buffer.byteLength(headerText)
  const bytes = Buffer.allocUnsafe(headBytes + keyLength + headerLength + value.length)
  bytes.writeUInt8(version, 0)
  bytes.writeUInt16BE(keyLength, 1)
  bytes.writeUInt32BE(headerLength, 3)
  bytes.write(key, headBytes, 'utf8')
  bytes.write(headerText, headBytes + keyLength, 'utf8')
  value.copy(bytes, headBytes + keyLength + headerLength)
  return bytes
}

/** The value is a view of `bytes`. @throws Error where the bytes are of another version */
export function decodeLogRecord(bytes: Buffer): LogRecord {
  if (bytes.length < headBytes || bytes[0] !== version) throw new Error('not a record of this log')
  const keyEnd = headBytes + bytes.readUInt16BE(1)
  const headerEnd = keyEnd + bytes.readUInt32BE(3)
  const headers =
    headerEnd === keyEnd ? {} : (JSON.parse(bytes.toString('utf8', keyEnd, headerEnd)) as Record<string, string>)
  return { key: bytes.toString('utf8', headBytes, keyEnd), value: bytes.subarray(headerEnd), headers }
}
