import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { ConnectedEdge } from './edge-certificate.js'

/** What a request that was not refused is answered with: status 200, or 206 for the end of something. */
export type GatewayAnswer =
  | { readonly json: object }
  | {
      readonly stream: Readable
      /** That the stream yields. */
      readonly bytes: number
      readonly contentType: string
      /** Where the stream is the end of something longer: its first byte there (RFC 9110 section 15.3.7). */
      readonly from?: number
    }

interface Place {
  readonly method: 'GET' | 'POST'
  /** The whole path, or the part before a last segment where it ends in `/`. */
  readonly path: string
}

/** One thing the gateway's port is for. A handler refuses with GatewayRefusal; RetryableError is `log-away`. */
export type GatewayRoute =
  | (Place & {
      readonly identity: 'edge'
      /** `edge` is who the client certificate names; `signal` aborts when the gateway stops. */
      handle(request: IncomingMessage, edge: ConnectedEdge, signal: AbortSignal): Promise<GatewayAnswer>
    })
  | (Place & {
      /** Whoever asks: the handler looks for itself at what the request shows instead of a certificate. */
      readonly identity: 'none'
      handle(request: IncomingMessage, signal: AbortSignal): Promise<GatewayAnswer>
    })

/** The route of a request; undefined where the path is none of ours, 'method' where only the method is not. */
export function routeOf(
  routes: readonly GatewayRoute[],
  { method, url = '' }: Pick<IncomingMessage, 'method' | 'url'>,
): GatewayRoute | 'method' | undefined {
  const path = url.split('?', 1)[0]!
  const there = routes.filter((route) =>
    route.path.endsWith('/')
      ? path.startsWith(route.path) && !path.slice(route.path.length).includes('/')
      : path === route.path,
  )
  if (there.length === 0) return undefined
  return there.find((route) => route.method === method) ?? 'method'
}
