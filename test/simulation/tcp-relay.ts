import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/**
 * `drop`: connections are reset and new ones too. `blackhole`: all stay open, and nothing gets through any more.
 * `answers`: as blackhole, but what edges send on open connections still arrives.
 */
export type LineCut = 'drop' | 'blackhole' | 'answers'

/** The line between edges and gateways: spreads connections over the targets, and can be cut. */
export class TcpRelay {
  private readonly pairs = new Set<readonly [Socket, Socket | undefined]>()
  private state: 'open' | LineCut = 'open'
  private next = 0
  /** Connections that reached each target. */
  readonly carried: number[]

  private constructor(
    private readonly server: Server,
    private readonly targets: readonly number[],
  ) {
    this.carried = targets.map(() => 0)
    server.on('connection', (socket) => this.carry(socket))
  }

  static async open(targets: readonly number[]): Promise<TcpRelay> {
    const server = createServer({ pauseOnConnect: true })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new TcpRelay(server, targets)
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** Until `restore`. Whatever is on its way is lost to the one or the other side. */
  cut(how: LineCut): void {
    this.state = how
    for (const [near, far] of this.pairs) {
      if (how === 'drop') near.resetAndDestroy()
      else if (how === 'answers') far?.unpipe().pause()
      else for (const socket of [near, far]) socket?.unpipe().pause()
    }
  }

  /** New connections pass; what was cut off is closed, as by a firewall that has forgotten it. */
  restore(): void {
    if (this.state !== 'open') for (const [near] of this.pairs) near.destroy()
    this.state = 'open'
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    for (const [near] of this.pairs) near.destroy()
    await closed
  }

  private carry(near: Socket): void {
    if (this.state === 'drop') return void near.resetAndDestroy()
    const index = this.next++ % this.targets.length
    const far = this.state === 'open' ? connect(this.targets[index] ?? 0, '127.0.0.1') : undefined
    const pair = [near, far] as const
    this.pairs.add(pair)
    for (const socket of [near, far]) {
      socket?.on('error', () => undefined)
      socket?.on('close', () => {
        this.pairs.delete(pair)
        near.destroy()
        far?.destroy()
      })
    }
    far?.once('connect', () => {
      this.carried[index] = (this.carried[index] ?? 0) + 1
      if (this.state === 'open') near.pipe(far).pipe(near)
    })
  }
}
