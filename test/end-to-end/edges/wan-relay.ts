import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** The line between an edge and the province. */
export interface WanRelay {
  readonly port: number
  /** `reset`: connections break and new ones are refused; `silent`: nothing passes and nobody is told. */
  cut(how: 'reset' | 'silent'): void
  restore(): void
  close(): Promise<void>
}

/** A line of its own to a port of this machine, on a free port of its own. */
export async function openWanRelay(targetPort: number): Promise<WanRelay> {
  const sockets = new Set<Socket>()
  let state: 'open' | 'reset' | 'silent' = 'open'
  const pairUp = (from: Socket, to: Socket): void => {
    sockets.add(from)
    from.on('data', (chunk: Buffer) => {
      if (state !== 'open' || to.destroyed) return // a packet that nobody hears of again
      if (!to.write(chunk)) from.pause()
    })
    to.on('drain', () => from.resume())
    from.on('error', () => undefined)
    from.on('close', () => {
      sockets.delete(from)
      if (state !== 'silent') to.destroy()
    })
  }
  const server = createServer((edge) => {
    if (state === 'reset') return void edge.resetAndDestroy()
    const province = connect(targetPort, '127.0.0.1')
    pairUp(edge, province)
    pairUp(province, edge)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const breakAll = (): void => {
    for (const socket of [...sockets]) socket.resetAndDestroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut(how) {
      state = how
      if (how === 'reset') breakAll()
    },
    restore() {
      // What went lost while the line was silent never comes: those connections are dead.
      if (state === 'silent') breakAll()
      state = 'open'
    },
    async close() {
      state = 'reset'
      breakAll()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
