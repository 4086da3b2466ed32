import type { Clock } from '../../core/clock.js'
import { helloPath, type Hello } from '../../log/uplink-wire.js'
import type { GatewayRoute } from './route.js'

/** Tells an edge who it is taken for, what time it is, and which feeds of it are taken. */
export function helloRoute(options: {
  readonly environment: string
  readonly feedsOf: (hospital: string) => readonly string[]
  readonly clock: Clock
}): GatewayRoute {
  const { environment, feedsOf, clock } = options
  return {
    method: 'GET',
    path: helloPath,
    identity: 'edge',
    handle: (_request, { hospital, name }) => {
      const hello: Hello = { environment, hospital, edge: name, now: clock.now(), feeds: feedsOf(hospital) }
      return Promise.resolve({ json: hello })
    },
  }
}
