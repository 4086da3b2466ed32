/** Transmission control characters (ISO/IEC 646) as LIS1-A section 6 uses them. */
export const stx = 0x02
export const etx = 0x03
export const eot = 0x04
export const enq = 0x05
export const ack = 0x06
export const lf = 0x0a
export const cr = 0x0d
export const nak = 0x15
export const etb = 0x17

/** Longest text of a frame a sender of LIS1-A writes (E1381-95: 240 characters). */
export const frameTextMax = 240

/** Two upper-case hex digits: the sum of the bytes from the frame number to ETX or ETB, modulo 256 (LIS1-A section 6.3.3.3). */
export function checksum(sum: number): string {
  return (sum & 0xff).toString(16).toUpperCase().padStart(2, '0')
}

/** A frame as it is sent: STX FN text ETB|ETX C1 C2 CR LF. `number` counts modulo 8. */
export function encodeFrame(number: number, text: Uint8Array, last: boolean): Buffer {
  const frame = Buffer.allocUnsafe(text.length + 7)
  frame[0] = stx
  frame[1] = 0x30 + (number & 7)
  frame.set(text, 2)
  frame[text.length + 2] = last ? etx : etb
  let sum = 0
  for (let at = 1; at < text.length + 3; at++) sum += frame[at]!
  frame.write(checksum(sum), text.length + 3, 'latin1')
  frame[text.length + 5] = cr
  frame[text.length + 6] = lf
  return frame
}
