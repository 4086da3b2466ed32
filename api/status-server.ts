import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Metrics } from '../core/telemetry.js'

export interface Readiness {
  readonly ready: boolean
  /** Each part by name: ok, or what is wrong with it. */
  readonly parts: Readonly<Record<string, string>>
}

export interface StatusServer {
  readonly port: number
  close(): Promise<void>
}

/**
 * GET /metrics (Prometheus text), /health/live (200 while the process runs) and /health/ready (200 or 503, JSON naming
 * each part). `collect` runs before each scrape: gauges such as lag are asked for then, never cached.
 */
export async function startStatusServer(options: {
  readonly host: string
  readonly port: number
  readonly metrics: Metrics
  readonly collect: () => Promise<void>
  readonly readiness: () => Promise<Readiness>
}): Promise<StatusServer> {
  const server: Server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
    }
    const respond = async (): Promise<void> => {
      const path = request.url?.split('?')[0]
      if (request.method !== 'GET') answer(405, 'text/plain; charset=utf-8', 'GET only\n')
      else if (path === '/health/live') answer(200, 'text/plain; charset=utf-8', 'ok\n')
      else if (path === '/health/ready') {
        const readiness = await options.readiness()
        answer(readiness.ready ? 200 : 503, 'application/json', `${JSON.stringify(readiness)}\n`)
      } else if (path === '/metrics') {
        await options.collect()
        answer(200, options.metrics.registry.contentType, await options.metrics.registry.metrics())
      } else answer(404, 'text/plain; charset=utf-8', 'known here: /metrics, /health/live, /health/ready\n')
    }
    respond().catch((error: unknown) => answer(503, 'text/plain; charset=utf-8', `${(error as Error).message}\n`))
  })
  server.requestTimeout = 10_000
  server.maxConnections = 64
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
