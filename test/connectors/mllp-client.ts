import { connect, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { encode } from '../../connectors/hl7v2/encode.js'

/** A sender for tests: writes bytes as told and collects the answers. */
export class MllpClient {
  readonly answers: string[] = []
  closed = false
  ended = false
  error: NodeJS.ErrnoException | undefined
  private text = ''

  private constructor(readonly socket: Socket) {
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1')
      for (let end = this.text.indexOf('\x1c\r'); end >= 0; end = this.text.indexOf('\x1c\r')) {
        this.answers.push(this.text.slice(this.text.indexOf('\x0b') + 1, end))
        this.text = this.text.slice(end + 2)
      }
    })
    socket.on('error', (error) => (this.error = error))
    socket.on('end', () => (this.ended = true))
    socket.on('close', () => (this.closed = true))
  }

  static async open(port: number, options: { tls?: ConnectionOptions; host?: string; allowHalfOpen?: boolean } = {}) {
    const host = options.host ?? '127.0.0.1'
    const socket =
      options.tls === undefined
        ? connect({ host, port, allowHalfOpen: options.allowHalfOpen ?? false })
        : connectTls({ host, port, ...options.tls })
    const client = new MllpClient(socket)
    await until(() => client.closed || client.ready)
    return client
  }

  private get ready(): boolean {
    return 'authorized' in this.socket
      ? (this.socket as unknown as { getProtocol(): string | null; secureConnecting: boolean }).secureConnecting ===
          false
      : this.socket.readyState === 'open'
  }

  write(bytes: Buffer | string): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  send(message: Buffer | string): void {
    this.write(framed(message))
  }

  /** The first `count` answers, when they have come. */
  async take(count: number): Promise<readonly string[]> {
    await until(() => this.answers.length >= count || this.closed)
    return this.answers.slice(0, count)
  }

  close(): void {
    this.socket.destroy()
  }
}

export function framed(message: Buffer | string): Buffer {
  const content = typeof message === 'string' ? Buffer.from(message, 'latin1') : message
  return Buffer.concat([Buffer.of(0x0b), content, Buffer.of(0x1c, 0x0d)])
}

/** MSA-1 and MSA-2 of an answer. */
export function msa(answer: string | undefined): string {
  const line = answer?.split('\r').find((segment) => segment.startsWith('MSA'))
  return line?.split('|').slice(1, 3).join(' ') ?? 'none'
}

/** A small result message of ours. */
export function oru(
  controlId: string,
  options: { msh15?: string; msh16?: string; version?: string; text?: string } = {},
) {
  const { msh15 = '', msh16 = '', version = '2.5', text = '阳性' } = options
  return Buffer.from(
    `MSH|^~\\&|LIS|H1|HUTONG|P|20260102030405||ORU^R01^ORU_R01|${controlId}|P|${version}|||${msh15}|${msh16}||UNICODE UTF-8\r` +
      `PID|1||T1001^^^H1^MR||测试^甲\rOBR|1||R1001|CBC\rOBX|1|TX|HBSAG||${text}||||||F\r`,
  )
}

/** Waits for a condition; the time allowed is generous, for it only bounds a failing test. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('the condition did not come true')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** A result in GB18030, as a receiver hands it over: without the last line end. */
export const hl7Message = (controlId: string, text: string): Buffer =>
  encode(oru(controlId, { text }).toString('utf8').replace('UNICODE UTF-8', 'GB18030').slice(0, -1), 'gb18030')

/** A readable MSH, and nothing behind it that means anything. */
export const hl7Poison = Buffer.from(
  'MSH|^~\\&|LIS|H1|HUTONG|P|20260102030405||ORU^R01^ORU_R01|POISON|P|2.5\r?\xff\xff?|',
  'latin1',
)
