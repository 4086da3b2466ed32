import { createServer } from 'node:net'
import { readFileSync } from 'node:fs'

/** Every listener of the stack binds here and nowhere else. */
export const HOST = '127.0.0.1'

/** Whether a listener could bind `port` on the loopback address right now. */
export function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: HOST, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/**
 * Keeps a port that was given before if it is still free, and finds another otherwise. Ports lie below the range the
 * kernel hands to outgoing connections: a killed broker's port could be taken by a client before the broker returns.
 */
export async function choosePort(previous, taken) {
  if (previous !== undefined && !taken.has(previous) && (await isFree(previous))) return previous
  const end = firstEphemeralPort()
  const start = Math.max(1024, end - 12_000)
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = start + Math.floor(Math.random() * (end - start))
    if (!taken.has(port) && (await isFree(port))) return port
  }
  throw new Error(`no free port between ${start} and ${end} on ${HOST}`)
}

function firstEphemeralPort() {
  try {
    const first = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0])
    return first > 2048 ? first : 32_768
  } catch {
    return 32_768
  }
}
