import { connect, createServer, type Socket } from 'node:net'
import { SenderLink, type SenderAction, type SenderTimes } from '../../connectors/astm-lis2/sender-link.js'
import { until } from './mllp-client.js'

/** Short pauses for tests; the time for an answer is long, for it only bounds a failing test. */
export const quickTimes: SenderTimes = {
  answerMs: 20_000,
  notReadyMs: 20,
  contentionMs: { instrument: 5, lis: 20 },
  interruptMs: 20,
}

/** An analyser for tests: sends messages one after the other over one connection. */
export class AstmClient {
  readonly outcomes: ('sent' | 'no-answer' | 'refused' | 'not-ready')[] = []
  /** Every byte the receiver has written. */
  answers: number[] = []
  closed = false
  private readonly link: SenderLink
  private timer: NodeJS.Timeout | undefined

  constructor(
    readonly socket: Socket,
    times: SenderTimes = quickTimes,
    /** Changes what arrives, or loses it (undefined). */
    private readonly damage: (byte: number) => number | undefined = (byte) => byte,
  ) {
    this.link = new SenderLink('instrument', times)
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.answers.push(...chunk)
      const heard = [...chunk].map(this.damage).filter((byte) => byte !== undefined)
      this.apply(this.link.bytes(Uint8Array.from(heard)))
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
      clearTimeout(this.timer)
    })
  }

  static async open(port: number, times?: SenderTimes, damage?: (byte: number) => number | undefined) {
    const client = new AstmClient(connect({ host: '127.0.0.1', port }), times, damage)
    await until(() => client.closed || client.socket.readyState === 'open')
    return client
  }

  /** Begins to send; `outcomes` says how it went. */
  send(message: Buffer): void {
    this.apply(this.link.send(message))
  }

  async sendAll(messages: readonly Buffer[]): Promise<void> {
    for (const message of messages) {
      const before = this.outcomes.length
      this.send(message)
      await until(() => this.outcomes.length > before || this.closed)
    }
  }

  write(bytes: Buffer | string): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  close(): void {
    clearTimeout(this.timer)
    this.socket.destroy()
  }

  private apply(actions: readonly SenderAction[]): void {
    for (const action of actions) {
      if (action.do === 'write') this.socket.write(action.bytes)
      else if (action.do === 'sent') this.outcomes.push('sent')
      else if (action.do === 'failed') this.outcomes.push(action.reason)
      else {
        clearTimeout(this.timer)
        if (action.ms > 0) this.timer = setTimeout(() => this.apply(this.link.timer()), action.ms)
      }
    }
  }
}

/** A message of ours; its control id is H-3. */
export function results(
  controlId: string,
  options: { patient?: string; specimen?: string; comment?: string } = {},
): Buffer {
  const { patient = 'P20001', specimen = `S${controlId}`, comment = '复查' } = options
  return Buffer.from(
    `H|\\^&|${controlId}||HT500^3.2|||||||P|LIS2-A2|20260102030405\r` +
      `P|1|${patient}|||测试^甲||19800101|F\r` +
      `O|1|${specimen}||^^^CBC|R||20260102020000||||||||BLD||||||||||F\r` +
      `R|1|^^^WBC|6.2|10*9/L|4.0-10.0|N||F||||20260102030000\r` +
      `C|1|I|${comment}|G\r` +
      'L|1|N\r',
  )
}

/** A port that takes one connection at a time and hands it over: a serial server in front of an analyser. */
export async function serialServer(onSocket: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    onSocket(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
