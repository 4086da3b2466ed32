import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { expect } from 'vitest'
import type { Runtime } from '../../cli/runtime.js'
import { MllpClient, msa, oru } from '../connectors/mllp-client.js'
import type { RunningPlaces } from './running.js'

export const lisFeed = (port: number): object => ({
  ...{ name: 'lis', hospital: 'H001', connector: 'hl7v2-mllp', settings: { port } },
})

/** Sends results with these control ids over MLLP; each is acknowledged with AA. */
export async function sendResults(port: number, ...controlIds: string[]): Promise<void> {
  const client = await MllpClient.open(port)
  try {
    for (const id of controlIds) client.send(oru(id, { text: `值${id}` }))
    expect((await client.take(controlIds.length)).map((answer) => msa(answer))).toEqual(
      controlIds.map((id) => `AA ${id}`),
    )
  } finally {
    client.close()
  }
}

export const metricsOf = (runtime: Runtime): Promise<string> => runtime.metrics.registry.metrics()

/** A proxy that allows CONNECT to `port` of this machine, and what it was asked. */
export async function connectProxy(
  port: number,
  places: RunningPlaces,
): Promise<{ readonly port: number; readonly asked: readonly string[] }> {
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const proxy = createServer()
  proxy.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization']}`)
    const far = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      far.pipe(socket).pipe(far)
    })
    for (const one of [socket, far]) {
      sockets.add(one)
      one.on('error', () => undefined).on('close', () => void [socket, far].map((each) => each.destroy()))
    }
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  places.atEnd(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => proxy.close(resolve))
  })
  return { port: (proxy.address() as AddressInfo).port, asked }
}
