import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Configuration } from '../../cli/config.js'
import type { Role } from '../../cli/config-schema.js'
import { connectors } from '../../cli/connectors.js'
import { openRuntime, type Runtime } from '../../cli/runtime.js'
import { MllpClient, msa, oru } from '../connectors/mllp-client.js'

export interface Running {
  readonly runtime: Runtime
  /** Resolves once edges can reach its gateway; rejects where the process ended. */
  readonly reachable: Promise<void>
  stop(): Promise<void>
}

/** Runs the roles of a process whose data is in a folder of its own below `folder`; `stops` ends it. */
export async function runPlace(
  { folder, stops }: { readonly folder: string; readonly stops: (() => Promise<void>)[] },
  name: string,
  roles: readonly Role[],
  more: object,
): Promise<Running> {
  const configuration = { environment: 'test', dataDir: join(folder, name), logLevel: 'silent', ...more }
  let gatewayListening = (): void => undefined
  const listening = new Promise<void>((resolve) => (gatewayListening = resolve))
  const runtime = await openRuntime({
    ...{ connectors, roles, configuration: configuration as unknown as Configuration },
    gatewayListening: () => gatewayListening(),
  })
  const aborter = new AbortController()
  const running = runtime.run(aborter.signal)
  const reachable = Promise.race([listening, running])
  reachable.catch(() => undefined)
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> =>
    (stopped ??= (aborter.abort(), running.catch(() => undefined).then(() => runtime.close())))
  stops.push(stop)
  return { runtime, reachable, stop }
}

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

/** The numbers that have receipts, once there are `count` of them. */
export async function settledNumbers(
  { database }: Runtime,
  count: number,
  timeoutMs = 40_000,
): Promise<readonly number[]> {
  const end = Date.now() + timeoutMs
  for (;;) {
    const rows = await database!.transaction((tx) =>
      tx.query<{ seq: string | number }>('SELECT DISTINCT seq FROM receipt ORDER BY seq'),
    )
    if (rows.length >= count || Date.now() > end) return rows.map(({ seq }) => Number(seq))
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export const metricsOf = (runtime: Runtime): Promise<string> => runtime.metrics.registry.metrics()

/** A proxy that allows CONNECT to `port` of this machine, and what it was asked. */
export async function connectProxy(
  port: number,
  stops: (() => Promise<void>)[],
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
  stops.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => proxy.close(resolve))
  })
  return { port: (proxy.address() as AddressInfo).port, asked }
}
